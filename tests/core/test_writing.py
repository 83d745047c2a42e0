"""Numbers, addresses and times in columns of texts, beside what Python makes of each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.core.addresses import format_address
from scanner.core.texts import Few, Piece, lines
from scanner.core.writing import Writing

WRITING = Writing()


def texts_of(pieces: list[Piece], count: int) -> list[str]:
    return bytes(lines([*pieces, b"\n"], count)).decode().splitlines()


@given(st.lists(st.integers(0, 2**32 - 1)))
def test_addresses_are_dotted(addresses):
    written = texts_of(WRITING.quads(np.array(addresses, dtype=np.uint32)), len(addresses))
    assert written == [format_address(address) for address in addresses]


def test_addresses_of_one_network_share_a_text():
    addresses = np.arange(0x0A0000F0, 0x0A000110, dtype=np.uint32)
    network, _ = pieces = WRITING.quads(addresses)
    assert isinstance(network, Few)
    assert texts_of(pieces, len(addresses)) == [format_address(address) for address in addresses.tolist()]


@pytest.mark.parametrize("most", [9_999, 2**63 - 1])
@given(data=st.data())
def test_integers_are_decimal(most, data):
    numbers = data.draw(st.lists(st.integers(-1 if most > 9_999 else 0, most)))
    assert texts_of([WRITING.decimals(np.array(numbers, dtype=np.int64))], len(numbers)) == [
        str(number) for number in numbers
    ]


@given(st.lists(st.integers(0, 2**63 // 1000) | st.integers(10**15 - 2, 10**15 + 2) | st.integers(0, 10**5)))
def test_thousandths_are_the_shortest_text_of_their_float(numbers):
    written = texts_of(WRITING.thousandths(np.array(numbers, dtype=np.int64)), len(numbers))
    assert written == [repr(number / 1000) for number in numbers]


@given(st.lists(st.integers(-(2**62), 2**62) | st.integers(1_700_000_000 * 10**9, 1_700_000_004 * 10**9)))
def test_moments_are_iso_8601_to_the_microsecond(times):
    written = texts_of(WRITING.moments(np.array(times, dtype=np.int64)), len(times))
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    moments = [epoch + timedelta(microseconds=time // 1000) for time in times]
    assert written == [f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z" for moment in moments]


def test_moments_of_few_seconds_share_a_text():
    times = np.arange(40) * 50_000_000 + 1_700_000_000 * 10**9
    second, *_ = pieces = WRITING.moments(times)
    assert isinstance(second, Few)
    assert texts_of(pieces, 40)[39] == "2023-11-14T22:13:21.950000Z"
