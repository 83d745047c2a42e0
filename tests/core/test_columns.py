"""Gathering fields, against plain slices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from scanner.core.columns import Columns, columns, gather


@given(st.binary(max_size=40), st.lists(st.integers(0, 60), max_size=10), st.integers(1, 24))
def test_rows_are_slices_padded_with_zeros(data: bytes, starts: list[int], width: int) -> None:
    buffer = np.frombuffer(data, dtype=np.uint8)
    rows = gather(buffer, np.array(starts, dtype=np.int64), width)
    assert rows.shape == (len(starts), width)
    assert rows.flags["C_CONTIGUOUS"]
    assert [row.tobytes() for row in rows] == [data[at : at + width].ljust(width, b"\0") for at in starts]


def test_rows_are_copies() -> None:
    buffer = np.arange(8, dtype=np.uint8)
    rows = gather(buffer, np.array([0, 4]), 4)
    rows[:] = 255
    assert buffer.tolist() == list(range(8))


def test_buffer_with_gaps_between_its_bytes() -> None:
    spread = np.arange(20, dtype=np.uint8)[::2]
    assert gather(spread, np.array([0, 7]), 3).tolist() == [[0, 2, 4], [14, 16, 18]]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_columns_read_a_header(count: int) -> None:
    layout = np.dtype({"names": ["port"], "formats": [">u2"], "offsets": [2], "itemsize": 4})
    rows = np.tile(np.array([0, 0, 1, 145], dtype=np.uint8), (count, 1))
    assert columns(rows, layout)["port"].tolist() == [401] * count


@dataclass(frozen=True, slots=True)
class Pairs(Columns):
    """Two columns of unlike types."""

    number: NDArray[np.int64]
    port: NDArray[np.uint16]


def test_a_table_is_taken_by_rows_and_put_together_again() -> None:
    pairs = Pairs(np.arange(5), np.arange(5, dtype=np.uint16) * 2)
    some = Pairs.concatenate(
        [
            pairs.take(np.array([4, 0])),
            pairs.take(pairs.number == 2),
            pairs.take(slice(1, 2)),
            pairs.take(slice(0)),
        ]
    )
    assert (len(pairs), len(some)) == (5, 4)
    assert some.number.tolist() == [4, 0, 2, 1]
    assert some.port.tolist() == [8, 0, 4, 2]
    assert (some.number.dtype.name, some.port.dtype.name) == ("int64", "uint16")


def test_rows_that_a_mask_chooses() -> None:
    pairs = Pairs(np.arange(3), np.arange(3, dtype=np.uint16))
    assert pairs.where(np.array([True, True, True])) is pairs
    assert pairs.where(np.array([True, False, True])).number.tolist() == [0, 2]
