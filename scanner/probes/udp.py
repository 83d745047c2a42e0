"""The UDP probe: an empty datagram, or a well-formed question where a port's protocol answers no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scanner.contracts import Probe
from scanner.model import Protocol
from scanner.probes.mark import IP_ID

if TYPE_CHECKING:
    from scapy.packet import Packet

PAYLOADS: dict[int, bytes] = {
    # DNS (RFC 1035, 4.1): server status request (opcode 2), id "GP"; every server answers, if only NOTIMP.
    53: bytes.fromhex("4750 1000 0000 0000 0000 0000"),
    # NTP (RFC 5905, 7.3): version 4, mode 3 (client), all else zero.
    123: bytes.fromhex("23") + bytes(47),
    # SNMPv3 (RFC 3414, 4): engine discovery, an empty user and no community guessed.
    161: bytes.fromhex(
        "303a 020103 300f 02024750 020300ffe3 040104 020103"
        "0410 300e 0400 020100 020100 0400 0400 0400"
        "3012 0400 0400 a00c 02022b06 020100 020100 3000"
    ),
}
"""What is sent to ports whose protocol leaves an empty datagram without an answer."""


def _packet(payload: bytes) -> Packet:
    from scapy.layers.inet import IP, UDP  # noqa: PLC0415 - a fifth of a second, only when compiling

    datagram = IP(id=IP_ID, ttl=64) / UDP()
    return datagram / payload if payload else datagram


def _payload(port: int) -> bytes:
    return PAYLOADS.get(port, b"")


UDP = Probe(
    name="udp",
    protocol=Protocol.UDP,
    summary="UDP datagram; empty except to DNS, NTP and SNMP",
    packet=_packet,
    payload=_payload,
)


def ghostport_probes() -> tuple[Probe, ...]:
    """As `scanner.plugins.hooks` asks."""
    return (UDP,)
