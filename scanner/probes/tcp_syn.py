"""The TCP SYN probe: half a handshake, never completed. The kernel's own reset tears it down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scanner.contracts import Probe
from scanner.model import Protocol
from scanner.probes.mark import IP_ID

if TYPE_CHECKING:
    from scapy.packet import Packet


def _packet(payload: bytes) -> Packet:
    from scapy.layers.inet import IP, TCP  # noqa: PLC0415 - a fifth of a second, only when compiling

    # MSS as nmap sends it: some stacks and middleboxes drop a SYN without options.
    segment = IP(id=IP_ID, ttl=64) / TCP(flags="S", window=1024, options=[("MSS", 1460)])
    return segment / payload if payload else segment


def _payload(_port: int) -> bytes:
    return b""


TCP_SYN = Probe(
    name="tcp-syn",
    protocol=Protocol.TCP,
    summary="TCP SYN with an MSS option",
    packet=_packet,
    payload=_payload,
)


def ghostport_probes() -> tuple[Probe, ...]:
    """As `scanner.plugins.hooks` asks."""
    return (TCP_SYN,)
