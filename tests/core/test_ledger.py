"""Which of several replies wins: any order gives the same states."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.core import ledger as module
from scanner.core.ledger import Ledger, Replies
from scanner.core.rules import Rank

TASKS = 6

# Task, rank, time; reason and responder are made to tell which reply it was.
Reply = tuple[int, int, int]
replies = st.tuples(st.integers(0, TASKS - 1), st.sampled_from([1, 2, 3]), st.integers(0, 5))


def as_replies(rows: list[Reply], first: int = 0) -> Replies:
    numbers = np.arange(first, first + len(rows))
    return Replies(
        task=np.array([task for task, _, _ in rows], dtype=np.int64),
        rank=np.array([rank for _, rank, _ in rows], dtype=np.uint8),
        reason=numbers.astype(np.uint8),
        ttl=(100 + numbers).astype(np.uint8),
        responder=(1000 + numbers).astype(np.uint32),
        times=np.array([time for _, _, time in rows], dtype=np.int64),
        rtt=2000 + numbers,
    )


RUNS = pytest.mark.parametrize("run", [1, 3, 1 << 17], ids=["each alone", "a few", "all together"])


@contextmanager
def runs_of(replies: int) -> Iterator[None]:
    """Ledgers put so many replies in order together."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_RUN", replies)
        yield


def told(ledger: Ledger, tasks: Sequence[int] | None = None) -> tuple[Replies, Replies]:
    """The deciding replies of some tasks, and the superseded; in order of task, else as they are given."""
    asked = range(len(ledger.state)) if tasks is None else tasks
    deciding, superseded = ledger.replies_of(np.array(asked, dtype=np.int64))
    return in_order(deciding), in_order(superseded)


def in_order(some: Replies) -> Replies:
    return some.take(np.argsort(some.task, kind="stable"))


def decided(ledger: Ledger) -> dict[int, tuple[int, int, int]]:
    """Rank, time and number of the deciding reply of each task."""
    held, _ = told(ledger)
    assert held.task.tolist() == sorted(set(held.task.tolist())), "each once"
    for name, offset in (("ttl", 100), ("responder", 1000), ("rtt", 2000)):
        assert (getattr(held, name).astype(int) == held.reason.astype(int) + offset).all(), (
            "all columns are of one reply"
        )
    return {
        task: (rank, time, number)
        for task, rank, time, number in zip(
            held.task.tolist(), held.rank.tolist(), held.times.tolist(), held.reason.tolist(), strict=True
        )
    }


@RUNS
@given(rows=st.lists(replies, max_size=20), cuts=st.lists(st.integers(0, 20)))
def test_against_a_plain_reading(run: int, rows: list[Reply], cuts: list[int]) -> None:
    """However the replies are parted: the first of the highest rank decides."""
    with runs_of(run):
        against_a_plain_reading(rows, cuts)


def against_a_plain_reading(rows: list[Reply], cuts: list[int]) -> None:
    ledger = Ledger(TASKS)
    state: dict[int, tuple[int, int, int]] = {}
    bounds = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
    for begin, end in itertools.pairwise(bounds):
        part = rows[begin:end]
        before = dict(state)
        for number, (task, rank, time) in sorted(enumerate(part, begin), key=lambda item: item[1][2]):
            if rank > state.get(task, (0,))[0]:
                state[task] = rank, time, number
        changed = ledger.apply(as_replies(part, begin))
        assert changed.task.tolist() == sorted(task for task in state if state[task] != before.get(task))
        assert changed.reason.tolist() == [state[task][2] for task in changed.task.tolist()]
        assert ledger.unanswered == TASKS - len(state)
        assert ledger.state.tolist() == [state.get(task, (0,))[0] for task in range(TASKS)]
    assert decided(ledger) == state


@given(st.lists(replies, max_size=20), st.randoms(use_true_random=False))
def test_any_order_gives_the_same_states(rows: list[Reply], drawn: random.Random) -> None:
    shuffled = list(rows)
    drawn.shuffle(shuffled)
    together, one_by_one, backwards = Ledger(TASKS), Ledger(TASKS), Ledger(TASKS)
    together.apply(as_replies(rows))
    backwards.apply(as_replies(rows[::-1]))
    for row in shuffled:
        one_by_one.apply(as_replies([row]))
    assert together.state.tolist() == one_by_one.state.tolist() == backwards.state.tolist()
    assert together.unanswered == one_by_one.unanswered == backwards.unanswered
    ranked = {task: decision[:2] for task, decision in decided(together).items()}
    assert {task: decision[:2] for task, decision in decided(backwards).items()} == ranked


@pytest.mark.parametrize(
    ("ranks", "final"),
    [
        ([Rank.OPEN, Rank.CLOSED, Rank.FILTERED], Rank.OPEN),
        ([Rank.FILTERED, Rank.OPEN], Rank.OPEN),
        ([Rank.FILTERED, Rank.CLOSED], Rank.CLOSED),
        ([Rank.CLOSED, Rank.FILTERED], Rank.CLOSED),
        ([Rank.CLOSED, Rank.OPEN], Rank.OPEN),
        ([Rank.FILTERED, Rank.FILTERED], Rank.FILTERED),
    ],
)
def test_conflicts(ranks: list[Rank], final: Rank) -> None:
    """Open never changes, closed never becomes filtered, filtered may become either."""
    ledger = Ledger(1)
    for time, rank in enumerate(ranks):
        ledger.apply(as_replies([(0, rank, time)], time))
    assert ledger.state.tolist() == [final]
    assert decided(ledger) == {0: (final, ranks.index(final), ranks.index(final))}
    assert ledger.unanswered == 0


def test_of_equals_the_earliest_within_one_call_decides() -> None:
    ledger = Ledger(1)
    changed = ledger.apply(as_replies([(0, 1, 0), (0, 3, 9), (0, 3, 4), (0, 2, 1), (0, 3, 7)]))
    assert changed.reason.tolist() == [2]
    assert decided(ledger) == {0: (3, 4, 2)}
    assert len(ledger.apply(as_replies([(0, 3, 1)], 5)).task) == 0, "and stands"
    assert decided(ledger) == {0: (3, 4, 2)}


def stairs(ledger: Ledger) -> list[tuple[int, int, int]]:
    """Task, rank and number of what was superseded, in order of task, and then as the ledger orders it."""
    _, below = told(ledger)
    for name, offset in (("ttl", 100), ("responder", 1000), ("rtt", 2000)):
        assert (getattr(below, name).astype(int) == below.reason.astype(int) + offset).all()
    return list(zip(below.task.tolist(), below.rank.tolist(), below.reason.tolist(), strict=True))


@RUNS
@given(rows=st.lists(replies, max_size=20), cuts=st.lists(st.integers(0, 20)))
def test_what_was_superseded_does_not_depend_on_how_replies_come_in_batches(
    run: int, rows: list[Reply], cuts: list[int]
) -> None:
    with runs_of(run):
        every_step_is_kept(rows, cuts)


def every_step_is_kept(rows: list[Reply], cuts: list[int]) -> None:
    """Every reply that said more than all before it is kept; the last of them decides."""
    rows = sorted(rows, key=lambda row: row[2])
    expected: dict[int, list[tuple[int, int]]] = {}
    for number, (task, rank, _) in enumerate(rows):
        steps = expected.setdefault(task, [])
        if rank > max((below for below, _ in steps), default=0):
            steps.append((rank, number))
    together, parted, asked = Ledger(TASKS), Ledger(TASKS), Ledger(TASKS)
    together.apply(as_replies(rows))
    bounds = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
    for begin, end in itertools.pairwise(bounds):
        for ledger in (parted, asked):
            ledger.apply(as_replies(rows[begin:end], begin))
        asked.replies_of(np.arange(TASKS))
    for ledger in (together, parted, asked):
        assert stairs(ledger) == [(task, *step) for task in sorted(expected) for step in expected[task][:-1]]
        assert {task: (rank, number) for task, (rank, _, number) in decided(ledger).items()} == {
            task: steps[-1] for task, steps in expected.items()
        }


def test_a_refusal_before_an_accept_is_kept() -> None:
    ledger = Ledger(2)
    changed = ledger.apply(as_replies([(1, Rank.OPEN, 9), (1, Rank.FILTERED, 1), (1, Rank.CLOSED, 5)]))
    assert changed.reason.tolist() == [0], "one reply decides"
    assert stairs(ledger) == [(1, Rank.FILTERED, 1), (1, Rank.CLOSED, 2)]


def test_a_refusal_after_an_accept_is_not() -> None:
    ledger = Ledger(1)
    ledger.apply(as_replies([(0, Rank.CLOSED, 9), (0, Rank.OPEN, 1)]))
    ledger.apply(as_replies([(0, Rank.FILTERED, 10)], 2))
    assert stairs(ledger) == []


def test_nothing_known() -> None:
    ledger = Ledger(3)
    assert ledger.state.dtype == ledger.tries.dtype == np.uint8
    assert ledger.unanswered == 3
    assert [len(some) for some in (*told(ledger), *told(ledger, []))] == [0] * 4
    assert len(ledger.apply(as_replies([])).task) == 0
    held, _ = told(ledger)
    assert {field.name: getattr(held, field.name).dtype.name for field in fields(Replies)} == {
        "task": "int64",
        "rank": "uint8",
        "reason": "uint8",
        "ttl": "uint8",
        "responder": "uint32",
        "times": "int64",
        "rtt": "int64",
    }


def test_tries_are_counted() -> None:
    ledger = Ledger(5)
    ledger.count_try(np.array([0, 3]))
    ledger.count_try(np.array([3]))
    ledger.count_try(np.array([], dtype=np.int64))
    assert ledger.tries.tolist() == [1, 0, 0, 2, 0]


@RUNS
@given(rows=st.lists(replies, max_size=12), asked=st.sets(st.integers(0, TASKS - 1)))
def test_decisions_of_some_tasks(run: int, rows: list[Reply], asked: set[int]) -> None:
    ledger = Ledger(TASKS)
    with runs_of(run):
        for number, row in enumerate(rows):
            ledger.apply(as_replies([row], number))
    for some, whole in zip(told(ledger, sorted(asked)), told(ledger), strict=True):
        assert same(some, whole.take(np.isin(whole.task, list(asked))))


def same(some: Replies, others: Replies) -> bool:
    return all(
        getattr(some, field.name).tolist() == getattr(others, field.name).tolist()
        for field in fields(Replies)
    )


def test_decisions_stay_true_when_more_is_learnt() -> None:
    ledger = Ledger(2)
    ledger.apply(as_replies([(0, 1, 0)]))
    assert decided(ledger) == {0: (1, 0, 0)}
    ledger.apply(as_replies([(1, 2, 1), (0, 3, 2)], 1))
    assert decided(ledger) == {0: (3, 2, 2), 1: (2, 1, 1)}
    ledger.apply(as_replies([(0, 2, 9)], 3))
    assert decided(ledger) == {0: (3, 2, 2), 1: (2, 1, 1)}
