"""Forged replies are counted alike wherever their targets are divided."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.core.forgeries import Forgeries

rows = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 3), st.booleans()),
    max_size=30,
)


@pytest.mark.parametrize("of_marked", [False, True])
@given(rows=rows, cuts=st.lists(st.integers(0, 30), max_size=4))
def test_where_lots_are_divided_does_not_matter(
    rows: list[tuple[int, int, int, bool]], cuts: list[int], of_marked: bool
) -> None:
    rows.sort(key=lambda row: row[0])
    told = {(address, port): False for address, port, _, _ in rows}
    for address, port, _, marked in rows:
        told[address, port] |= marked
    forgeries = Forgeries(of_marked=of_marked)
    borders = sorted({0, len(rows), *(min(cut, len(rows)) for cut in cuts)})
    for begin, end in pairwise(borders):
        lot = rows[begin:end]
        forgeries.add(
            np.array([address << 24 | port for address, port, _, _ in lot], dtype=np.uint64),
            np.array([suspects for _, _, suspects, _ in lot], dtype=np.int64),
            np.array([marked for *_, marked in lot], dtype=np.bool_),
        )
    expected = sum(count for address, port, count, _ in rows if told[address, port] == of_marked)
    assert forgeries.count == expected
