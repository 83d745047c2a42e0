"""The ACK probe (nmap's -sA): a reset says that no filter stands between, and nothing of the port itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scanner.contracts import Probe
from scanner.core.rules import ACK_REPLIES
from scanner.model import Protocol
from scanner.probes.mark import IP_ID

if TYPE_CHECKING:
    from scapy.packet import Packet


def _packet(payload: bytes) -> Packet:
    from scapy.layers.inet import IP, TCP  # noqa: PLC0415 - a fifth of a second, only when compiling

    segment = IP(id=IP_ID, ttl=64) / TCP(flags="A", window=1024)
    return segment / payload if payload else segment


def _payload(_port: int) -> bytes:
    return b""


ACK = Probe(
    name="ack",
    protocol=Protocol.TCP,
    summary="TCP ACK: a reset says unfiltered",
    packet=_packet,
    payload=_payload,
    rules=ACK_REPLIES,
)


def ghostport_probes() -> tuple[Probe, ...]:
    """As `scanner.plugins.hooks` asks."""
    return (ACK,)
