"""The address book: a 32-bit number for every address, whatever its version.

IPv4 addresses below 240.0.0.0 are their own numbers. The others, IPv6 addresses and the few of IPv4's
class E, get the numbers above in the order in which they are met.
"""

from __future__ import annotations

import ipaddress

import numpy as np
from numpy.typing import NDArray

from scanner.core.addresses import format_addresses
from scanner.core.interning import Interning

FIRST_ENTRY = 0xF000_0000
"""The first number that is given away; below, numbers are IPv4 addresses."""

MOST_ENTRIES = 1 << 20
"""Entries that a book has room for."""

_KEY = np.dtype("S17")
"""The version, then the address, right-aligned: bytes in the order of addresses."""

_MAPPED = bytes(10) + b"\xff\xff"


class AddressBook:
    """Grows as addresses are met; the i-th of them has the number FIRST_ENTRY + i.

    Whatever gives numbers raises CaptureError where there are too many.
    """

    def __init__(self) -> None:
        """Without entries."""
        self._entries: Interning[np.bytes_] = Interning(
            _KEY,
            MOST_ENTRIES,
            f"there are more than {MOST_ENTRIES} IPv6 addresses; ask about fewer ports, or a shorter time",
        )

    def __len__(self) -> int:
        return len(self._entries)

    def ipv4(self, addresses: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Numbers of IPv4 addresses `(N,)` uint32."""
        high = addresses >= FIRST_ENTRY
        if not high.any():
            return addresses
        numbers = addresses.copy()
        wide = addresses[high].astype(np.uint64)
        numbers[high] = self._numbers(4, np.zeros_like(wide), wide)
        return numbers

    def ipv6(self, high: NDArray[np.uint64], low: NDArray[np.uint64]) -> NDArray[np.uint32]:
        """Numbers of IPv6 addresses, given as their halves `(N,)` uint64."""
        return self._numbers(6, high, low)

    def halves(
        self, numbers: NDArray[np.uint32]
    ) -> tuple[NDArray[np.bool_], NDArray[np.uint64], NDArray[np.uint64]]:
        """Which numbers are IPv6 addresses, and the halves of all; an IPv4 address is its low one."""
        is_ipv6 = np.zeros(len(numbers), dtype=np.bool_)
        high, low = np.zeros(len(numbers), dtype=np.uint64), numbers.astype(np.uint64)
        rows = np.flatnonzero(numbers >= FIRST_ENTRY)
        if len(rows):
            raw = self._raw(numbers[rows])
            is_ipv6[rows] = raw[:, 0] == 6
            words = np.ascontiguousarray(raw[:, 1:]).view(">u8").astype(np.uint64)
            high[rows], low[rows] = words[:, 0], words[:, 1]
        return is_ipv6, high, low

    def texts(self, numbers: NDArray[np.uint32]) -> list[str]:
        """Addresses as text: dotted quads, and IPv6 as RFC 5952 has it."""
        rows = np.flatnonzero(numbers >= FIRST_ENTRY)
        if not len(rows):
            return format_addresses(numbers)
        texts = format_addresses(numbers)
        for row, raw in zip(rows.tolist(), self._raw(numbers[rows]), strict=True):
            texts[row] = _text(raw.tobytes())
        return texts

    def in_order(self) -> NDArray[np.uint32]:
        """The numbers of all entries, by address: those of IPv4 first."""
        return (self._entries.in_order() + FIRST_ENTRY).astype(np.uint32)

    def _raw(self, numbers: NDArray[np.uint32]) -> NDArray[np.uint8]:
        """The keys of entries as bytes, `(N, 17)`."""
        keys = self._entries.keys(numbers.astype(np.int64) - FIRST_ENTRY)
        return keys.view(np.uint8).reshape(len(numbers), _KEY.itemsize)

    def _numbers(self, version: int, high: NDArray[np.uint64], low: NDArray[np.uint64]) -> NDArray[np.uint32]:
        rows = np.empty((len(high), _KEY.itemsize), dtype=np.uint8)
        rows[:, 0] = version
        for first, half in ((1, high), (9, low)):
            rows[:, first : first + 8] = half.astype(">u8").view(np.uint8).reshape(-1, 8)
        return (self._entries.numbers(rows.view(_KEY)[:, 0]) + FIRST_ENTRY).astype(np.uint32)


def _text(key: bytes) -> str:
    version, address = key[0], key[1:]
    if version == 4:
        return str(ipaddress.IPv4Address(address[12:]))
    if address.startswith(_MAPPED):
        # RFC 5952, 5; some versions of Python have it otherwise.
        return f"::ffff:{ipaddress.IPv4Address(address[12:])}"
    return str(ipaddress.IPv6Address(address))
