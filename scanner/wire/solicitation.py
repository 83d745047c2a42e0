"""Neighbour solicitations and advertisements of IPv6 over Ethernet: read and written, one at a time.

This file sends nothing. Layout of both messages (RFC 4861, 4.3 and 4.4), byte offsets, in the payload
of an IPv6 datagram with hop limit 255:

     0  u8 type (135, 136)    4  u32 flags (of an advertisement: router, solicited, override)
     1  u8 code (0)           8  the address asked about (16)
     2  u16 checksum         24  options: u8 type (1, 2: hardware address), u8 length in eights, the rest
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from scanner.wire.simulated_packets import (
    ICMPV6,
    ipv6,
    parse_datagram_untrusted,
    pseudo_header,
    with_checksum,
)

SOLICITATION, ADVERTISEMENT = 135, 136

_MESSAGE = struct.Struct("!BBHI16s")
_SOLICITED, _OVERRIDE = 1 << 30, 1 << 29
_TARGET_ADDRESS_OPTION = 2
_HOP_LIMIT = 255
_UNSPECIFIED = 0


@dataclass(frozen=True, slots=True)
class Solicitation:
    """Who (`source`) asks for the hardware address of `target`."""

    source: int
    target: int


def parse_solicitation_untrusted(packet: bytes) -> Solicitation | None:
    """The solicitation in an IPv6 datagram; None where it is none that a host answers (RFC 4861, 7.1.1)."""
    datagram = parse_datagram_untrusted(packet)
    if datagram is None or datagram.version != 6 or datagram.protocol != ICMPV6:
        return None
    message = datagram.payload
    if len(message) < _MESSAGE.size or message[:2] != bytes((SOLICITATION, 0)) or packet[7] != _HOP_LIMIT:
        return None
    if datagram.source == _UNSPECIFIED:
        return None  # RFC 4862, 5.4.3: somebody looks whether an address is free
    return Solicitation(datagram.source, int.from_bytes(message[8:24], "big"))


def advertisement(asked: Solicitation, mac: bytes) -> bytes:
    """The answer, an IPv6 datagram: what was asked for is at `mac`."""
    target = asked.target.to_bytes(16, "big")
    message = _MESSAGE.pack(ADVERTISEMENT, 0, 0, _SOLICITED | _OVERRIDE, target)
    message += bytes((_TARGET_ADDRESS_OPTION, 1)) + mac
    covered = pseudo_header(6, asked.target, asked.source, ICMPV6, len(message))
    return ipv6(
        ICMPV6, asked.target, asked.source, with_checksum(message, at=2, before=covered), ttl=_HOP_LIMIT
    )
