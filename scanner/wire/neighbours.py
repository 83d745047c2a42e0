"""The hardware address of a next hop: from the kernel's neighbour table, else by asking for it.

Whoever calls hands in how to send and receive, so the only sender stays the one that asks
the scope first. Here it is decided what to ask, how often, and what counts as an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import AddressValueError, IPv4Address

import numpy as np

from scanner.contracts import ETHERTYPE_ARP, Batch, Clock, Frames, Hop, Sent
from scanner.model import WireError
from scanner.wire.arp import REPLY, ArpBody, arp_request, parse_arp_untrusted
from scanner.wire.ip_command import Runner, parse_json_list, run_ip

BROADCAST = b"\xff" * 6
"""The hardware address of everybody on the link."""

_HEADER_LENGTH = 14
_MAC_LENGTH = 6
_USELESS = frozenset({"FAILED", "INCOMPLETE"})


def parse_neighbours(text: str) -> dict[tuple[str, int], bytes]:
    """MAC by (interface, address) of a recorded `ip -j -4 neigh show`; only what is known."""
    known: dict[tuple[str, int], bytes] = {}
    for entry in parse_json_list(text):
        if _USELESS.intersection(entry.get("state", [])):
            continue
        try:
            address = int(IPv4Address(str(entry.get("dst"))))
            mac = bytes.fromhex(str(entry.get("lladdr")).replace(":", ""))
        except (AddressValueError, ValueError):
            continue
        if len(mac) == _MAC_LENGTH:
            known[str(entry.get("dev")), address] = mac
    return known


def resolve(
    gateway: int,
    hop: Hop,
    wire_send: Callable[[Batch], Sent],
    wire_receive: Callable[[float], Frames],
    clock: Clock,
    run: Runner = run_ip,
    tries: int = 3,
    wait: float = 0.3,
) -> bytes | None:
    """The six-byte MAC of `gateway` on the hop's interface; None where nobody answers.

    Asks the neighbour table first, then sends up to `tries` ARP requests, each followed by
    `wait` seconds of listening. Frames that come in meanwhile and are no answer are dropped,
    so it is to be called before the first probe. Raises WireError where the hop's device
    has no hardware addresses, and whatever the three callables raise.
    """
    if hop.mac is None:
        raise WireError(f"{hop.interface} has no hardware addresses to ask for")
    known = parse_neighbours(run(["-j", "-4", "neigh", "show"], ""))
    if (hop.interface, gateway) in known:
        return known[hop.interface, gateway]
    request = _broadcast(arp_request(hop.source, hop.mac, gateway))
    for _ in range(tries):
        wire_send(request)
        deadline = clock.steady() + wait
        while (remaining := deadline - clock.steady()) > 0:
            for reply in _replies(wire_receive(remaining)):
                if reply.sender == gateway:
                    return reply.sender_mac
    return None


def _broadcast(body: ArpBody) -> Batch:
    return Batch(
        packets=np.frombuffer(body.pack(), dtype=np.uint8)[None, :],
        ethertype=ETHERTYPE_ARP,
        next_hops=np.frombuffer(BROADCAST, dtype=np.uint8),
    )


def _replies(frames: Frames) -> Iterator[ArpBody]:
    for start, length in zip(frames.starts.tolist(), frames.lengths.tolist(), strict=True):
        frame = frames.buffer[start : start + length].tobytes()
        if frame[12:_HEADER_LENGTH] != ETHERTYPE_ARP.to_bytes(2, "big"):
            continue
        body = parse_arp_untrusted(frame[_HEADER_LENGTH:])
        if body is not None and body.operation == REPLY:
            yield body
