"""Tunnels: packets in packets.

A tunnel gets a number, the same for both ways through it: by the two addresses of its ends, its kind, its
key, and the tunnel that it is itself in. A VXLAN or Geneve network is one, whichever hosts carry it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanner.core.columns import Columns, gather
from scanner.core.interning import Interning
from scanner.core.linkfields import FRAME, IP, IPV4, IPV6, NEITHER, TRANSPARENT_ETHERNET, typed
from scanner.core.linkheaders import unwrapped
from scanner.core.packets import NO_TUNNEL, UDP

IPV4_IN_IP = 4
IPV6_IN_IP = 41
GRE = 47

VXLAN_PORTS = (4789, 8472)
"""IANA's, and Linux's own."""

GENEVE_PORT = 6081
DEEPEST = 4
"""Tunnels within tunnels that are looked into."""

MOST_TUNNELS = 1 << 20

_ERSPAN, _ERSPAN_3 = 0x88BE, 0x22EB
_CHECKSUM, _ROUTING, _KEY, _SEQUENCE, _VERSION = 0x8000, 0x4000, 0x2000, 0x1000, 0x0007

Words = NDArray[np.uint64]
"""Tunnels, 64 bits for each, of which two that differ have the same once in 10^19 times; zero is none."""


class TunnelNumbers:
    """Gives tunnels their numbers, from 1 on."""

    def __init__(self) -> None:
        """No tunnel is known."""
        self._known: Interning[np.uint64] = Interning(
            np.uint64, MOST_TUNNELS, f"there are more than {MOST_TUNNELS} tunnels; ask about a shorter time"
        )

    def numbers(self, tunnels: Words) -> NDArray[np.uint32]:
        """Numbers of tunnels `(N,)`. Raises CaptureError where there are too many."""
        numbers = np.full(len(tunnels), NO_TUNNEL, dtype=np.uint32)
        rows = np.flatnonzero(tunnels)
        if len(rows):
            numbers[rows] = self._known.numbers(tunnels[rows]) + 1
        return numbers

    def tunnels(self, numbers: NDArray[np.uint32]) -> Words:
        """The tunnels that have these numbers."""
        tunnels = np.zeros(len(numbers), dtype=np.uint64)
        rows = np.flatnonzero(numbers != NO_TUNNEL)
        tunnels[rows] = self._known.keys(numbers[rows].astype(np.int64) - 1)
        return tunnels


@dataclass(frozen=True, slots=True)
class Outer(Columns):
    """Packets that may be tunnels.

    row: int64. protocol: uint8. payload: int64, where what they carry begins; behind the UDP header, too.
    end: int64. port: uint16, UDP's destination. source, destination: uint64, one word for each address.
    tunnel: uint64, which they are in themselves.
    """

    row: NDArray[np.int64]
    protocol: NDArray[np.uint8]
    payload: NDArray[np.int64]
    end: NDArray[np.int64]
    port: NDArray[np.uint16]
    source: Words
    destination: Words
    tunnel: Words


@dataclass(frozen=True, slots=True)
class Inner(Columns):
    """Packets found in others.

    row: int64, in which. at, end: int64, where each is. kind: uint16, IPV4, IPV6, or NEITHER where there is
    none. tunnel: uint64.
    """

    row: NDArray[np.int64]
    at: NDArray[np.int64]
    end: NDArray[np.int64]
    kind: NDArray[np.uint16]
    tunnel: Words


Found = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]
Reader = Callable[[NDArray[np.uint8], NDArray[np.int64]], Found]


def inner(buffer: NDArray[np.uint8], outer: Outer) -> Inner:
    """What tunnels carry, as far as it is IP."""
    count = len(outer)
    at, key = outer.payload.copy(), np.zeros(count, dtype=np.int64)
    layer = np.full(count, NEITHER, dtype=np.int32)
    layer[outer.protocol == IPV4_IN_IP] = IPV4
    layer[outer.protocol == IPV6_IN_IP] = IPV6
    is_udp = outer.protocol == UDP
    is_geneve = is_udp & (outer.port == GENEVE_PORT)
    readers: tuple[tuple[NDArray[np.bool_], Reader], ...] = (
        (outer.protocol == GRE, _gre),
        (is_udp & ~is_geneve, _vxlan),
        (is_geneve, _geneve),
    )
    for mine, read in readers:
        rows = np.flatnonzero(mine)
        if len(rows):
            at[rows], layer[rows], key[rows] = read(buffer, outer.payload[rows])
    at, kind = unwrapped(buffer, at, outer.end, layer)
    # Sums, since both ways through a tunnel are one.
    ends = np.where(is_udp, 0, _mixed(outer.source) + _mixed(outer.destination)).astype(np.uint64)
    facts = (key << 8 | np.where(is_geneve, 0, outer.protocol)).astype(np.uint64)
    tunnel = np.maximum(_mixed(_mixed(_mixed(outer.tunnel) ^ ends) ^ facts), np.uint64(1))
    kind[((kind != IPV4) & (kind != IPV6)) | (at >= outer.end)] = NEITHER
    return Inner(row=outer.row, at=at, end=outer.end, kind=kind, tunnel=tunnel)


def _mixed(words: Words) -> Words:
    """Spread each word's bits (splitmix64)."""
    words = words + np.uint64(0x9E37_79B9_7F4A_7C15)
    words = (words ^ words >> np.uint64(30)) * np.uint64(0xBF58_476D_1CE4_E5B9)
    words = (words ^ words >> np.uint64(27)) * np.uint64(0x94D0_49BB_1331_11EB)
    return words ^ words >> np.uint64(31)


# --- headers ------------------------------------------------------------------------------------
# What is read beyond a packet's end does no harm: then what would be in the tunnel begins there, too.


def _gre(buffer: NDArray[np.uint8], at: NDArray[np.int64]) -> Found:
    """RFC 2784 and 2890; the mirror ports' ERSPAN is draft-foschiano-erspan."""
    head = gather(buffer, at, 4).view(">u2").astype(np.uint16)
    flags, kind = head[:, 0], head[:, 1]
    layer = typed(kind)
    layer[kind == TRANSPARENT_ETHERNET] = FRAME
    at = at + 4 + 4 * ((flags & _CHECKSUM) != 0)
    key = np.zeros(len(at), dtype=np.int64)
    keyed = np.flatnonzero(flags & _KEY)
    if len(keyed):
        key[keyed] = gather(buffer, at[keyed], 4).view(">u4")[:, 0]
        at[keyed] += 4
    sequenced = (flags & _SEQUENCE) != 0
    at += 4 * sequenced
    for ethertype, read in ((_ERSPAN, _erspan), (_ERSPAN_3, _erspan_3)):
        rows = np.flatnonzero(kind == ethertype)
        if len(rows):
            at[rows], layer[rows] = read(buffer, at[rows], sequenced[rows])
    layer[flags & (_ROUTING | _VERSION) != 0] = NEITHER
    return at, layer, key


Mirrored = tuple[NDArray[np.int64], NDArray[np.int32]]


def _erspan(buffer: NDArray[np.uint8], at: NDArray[np.int64], sequenced: NDArray[np.bool_]) -> Mirrored:
    """Type I has no header, type II has eight bytes and a sequence number in front of them."""
    second = gather(buffer, at, 1)[:, 0] >> 4 == 1
    return at + 8 * sequenced, np.where(second | ~sequenced, FRAME, NEITHER).astype(np.int32)


def _erspan_3(buffer: NDArray[np.uint8], at: NDArray[np.int64], _: NDArray[np.bool_]) -> Mirrored:
    """Type III: twelve bytes, and eight more if the last bit says so. It carries Ethernet, or IP alone."""
    head = gather(buffer, at, 12)
    frame_type = head[:, 10] >> 2 & 0x1F
    layer = np.select([frame_type == 0, frame_type == 2], [FRAME, IP], NEITHER).astype(np.int32)
    layer[head[:, 0] >> 4 != 2] = NEITHER
    return at + 12 + 8 * (head[:, 11] & 1).astype(np.int64), layer


def _vxlan(buffer: NDArray[np.uint8], at: NDArray[np.int64]) -> Found:
    """RFC 7348, 5."""
    head = gather(buffer, at, 8)
    key = head.view(">u4")[:, 1].astype(np.int64) >> 8
    return at + 8, np.where(head[:, 0] & 0x08, FRAME, NEITHER).astype(np.int32), key


def _geneve(buffer: NDArray[np.uint8], at: NDArray[np.int64]) -> Found:
    """RFC 8926, 3.4."""
    head = gather(buffer, at, 8)
    key = head.view(">u4")[:, 1].astype(np.int64) >> 8
    kind = head.view(">u2")[:, 1].astype(np.uint16)
    layer = typed(kind)
    layer[kind == TRANSPARENT_ETHERNET] = FRAME
    layer[head[:, 0] >> 6 != 0] = NEITHER
    return at + 8 + 4 * (head[:, 0] & 0x3F).astype(np.int64), layer, key
