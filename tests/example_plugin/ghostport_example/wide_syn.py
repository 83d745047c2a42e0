"""A SYN as a modern host sends it, with all its options: some filters let nothing else through."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scanner.contracts import Probe
from scanner.core.rules import SYN_REPLIES
from scanner.model import Protocol

if TYPE_CHECKING:
    from scapy.packet import Packet


def _packet(_payload: bytes) -> Packet:
    from scapy.layers.inet import IP, TCP

    options = [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (1, 0)), ("NOP", None), ("WScale", 7)]
    return IP(id=0x4750, ttl=64) / TCP(flags="S", window=64240, options=options)


WIDE_SYN = Probe(
    name="wide-syn",
    protocol=Protocol.TCP,
    summary="TCP SYN with the options of a modern host",
    packet=_packet,
    payload=lambda _port: b"",
    rules=SYN_REPLIES,
)
