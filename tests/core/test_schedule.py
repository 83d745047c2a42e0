"""The schedule under a simulated clock: who is asked when, and when it is over."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from scanner.core.hostpace import HostPace
from scanner.core.ledger import Ledger, Replies
from scanner.core.permutation import shard_size
from scanner.core.rules import Rank
from scanner.core.schedule import Schedule, Selection

NEVER = float("inf")
WALL = 10**18
"""The wall clock at second 0 of the steady one."""


def doubling(attempt: int) -> float:
    return 0.7 * (1 << attempt)


def wall_of(now: float) -> int:
    return WALL + round(now * 1e9)


@dataclass
class Run:
    """One run of a schedule against hosts that answer after a while, or never.

    probes: (task, attempt, seconds), in the order in which they left. ended: when there was nothing left.
    """

    schedule: Schedule
    ledger: Ledger
    probes: list[tuple[int, int, float]] = field(default_factory=list)
    ended: float = NEVER

    def tasks(self, attempt: int) -> list[int]:
        return [task for task, tried, _ in self.probes if tried == attempt]

    def time(self, task: int, attempt: int) -> float:
        [found] = [now for one, tried, now in self.probes if (one, tried) == (task, attempt)]
        return found


def answer(ledger: Ledger, tasks: list[int]) -> None:
    count = len(tasks)
    if not count:
        return
    nothing = np.zeros(count, dtype=np.int64)
    narrow = np.zeros(count, dtype=np.uint8)
    rank = np.full(count, Rank.OPEN, dtype=np.uint8)
    ledger.apply(
        Replies(np.array(tasks), rank, narrow, narrow, np.zeros(count, dtype=np.uint32), nothing, nothing)
    )


def run(
    tasks: int,
    *,
    attempts: int = 3,
    limit: int = 100,
    latency: Callable[[int, int], float] = lambda _task, _attempt: NEVER,
    accepted: Callable[[int, int], int] = lambda _turn, count: count,
    pause: float = 0.001,
    start: float = 50.0,
    way: tuple[int, int] = (0, 1),
    timeout: Callable[[int], float] = doubling,
) -> Run:
    """Drive a schedule to its end.

    latency: of the reply to try k of a task. accepted: how many packets the wire takes of a turn's.
    pause: how long a turn takes.
    """
    ledger = Ledger(tasks)
    done = Run(Schedule(ledger, 7, attempts, timeout, way), ledger)
    pending: list[tuple[float, int]] = []
    now, turn = start, 0
    while not done.schedule.finished(now):
        turn += 1
        assert turn < 20_000, "it never ends"
        selection = done.schedule.take(limit, now)
        if selection is None:
            due = done.schedule.due(now)
            # Nothing at hand at this very moment, but soon: what is due now may take another look to find.
            again = done.schedule.take(limit, now) if due <= now else None
            wake = min([due, *(moment for moment, _ in pending[:1])])
            if again is None:
                assert wake > now or done.schedule.due(now) != now, "waiting for nothing"
                now = max(now, wake) if wake < NEVER else now
        else:
            count = accepted(turn, len(selection))
            moment = now
            done.schedule.sent(selection, np.full(count, wall_of(moment), dtype=np.int64), moment)
            for task in selection.tasks[:count].tolist():
                done.probes.append((task, selection.attempt, moment))
                delay = latency(task, selection.attempt)
                if delay < NEVER:
                    heapq.heappush(pending, (moment + delay, task))
            now += pause
        heard = []
        while pending and pending[0][0] <= now:
            heard.append(heapq.heappop(pending)[1])
        if heard:
            answer(ledger, heard)
    done.ended = now
    return done


@pytest.mark.parametrize("limit", [1, 7, 5000])
@pytest.mark.parametrize("tasks", [1, 300, 2500])
def test_every_task_once_a_round(tasks: int, limit: int) -> None:
    done = run(tasks, limit=limit)
    for attempt in range(3):
        assert sorted(done.tasks(attempt)) == list(range(tasks))
    assert done.ledger.tries.tolist() == [3] * tasks
    assert done.schedule.progress == 1.0


def test_more_tasks_than_a_window() -> None:
    done = run(50_000, limit=5000, attempts=2, pause=0.1)
    assert sorted(done.tasks(0)) == sorted(done.tasks(1)) == list(range(50_000))
    assert done.tasks(0) == done.tasks(1), "the same order, so that all wait alike"
    assert done.tasks(0) != list(range(50_000))


def test_more_windows_than_a_call_looks_through() -> None:
    """A round in which next to all are answered: nothing at hand in one call is not the end."""
    tasks = 70 * (1 << 14)
    ledger = Ledger(tasks)
    schedule = Schedule(ledger, 7, 2, doubling)
    now = 0.0
    while (selection := schedule.take(1 << 18, now)) is not None and not selection.attempt:
        schedule.sent(selection, np.full(len(selection), WALL, dtype=np.int64), now)
        last = int(selection.tasks[-1])
    answer(ledger, [task for task in range(tasks) if task != last])
    asked = []
    now = 10.0
    for _ in range(5):
        assert not schedule.finished(now)
        selection = schedule.take(100, now)
        if selection is not None:
            asked += selection.tasks.tolist()
            schedule.sent(selection, np.full(len(selection), WALL, dtype=np.int64), now)
    assert asked == [last]
    assert schedule.due(now) == now + 1.4


def test_the_order_is_the_seeds() -> None:
    orders = []
    for seed in (1, 1, 2):
        selection = Schedule(Ledger(1000), seed, 1, doubling).take(1000, 0.0)
        assert selection is not None
        orders.append(selection.tasks.tolist())
    assert orders[0] == orders[1] != orders[2]


def test_only_the_unanswered_are_asked_again_and_not_before_their_time() -> None:
    done = run(4000, limit=64, latency=lambda task, attempt: 0.2 if task % 3 == attempt else NEVER)
    assert sorted(done.tasks(1)) == [task for task in range(4000) if task % 3 != 0]
    assert sorted(done.tasks(2)) == [task for task in range(4000) if task % 3 == 2]
    times = {(task, attempt): now for task, attempt, now in done.probes}
    for (task, attempt), now in times.items():
        if attempt:
            assert now >= times[task, attempt - 1] + doubling(attempt - 1) - 1e-5


def test_asked_again_as_soon_as_its_own_time_is_up() -> None:
    """The first does not wait until the last has been asked."""
    done = run(2000, limit=1, attempts=2, pause=0.001)
    first = done.tasks(0)[0]
    assert done.time(first, 1) - done.time(first, 0) < 2.0 + 0.01
    late = [done.time(task, 1) - done.time(task, 0) for task in done.tasks(1)]
    assert max(late) <= 2.0 + 0.01, "the round takes two seconds, the time-out 0.7"
    done = run(100, limit=10, attempts=2, pause=0.001)
    late = [done.time(task, 1) - done.time(task, 0) for task in done.tasks(1)]
    assert min(late) >= 0.7 - 1e-5
    assert max(late) <= 0.7 + 0.02


def test_it_ends_at_once_when_all_have_answered() -> None:
    done = run(1000, limit=100, latency=lambda _task, _attempt: 0.05)
    last = max(now for _, _, now in done.probes)
    assert done.ledger.unanswered == 0
    assert len(done.probes) == 1000
    assert done.ended == pytest.approx(last + 0.05)


def test_it_ends_after_the_last_time_out_otherwise() -> None:
    done = run(1000, limit=100, latency=lambda task, _attempt: 0.05 if task else NEVER)
    assert [attempt for task, attempt, _ in done.probes if not task] == [0, 1, 2]
    assert len(done.probes) == 1002
    assert done.ended == pytest.approx(done.time(0, 2) + doubling(2))


def test_a_late_reply_still_ends_it() -> None:
    done = run(1, attempts=2, latency=lambda _task, attempt: 1.2 if attempt == 0 else NEVER)
    assert len(done.probes) == 2, "asked again after 0.7 seconds"
    assert done.ended == pytest.approx(50 + 1.2)


def test_one_attempt() -> None:
    done = run(500, attempts=1)
    assert len(done.probes) == 500
    assert done.ended == pytest.approx(max(now for _, _, now in done.probes) + 0.7)


@given(
    st.integers(0, 60),
    st.integers(1, 4),
    st.integers(1, 30),
    st.lists(st.floats(0.0, 4.0) | st.just(NEVER), min_size=60, max_size=60),
    st.lists(st.integers(0, 30), min_size=1, max_size=20),
    st.sampled_from([0.0, 0.1, 1 / 3, 12345.678, 1.7e9 + 0.1]),
    st.sampled_from([0.0, 0.001, 0.3]),
)
@example(2, 4, 1, [1.0, 0.0] + [NEVER] * 58, [0], 0.0, 0.001)
@example(2, 4, 1, [1.0, 0.0] + [NEVER] * 58, [1, 0], 0.0, 0.3)
@example(3, 4, 1, [0.0, 0.0] + [NEVER] * 58, [0], 0.0, 0.001)
def test_any_world(
    tasks: int,
    attempts: int,
    limit: int,
    latencies: list[float],
    taken: list[int],
    start: float,
    pause: float,
) -> None:
    """Whatever answers whenever, and however little the wire takes: each asked as often as it should be."""
    done = run(
        tasks,
        attempts=attempts,
        limit=limit,
        latency=lambda task, _attempt: latencies[task],
        # In every third turn the wire takes all, so that it is not a world where nothing ever leaves.
        accepted=lambda turn, count: count if turn % 3 == 0 else min(count, taken[turn % len(taken)]),
        start=start,
        pause=pause,
    )
    times = {(task, attempt): now for task, attempt, now in done.probes}
    assert len(times) == len(done.probes), "no try twice"
    answered = {
        task: min(now + latencies[task] for (one, _), now in times.items() if one == task)
        for task in range(tasks)
    }
    for task in range(tasks):
        tries = int(done.ledger.tries[task])
        assert [attempt for one, attempt in sorted(times) if one == task] == list(range(tries))
        assert tries == attempts or answered[task] < NEVER
        for attempt in range(1, tries):
            assert times[task, attempt] >= times[task, attempt - 1] + doubling(attempt - 1) - 1e-5
            assert times[task, attempt] <= answered[task] + pause + 1e-5
    if times:
        last = max(times.values())
        over = max(last + doubling(attempts - 1), last + pause)
        assert done.ended <= over + 1e-5
    sent = np.array([list(key) for key in times], dtype=np.int64).reshape(-1, 2)
    found = done.schedule.sent_at(sent[:, 0], sent[:, 1])
    assert found.tolist() == [wall_of(now) for now in times.values()]


def test_what_the_wire_did_not_take_comes_again() -> None:
    ledger = Ledger(100)
    schedule = Schedule(ledger, 7, 1, doubling)
    first = schedule.take(50, 0.0)
    assert first is not None
    schedule.sent(first, np.full(20, WALL, dtype=np.int64), 0.0)
    assert ledger.tries.sum() == 20
    assert sorted(np.flatnonzero(ledger.tries).tolist()) == sorted(first.tasks[:20].tolist())
    second = schedule.take(50, 0.0)
    assert second is not None
    assert second.tasks[:30].tolist() == first.tasks[20:].tolist()
    schedule.sent(second, np.empty(0, dtype=np.int64), 0.0)
    third = schedule.take(50, 0.0)
    assert third is not None
    assert third.tasks.tolist() == second.tasks.tolist()
    assert ledger.tries.sum() == 20


def test_a_selection_is_not_asked_before_it_is_said_to_have_left() -> None:
    schedule = Schedule(Ledger(10), 7, 1, doubling)
    one, two = schedule.take(10, 0.0), schedule.take(10, 0.0)
    assert one is not None
    assert two is not None
    assert one.tasks.tolist() == two.tasks.tolist()


@pytest.mark.parametrize("limit", [0, -5])
def test_no_room_no_tasks(limit: int) -> None:
    assert Schedule(Ledger(10), 7, 1, doubling).take(limit, 0.0) is None


@pytest.mark.parametrize("ways", [1, 2, 3, 7, 50])
def test_ways_ask_every_task_once_between_them(ways: int) -> None:
    tasks, every = 40, []
    for way in range(ways):
        done = run(tasks, attempts=2, limit=7, way=(way, ways))
        assert done.tasks(0) == done.tasks(1)
        every += done.tasks(0)
        if done.probes:
            sent = np.array(done.tasks(1), dtype=np.int64)
            found = done.schedule.sent_at(sent, np.ones(len(sent), dtype=np.int64))
            assert found.tolist() == [wall_of(done.time(task, 1)) for task in sent.tolist()]
    assert sorted(every) == list(range(tasks))


def test_a_way_whose_own_tasks_are_answered_asks_no_more() -> None:
    done = run(40, way=(1, 3), latency=lambda _task, _attempt: 0.01)
    assert len(done.probes) == shard_size(40, 1, 3)
    assert done.ledger.unanswered > 0
    assert done.ended == pytest.approx(50 + 0.7), "when all of them would be asked again"


def test_nothing_to_do() -> None:
    schedule = Schedule(Ledger(0), 7, 3, doubling)
    assert schedule.finished(0.0)
    assert schedule.due(0.0) == NEVER
    assert schedule.take(10, 0.0) is None
    assert schedule.progress == 1.0


def test_progress_grows_from_nothing_to_all() -> None:
    ledger = Ledger(100)
    schedule = Schedule(ledger, 7, 2, doubling)
    seen = [schedule.progress]
    now = 0.0
    while not schedule.finished(now):
        selection = schedule.take(30, now)
        if selection is not None:
            schedule.sent(selection, np.full(len(selection), WALL, dtype=np.int64), now)
        now += 0.1
        seen.append(schedule.progress)
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0.0, 1.0)


def test_a_time_out_is_asked_anew_whenever_it_matters() -> None:
    """What is learnt of the path while a probe is under way changes how long it is waited for."""
    timeout = [5.0]
    schedule = Schedule(Ledger(1), 7, 2, lambda _attempt: timeout[0])
    selection = schedule.take(1, 0.0)
    assert selection is not None
    schedule.sent(selection, np.array([WALL]), 0.0)
    assert schedule.take(1, 1.0) is None
    assert schedule.due(1.0) == 5.0
    timeout[0] = 0.5
    assert schedule.due(1.0) == 1.0
    again = schedule.take(1, 1.0)
    assert again is not None
    assert again.attempt == 1


def test_sent_at_of_nothing() -> None:
    nothing: NDArray[np.int64] = np.empty(0, dtype=np.int64)
    assert len(Schedule(Ledger(10), 7, 1, doubling).sent_at(nothing, nothing)) == 0
    assert len(Selection(0, nothing, nothing)) == 0


def test_another_round_where_it_is_worth_it() -> None:
    """Asked only when the rounds that were promised are over; each time anew."""
    ledger = Ledger(10)
    asked: list[int] = []

    def another(rounds: int) -> bool:
        asked.append(rounds)
        return rounds < 4

    schedule = Schedule(ledger, 7, 2, lambda _attempt: 1.0, another=another)
    now, rounds = 0.0, []
    while not schedule.finished(now):
        selection = schedule.take(100, now)
        if selection is None:
            now = max(schedule.due(now), now + 0.001)
            continue
        rounds.append((selection.attempt, now, len(selection)))
        schedule.sent(selection, np.full(len(selection), int(now * 1e9)), now)
    assert [(attempt, count) for attempt, _, count in rounds] == [(0, 10), (1, 10), (2, 10), (3, 10)]
    assert [left for _, left, _ in rounds] == pytest.approx([0, 1, 2, 3], abs=0.01)
    assert now == pytest.approx(4, abs=0.01), "the last round is waited for too"
    assert set(asked) == {2, 3, 4}
    assert (ledger.tries == 4).all()


def test_rounds_overlap() -> None:
    """A second try is due a time-out after the first, though the first round is not over."""
    done = run(3000, limit=1, attempts=3, pause=0.001)
    first = done.tasks(0)[0]
    begins = [done.time(first, attempt) for attempt in range(3)]
    last = done.time(done.tasks(0)[-1], 0)
    assert begins[1] - begins[0] == pytest.approx(0.7, abs=0.01)
    assert begins[2] - begins[1] == pytest.approx(1.4, abs=0.01)
    assert begins[2] < last
    for attempt in range(3):
        assert sorted(done.tasks(attempt)) == list(range(3000))


def test_who_has_waited_for_another_try_comes_first() -> None:
    schedule = Schedule(Ledger(100_000), 7, 2, doubling)
    taken = []
    for now in (0.0, 1.0, 1.1):
        selection = schedule.take(500, now)
        assert selection is not None
        taken.append(selection)
        schedule.sent(selection, np.full(len(selection), wall_of(now)), now)
    assert [selection.attempt for selection in taken] == [0, 1, 0]
    assert taken[0].tasks.tolist() == taken[1].tasks.tolist()


def test_up_to_when_all_have_been_asked_again() -> None:
    ledger = Ledger(200)
    schedule = Schedule(ledger, 7, 2, lambda _attempt: 1.0)
    assert schedule.asked_again(0) == float("-inf")
    for now in (0.0, 0.5):
        selection = schedule.take(100, now)
        assert selection is not None
        schedule.sent(selection, np.full(100, wall_of(now)), now)
    assert schedule.asked_again(0) == 0.0, "nobody was asked before"
    again = schedule.take(50, 1.2)
    assert again is not None
    schedule.sent(again, np.full(50, wall_of(1.2)), 1.2)
    assert schedule.asked_again(0) == 0.0, "half of those asked then still wait"
    rest = schedule.take(50, 1.2)
    assert rest is not None
    schedule.sent(rest, np.full(50, wall_of(1.2)), 1.2)
    assert schedule.asked_again(0) == 0.5
    last = schedule.take(100, 1.6)
    assert last is not None
    schedule.sent(last, np.full(100, wall_of(1.6)), 1.6)
    assert schedule.asked_again(0) == NEVER
    assert schedule.asked_again(1) == float("-inf"), "nobody is asked a third time"
    assert schedule.asked_again(9) == float("-inf")
    answer(ledger, list(range(200)))
    assert schedule.asked_again(1) == NEVER


def test_probes_to_one_address_keep_their_distance() -> None:
    """Two hosts and fifty ports: one answers at once, the other is all that is left to be asked again."""
    ledger = Ledger(2 * 50)
    schedule = Schedule(ledger, 7, 2, lambda _attempt: 0.1, ports=50, hosts=HostPace(2, 100.0))
    sent: list[tuple[float, int]] = []
    now = 0.0
    while not schedule.finished(now):
        selection = schedule.take(1000, now)
        if selection is None:
            now = max(schedule.due(now), now + 1e-6)
            continue
        schedule.sent(selection, np.full(len(selection), wall_of(now)), now)
        sent += [(now, host) for host in (selection.tasks // 50).tolist()]
        answer(ledger, [task for task in selection.tasks.tolist() if task < 50])
    for host, count in ((0, 50), (1, 100)):
        times = [moment for moment, one in sent if one == host]
        assert len(times) == count
        for begin in range(count):
            for end in range(begin, count):
                assert end - begin + 1 <= 100.0 * (times[end] - times[begin]) + 2 + 1e-3
    assert now < 1.3, "no slower than the busier host"


def test_many_hosts_at_a_low_limit_are_as_fast_as_it_allows() -> None:
    ledger = Ledger(200 * 10)
    schedule = Schedule(ledger, 7, 1, lambda _attempt: 0.1, ports=10, hosts=HostPace(200, 5.0))
    now = 0.0
    while not schedule.finished(now):
        selection = schedule.take(1000, now)
        if selection is None:
            now = max(schedule.due(now), now + 1e-6)
            continue
        schedule.sent(selection, np.full(len(selection), wall_of(now)), now)
    assert now == pytest.approx(9 / 5 + 0.1, abs=0.02)


def test_what_comes_up_is_what_is_asked_next():
    schedule = Schedule(Ledger(100), 7, 2, doubling)
    first = schedule.take(30, 50.0)
    assert first is not None
    upcoming = schedule.upcoming(30, first)
    assert upcoming is not None
    schedule.sent(first, np.full(30, WALL, dtype=np.int64), 50.0)
    again = schedule.upcoming(30, None)
    second = schedule.take(30, 50.0)
    assert second is not None
    assert again is not None
    assert upcoming.attempt == second.attempt == 0
    assert upcoming.tasks.tolist() == again.tasks.tolist() == second.tasks.tolist()
    assert upcoming.positions.tolist() == second.positions.tolist()
    everything = schedule.take(100, 50.0)
    assert everything is not None
    assert schedule.upcoming(30, everything) is None


def test_the_last_try_has_a_wait_of_its_own():
    ledger = Ledger(10)
    schedule = Schedule(ledger, 7, 2, doubling, patience=lambda _attempt: 0.3)
    for now in (0.0, 0.7):
        selection = schedule.take(10, now)
        assert selection is not None
        schedule.sent(selection, np.full(10, WALL, dtype=np.int64), now)
    assert schedule.due(0.7) == pytest.approx(1.0)
    assert schedule.finished(1.0)


def test_stragglers_may_be_left_until_all_have_been_asked():
    ledger = Ledger(10_000)
    schedule = Schedule(ledger, 7, 2, lambda _attempt: 1.0)
    silent = []
    for now in (0.0, 2.0):
        selection = schedule.take(5000, now, first=True)
        assert selection is not None
        assert selection.attempt == 0
        schedule.sent(selection, np.full(5000, WALL, dtype=np.int64), now)
        answer(ledger, selection.tasks[:4700].tolist())
        silent += selection.tasks[4700:].tolist()
    again = schedule.take(5000, 2.0, first=True)
    assert again is not None
    assert (again.attempt, again.tasks.tolist()) == (1, silent[:300]), "the others have not waited yet"
    answer(ledger, again.tasks[:200].tolist())
    fewer = schedule.take(5000, 2.0)
    assert fewer is not None
    assert fewer.tasks.tolist() == silent[200:300], "who has answered meanwhile is left alone"
    schedule.sent(fewer, np.full(100, WALL, dtype=np.int64), 2.0)
    rest = schedule.take(5000, 3.1, first=True)
    assert rest is not None
    assert rest.tasks.tolist() == silent[300:]


def test_stragglers_are_asked_where_nobody_else_is_left():
    ledger = Ledger(100)
    schedule = Schedule(ledger, 7, 2, lambda _attempt: 1.0)
    first = schedule.take(100, 0.0)
    assert first is not None
    schedule.sent(first, np.full(100, WALL, dtype=np.int64), 0.0)
    again = schedule.take(100, 2.0, first=True)
    assert again is not None
    assert (again.attempt, len(again)) == (1, 100)


@given(
    st.integers(1, 3), st.integers(1, 400), st.integers(0, 2**32), st.floats(0.0, 1.0), st.integers(1, 150)
)
def test_few_who_are_silent_are_asked_in_the_order_of_all(
    ways: int, tasks: int, seed: int, share: float, limit: int
) -> None:
    """Looked for or passed by, they are the same."""
    silent = np.random.default_rng(seed).random(tasks) < share / 8
    asked: list[int] = []
    ledger = Ledger(tasks)
    schedules = [Schedule(ledger, seed, 3, lambda _attempt: 1.0, (way, ways)) for way in range(ways)]
    orders: list[list[int]] = []
    for schedule in schedules:
        order: list[int] = []
        while (selection := schedule.take(limit, 0.0, first=True)) is not None:
            order += selection.tasks.tolist()
            schedule.sent(selection, np.full(len(selection), WALL, dtype=np.int64), 0.0)
        orders.append(order)
    answer(ledger, np.flatnonzero(~silent).tolist())
    for now in (1.5, 3.0):
        for schedule, order in zip(schedules, orders, strict=True):
            again: list[int] = []
            while (selection := schedule.take(limit, now)) is not None:
                again += selection.tasks.tolist()
                schedule.sent(selection, np.full(len(selection), WALL, dtype=np.int64), now)
            assert again == [task for task in order if silent[task]]
            asked += again
    assert sorted(asked) == sorted(2 * np.flatnonzero(silent).tolist())
