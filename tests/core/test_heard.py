"""Who was sent a packet: nobody is forgotten, and of others it is said rarely."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from scanner.core.book import AddressBook
from scanner.core.heard import Heard

addresses = st.lists(st.integers(0, (1 << 32) - 1), max_size=40)


def of(heard: Heard, listed: Sequence[int]) -> NDArray[np.bool_]:
    book = AddressBook()
    return heard.of(book.ipv4(np.array(listed, dtype=np.uint32)), book)


@given(st.lists(addresses, max_size=5))
def test_nobody_is_forgotten(lots: list[list[int]]) -> None:
    """Nor where several of one lot share a byte of the table."""
    heard = Heard()
    for lot in lots:
        heard.add(np.array([*lot, *lot], dtype=np.uint64))
    for lot in lots:
        assert of(heard, lot).all()


def test_neighbours_of_a_byte_are_told_apart() -> None:
    everybody = np.arange(1 << 16, dtype=np.uint64)
    heard = Heard()
    heard.add(everybody[::2])
    found = of(heard, everybody.tolist())
    assert found[::2].all()
    assert np.count_nonzero(found[1::2]) < len(everybody) // 100


def test_of_a_million_few_others_are_taken_for_heard() -> None:
    heard = Heard()
    heard.add(np.arange(10 << 24, (10 << 24) + 1_000_000, dtype=np.uint64))
    others = of(heard, range(172 << 24, (172 << 24) + 10_000))
    assert np.count_nonzero(others) < 600
