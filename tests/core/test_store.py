"""Outcomes put away: what comes back is what was put in, in order, and never much at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.core import runs
from scanner.core.outcomes import ABSENT, Outcomes, in_address_order
from scanner.core.packets import TCP
from scanner.core.rules import Rank
from scanner.core.store import OutcomeStore
from tests.core.memory_scratch import MemoryScratch

Row = tuple[int, int, int, tuple[tuple[int, int, int, int, int], ...] | None]
"""Address, port, prober; what came before."""

steps = st.lists(st.tuples(*[st.integers(0, 9)] * 5), min_size=1, max_size=3).map(tuple)
rows_strategy = st.lists(
    st.tuples(st.integers(1, 3), st.integers(1, 2), st.integers(ABSENT, 9), st.none() | steps),
    unique_by=lambda row: row[:3],
    max_size=40,
)


def outcomes_of(rows: list[Row]) -> Outcomes:
    outcomes = Outcomes.silent(
        np.array([row[0] for row in rows], dtype=np.uint32),
        np.full(len(rows), TCP, dtype=np.uint8),
        np.array([row[1] for row in rows], dtype=np.uint16),
        Rank.CLOSED,
        0,
    )
    outcomes.prober[:] = [row[2] for row in rows]
    outcomes.hint[:] = 1
    for place, row in enumerate(rows):
        outcomes.superseded[place] = row[3]
    return outcomes


def rows_of(outcomes: Outcomes) -> list[Row]:
    names = ("address", "port", "prober", "superseded")
    columns: Any = (getattr(outcomes, name).tolist() for name in names)
    return list(zip(*columns, strict=True))


def stored(rows: list[Row], most: int, together: int = 7) -> OutcomeStore:
    store = OutcomeStore(MemoryScratch(), most)
    for begin in range(0, len(rows), together):
        piece = rows[begin : begin + together]
        store.add(outcomes_of(piece), np.arange(begin, begin + len(piece)))
    return store


@settings(max_examples=100, deadline=None)
@given(rows_strategy, st.integers(1, 20), st.sampled_from([1, 2, 256]))
def test_what_was_put_away_comes_back_in_order(rows: list[Row], most: int, sampled: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "_SAMPLED", sampled)
        store = stored(rows, most)
        pieces = list(in_address_order([store]))
        assert [row for piece in pieces for row in rows_of(piece)] == sorted(rows, key=lambda row: row[:3])
        assert rows_of(store.outcomes(2, 3).in_order()) == sorted(
            (row for row in rows if row[0] > 1), key=lambda row: row[:3]
        )


def test_one_target_of_many_probers_comes_in_pieces(monkeypatch) -> None:
    monkeypatch.setattr(runs, "_SAMPLED", 2)
    probers = np.random.default_rng(1).permutation(500).tolist()
    before = ((1, 2, 3, 4, 5),)
    rows: list[Row] = [(7, 401, prober, before if prober % 3 else None) for prober in probers]
    rows += [(7, 400, 1, None), (8, 401, 1, None)]
    pieces = [rows_of(piece) for piece in stored(rows, 16).pieces()]
    assert [row for piece in pieces for row in piece] == sorted(rows, key=lambda row: row[:3])
    assert max(map(len, pieces)) <= 3 * 16


def test_what_came_before_is_put_away_too() -> None:
    rows: list[Row] = [(address, 401, ABSENT, ((1, 2, 3, 4, 5),) * 2) for address in range(300)]
    without: list[Row] = [(*row[:3], None) for row in rows]
    scratch, plain = MemoryScratch(), MemoryScratch()
    for room, each in ((scratch, rows), (plain, without)):
        store = OutcomeStore(room, 8)
        for begin in range(0, 300, 10):
            store.add(outcomes_of(each[begin : begin + 10]), np.arange(10))
    assert len(scratch.data) - len(plain.data) >= 280 * 2 * 20


def test_a_hint_may_become_another_one() -> None:
    store = stored([(1, 401, ABSENT, None)], 8)
    store.say_instead(1, 3)
    [piece] = store.pieces()
    assert piece.hint.tolist() == [3]
