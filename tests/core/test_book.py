"""The address book, against Python's ipaddress."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from scanner.core import book as module
from scanner.core.addresses import AddressSet
from scanner.core.book import FIRST_ENTRY, AddressBook
from scanner.core.hosts import Hosts
from scanner.core.interning import Interning
from scanner.core.ipv6 import Ipv6Set, in_zone
from scanner.core.targets import parse_targets
from scanner.model import CaptureError, UsageError

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


KNOWN = Ipv6Set.of([(10, 13), (20, 20), (1 << 70, (1 << 70) + 2)])
LISTED = [10, 11, 12, 13, 20, 1 << 70, (1 << 70) + 1, (1 << 70) + 2]


@given(st.lists(st.integers(8, 22) | st.sampled_from(LISTED) | SIX, max_size=20))
def test_what_a_book_was_made_with_has_its_numbers_in_order(asked: list[int]) -> None:
    book = AddressBook(KNOWN)
    numbers = book.ipv6(*words(asked))
    for address, number in zip(asked, numbers.tolist(), strict=True):
        if address in LISTED:
            assert number == FIRST_ENTRY + LISTED.index(address)
        else:
            assert number >= FIRST_ENTRY + len(LISTED)
        assert book.number(6, address) == number
    assert book.texts(numbers) == [str(IPv6Address(address)) for address in asked]
    met = sorted({number for number in numbers.tolist() if number >= FIRST_ENTRY + len(LISTED)})
    ordered = book.ordered(np.array(met, dtype=np.uint32))
    addresses = [int(IPv6Address(text)) for text in book.texts(np.array(met, dtype=np.uint32))]
    assert [address for _, address in sorted(zip(ordered.tolist(), addresses, strict=True))] == sorted(
        addresses
    )
    assert book.original(ordered).tolist() == met


def test_sets_become_numbers_and_come_back() -> None:
    book = AddressBook(KNOWN)
    some = Hosts(parse_targets(["10.0.0.0/30"]).ipv4, Ipv6Set.of([(11, 12), ((1 << 70) + 1, (1 << 70) + 2)]))
    numbers = book.numbers(some)
    first = FIRST_ENTRY
    assert numbers == some.ipv4 | AddressSet.of([(first + 1, first + 2), (first + 6, first + 7)])
    assert book.hosts(numbers) == some
    assert list(book.written(numbers)) == ["10.0.0.0/30", "::b-::c", "::40:0:0:0:1-::40:0:0:0:2"]
    everything = book.numbers(Hosts(ipv6=KNOWN))
    assert book.hosts(everything).ipv6 == KNOWN


def test_link_local_addresses_are_named_with_their_interface() -> None:
    address = in_zone(int(IPv6Address("fe80::1")), 3)
    book = AddressBook(Ipv6Set.of([(address, address)]), {3: "eth0"})
    assert book.texts(np.array([FIRST_ENTRY], dtype=np.uint32)) == ["fe80::1%eth0"]
    other = book.ipv6(*words([in_zone(int(IPv6Address("fe80::2")), 3)]))
    assert book.texts(other) == ["fe80::2%eth0"]


def test_too_many_targets_are_refused_with_a_way_out() -> None:
    with pytest.raises(UsageError, match=r"more than can be asked one by one .*--targets-file.*-v6"):
        AddressBook(Ipv6Set.of([(0, (1 << 64) - 1)]))


def test_a_forgetful_book_that_is_full_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ENTRIES", 3)
    book = AddressBook(KNOWN, forgetful=True)
    known = book.ipv6(*words([1, 2, 3])).tolist()
    assert book.ipv6(*words([4, 2, 5, 10])).tolist() == [0, known[1], 0, FIRST_ENTRY]


def test_the_order_is_found_out_once(monkeypatch) -> None:
    """It takes a second where there are a million addresses, and records come a few thousand at a time."""
    book = AddressBook()
    numbers = book.ipv6(*words([5, 3, 4]))
    orders: list[int] = []
    in_order = Interning.in_order

    def counted(met: Interning[np.bytes_]) -> NDArray[np.int64]:
        orders.append(len(met))
        return in_order(met)

    monkeypatch.setattr(Interning, "in_order", counted)
    for _ in range(5):
        assert book.original(book.ordered(numbers)).tolist() == numbers.tolist()
    assert orders == [3]
    book.ipv6(*words([1]))
    assert (book.ordered(numbers) - FIRST_ENTRY).tolist() == [3, 1, 2]
    assert orders == [3, 4]
