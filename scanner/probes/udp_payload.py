"""The UDP probe with a payload of one's own, from a file: for protocols that leave all else unanswered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from scanner.contracts import Probe
from scanner.core.rules import UDP_REPLIES
from scanner.model import Protocol, UsageError
from scanner.probes.mark import IP_ID

if TYPE_CHECKING:
    from scapy.packet import Packet

MOST_BYTES = 1400
"""Of a payload: more would not go through every link in one piece."""


def _packet(payload: bytes) -> Packet:
    from scapy.layers.inet import IP, UDP  # noqa: PLC0415 - a fifth of a second, only when compiling

    return IP(id=IP_ID, ttl=64) / UDP() / payload


def _payload(_port: int) -> bytes:
    raise UsageError("--probe udp-payload: say which file has the payload, as udp-payload:FILE")


def _from_file(name: str) -> Probe:
    try:
        with Path(name).open("rb") as stream:
            payload = stream.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"{name}: cannot be read: {reason}") from None
    if not 0 < len(payload) <= MOST_BYTES:
        raise UsageError(f"{name}: a payload has from 1 to {MOST_BYTES} bytes")
    return replace(UDP_PAYLOAD, payload=lambda _port: payload)


UDP_PAYLOAD = Probe(
    name="udp-payload",
    protocol=Protocol.UDP,
    summary="UDP datagram with the bytes of a file: udp-payload:FILE",
    packet=_packet,
    payload=_payload,
    rules=UDP_REPLIES,
    configure=_from_file,
)


def ghostport_probes() -> tuple[Probe, ...]:
    """As `scanner.plugins.hooks` asks."""
    return (UDP_PAYLOAD,)
