"""The stage: plays the scripted hosts of one case, in the target namespace of a lab.

`python -m tests.replay.stage CASE` writes `ready` when it listens, and plays until it is killed.
It sees probes before the firewall does, so their addresses are taken from hosts whose kernel drops all.
"""

from __future__ import annotations

import heapq
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from scanner.lab.topology import TARGET_INTERFACE
from tests.replay.answers import Pause
from tests.replay.case import Played
from tests.replay.cases import case_named

if TYPE_CHECKING:
    from scapy.packet import Packet

READY = b"ready\n"
_ETHERTYPE_IPV4 = 0x0800
_LINK_HEADER = 14
_SPACING = 0.003
"""Seconds between answers: later ones must be seen to be later, also where times have microseconds."""

_SYN, _SYN_ACK = 0x02, 0x12


def main() -> None:
    """Play the case that the command line names."""
    played = case_named(sys.argv[1]).played
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETHERTYPE_IPV4))
    wire.bind((TARGET_INTERFACE, _ETHERTYPE_IPV4))
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
        for moment, answer in _answers(frame, played):
            heapq.heappush(due, (moment, count, answer))
            count += 1


def _answers(frame: bytes, played: Mapping[str, Played]) -> Iterator[tuple[float, bytes]]:
    """The frames that answer a frame, and when they are due."""
    from scapy.layers.inet import IP

    probe = IP(frame[_LINK_HEADER:])
    if probe.dst not in played or not _is_probe(probe):
        return
    header = frame[6:12] + frame[:6] + frame[12:_LINK_HEADER]
    moment = time.monotonic() + _SPACING
    for answer in played[probe.dst].answers:
        if isinstance(answer, Pause):
            moment += answer.seconds
        else:
            yield moment, header + bytes(answer.build(probe))
            moment += _SPACING


def _is_probe(packet: Packet) -> bool:
    from scapy.layers.inet import TCP, UDP

    if TCP in packet:
        return int(packet[TCP].flags) & _SYN_ACK == _SYN
    return UDP in packet


def _warm_up() -> None:
    """Have Scapy imported, and a packet built, before the first probe comes."""
    from scapy.layers.inet import IP, TCP

    bytes(IP(src="127.0.0.1", dst="127.0.0.1") / TCP())


if __name__ == "__main__":
    main()
