"""Sets of IPv4 addresses as sorted ranges in arrays, and addresses as text.

The law: an `AddressSet` is canonical, however it was made (ranges sorted, disjoint and not
even adjacent), so equal sets hold equal arrays; and nothing here costs time per address it
holds, only per range and per address asked about. This file does not know what may be
probed (`scanner.core.scope`) nor the forms a target may be written in
(`scanner.core.targets`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from scanner.model import UsageError

ADDRESS_COUNT = 1 << 32
"""How many IPv4 addresses there are."""

_MOST_SHOWN = 60
_OCTET_TEXTS = tuple(map(str, range(256)))
_OCTET = r"(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_DOTTED_QUAD = re.compile(rf"{_OCTET}\.{_OCTET}\.{_OCTET}\.{_OCTET}")
_FOUR_NUMBERS = re.compile(r"[0-9]+(\.[0-9]+){3}")
_PREFIX_LENGTH = re.compile(r"0|[1-9][0-9]?")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class AddressSet:
    """A set of IPv4 addresses; index `i` is its i-th address in ascending order.

    starts: `(R,)` uint32, first address of each range, host byte order, read-only.
    ends: `(R,)` uint32, last address of each range (inclusive), read-only.

    The constructor takes canonical ranges only (UsageError otherwise); `of`, `from_ranges`,
    `from_addresses` and `from_cidrs` take any and make them so.
    """

    starts: NDArray[np.uint32]
    ends: NDArray[np.uint32]
    _offsets: NDArray[np.int64] = field(init=False)
    """`(R + 1,)` index of each range's first address, and the size at the end."""
    _bases: NDArray[np.int64] = field(init=False)
    """`(R,)` address minus index, the same all through a range."""

    def __post_init__(self) -> None:
        """Copy the ranges, check them and count them up."""
        starts = np.array(self.starts, dtype=np.uint32)
        ends = np.array(self.ends, dtype=np.uint32)
        if starts.ndim != 1 or starts.shape != ends.shape:
            raise UsageError("the ranges of an AddressSet are two arrays (R,) of one length")
        first, last = starts.astype(np.int64), ends.astype(np.int64)
        if np.any(first > last) or np.any(first[1:] <= last[:-1] + 1):
            raise UsageError(
                "the ranges of an AddressSet must be sorted and apart; AddressSet.of() merges any"
            )
        offsets = np.zeros(len(first) + 1, dtype=np.int64)
        np.cumsum(last - first + 1, out=offsets[1:])
        bases = first - offsets[:-1]
        for name, array in (("starts", starts), ("ends", ends), ("_offsets", offsets), ("_bases", bases)):
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    @classmethod
    def empty(cls) -> AddressSet:
        """The set without an address."""
        return cls(np.zeros(0, dtype=np.uint32), np.zeros(0, dtype=np.uint32))

    @classmethod
    def of(cls, pairs: Iterable[tuple[int, int]]) -> AddressSet:
        """The union of `(first, last)` ranges, inclusive, in any order and overlap.

        Raises UsageError for a reversed range or an address outside 0 .. 2**32 - 1.
        """
        try:
            bounds = np.array(list(pairs), dtype=np.int64).reshape(-1, 2)
        except OverflowError:
            raise UsageError("a range reaches outside 0.0.0.0-255.255.255.255") from None
        return cls.from_ranges(bounds[:, 0], bounds[:, 1])

    @classmethod
    def from_ranges(cls, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> AddressSet:
        """The union of ranges given as two arrays `(N,)` int64, inclusive, in any order and overlap.

        Raises UsageError for a reversed range or an address outside 0 .. 2**32 - 1.
        """
        starts, ends = np.asarray(starts, dtype=np.int64), np.asarray(ends, dtype=np.int64)
        if len(starts) and (starts.min() < 0 or ends.max() >= ADDRESS_COUNT):
            raise UsageError("a range reaches outside 0.0.0.0-255.255.255.255")
        if np.any(starts > ends):
            raise UsageError("a range ends before it starts; write the lower address first")
        return cls._merged(starts, ends)

    @classmethod
    def from_addresses(cls, addresses: NDArray[np.uint32]) -> AddressSet:
        """The set of the addresses `(N,)` uint32, in any order, doubled or not."""
        single = np.asarray(addresses, dtype=np.uint32).astype(np.int64)
        return cls._merged(single, single)

    @classmethod
    def from_cidrs(cls, cidrs: Iterable[str]) -> AddressSet:
        """The union of CIDRs as `parse_cidr` takes them: host bits are refused.

        Raises UsageError that names the first text which is not one.
        """
        return cls.of([parse_cidr(text) for text in cidrs])

    @classmethod
    def _merged(cls, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> AddressSet:
        """Sort ranges that lie within bounds and merge those that overlap or touch."""
        if not len(starts):
            return cls.empty()
        order = np.argsort(starts)
        starts, reach = starts[order], np.maximum.accumulate(ends[order])
        # A range opens where a start lies beyond everything before it by more than one.
        opens = np.flatnonzero(starts[1:] > reach[:-1] + 1) + 1
        firsts = starts[np.concatenate(([0], opens))]
        lasts = reach[np.concatenate((opens - 1, [len(reach) - 1]))]
        return cls(firsts.astype(np.uint32), lasts.astype(np.uint32))

    @property
    def size(self) -> int:
        """How many addresses are in the set."""
        return int(self._offsets[-1])

    def __len__(self) -> int:
        return self.size

    def __bool__(self) -> bool:
        return self.size > 0

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AddressSet):
            return NotImplemented
        return np.array_equal(self.starts, other.starts) and np.array_equal(self.ends, other.ends)

    def __hash__(self) -> int:
        return hash((self.starts.tobytes(), self.ends.tobytes()))

    def __repr__(self) -> str:
        shown = [f"{format_address(first)}-{format_address(last)}" for first, last in self._first_ranges(3)]
        more = ["…"] if len(self.starts) > len(shown) else []
        return f"<AddressSet of {self.size}: {', '.join(shown + more)}>"

    def at(self, index: NDArray[np.int64]) -> NDArray[np.uint32]:
        """The addresses at these indexes.

        Args:
            index: any shape, int64, each in 0 .. size - 1.

        Returns:
            the same shape, uint32.

        Raises:
            IndexError: an index is outside the set.
        """
        index = np.asarray(index, dtype=np.int64)
        if index.size and (index.min() < 0 or index.max() >= self.size):
            raise IndexError(f"index outside 0 .. {self.size - 1} of an AddressSet")
        return self._at_trusted(index)

    def _at_trusted(self, index: NDArray[np.int64]) -> NDArray[np.uint32]:
        if len(self._bases) <= 1:
            base = self._bases[0] if len(self._bases) else np.int64(0)
            return (index + base).astype(np.uint32)
        held_by = np.searchsorted(self._offsets[1:-1], index, side="right")
        return (index + self._bases[held_by]).astype(np.uint32)

    def index_of(self, addresses: NDArray[np.uint32]) -> NDArray[np.int64]:
        """The index of each address `(N,)` uint32, int64; -1 where the set does not hold it."""
        addresses = np.asarray(addresses)
        if not len(self.starts):
            return np.full(addresses.shape, -1, dtype=np.int64)
        held_by, held = self._locate(addresses)
        return np.where(held, addresses - self._bases[held_by], -1)

    def contains(self, addresses: NDArray[np.uint32]) -> NDArray[np.bool_]:
        """Which of the addresses `(N,)` uint32 the set holds, as `(N,)` bool."""
        addresses = np.asarray(addresses)
        if not len(self.starts):
            return np.zeros(addresses.shape, dtype=np.bool_)
        return self._locate(addresses)[1]

    def _locate(self, addresses: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The last range that starts at or before each address, and whether it reaches it."""
        if len(addresses):
            # Mostly one range has them all.
            lowest, highest = addresses.min(), addresses.max()
            only = int(np.searchsorted(self.starts, lowest, side="right")) - 1
            if only >= 0 and highest <= self.ends[only]:
                return np.full(len(addresses), only), np.ones(len(addresses), dtype=np.bool_)
        held_by = np.searchsorted(self.starts, addresses, side="right") - 1
        # Before the first range held_by is -1, which as an index means the last one: hence both tests.
        held = (addresses <= self.ends[held_by]) & (held_by >= 0)
        return held_by, held

    def below(self, address: int) -> int:
        """How many addresses of the set are lower than this one (0 .. 2**32): the index it would have."""
        ranges = int(np.searchsorted(self.starts, address, side="left"))
        if not ranges:
            return 0
        last = ranges - 1
        within = min(address, int(self.ends[last]) + 1) - int(self.starts[last])
        return int(self._offsets[last]) + within

    def chunk(self, first: int, count: int) -> NDArray[np.uint32]:
        """Up to `count` addresses in ascending order from index `first` on, as `(M,)` uint32.

        As with a slice, what lies beyond the end is left out. Raises IndexError for a negative argument.
        """
        if first < 0 or count < 0:
            raise IndexError("a chunk of an AddressSet starts at an index ≥ 0 and counts ≥ 0")
        return self._at_trusted(np.arange(first, min(first + count, self.size), dtype=np.int64))

    def __or__(self, other: AddressSet) -> AddressSet:
        if not isinstance(other, AddressSet):
            return NotImplemented
        starts = np.concatenate((self.starts, other.starts)).astype(np.int64)
        ends = np.concatenate((self.ends, other.ends)).astype(np.int64)
        return self._merged(starts, ends)

    def __and__(self, other: AddressSet) -> AddressSet:
        if not isinstance(other, AddressSet):
            return NotImplemented
        return (self._complement() | other._complement())._complement()

    def __sub__(self, other: AddressSet) -> AddressSet:
        if not isinstance(other, AddressSet):
            return NotImplemented
        return (self._complement() | other)._complement()

    def _complement(self) -> AddressSet:
        """All IPv4 addresses that are not in the set: the gaps between its ranges."""
        starts = np.concatenate(([0], self.ends.astype(np.int64) + 1))
        ends = np.concatenate((self.starts.astype(np.int64) - 1, [ADDRESS_COUNT - 1]))
        gaps = starts <= ends
        return AddressSet(starts[gaps].astype(np.uint32), ends[gaps].astype(np.uint32))

    def ranges(self) -> list[tuple[int, int]]:
        """The ranges as `(first, last)`, inclusive, ascending."""
        return list(zip(self.starts.tolist(), self.ends.tolist(), strict=True))

    def _first_ranges(self, count: int) -> list[tuple[int, int]]:
        return list(zip(self.starts[:count].tolist(), self.ends[:count].tolist(), strict=True))

    def cidrs(self) -> list[str]:
        """The fewest CIDRs that make up the set, ascending; a single address as `/32`."""
        import netaddr  # noqa: PLC0415 - a fiftieth of a second, for those who need it

        return [
            str(network)
            for first, last in self.ranges()
            for network in netaddr.iprange_to_cidrs(netaddr.IPAddress(first, 4), netaddr.IPAddress(last, 4))
        ]


def format_address(address: int) -> str:
    """Dotted-quad text of an address; UsageError outside 0 .. 2**32 - 1."""
    if not 0 <= address < ADDRESS_COUNT:
        raise UsageError(f"{address} is not an IPv4 address: it must lie in 0 .. 2**32 - 1")
    return f"{address >> 24}.{address >> 16 & 255}.{address >> 8 & 255}.{address & 255}"


def format_range(first: int, last: int) -> str:
    """A range as its address or CIDR where it is one, else as first-last."""
    if first == last:
        return format_address(first)
    count = last - first + 1
    if count & (count - 1) == 0 and first % count == 0:
        return f"{format_address(first)}/{33 - count.bit_length()}"
    return f"{format_address(first)}-{format_address(last)}"


def format_addresses(addresses: NDArray[np.uint32]) -> list[str]:
    """Dotted-quad texts of addresses `(N,)` uint32, in their order."""
    octets = np.asarray(addresses, dtype=np.uint32).astype(">u4").tobytes()
    # Indexing a table beats formatting four numbers by two to one.
    text = _OCTET_TEXTS
    return [
        f"{text[a]}.{text[b]}.{text[c]}.{text[d]}"
        for a, b, c, d in zip(octets[0::4], octets[1::4], octets[2::4], octets[3::4], strict=True)
    ]


def parse_address(text: str) -> int:
    """The address that a dotted quad names: four decimal octets, no leading zeros, no short forms.

    inet_aton(3) would read `010.0.0.1` as 8.0.0.1 and `10` as 0.0.0.10; here they are
    refused, as in RFC 6943 section 3.1.1. Raises UsageError that names the text.
    """
    address = match_address(text)
    if address is None:
        raise UsageError(
            f"{shown(text)} is not an IPv4 address: {address_fault(text)}; write it like 10.0.0.1"
        )
    return address


def match_address(text: str) -> int | None:
    """As `parse_address`, with None for what is not an address."""
    match = _DOTTED_QUAD.fullmatch(text)
    if match is None:
        return None
    a, b, c, d = match.groups()
    return int(a) << 24 | int(b) << 16 | int(c) << 8 | int(d)


def parse_cidr(text: str, *, host_bits: bool = False) -> tuple[int, int]:
    """First and last address of a CIDR (RFC 4632 section 3.1), or of a single address.

    Args:
        text: `10.0.0.0/8` or `10.0.0.1`.
        host_bits: take `10.0.0.7/24` for the whole of 10.0.0.0/24 instead of refusing it.

    Raises:
        UsageError: what is wrong, with the text in it.
    """
    base, slash, length = text.partition("/")
    if match_address(base) is None:
        raise UsageError(f"{shown(text)} is not a CIDR: {address_fault(base)}; write it like 10.0.0.0/24")
    if slash and (not _PREFIX_LENGTH.fullmatch(length) or int(length) > 32):
        raise UsageError(
            f"{shown(text)} is not a CIDR: its prefix length must be a number from 0 to 32, as in 10.0.0.0/24"
        )
    import netaddr  # noqa: PLC0415

    network = netaddr.IPNetwork(text, version=4)
    if network.value != network.first and not host_bits:
        raise UsageError(f"{shown(text)} has host bits set; the network is {network.cidr}")
    return int(network.first), int(network.last)


def address_fault(text: str) -> str:
    """Why a text is not a dotted quad, to put into an error."""
    if not _FOUR_NUMBERS.fullmatch(text):
        return "it must be four decimal octets"
    if any(len(octet) > 1 and octet[0] == "0" for octet in text.split(".")):
        return "octets must not have leading zeros"
    return "octets go up to 255"


def shown(text: str) -> str:
    """A text from outside, quoted, on one line and cut short, to put into an error."""
    return repr(text) if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]!r}…"
