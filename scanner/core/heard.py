"""To which addresses there was any packet, of a capture of any size.

A table of one byte for each of many addresses that share it: now and then it says yes where the answer is no.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scanner.core import ip
from scanner.core.book import AddressBook
from scanner.core.ipv6 import high_in_zone

_BITS = 22
_SPREAD = np.uint64(0x9E37_79B9_7F4A_7C15)


class Heard:
    """Addresses to which there was a packet."""

    def __init__(self) -> None:
        self._table: NDArray[np.bool_] = np.zeros(1 << _BITS, dtype=np.bool_)

    def add(self, words: NDArray[np.uint64]) -> None:
        """Note packets to some addresses, as `scanner.core.ip` has them in words."""
        self._table[_slots(words)] = True

    def of(self, numbers: NDArray[np.uint32], book: AddressBook) -> NDArray[np.bool_]:
        """Whether there was a packet to these, `(N,)` bool."""
        is_ipv6, high, low = book.halves(numbers)
        return self._table[_slots(np.where(is_ipv6, ip.ipv6_word(high_in_zone(high, 0), low), low))]


def _slots(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    slots: NDArray[np.uint64] = words * _SPREAD >> np.uint64(64 - _BITS)
    return slots
