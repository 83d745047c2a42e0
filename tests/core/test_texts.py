"""Texts in columns, beside what Python makes of each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.core.addresses import format_address
from scanner.core.texts import Piece, Texts, Writing, lines

WRITING = Writing()
COLUMNS = st.integers(0, 12).flatmap(
    lambda count: st.tuples(
        st.just(count),
        st.lists(
            st.binary(max_size=9)
            | st.lists(st.binary(max_size=40), min_size=count, max_size=count).map(Texts.of),
            max_size=6,
        ),
    )
)


def texts_of(pieces: list[Piece], count: int) -> list[str]:
    return lines([*pieces, b"\n"], count).decode().splitlines()


@given(COLUMNS)
def test_pieces_follow_each_other_in_every_line(drawn):
    count, pieces = drawn
    expected = b"".join(
        piece if isinstance(piece, bytes) else piece.text(row) for row in range(count) for piece in pieces
    )
    assert lines(pieces, count) == expected


def test_a_long_cell_before_a_short_line_end_spoils_no_neighbour():
    column = Texts.of([b"", b"x" * 30, b"", b"y"])
    assert lines([column, b"\n"], 4) == b"\n" + b"x" * 30 + b"\n\ny\n"


def test_where_something_is_not_there_nothing_is_written():
    column = Texts.of([b"one", b"two"]).where(np.array([False, True]))
    assert texts_of([b"<", column, b">"], 2) == ["<>", "<two>"]


@given(st.lists(st.integers(0, 2**32 - 1)))
def test_addresses_are_dotted(addresses):
    written = texts_of(WRITING.quads(np.array(addresses, dtype=np.uint32)), len(addresses))
    assert written == [format_address(address) for address in addresses]


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
