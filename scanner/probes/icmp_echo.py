"""The ICMP echo request (ping): is the host up? Over IPv6 it is ICMPv6's (RFC 792; RFC 4443, 4.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scanner.contracts import Probe
from scanner.core.rules import ECHO_REPLIES
from scanner.model import Protocol
from scanner.probes.mark import IP_ID

if TYPE_CHECKING:
    from scapy.packet import Packet


def _packet(payload: bytes) -> Packet:
    from scapy.layers.inet import ICMP, IP  # noqa: PLC0415 - a fifth of a second, only when compiling

    request = IP(id=IP_ID, ttl=64) / ICMP(type="echo-request")
    return request / payload if payload else request


def _payload(_port: int) -> bytes:
    return b""


ICMP_ECHO = Probe(
    name="icmp-echo",
    protocol=Protocol.ICMP,
    summary="ICMP echo request: a reply says up",
    packet=_packet,
    payload=_payload,
    rules=ECHO_REPLIES,
)


def ghostport_probes() -> tuple[Probe, ...]:
    """As `scanner.plugins.hooks` asks."""
    return (ICMP_ECHO,)
