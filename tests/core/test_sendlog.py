"""The send log, against a list of everything that left."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scanner.core.sendlog import LateLog, SendLog

# Steps between positions, wall clocks that may stand still, packets a call, and how time goes on.
calls = st.lists(
    st.tuples(
        st.lists(st.tuples(st.integers(1, 5), st.sampled_from([0, 0, 0, 1, 700])), max_size=8),
        st.sampled_from([0.0, 0.5, 1.0]),
    ),
    max_size=12,
)


@given(calls)
def test_against_a_list(batches: list[tuple[list[tuple[int, int]], float]]) -> None:
    log, position, wall, now = SendLog(), -1, 10**18, 100.0
    left: list[tuple[int, int, float]] = []
    runs = 0
    for steps, passed in batches:
        now += passed
        begin = len(left)
        for step, tick in steps:
            position, wall = position + step, wall + tick
            left.append((position, wall, now))
        added = left[begin:]
        log.append(
            np.array([position for position, _, _ in added], dtype=np.int64),
            np.array([wall for _, wall, _ in added], dtype=np.int64),
            now,
        )
        runs += len({wall for _, wall, _ in added})
    assert len(log) == runs, "an entry for every run, not for every packet"
    assert log.last == (left[-1][2] if left else float("-inf"))
    positions = np.array([position for position, _, _ in left], dtype=np.int64)
    assert log.wall(positions).tolist() == [wall for _, wall, _ in left]
    assert [log.left_at(position) for position, _, _ in left] == [steady for _, _, steady in left]
    for moment in {99.0, now, *(steady + shift for _, _, steady in left for shift in (-0.25, 0, 0.25))}:
        before = log.left_by(moment)
        assert [position < before for position, _, _ in left] == [steady <= moment for _, _, steady in left]


def test_nothing_has_left() -> None:
    log = SendLog()
    assert len(log) == 0
    assert log.left_by(1e9) == float("inf")
    assert log.last == float("-inf")
    log.append(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), 1.0)
    assert len(log) == 0


def test_it_grows() -> None:
    log, count = SendLog(), 3000
    for number in range(count):
        log.append(
            np.array([2 * number, 2 * number + 1]), np.array([10 * number, 10 * number + 5]), number / 8
        )
    log.append(np.arange(2 * count, 4 * count), np.arange(2 * count) + 10 * count, count / 8)
    assert len(log) == 4 * count
    every = np.arange(2 * count)
    assert (log.wall(every) == every * 5).all()
    assert (log.wall(np.arange(2 * count, 4 * count)) == np.arange(2 * count) + 10 * count).all()
    assert log.left_by(100 / 8) == 202
    assert log.left_at(202) == 101 / 8


def test_a_wall_clock_that_steps_back_spoils_nothing() -> None:
    log = SendLog()
    log.append(np.array([0, 1, 2]), np.array([50, 20, 20]), 1.0)
    assert log.wall(np.array([2, 1, 0])).tolist() == [20, 20, 50]


def test_late_tries_in_any_order() -> None:
    log = LateLog()
    log.append(3, np.array([9, 2]), np.array([90, 20]))
    log.append(4, np.array([2]), np.array([21]))
    log.append(3, np.array([5]), np.array([50]))
    tasks, attempt = np.array([2, 2, 5, 9, 9, 1]), np.array([3, 4, 3, 3, 4, 3])
    assert log.holds(tasks, attempt).tolist() == [True, True, True, True, False, False]
    assert log.wall(tasks[:4], attempt[:4]).tolist() == [20, 21, 50, 90]


def test_no_late_tries() -> None:
    log = LateLog()
    nothing = np.empty(0, dtype=np.int64)
    assert log.holds(np.array([1]), np.array([0])).tolist() == [False]
    assert len(log.wall(nothing, nothing)) == 0


def test_left_at_before_anything_has_left() -> None:
    assert SendLog().left_at(0) == float("-inf")
