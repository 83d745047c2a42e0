"""The stage: plays the scripted hosts of one case, in the target namespace of a lab.

`python -m tests.replay.stage CASE` writes `ready` when it listens, and plays until it is killed.
It sees probes before the firewall does, so their addresses are taken from hosts whose kernel drops all.
"""

from __future__ import annotations

import heapq
import socket
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from scanner.lab.topology import TARGET_INTERFACE
from tests.replay.answers import Pause, packets
from tests.replay.case import Case
from tests.replay.cases import case_named

if TYPE_CHECKING:
    from scapy.packet import Packet

READY = b"ready\n"
_ALL_PROTOCOLS = 3  # ETH_P_ALL, linux/if_ether.h
_ETHERTYPES = {b"\x08\x00", b"\x86\xdd"}
_LINK_HEADER = 14
_SPACING = 0.003
"""Seconds between answers: later ones must be seen to be later, also where times have microseconds."""

_SYN, _SYN_ACK = 0x02, 0x12


def main() -> None:
    """Play the case that the command line names."""
    case = case_named(sys.argv[1])
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL_PROTOCOLS))
    wire.bind((TARGET_INTERFACE, _ALL_PROTOCOLS))
    due: list[tuple[float, int, bytes]] = []
    count = 0
    _warm_up()
    sys.stdout.buffer.write(READY)
    sys.stdout.flush()
    while True:
        while due and due[0][0] <= time.monotonic():
            wire.send(heapq.heappop(due)[2])
        wire.settimeout(max(due[0][0] - time.monotonic(), 1e-4) if due else None)
        try:
            frame, (_, _, kind, *_) = wire.recvfrom(65_535)
        except TimeoutError:
            continue
        if kind == socket.PACKET_OUTGOING:
            continue
        for moment, answer in _answers(frame, case):
            heapq.heappush(due, (moment, count, answer))
            count += 1


def _answers(frame: bytes, case: Case) -> Iterator[tuple[float, bytes]]:
    """The frames that answer a frame, and when they are due."""
    from scapy.layers.inet import IP
    from scapy.layers.inet6 import IPv6

    if frame[12:_LINK_HEADER] not in _ETHERTYPES:
        return
    layer = IP if frame[_LINK_HEADER] >> 4 == 4 else IPv6
    probe = layer(frame[_LINK_HEADER:])
    if probe.dst not in case.played or not _is_probe(probe):
        return
    header = frame[6:12] + frame[:6] + frame[12:_LINK_HEADER]
    moment = time.monotonic() + _SPACING
    for answer in case.played[probe.dst].answers:
        if isinstance(answer, Pause):
            moment += answer.seconds
            continue
        for packet in packets(answer, probe, case.router):
            yield moment, header + packet
            moment += _SPACING


def _is_probe(packet: Packet) -> bool:
    from scapy.layers.inet import TCP, UDP

    if TCP in packet:
        return int(packet[TCP].flags) & _SYN_ACK == _SYN
    return UDP in packet


def _warm_up() -> None:
    """Have Scapy imported, and a packet built, before the first probe comes."""
    from scapy.layers import inet6  # noqa: F401
    from scapy.layers.inet import IP, TCP

    bytes(IP(src="127.0.0.1", dst="127.0.0.1") / TCP())


if __name__ == "__main__":
    main()
