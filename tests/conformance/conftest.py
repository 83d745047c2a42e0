"""Every wire, on a stage of its own: something that answers, and somebody who watches what leaves."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from scapy.layers.inet import IP, TCP

from scanner.contracts import Batch, Clock, Wire
from scanner.lab import namespaces
from scanner.wire.behaviours import closed_port
from scanner.wire.clock import SystemClock
from scanner.wire.memory import MemoryWire, SimulatedNetwork
from scanner.wire.memory_wire import OWN_MAC, Arrival
from scanner.wire.packet_ring import PacketRing
from scanner.wire.raw_ip import RawIP
from scanner.wire.receive_ring import RingOptions

ETH_P_ALL = 0x0003
SMALL = RingOptions(block_size=1 << 16, blocks=8)


@dataclass(frozen=True)
class Stage:
    """A wire and its surroundings.

    source, target: addresses; the target answers TCP to port 401 with a reset. departed: the
    frames that left, in order, as many as are asked for (and more, if there are).
    """

    wire: Wire
    clock: Clock
    source: str
    target: str
    next_hop: NDArray[np.uint8] | None
    departed: Callable[[int], list[bytes]]

    def batch(self, first: int, last: int, padding: int = 0) -> Batch:
        """SYNs with the sequence numbers `first` to `last` - 1, each one's identification its own."""
        rows = [
            bytes(
                IP(src=self.source, dst=self.target, id=1 + number % 65535)
                / TCP(sport=40000 + number % 1000, dport=401, seq=number, flags="S")
                / (b"\0" * padding)
            )
            for number in range(first, last)
        ]
        packets = np.frombuffer(b"".join(rows), dtype=np.uint8).reshape(last - first, 40 + padding)
        return Batch(packets, next_hops=self.next_hop)


@contextmanager
def memory() -> Iterator[Stage]:
    left: list[bytes] = []

    class Watched(SimulatedNetwork):
        def carry(self, packets: NDArray[np.uint8], ethertype: int, moment: int) -> list[Arrival]:
            header = bytes(6) + OWN_MAC + ethertype.to_bytes(2, "big")
            left.extend(header + row.tobytes() for row in packets)
            return super().carry(packets, ethertype, moment)

    network = Watched()
    network.place("10.78.0.2", closed_port())
    wire = MemoryWire(network.clock, network)
    yield Stage(wire, network.clock, "10.78.0.1", "10.78.0.2", None, lambda _: left)
    wire.close()


@contextmanager
def raw_ip() -> Iterator[Stage]:
    """On the loopback device of a scratch namespace, which answers itself."""
    with scratch("lo") as (name,):
        with namespaces.entered(name):
            wire = RawIP("lo", SMALL)
        with contextlib.closing(wire), watcher(name, "lo") as departed:
            yield Stage(wire, SystemClock(), "127.0.0.1", "127.0.0.2", None, departed)


@contextmanager
def packet_ring() -> Iterator[Stage]:
    """From one scratch namespace to another, over a veth pair."""
    with scratch("near", "far") as (near, far):
        namespaces.ip_batch(near, [f"link add near type veth peer name far netns {far}"])
        for name, end, address in ((near, "near", "10.78.0.1"), (far, "far", "10.78.0.2")):
            namespaces.ip_batch(name, [f"addr add {address}/24 dev {end}", f"link set {end} up"])
        macs = [mac(near, "near"), mac(far, "far")]
        for name, end, address, other in (
            (near, "near", "10.78.0.2", macs[1]),
            (far, "far", "10.78.0.1", macs[0]),
        ):
            namespaces.ip_batch(name, [f"neigh replace {address} lladdr {other} dev {end} nud permanent"])
        with namespaces.entered(near):
            wire = PacketRing("near", SMALL)
        with contextlib.closing(wire), watcher(far, "far") as departed:
            hop = np.frombuffer(bytes.fromhex(macs[1].replace(":", "")), dtype=np.uint8)
            yield Stage(wire, SystemClock(), "10.78.0.1", "10.78.0.2", hop, departed)


STAGES: dict[str, Callable[[], AbstractContextManager[Stage]]] = {
    "memory": memory,
    "raw_ip": raw_ip,
    "packet_ring": packet_ring,
}


@pytest.fixture(
    params=["memory", *(pytest.param(name, marks=pytest.mark.lab) for name in ("raw_ip", "packet_ring"))]
)
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    with STAGES[request.param]() as built:
        yield built


@contextmanager
def scratch(*ends: str) -> Iterator[Sequence[str]]:
    """Namespaces without a way out, their loopback up; removed at the end."""
    names = [f"ghostport-conformance-{os.getpid()}-{end}" for end in ends]
    try:
        for name in names:
            namespaces.add(name)
            namespaces.set_sysctls(
                name, {f"net.ipv6.conf.{which}.disable_ipv6": "1" for which in ("all", "default")}
            )
            namespaces.ip_batch(name, ["link set lo up"])
        yield names
    finally:
        for name in names:
            namespaces.delete(name)


@contextmanager
def watcher(namespace: str, interface: str) -> Iterator[Callable[[int], list[bytes]]]:
    """Sees the probes that arrive on an interface: frames to TCP port 401."""
    with namespaces.entered(namespace):
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    with sock:
        sock.setsockopt(socket.SOL_SOCKET, 33, 1 << 25)  # SO_RCVBUFFORCE
        sock.bind((interface, ETH_P_ALL))
        sock.settimeout(0.2)

        def departed(count: int) -> list[bytes]:
            found: list[bytes] = []
            with contextlib.suppress(TimeoutError):
                while len(found) <= count:
                    data, (_, _, kind, *_) = sock.recvfrom(1 << 16)
                    outgoing = kind == socket.PACKET_OUTGOING
                    if not outgoing and data[36:38] == (401).to_bytes(2, "big"):
                        found.append(data)
            return found

        yield departed


def mac(namespace: str, interface: str) -> str:
    [link] = namespaces.ip_json(namespace, "link", "show", interface)
    address: str = link["address"]
    return address
