"""The internet layer: IPv4 and IPv6 headers, extension headers, fragments (RFC 791, RFC 8200).

Packets are read where they lie; what they claim of their length is held against what was captured. Addresses
are made into numbers only for the few packets that matter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanner.core import headers
from scanner.core.book import AddressBook
from scanner.core.columns import columns, gather
from scanner.core.ipv6 import high_in_zone
from scanner.core.packets import ICMP, ICMPV6

HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, NO_NEXT, OPTIONS = 0, 43, 44, 51, 59, 60

EXTENSIONS = (HOP_BY_HOP, ROUTING, OPTIONS, 135, 139, 140, AUTHENTICATION, FRAGMENT)
"""Extension headers; all but the last two are of RFC 8200's and RFC 6564's form. Mobility, HIP and shim6 are
among them."""

_AUTHENTICATION_BYTES = 12
"""At least."""

_MOST_EXTENSIONS = 16
_MORE, _OFFSET = 0x2000, 0x1FFF


@dataclass(frozen=True, slots=True)
class Pieces:
    """Which packets are fragments.

    row: int64. offset: int64, in bytes. more: bool. identification: uint32.
    """

    row: NDArray[np.int64]
    offset: NDArray[np.int64]
    more: NDArray[np.bool_]
    identification: NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Packets:
    """IP packets of one version, one element each.

    version: 4 or 6. at: int64, where they begin. whole: bool, the header was captured. sound: bool, and holds
    together. transport: int64, where what they carry begins. size: int64, bytes of it that the header claims,
    captured: int64, those that are there (perhaps less than none). protocol: uint8.
    """

    version: int
    at: NDArray[np.int64]
    header: NDArray[np.void]
    whole: NDArray[np.bool_]
    sound: NDArray[np.bool_]
    transport: NDArray[np.int64]
    size: NDArray[np.int64]
    captured: NDArray[np.int64]
    protocol: NDArray[np.uint8]
    pieces: Pieces

    def ends(
        self, rows: NDArray[np.int64] | slice, book: AddressBook | None, zone: int = 0
    ) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """The numbers of source and destination of some of them, seen on the link of that zone."""
        ends = self.header["ends"][rows]
        if self.version == 4:
            numbers = ends.astype(np.uint32)
            if book is not None:
                numbers = book.ipv4(numbers.reshape(-1)).reshape(-1, 2)
        else:
            halves = ends.astype(np.uint64).reshape(-1, 2)
            book = AddressBook() if book is None else book
            high = high_in_zone(halves[:, 0], zone) if zone else halves[:, 0]
            numbers = book.ipv6(high, halves[:, 1]).reshape(-1, 2)
        return np.ascontiguousarray(numbers[:, 0]), np.ascontiguousarray(numbers[:, 1])

    def ttl(self, rows: NDArray[np.int64] | slice) -> NDArray[np.uint8]:
        """Time to live, or hop limit, of some of them."""
        ttl: NDArray[np.uint8] = self.header["ttl" if self.version == 4 else "hops"][rows]
        return ttl

    def identification(self, rows: NDArray[np.int64] | slice) -> NDArray[np.uint32]:
        """That of whole IPv4 datagrams; others have none."""
        if self.version == 4:
            return self.header["identification"][rows].astype(np.uint32)
        return np.zeros(len(self.at[rows]), dtype=np.uint32)

    def words(self, end: int) -> NDArray[np.uint64]:
        """One word for each source (0) or destination (1); that of an IPv4 address is itself."""
        ends = self.header["ends"][:, end].astype(np.uint64)
        return ends if self.version == 4 else ipv6_word(ends[:, 0], ends[:, 1])


def ipv6_word(high: NDArray[np.uint64], low: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """One word for an IPv6 address, as `Packets.words` has it."""
    word: NDArray[np.uint64] = high * np.uint64(0x9E37_79B9_7F4A_7C15) + low
    return word


def packets(
    buffer: NDArray[np.uint8], at: NDArray[np.int64], end: NDArray[np.int64], version: int, *, quoted: bool
) -> Packets:
    """Read the headers of IP packets.

    Args:
        buffer: where they are.
        at: `(N,)` int64, where each begins.
        end: `(N,)` int64, where what was captured of it ends.
        version: 4 or 6; packets of another are not sound.
        quoted: they stand in an ICMP error. What is left of them is not what their length says, and a stack
            may have spoilt that.

    Where a routing header is to send a packet elsewhere, its destination is the one that it was seen with.
    """
    return (_ipv4 if version == 4 else _ipv6)(buffer, at, end, quoted=quoted)


def _ipv4(
    buffer: NDArray[np.uint8], at: NDArray[np.int64], end: NDArray[np.int64], *, quoted: bool
) -> Packets:
    header = columns(gather(buffer, at, headers.IPV4_BYTES), headers.IPV4)
    room = end - at
    version_ihl = header["version_ihl"]
    size = (version_ihl & 0x0F).astype(np.int64) << 2
    sound = (version_ihl >= 0x45) & (version_ihl <= 0x4F)
    total = header["length"].astype(np.int64)
    if quoted:
        total = room
    elif not total.all():
        # A segment yet to be cut up by the network card (TSO) is captured without its length.
        total = np.where(total == 0, room, total)
    sound &= total >= size
    fragment = header["fragment"] & np.uint16(_MORE | _OFFSET)
    rows = np.flatnonzero(fragment)
    pieces = Pieces(
        rows,
        (fragment[rows] & _OFFSET).astype(np.int64) * 8,
        (fragment[rows] & _MORE) != 0,
        header["identification"][rows].astype(np.uint32),
    )
    protocol = header["protocol"]
    rows = np.flatnonzero((protocol == AUTHENTICATION) & (room >= headers.IPV4_BYTES) & (fragment == 0))
    if len(rows):
        # RFC 4302, 2: in the clear, what it vouches for follows.
        protocol = protocol.copy()
        _step_over(buffer, at, rows, (size, protocol, np.minimum(total, room)))
    return Packets(
        4, at, header, room >= headers.IPV4_BYTES, sound, at + size, total - size,
        np.minimum(total, room) - size, protocol, pieces,
    )  # fmt: skip


def _step_over(
    buffer: NDArray[np.uint8],
    at: NDArray[np.int64],
    rows: NDArray[np.int64],
    packets: tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64]],
) -> None:
    """Count authentication headers to the headers of packets that have them whole.

    packets: of each the bytes of its headers, what follows, and the bytes that are there.
    """
    size, protocol, there = packets
    rows = rows[there[rows] - size[rows] >= _AUTHENTICATION_BYTES]
    head = gather(buffer, at[rows] + size[rows], 2)
    protocol[rows] = head[:, 0]
    size[rows] += (head[:, 1].astype(np.int64) + 2) * 4


def _ipv6(
    buffer: NDArray[np.uint8], at: NDArray[np.int64], end: NDArray[np.int64], *, quoted: bool
) -> Packets:
    header = columns(gather(buffer, at, headers.IPV6_BYTES), headers.IPV6)
    room = end - at
    sound = header["version"] >> 4 == 6
    payload = header["length"].astype(np.int64)
    protocol = header["next"].copy()
    # No transport fits into none: a jumbogram (RFC 2675), or a segment yet to be cut up.
    unsaid = (payload == 0) & (protocol != NO_NEXT)
    total = np.where(unsaid, room, payload + headers.IPV6_BYTES)
    if quoted:
        total = room
    transport = at + headers.IPV6_BYTES
    last = at + np.minimum(total, room)
    piece: list[Pieces] = []
    whole = room >= headers.IPV6_BYTES
    extends = np.zeros(256, dtype=np.bool_)
    extends[[*EXTENSIONS]] = True
    rows = np.flatnonzero(whole & sound & extends[protocol])
    for _ in range(_MOST_EXTENSIONS):
        cut_off = transport[rows] + 8 > last[rows]
        whole[rows[cut_off]] = False
        rows = rows[~cut_off]
        if not len(rows):
            break
        head = gather(buffer, transport[rows], 8)
        kind = protocol[rows]
        length = np.where(
            kind == AUTHENTICATION,
            (head[:, 1].astype(np.int64) + 2) * 4,
            (head[:, 1].astype(np.int64) + 1) * 8,
        )
        length[kind == FRAGMENT] = 8
        place = head[:, 2:4].copy().view(">u2")[:, 0]
        # One that is all there is, is no fragment (RFC 6946).
        cut = (kind == FRAGMENT) & (place & 0xFFF9 != 0)
        transport[rows] += length
        protocol[rows] = head[:, 0]
        piece.append(
            Pieces(
                rows[cut],
                (place[cut] & 0xFFF8).astype(np.int64),
                place[cut] & 1 == 1,
                head[cut, 4:8].copy().view(">u4").reshape(-1).astype(np.uint32),
            )
        )
        rows = rows[~cut]
        rows = rows[extends[protocol[rows]]]
    sound[rows] = False
    return Packets(
        6, at, header, whole, sound, transport, at + total - transport, last - transport,
        protocol, _together(piece),
    )  # fmt: skip


def _together(pieces: list[Pieces]) -> Pieces:
    nothing = np.empty(0, dtype=np.int64)
    pieces = [Pieces(nothing, nothing, nothing.astype(np.bool_), nothing.astype(np.uint32)), *pieces]
    row = np.concatenate([piece.row for piece in pieces])
    order = np.argsort(row)
    return Pieces(
        row[order],
        np.concatenate([piece.offset for piece in pieces])[order],
        np.concatenate([piece.more for piece in pieces])[order],
        np.concatenate([piece.identification for piece in pieces])[order],
    )


ICMP_OF = {4: ICMP, 6: ICMPV6}
"""The ICMP of each version."""
