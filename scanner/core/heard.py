"""To which addresses there was any packet, of a capture of any size.

A table of bits that addresses share: now and then it says yes where the answer is no. When a million
have been sent something, it says so of 3 % of all others.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scanner.core import ip
from scanner.core.book import AddressBook
from scanner.core.ipv6 import high_in_zone

_BITS = 25
_SPREAD = np.uint64(0x9E37_79B9_7F4A_7C15)


class Heard:
    """Addresses to which there was a packet."""

    def __init__(self) -> None:
        self._table: NDArray[np.uint8] = np.zeros(1 << (_BITS - 3), dtype=np.uint8)

    def add(self, words: NDArray[np.uint64]) -> None:
        """Note packets to some addresses, as `scanner.core.ip` has them in words."""
        byte, bit = _places(words)
        # Most are known already; to look is cheaper than to write.
        new = np.flatnonzero(self._table[byte] & bit == 0)
        np.bitwise_or.at(self._table, byte[new], bit[new])

    def of(self, numbers: NDArray[np.uint32], book: AddressBook) -> NDArray[np.bool_]:
        """Whether there was a packet to these, `(N,)` bool."""
        is_ipv6, high, low = book.halves(numbers)
        byte, bit = _places(np.where(is_ipv6, ip.ipv6_word(high_in_zone(high, 0), low), low))
        heard: NDArray[np.bool_] = self._table[byte] & bit != 0
        return heard


def _places(words: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """The byte of each, and the bit in it."""
    place = words * _SPREAD >> np.uint64(64 - _BITS)
    bit: NDArray[np.uint8] = np.left_shift(np.uint8(1), place.astype(np.uint8) & np.uint8(7))
    return (place >> np.uint64(3)).view(np.int64), bit
