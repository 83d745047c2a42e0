"""The address book, against Python's ipaddress."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from scanner.core import book as module
from scanner.core.book import FIRST_ENTRY, AddressBook
from scanner.model import CaptureError

SIX = st.one_of(
    st.integers(0, (1 << 128) - 1), st.integers(0, 5), st.integers(0, 127).map(lambda bit: 1 << bit)
)


def words(addresses: list[int]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    return (
        np.array([address >> 64 for address in addresses], dtype=np.uint64),
        np.array([address & ((1 << 64) - 1) for address in addresses], dtype=np.uint64),
    )


@given(st.lists(st.lists(SIX, max_size=8), max_size=4), st.lists(st.integers(0, (1 << 32) - 1), max_size=8))
def test_numbers_stand_for_addresses(six: list[list[int]], four: list[int]) -> None:
    book = AddressBook()
    given_numbers = [book.ipv6(*words(addresses)) for addresses in six]
    fours = book.ipv4(np.array(four, dtype=np.uint32))
    numbers = np.concatenate([*given_numbers, fours])
    expected = [
        *(IPv6Address(address) for addresses in six for address in addresses),
        *(IPv4Address(address) for address in four),
    ]
    assert numbers.dtype == np.uint32
    one_each = dict(zip(numbers.tolist(), expected, strict=True))
    assert len(one_each) == len(set(expected)), "one number for each address"
    assert [one_each[number] for number in numbers.tolist()] == expected
    texts = book.texts(numbers)
    assert [IPv6Address(text) if ":" in text else IPv4Address(text) for text in texts] == expected
    is_ipv6, high, low = book.halves(numbers)
    assert is_ipv6.tolist() == [address.version == 6 for address in expected]
    found = [upper << 64 | lower for upper, lower in zip(high.tolist(), low.tolist(), strict=True)]
    assert found == [int(address) for address in expected]
    entries = sorted({address for number, address in one_each.items() if number >= FIRST_ENTRY}, key=in_order)
    assert [one_each[number] for number in book.in_order().tolist()] == entries
    assert len(book) == len(entries)


def in_order(address: IPv4Address | IPv6Address) -> tuple[int, int]:
    return address.version, int(address)


def test_ipv4_addresses_are_their_own_numbers() -> None:
    book = AddressBook()
    addresses = np.array([0, 1, FIRST_ENTRY - 1], dtype=np.uint32)
    assert book.ipv4(addresses) is addresses
    assert len(book) == 0
    assert book.ipv4(np.array([0xFFFFFFFF, 7, FIRST_ENTRY], dtype=np.uint32)).tolist() == [
        FIRST_ENTRY,
        7,
        FIRST_ENTRY + 1,
    ]


@pytest.mark.parametrize(
    "text",
    ["::", "::1", "2001:db8::1", "2001:db8:0:1:1:1:1:1", "2001:0:0:1::1", "fe80::a:0:b", "::ffff:192.0.2.1"],
)
def test_text_is_as_rfc_5952_has_it(text: str) -> None:
    book = AddressBook()
    assert book.texts(book.ipv6(*words([int(IPv6Address(text))]))) == [text]


def test_numbers_do_not_depend_on_how_the_capture_was_cut() -> None:
    addresses = np.random.default_rng(1).integers(0, 300, 2000).tolist()
    whole, pieces = AddressBook(), AddressBook()
    expected = whole.ipv6(*words(addresses)).tolist()
    found = [pieces.ipv6(*words(addresses[at : at + 7])) for at in range(0, 2000, 7)]
    assert np.concatenate(found).tolist() == expected


def test_a_book_that_is_full_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ENTRIES", 3)
    book = AddressBook()
    book.ipv6(*words([1, 2, 3]))
    with pytest.raises(CaptureError, match="more than 3 IPv6 addresses"):
        book.ipv6(*words([4]))
