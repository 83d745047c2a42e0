"""The address book: a 32-bit number for every address, whatever its version.

IPv4 addresses below 240.0.0.0 are their own numbers. The others have the numbers above: first a set of IPv6
addresses that the book was made with, the targets of a sweep, in their order; then, in the order in which
they are met, other IPv6 addresses and the few of IPv4's class E.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from scanner.core.addresses import AddressSet, format_addresses, format_range
from scanner.core.hosts import Hosts
from scanner.core.interning import Interning
from scanner.core.ipv6 import Halves, Ipv6Set, format_ipv6, format_ipv6_range, halves_of
from scanner.model import UsageError

FIRST_ENTRY = 0xF000_0000
"""The first number that is given away; below, numbers are IPv4 addresses."""

MOST_ENTRIES = 1 << 20
"""Entries that a book has room for, besides the set it was made with."""

MOST_IPV6_TARGETS = (1 << 32) - FIRST_ENTRY - MOST_ENTRIES
"""Addresses that this set may hold."""

NOBODY = 0
"""The number of whom there was no room for; 0.0.0.0 is nobody's address (RFC 1122, 3.2.1.3)."""

_KEY = np.dtype("S17")
"""The version, then the address, right-aligned: bytes in the order of addresses."""

Numbers = NDArray[np.uint32]


class AddressBook:
    """Grows as addresses are met.

    Whatever gives numbers raises CaptureError where there are too many; a `forgetful` book gives NOBODY's.
    """

    def __init__(
        self, known: Ipv6Set | None = None, zones: Mapping[int, str] | None = None, *, forgetful: bool = False
    ) -> None:
        """`known`: has its numbers already. `zones`: names of interfaces, for link-local addresses.

        Raises UsageError where `known` is too large.
        """
        self.known = known or Ipv6Set()
        if self.known.size > MOST_IPV6_TARGETS:
            msg = (
                f"{self.known.size} IPv6 addresses are more than can be asked one by one "
                f"({MOST_IPV6_TARGETS}): name those that may exist in a --targets-file, or find neighbours "
                "with --discover-v6"
            )
            raise UsageError(msg)
        self._first_met = FIRST_ENTRY + self.known.size
        self._zones = dict(zones or {})
        self._forgetful = forgetful
        self._ways: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None
        self._met: Interning[np.bytes_] = Interning(
            _KEY,
            MOST_ENTRIES,
            f"there are more than {MOST_ENTRIES} IPv6 addresses; ask about fewer ports, or a shorter time",
        )

    def __len__(self) -> int:
        return len(self._met)

    def ipv4(self, addresses: Numbers) -> Numbers:
        """Numbers of IPv4 addresses `(N,)` uint32."""
        high = addresses >= FIRST_ENTRY
        if not high.any():
            return addresses
        numbers = addresses.copy()
        wide = addresses[high].astype(np.uint64)
        numbers[high] = self._numbers(4, np.zeros_like(wide), wide)
        return numbers

    def ipv6(self, high: Halves, low: Halves) -> Numbers:
        """Numbers of IPv6 addresses, given as their halves `(N,)` uint64."""
        if not self.known:
            return self._numbers(6, high, low)
        index = self.known.index_of(high, low)
        numbers = (index + FIRST_ENTRY).astype(np.uint32)
        others = np.flatnonzero(index < 0)
        if len(others):
            numbers[others] = self._numbers(6, high[others], low[others])
        return numbers

    def number(self, version: int, address: int) -> int:
        """The number of one address."""
        if version == 4:
            return int(self.ipv4(np.array([address], dtype=np.uint32))[0])
        return int(self.ipv6(*halves_of([address]))[0])

    def numbers(self, hosts: Hosts) -> AddressSet:
        """The numbers of a set of addresses, each of whose IPv6 ranges the book was made with."""
        if not hosts.ipv6:
            return hosts.ipv4
        ends = [halves_of(ends) for ends in zip(*hosts.ipv6.ranges, strict=True)]
        first, last = (self.known.index_of(high, low) + FIRST_ENTRY for high, low in ends)
        return hosts.ipv4 | AddressSet.from_ranges(first, last)

    def hosts(self, numbers: AddressSet) -> Hosts:
        """The addresses that have these numbers: of IPv4, or of the set the book was made with."""
        below = AddressSet.of([(0, FIRST_ENTRY - 1)])
        ranges = [
            span
            for first, last in (numbers - below).ranges()
            for span in self.known.within(first - FIRST_ENTRY, last - FIRST_ENTRY)
        ]
        return Hosts(numbers & below, Ipv6Set.of(ranges))

    def halves(self, numbers: Numbers) -> tuple[NDArray[np.bool_], Halves, Halves]:
        """Which numbers are IPv6 addresses, and the halves of all; an IPv4 address is its low one."""
        is_ipv6 = np.zeros(len(numbers), dtype=np.bool_)
        high, low = np.zeros(len(numbers), dtype=np.uint64), numbers.astype(np.uint64)
        rows = np.flatnonzero((numbers >= FIRST_ENTRY) & (numbers < self._first_met))
        if len(rows):
            is_ipv6[rows] = True
            high[rows], low[rows] = self.known.at(numbers[rows].astype(np.int64) - FIRST_ENTRY)
        rows = np.flatnonzero(numbers >= self._first_met)
        if len(rows):
            raw = self._raw(numbers[rows])
            is_ipv6[rows] = raw[:, 0] == 6
            words = np.ascontiguousarray(raw[:, 1:]).view(">u8").astype(np.uint64)
            high[rows], low[rows] = words[:, 0], words[:, 1]
        return is_ipv6, high, low

    def texts(self, numbers: Numbers) -> list[str]:
        """Addresses as text: dotted quads, and IPv6 as RFC 5952 has it."""
        rows = np.flatnonzero(numbers >= FIRST_ENTRY)
        texts = format_addresses(numbers)
        if len(rows):
            is_ipv6, high, low = (column.tolist() for column in self.halves(numbers[rows]))
            for row, six, upper, lower in zip(rows.tolist(), is_ipv6, high, low, strict=True):
                texts[row] = (
                    format_ipv6(upper << 64 | lower, self._zones)
                    if six
                    else str(ipaddress.IPv4Address(lower))
                )
        return texts

    def written(self, numbers: AddressSet) -> Iterator[str]:
        """A set of numbers as addresses, prefixes and ranges, as `parse_targets` reads them."""
        hosts = self.hosts(numbers)
        for first, last in hosts.ipv4.ranges():
            yield format_range(first, last)
        for first, last in hosts.ipv6.ranges:
            yield format_ipv6_range(first, last, self._zones)

    def in_order(self) -> Numbers:
        """The numbers of the addresses that were met, by address: those of IPv4 first."""
        return (self._met.in_order() + self._first_met).astype(np.uint32)

    def ordered(self, numbers: Numbers) -> Numbers:
        """Other numbers for the same addresses, such that those that were met are in their order."""
        return self._moved(numbers, 0)

    def original(self, ordered: Numbers) -> Numbers:
        """The way back from `ordered`, as long as no other address has been met."""
        return self._moved(ordered, 1)

    def _moved(self, numbers: Numbers, way: int) -> Numbers:
        rows = np.flatnonzero(numbers >= self._first_met)
        if not len(rows):
            return numbers
        if self._ways is None or len(self._ways[0]) != len(self._met):
            back = self._met.in_order()
            self._ways = np.argsort(back), back
        moved = numbers.copy()
        moved[rows] = self._ways[way][numbers[rows].astype(np.int64) - self._first_met] + self._first_met
        return moved

    def _raw(self, numbers: Numbers) -> NDArray[np.uint8]:
        """The keys of entries that were met, as bytes, `(N, 17)`."""
        keys = self._met.keys(numbers.astype(np.int64) - self._first_met)
        return keys.view(np.uint8).reshape(len(numbers), _KEY.itemsize)

    def _numbers(self, version: int, high: Halves, low: Halves) -> Numbers:
        rows = np.empty((len(high), _KEY.itemsize), dtype=np.uint8)
        rows[:, 0] = version
        for first, half in ((1, high), (9, low)):
            rows[:, first : first + 8] = half.astype(">u8").view(np.uint8).reshape(-1, 8)
        keys = rows.view(_KEY)[:, 0]
        if self._forgetful and len(self._met) + len(keys) > MOST_ENTRIES:
            found = self._met.find(keys)
            return np.where(found < 0, NOBODY, found + self._first_met).astype(np.uint32)
        return (self._met.numbers(keys) + self._first_met).astype(np.uint32)
