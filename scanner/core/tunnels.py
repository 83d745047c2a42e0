"""Tunnels: packets in packets.

A tunnel gets a number, the same for both ways through it: by the two addresses of its ends, its kind, its
key, and the tunnel that it is itself in. Some are one network, whichever hosts carry it: VXLAN and Geneve,
6to4 and Teredo, and GTP, of which each way has a key of its own. What a switch mirrors by ERSPAN, or a router
hands to a cache by WCCP, is in no tunnel but the one that it was in before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanner.core.columns import Columns, gather
from scanner.core.headers import UDP_BYTES
from scanner.core.interning import Interning
from scanner.core.linkfields import (
    FRAME,
    IP,
    IPV4,
    IPV6,
    MPLS,
    NEITHER,
    PPP_HDLC,
    TRANSPARENT_ETHERNET,
    number,
    peek,
    translated,
    typed,
    versions,
)
from scanner.core.linkheaders import unwrapped
from scanner.core.packets import NO_TUNNEL, UDP

IPV4_IN_IP = 4
IPV6_IN_IP = 41
GRE = 47
ETHERIP = 97
MPLS_IN_IP = 137

DIRECT = (IPV4_IN_IP, IPV6_IN_IP, GRE, ETHERIP, MPLS_IN_IP)
"""IP protocols that are tunnels."""

DEEPEST = 4
"""Tunnels within tunnels that are looked into."""

MOST_TUNNELS = 1 << 20

_ERSPAN, _ERSPAN_3 = 0x88BE, 0x22EB
_PPP, _WCCP = 0x880B, 0x883E
_CHECKSUM, _ROUTING, _KEY, _SEQUENCE, _ACKNOWLEDGED, _VERSION = 0x8000, 0x4000, 0x2000, 0x1000, 0x0080, 0x0007

_MOST_EXTENSIONS = 8
_TRANSPARENT = -1
"""In place of a key: in no tunnel of its own."""

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


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Outer(Columns):
    """Packets that may be tunnels.

    row: int64. protocol: uint8. payload: int64, where what they carry begins; behind the UDP header, too.
    end: int64. port: uint16, that of UDP which tells what it carries. source, destination: uint64, one word
    for each address. tunnel: uint64, which they are in themselves.
    """

    row: NDArray[np.int64]
    protocol: NDArray[np.uint8]
    payload: NDArray[np.int64]
    end: NDArray[np.int64]
    port: NDArray[np.uint16]
    source: Words
    destination: Words
    tunnel: Words


@dataclass(frozen=True, slots=True, eq=False, repr=False)
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
"""Where what is carried begins, its layer, and the tunnel's key or _TRANSPARENT."""

Reader = Callable[[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]], Found]
"""Given a buffer, and where what the tunnel's packets carry begins and ends."""


def inner(buffer: NDArray[np.uint8], outer: Outer) -> Inner:
    """What tunnels carry, as far as it is IP."""
    count = len(outer)
    at, key = outer.payload.copy(), np.zeros(count, dtype=np.int64)
    layer = np.full(count, NEITHER, dtype=np.int32)
    layer[outer.protocol == IPV4_IN_IP] = IPV4
    layer[outer.protocol == IPV6_IN_IP] = IPV6
    layer[outer.protocol == MPLS_IN_IP] = MPLS
    is_udp = outer.protocol == UDP
    kind = outer.protocol.astype(np.int64)
    one_network = _of_6to4(buffer, outer)
    readers: list[tuple[NDArray[np.bool_], Reader]] = [
        (outer.protocol == GRE, _gre),
        (outer.protocol == ETHERIP, _etherip),
    ]
    for number_of, carrier in enumerate(CARRIERS):
        mine = is_udp & np.isin(outer.port, carrier.ports)
        kind[mine] = number_of << 8 | UDP
        one_network |= mine & carrier.one_network
        readers.append((mine, carrier.read))
    for mine, read in readers:
        rows = np.flatnonzero(mine)
        if len(rows):
            at[rows], layer[rows], key[rows] = read(buffer, outer.payload[rows], outer.end[rows])
    at, ethertype = unwrapped(buffer, at, outer.end, layer)
    # Sums, since both ways through a tunnel are one.
    ends = np.where(one_network, 0, _mixed(outer.source) + _mixed(outer.destination)).astype(np.uint64)
    facts = (key << 16 | kind).astype(np.uint64)
    tunnel = np.maximum(_mixed(_mixed(_mixed(outer.tunnel) ^ ends) ^ facts), np.uint64(1))
    tunnel = np.where(key == _TRANSPARENT, outer.tunnel, tunnel)
    ethertype[((ethertype != IPV4) & (ethertype != IPV6)) | (at >= outer.end)] = NEITHER
    return Inner(row=outer.row, at=at, end=outer.end, kind=ethertype, tunnel=tunnel)


def _mixed(words: Words) -> Words:
    """Spread each word's bits (splitmix64)."""
    words = words + np.uint64(0x9E37_79B9_7F4A_7C15)
    words = (words ^ words >> np.uint64(30)) * np.uint64(0xBF58_476D_1CE4_E5B9)
    words = (words ^ words >> np.uint64(27)) * np.uint64(0x94D0_49BB_1331_11EB)
    return words ^ words >> np.uint64(31)


# --- headers ------------------------------------------------------------------------------------
# What is read beyond a packet's end does no harm: then what would be in the tunnel begins there, too.


def _of_6to4(buffer: NDArray[np.uint8], outer: Outer) -> NDArray[np.bool_]:
    """RFC 3056: packets to and from 2002::/16, which any relay may carry."""
    found: NDArray[np.bool_] = outer.protocol == IPV6_IN_IP
    rows = np.flatnonzero(found)
    if len(rows):
        at, end = outer.payload[rows], outer.end[rows]
        either = [number(buffer, at + place, end) == 0x2002 for place in (8, 24)]
        found[rows] = either[0] | either[1]
    return found


def _etherip(buffer: NDArray[np.uint8], at: NDArray[np.int64], _ends: NDArray[np.int64]) -> Found:
    """RFC 3378, 3: a version, and a frame."""
    sound = gather(buffer, at, 1)[:, 0] >> 4 == 3
    return at + 2, np.where(sound, FRAME, NEITHER).astype(np.int32), np.zeros(len(at), dtype=np.int64)


def _gre(buffer: NDArray[np.uint8], at: NDArray[np.int64], ends: NDArray[np.int64]) -> Found:
    """RFC 2784 and 2890; PPTP's is RFC 2637, 4.1; the mirror ports' ERSPAN is draft-foschiano-erspan."""
    head = gather(buffer, at, 4).view(">u2").astype(np.uint16)
    flags, kind = head[:, 0], head[:, 1]
    layer = typed(kind)
    layer[kind == TRANSPARENT_ETHERNET] = FRAME
    layer[kind == _PPP] = PPP_HDLC
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
            key[rows] = _TRANSPARENT
    redirected = np.flatnonzero(kind == _WCCP)
    if len(redirected):
        at[redirected], layer[redirected] = _wccp(buffer, at[redirected], ends[redirected])
        key[redirected] = _TRANSPARENT
    # Of PPTP each way has a key of its own, and the length is in there too.
    pptp = (kind == _PPP) & (flags & _VERSION == 1)
    key[pptp] = 0
    at[pptp] += 4 * ((flags[pptp] & _ACKNOWLEDGED) != 0)
    layer[(flags & _ROUTING != 0) | ((flags & _VERSION != 0) & ~pptp)] = NEITHER
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


def _wccp(buffer: NDArray[np.uint8], at: NDArray[np.int64], ends: NDArray[np.int64]) -> Mirrored:
    """draft-wilson-wrec-wccp-v2, 4.12: version 2 has four bytes in front of the packet."""
    at = at + np.where(versions(buffer, at, ends) == NEITHER, 4, 0)
    return at, versions(buffer, at, ends)


def _vxlan(buffer: NDArray[np.uint8], at: NDArray[np.int64], _ends: NDArray[np.int64]) -> Found:
    """RFC 7348, 5."""
    head = gather(buffer, at, 8)
    key = head.view(">u4")[:, 1].astype(np.int64) >> 8
    return at + 8, np.where(head[:, 0] & 0x08, FRAME, NEITHER).astype(np.int32), key


def _vxlan_gpe(buffer: NDArray[np.uint8], at: NDArray[np.int64], _ends: NDArray[np.int64]) -> Found:
    """draft-ietf-nvo3-vxlan-gpe, 3: the last byte of the first four says what follows."""
    head = gather(buffer, at, 8)
    key = head.view(">u4")[:, 1].astype(np.int64) >> 8
    layer = translated(head[:, 3], {1: IPV4, 2: IPV6, 3: FRAME, 5: MPLS})
    layer[head[:, 0] & 0x3C != 0x0C] = NEITHER
    return at + 8, layer, key


def _geneve(buffer: NDArray[np.uint8], at: NDArray[np.int64], _ends: NDArray[np.int64]) -> Found:
    """RFC 8926, 3.4."""
    head = gather(buffer, at, 8)
    key = head.view(">u4")[:, 1].astype(np.int64) >> 8
    kind = head.view(">u2")[:, 1].astype(np.uint16)
    layer = typed(kind)
    layer[kind == TRANSPARENT_ETHERNET] = FRAME
    layer[head[:, 0] >> 6 != 0] = NEITHER
    return at + 8 + 4 * (head[:, 0] & 0x3F).astype(np.int64), layer, key


def _gtp(buffer: NDArray[np.uint8], at: NDArray[np.int64], ends: NDArray[np.int64]) -> Found:
    """3GPP TS 29.281, 5.1: version 1, a user's packet (255); four more bytes if any of three bits is set.

    Of extension headers each tells its length in units of four bytes, and ends with the type of the next.
    """
    head = peek(buffer, at, ends, 12)
    flags = head[:, 0]
    sound = (flags & 0xF0 == 0x30) & (head[:, 1] == 0xFF)
    # Of the datagram less may have been captured than its own header, in front of this, tells.
    sound &= head.view(">u2")[:, 1] + np.int64(8) <= number(buffer, at - 4, ends) - UDP_BYTES
    after = at + np.where(flags & 0x07, 12, 8)
    rows = np.flatnonzero(sound & (flags & 0x04 != 0) & (head[:, 11] != 0))
    for _ in range(_MOST_EXTENSIONS):
        if not len(rows):
            break
        size = 4 * number(buffer, after[rows], ends[rows], "u1")
        after[rows] += size
        more = number(buffer, after[rows] - 1, ends[rows], "u1") != 0
        sound[rows[size == 0]] = False
        rows = rows[more & (size > 0)]
    sound[rows] = False
    layer = np.where(sound, versions(buffer, after, ends), NEITHER)
    return after, layer.astype(np.int32), np.zeros(len(at), dtype=np.int64)


def _teredo(buffer: NDArray[np.uint8], at: NDArray[np.int64], ends: NDArray[np.int64]) -> Found:
    """RFC 4380, 5.1.1: IPv6, perhaps behind an authentication and an origin indication."""
    head = peek(buffer, at, ends, 4)
    lengths = head[:, 2].astype(np.int64) + head[:, 3]
    at = at + np.where(head.view(">u2")[:, 0] == 1, 13 + lengths, 0)
    at = at + np.where((ends > at) & (number(buffer, at, ends) == 0), 8, 0)
    # Anybody may use the port: the length must be that of the datagram.
    sound = (versions(buffer, at, ends) == IPV6) & (number(buffer, at + 4, ends) + 40 >= ends - at)
    return at, np.where(sound, IPV6, NEITHER).astype(np.int32), np.zeros(len(at), dtype=np.int64)


def _l2tp(buffer: NDArray[np.uint8], at: NDArray[np.int64], ends: NDArray[np.int64]) -> Found:
    """RFC 2661, 3.1: bits say what is there of length, numbers and offset; PPP follows."""
    flags = number(buffer, at, ends)
    after = at + 6 + np.where(flags & 0x4000, 2, 0) + np.where(flags & 0x0800, 4, 0)
    offset = number(buffer, after, ends)
    after = after + np.where(flags & 0x0200, 2 + offset, 0)
    # The identifiers are those that the receiver gave: each way has its own.
    layer = np.where(flags & 0x800F == 2, PPP_HDLC, NEITHER).astype(np.int32)
    return after, layer, np.zeros(len(at), dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Carrier:
    """What carries packets over UDP, to some ports or, if `either`, from them.

    one_network: whichever hosts carry it.
    """

    ports: tuple[int, ...]
    read: Reader
    one_network: bool = True
    either: bool = False


CARRIERS = (
    Carrier((4789, 8472), _vxlan),
    Carrier((6081,), _geneve),
    Carrier((4790,), _vxlan_gpe),
    Carrier((2152,), _gtp),
    Carrier((3544,), _teredo, either=True),
    Carrier((1701,), _l2tp, one_network=False, either=True),
)
"""By the ports that IANA has given them; 8472 is Linux's own for VXLAN."""
