from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from scanner.wire.address_map import NOBODY, AddressMap


def on_the_wire(addresses: list[int], width: int) -> NDArray[np.uint8]:
    octets = b"".join(address.to_bytes(width, "big") for address in addresses)
    return np.frombuffer(octets, dtype=np.uint8).reshape(-1, width)


def found(hosts: AddressMap[str], addresses: list[int], width: int) -> list[str | None]:
    numbers = hosts.find(on_the_wire(addresses, width)).tolist()
    return [None if number == NOBODY else hosts.tenant(number) for number in numbers]


@pytest.mark.parametrize("width", [4, 16])
def test_where_nobody_is_nobody_is_found(width: int) -> None:
    hosts: AddressMap[str] = AddressMap(width)
    assert found(hosts, [0, 1, (1 << 8 * width) - 1], width) == [None] * 3
    assert list(hosts.pieces()) == []


@pytest.mark.parametrize("width", [4, 16])
def test_the_ends_of_the_address_space_are_addresses_like_others(width: int) -> None:
    hosts: AddressMap[str] = AddressMap(width)
    last = (1 << 8 * width) - 1
    hosts.lay([(0, 0), (last, last)], "here")
    assert found(hosts, [0, 1, last - 1, last], width) == ["here", None, None, "here"]


def test_bytes_that_are_zero_count() -> None:
    hosts: AddressMap[str] = AddressMap(16)
    hosts.lay([(0x61 << 120, 0x61 << 120)], "a")
    assert found(hosts, [0x61 << 120, 0x61 << 120 | 1, 0x6100 << 112], 16) == ["a", None, "a"]


@pytest.mark.parametrize("width", [4, 16])
@given(
    laid=st.lists(
        st.lists(st.tuples(st.integers(0, 40), st.integers(0, 9)), min_size=1, max_size=3), max_size=5
    ),
    shift=st.sampled_from([0, 8, 20]),
)
def test_the_last_laid_holds(width: int, laid: list[list[tuple[int, int]]], shift: int) -> None:
    hosts: AddressMap[str] = AddressMap(width)
    held: dict[int, str] = {}
    for number, ranges in enumerate(laid):
        hosts.lay([(first << shift, first + more << shift) for first, more in ranges], str(number))
        for first, more in ranges:
            for address in range(first << shift, (first + more << shift) + 1, 1 << shift):
                held[address] = str(number)
    asked = [address << shift for address in range(52)]
    assert found(hosts, asked, width) == [held.get(address) for address in asked]
    pieces = [(first, last, hosts.tenant(number)) for first, last, number in hosts.pieces()]
    assert all(one[1] < two[0] for one, two in pairwise(pieces))
    assert {
        address: tenant for first, last, tenant in pieces for address in asked if first <= address <= last
    } == held
