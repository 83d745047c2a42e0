"""Sets of IPv6 addresses as sorted ranges, and such addresses as text.

An address is a number of 128 bits, in arrays its two halves, uint64 each. A link-local address means
something only together with a link (RFC 4007): inside this package its zone, the number of the interface,
stands in the 32 bits above the interface identifier, which RFC 4291, 2.5.6 wants zero. So addresses of
several links have an order and never meet; on the wire, and in text, those bits are zero again.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from scanner.core.addresses import shown
from scanner.model import UsageError

Halves = NDArray[np.uint64]
ZoneOf = Callable[[str], int]
"""The number of an interface of that name; raises UsageError where there is none."""

ADDRESS_BITS = 128
LAST_ADDRESS = (1 << ADDRESS_BITS) - 1

_HALF = (1 << 64) - 1
_ZONE_SHIFT = 64
_ZONE_BITS = 0xFFFF_FFFF
_ZONE_MASK = _ZONE_BITS << _ZONE_SHIFT
_LINK_LOCAL_HIGH = np.uint64(0xFE80 << 48)
_LINK_LOCAL_MASK = np.uint64(0xFFC0 << 48)
_LINK_LOCAL = 0x3FA
_TEN_BITS = 118
_MAPPED = 0xFFFF << 32
_MAPPED_END = _MAPPED | 0xFFFF_FFFF
_FEW = 8
"""Ranges that are looked through one by one."""
_KEY = np.dtype("S16")
_FORMS = "write fd00::1, fd00::/120 or fd00::1-fd00::20"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Ipv6Set:
    """A set of IPv6 addresses; index `i` is its i-th address in ascending order.

    ranges: first and last address of each, ascending, disjoint and not even adjacent; `of` makes any so.
    """

    ranges: tuple[tuple[int, int], ...] = ()
    size: int = field(init=False)
    _columns: _Ranges | None = field(init=False)

    def __post_init__(self) -> None:
        """Count them up."""
        object.__setattr__(self, "size", sum(last - first + 1 for first, last in self.ranges))
        object.__setattr__(self, "_columns", None)

    @classmethod
    def of(cls, ranges: Iterable[tuple[int, int]]) -> Ipv6Set:
        """The union of `(first, last)` ranges, inclusive, in any order and overlap."""
        merged: list[tuple[int, int]] = []
        for first, last in sorted(ranges):
            if merged and first <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(merged[-1][1], last))
            else:
                merged.append((first, last))
        return cls(tuple(merged))

    @classmethod
    def from_halves(cls, high: Halves, low: Halves) -> Ipv6Set:
        """The set of some addresses, given as their halves `(N,)`."""
        numbers = {one << 64 | two for one, two in zip(high.tolist(), low.tolist(), strict=True)}
        return cls.of((number, number) for number in numbers)

    def __bool__(self) -> bool:
        return bool(self.ranges)

    def __eq__(self, other: object) -> bool:
        return self.ranges == other.ranges if isinstance(other, Ipv6Set) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.ranges)

    def __repr__(self) -> str:
        named = [f"{format_ipv6(first)}-{format_ipv6(last)}" for first, last in self.ranges[:3]]
        return f"<Ipv6Set of {self.size}: {', '.join(named)}{'…' if len(self.ranges) > 3 else ''}>"

    def __or__(self, other: Ipv6Set) -> Ipv6Set:
        if not other or not self:
            return self or other
        return self.of([*self.ranges, *other.ranges])

    def __and__(self, other: Ipv6Set) -> Ipv6Set:
        return (self._complement() | other._complement())._complement()

    def __sub__(self, other: Ipv6Set) -> Ipv6Set:
        return (self._complement() | other)._complement() if other else self

    def _complement(self) -> Ipv6Set:
        starts = [0, *(last + 1 for _, last in self.ranges)]
        ends = [*(first - 1 for first, _ in self.ranges), LAST_ADDRESS]
        gaps = ((start, end) for start, end in zip(starts, ends, strict=True) if start <= end)
        return Ipv6Set(tuple(gaps))

    def contains(self, high: Halves, low: Halves) -> NDArray[np.bool_]:
        """Which addresses are in it, given as their halves `(N,)`."""
        if len(self.ranges) > _FEW:
            return self._held(high, low)[1]
        within: NDArray[np.bool_] = np.zeros(len(high), dtype=np.bool_)
        for first, last in self.ranges:
            within |= ~_less(high, low, first) & ~_more(high, low, last)
        return within

    def at(self, index: NDArray[np.int64]) -> tuple[Halves, Halves]:
        """Halves of the addresses at these indexes `(N,)`, each in 0 .. size - 1; size below 2**63."""
        ranges = self._laid_out()
        held_by = np.searchsorted(ranges.offsets[1:-1], index, side="right")
        ahead = (index - ranges.offsets[held_by]).astype(np.uint64)
        low = ranges.low[held_by] + ahead
        return ranges.high[held_by] + (low < ahead), low

    def index_of(self, high: Halves, low: Halves) -> NDArray[np.int64]:
        """The index of each address, int64; -1 where the set does not hold it. Size below 2**63."""
        if not self.ranges:
            return np.full(len(high), -1, dtype=np.int64)
        ranges = self._laid_out()
        held_by, held = self._held(high, low)
        index = ranges.offsets[held_by] + (low - ranges.low[held_by]).astype(np.int64)
        return np.where(held, index, -1)

    def within(self, begin: int, end: int) -> list[tuple[int, int]]:
        """Ranges of the addresses with the indexes from `begin` to `end`, both included."""
        offsets = self._laid_out().offsets
        found = []
        at = int(np.searchsorted(offsets, begin, side="right")) - 1
        while at < len(self.ranges) and offsets[at] <= end:
            first, last = self.ranges[at]
            start = int(offsets[at])
            found.append((first + max(0, begin - start), min(last, first + end - start)))
            at += 1
        return found

    def _held(self, high: Halves, low: Halves) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The last range that starts at or before each address, and whether it reaches it."""
        ranges = self._laid_out()
        keys = _keys(high, low)
        held_by = np.searchsorted(ranges.firsts, keys, side="right") - 1
        held = (keys <= ranges.lasts[held_by]) & (held_by >= 0)
        return np.maximum(held_by, 0), held

    def _laid_out(self) -> _Ranges:
        if self._columns is None:
            object.__setattr__(self, "_columns", _Ranges.of(self.ranges))
        assert self._columns is not None  # noqa: S101 - for the type checker
        return self._columns


@dataclass(frozen=True, slots=True)
class _Ranges:
    """Ranges in arrays: the keys of their ends, the halves of their firsts, and how many come before each."""

    firsts: NDArray[np.bytes_]
    lasts: NDArray[np.bytes_]
    high: Halves
    low: Halves
    offsets: NDArray[np.int64]

    @staticmethod
    def of(ranges: tuple[tuple[int, int], ...]) -> _Ranges:
        high, low = halves_of([first for first, _ in ranges])
        offsets = np.zeros(len(ranges) + 1, dtype=np.int64)
        # Such a set is only asked what it contains; its addresses are too many to have an index.
        sizes = [min(last - first + 1, 1 << 40) for first, last in ranges]
        np.cumsum(np.array(sizes, dtype=np.int64), out=offsets[1:])
        return _Ranges(_keys(high, low), _keys(*halves_of([last for _, last in ranges])), high, low, offsets)


def halves_of(addresses: Iterable[int]) -> tuple[Halves, Halves]:
    """Addresses as their halves, `(N,)` uint64."""
    listed = list(addresses)
    high = np.array([address >> 64 for address in listed], dtype=np.uint64)
    return high, np.array([address & _HALF for address in listed], dtype=np.uint64)


def _keys(high: Halves, low: Halves) -> NDArray[np.bytes_]:
    """Keys that sort as addresses do."""
    rows = np.empty((len(high), 2), dtype=">u8")
    rows[:, 0], rows[:, 1] = high, low
    keys: NDArray[np.bytes_] = rows.view(_KEY)[:, 0]
    return keys


def _less(high: Halves, low: Halves, than: int) -> NDArray[np.bool_]:
    one, two = np.uint64(than >> 64), np.uint64(than & _HALF)
    less: NDArray[np.bool_] = (high < one) | ((high == one) & (low < two))
    return less


def _more(high: Halves, low: Halves, than: int) -> NDArray[np.bool_]:
    one, two = np.uint64(than >> 64), np.uint64(than & _HALF)
    more: NDArray[np.bool_] = (high > one) | ((high == one) & (low > two))
    return more


def solicited_node(low: Halves) -> tuple[np.uint64, Halves]:
    """The group that a neighbour is asked in (RFC 4291, 2.7.1): its high half, and `(N,)` low ones.

    `low`: low halves of the addresses asked for, the last 24 bits of which are the group's.
    """
    return np.uint64(0xFF02 << 48), low & np.uint64(0xFF_FFFF) | np.uint64(0x1_FF00_0000)


def is_link_local(address: int) -> bool:
    """Whether an address is of fe80::/10 (RFC 4291, 2.5.6)."""
    return address >> _TEN_BITS == _LINK_LOCAL


def in_zone(address: int, zone: int) -> int:
    """The address with its zone, if it is one that has a zone."""
    return address & ~_ZONE_MASK | zone << _ZONE_SHIFT if is_link_local(address) else address


def without_zone(address: int) -> int:
    """The address as it stands on the wire."""
    return in_zone(address, 0)


def zone_number(address: int) -> int:
    """The zone of an address, 0 for none."""
    return address >> _ZONE_SHIFT & _ZONE_BITS if is_link_local(address) else 0


def high_in_zone(high: Halves, zone: int) -> Halves:
    """High halves `(N,)`, those of link-local addresses with this zone; 0 takes it away."""
    rows = np.flatnonzero(high & _LINK_LOCAL_MASK == _LINK_LOCAL_HIGH)
    if not len(rows):
        return high
    zoned = high.copy()
    zoned[rows] = high[rows] & ~np.uint64(_ZONE_BITS) | np.uint64(zone)
    return zoned


def format_ipv6(address: int, zones: Mapping[int, str] | None = None) -> str:
    """As RFC 5952 has it; with the name of the interface behind it (RFC 4007, 11) where that is known."""
    plain = without_zone(address)
    if _MAPPED <= plain <= _MAPPED_END:
        # RFC 5952, 5; some versions of Python have it otherwise.
        return f"::ffff:{ipaddress.IPv4Address(plain & 0xFFFF_FFFF)}"
    text = str(ipaddress.IPv6Address(plain))
    name = (zones or {}).get(zone_number(address))
    return text if name is None else f"{text}%{name}"


def format_ipv6_range(first: int, last: int, zones: Mapping[int, str] | None = None) -> str:
    """A range as its address or prefix where it is one, else as first-last."""
    count = last - first + 1
    if count > 1 and (count & (count - 1) or first % count):
        return f"{format_ipv6(first, zones)}-{format_ipv6(last, zones)}"
    length = "" if count == 1 else f"/{ADDRESS_BITS + 1 - count.bit_length()}"
    return format_ipv6(first, zones) + length


def looks_like_ipv6(text: str) -> bool:
    """Whether a text was most likely meant as an IPv6 address, prefix, range or `[address]`."""
    head = text.partition("/")[0].partition("%")[0].partition("-")[0]
    return head.count(":") > 1 and not head.strip("0123456789abcdefABCDEF:.[]")


def parse_ipv6(text: str, zone_of: ZoneOf | None = None) -> int:
    """One IPv6 address. Raises UsageError that names the text."""
    first, last = parse_ipv6_range(text, zone_of)
    if first != last:
        msg = f"{shown(text)} is more than one IPv6 address; one is wanted, like fd00::1"
        raise UsageError(msg)
    return first


def parse_ipv6_range(text: str, zone_of: ZoneOf | None = None, *, host_bits: bool = True) -> tuple[int, int]:
    """First and last address that a text names: an address, a prefix, or a range.

    Args:
        text: `fd00::1`, `[fd00::1]`, `fd00::/120`, `fd00::1-fd00::20`, `fe80::1%eth0`, `fe80::%eth0/120`.
        zone_of: numbers interfaces; None where there are no zones, and a name of one is refused.
        host_bits: take `fd00::7/120` for the whole of fd00::/120 instead of refusing it.

    Raises:
        UsageError: what is wrong, with the text in it.
    """
    lower, dash, upper = text.partition("-")
    # An interface may have a dash in its name.
    if dash and not looks_like_ipv6(upper):
        lower, dash, upper = text, "", ""
    if dash:
        first, last = (_address(part, text, zone_of) for part in (lower, upper))
        if first > last or zone_number(first) != zone_number(last):
            raise _refused(text, "the range ends before it starts, or on another link")
        return first, last
    head, slash, length = lower.partition("/")
    length, percent, behind = length.partition("%")
    first = _address(f"{head}%{behind}" if percent else head, text, zone_of)
    if not slash:
        return first, first
    if not (length.isascii() and length.isdigit() and len(length) <= 3 and int(length) <= ADDRESS_BITS):
        raise _refused(text, "its prefix length must be a number from 0 to 128")
    hosts = LAST_ADDRESS >> int(length)
    if first & hosts and not host_bits:
        network = format_ipv6_range(without_zone(first & ~hosts), without_zone(first) | hosts)
        msg = f"{shown(text)} has host bits set; the network is {network}"
        raise UsageError(msg)
    if zone_of is not None and is_link_local(first) and hosts > _HALF:
        raise _refused(text, "a link-local prefix has 64 bits or more")
    return first & ~hosts, first | hosts


def _address(part: str, text: str, numbered: ZoneOf | None) -> int:
    inside = part[1:-1] if part.startswith("[") and part.endswith("]") else part
    plain, percent, name = inside.partition("%")
    try:
        address = int(ipaddress.IPv6Address(plain))
    except (ipaddress.AddressValueError, ValueError):
        msg = f"{shown(text)} is not an IPv6 address, prefix or range; {_FORMS}"
        raise UsageError(msg) from None
    if not percent:
        return address
    if numbered is None:
        msg = f"{shown(text)} has a zone; a capture does not tell of zones: leave out what is behind the %"
        raise UsageError(msg)
    if not is_link_local(address):
        raise _refused(text, "only link-local addresses (fe80::/10) are of one interface")
    if address & _ZONE_MASK:
        raise _refused(text, "a link-local address has zeros in its bits 33 to 64")
    return in_zone(address, numbered(name))


def _refused(text: str, fault: str) -> UsageError:
    return UsageError(f"{shown(text)} is not a target: {fault}; {_FORMS}")
