"""The SCTP INIT probe (nmap's -sY): half an association, never completed (RFC 9260, 5.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scanner.contracts import Probe
from scanner.core.rules import SCTP_REPLIES
from scanner.model import Protocol
from scanner.probes.mark import IP_ID

if TYPE_CHECKING:
    from scapy.packet import Packet


def _packet(_payload: bytes) -> Packet:
    from scapy.layers.inet import IP  # noqa: PLC0415 - a fifth of a second, only when compiling
    from scapy.layers.sctp import SCTP, SCTPChunkInit  # noqa: PLC0415

    chunk = SCTPChunkInit(a_rwnd=32768, n_out_streams=10, n_in_streams=2048, init_tsn=1)
    return IP(id=IP_ID, ttl=64) / SCTP(tag=0) / chunk


def _payload(_port: int) -> bytes:
    return b""


SCTP_INIT = Probe(
    name="sctp-init",
    protocol=Protocol.SCTP,
    summary="SCTP INIT: INIT ACK says open, ABORT closed",
    packet=_packet,
    payload=_payload,
    rules=SCTP_REPLIES,
)


def ghostport_probes() -> tuple[Probe, ...]:
    """As `scanner.plugins.hooks` asks."""
    return (SCTP_INIT,)
