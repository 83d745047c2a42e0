"""Silent ports under a limit on ICMP errors: all are found closed, in the time that takes, and no more."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from scanner.core.ledger import Ledger, Replies
from scanner.core.rules import Rank
from scanner.core.schedule import Schedule
from scanner.core.stragglers import (
    MOST_PASSES,
    MOST_SILENT,
    PACE,
    QUIET_PASSES,
    Stragglers,
    StragglerSchedule,
)

WALL = 10**18


def answer(ledger: Ledger, tasks: list[int], rank: Rank = Rank.CLOSED) -> None:
    count = len(tasks)
    if not count:
        return
    wide, narrow = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.uint8)
    ledger.apply(Replies(np.array(tasks), narrow + rank, narrow, narrow, wide.astype(np.uint32), wide, wide))


def lane(hosts: int, ports: int, closed: list[int] = [], *, attempts: int = 1) -> tuple[Ledger, Schedule]:  # noqa: B006
    """A lane whose rounds are over; some of its tasks have been called closed."""
    ledger = Ledger(hosts * ports)
    schedule = Schedule(ledger, 1, attempts, lambda _attempt: 0.0, ports=ports)
    now = 0.0
    while (selection := schedule.take(10**6, now)) is not None:
        schedule.sent(selection, np.full(len(selection), WALL + selection.attempt, dtype=np.int64), now)
        now += 1.0
    answer(ledger, closed)
    return ledger, schedule


@dataclass
class Host:
    """Answers for its closed ports, one error a second at most."""

    closed: set[int]
    limit: float = 1.0
    said: float = -1e9
    asked: list[tuple[float, int]] = field(default_factory=list)

    def ask(self, task: int, now: float) -> bool:
        self.asked.append((now, task))
        if task not in self.closed or now < self.said + self.limit:
            return False
        self.said = now
        return True


def run(
    lanes: list[tuple[Ledger, Schedule]], ports: list[int], hosts: list[list[Host]], start: float = 100.0
) -> float:
    """Ask the stragglers; `hosts[lane][address]` answer at once. Gives the seconds it took."""
    stragglers = Stragglers([ledger for ledger, _ in lanes], ports, 3, lambda: 0.1)
    schedules = [
        StragglerSchedule(schedule, ledger, stragglers, number)
        for number, (ledger, schedule) in enumerate(lanes)
    ]
    now, turns = start, 0
    while not all(schedule.finished(now) for schedule in schedules):
        turns += 1
        assert turns < 10_000
        for number, schedule in enumerate(schedules):
            while (selection := schedule.take(7, now)) is not None:
                assert (lanes[number][0].tries[selection.tasks] == selection.attempt).all()
                schedule.sent(selection, np.full(len(selection), WALL + int(now * 1e9)), now)
                for task in selection.tasks.tolist():
                    if hosts[number][task // ports[number]].ask(task, now):
                        answer(lanes[number][0], [task])
        now = max(now + 1e-3, schedules[0].due(now) if schedules[0].due(now) < 1e9 else now)
    return now - start


def test_every_closed_port_is_found_in_about_a_second_each() -> None:
    ledger, schedule = lane(1, 20, closed=list(range(6)))
    host = Host(set(range(20)))
    took = run([(ledger, schedule)], [20], [[host]])
    assert (ledger.state == Rank.CLOSED).all()
    assert len(host.asked) == 14
    assert took == pytest.approx(14 * PACE, abs=0.05)
    times = [moment for moment, _ in host.asked]
    assert min(np.diff(times)) >= PACE - 1e-6


def test_hosts_are_asked_side_by_side() -> None:
    ledger, schedule = lane(500, 3, closed=list(range(0, 1500, 3)))
    hosts = [Host(set(range(1500))) for _ in range(500)]
    took = run([(ledger, schedule)], [3], [hosts])
    assert (ledger.state == Rank.CLOSED).all()
    assert took < 3 * PACE + 0.2
    times = np.array(sorted(host.asked[0][0] for host in hosts))
    assert (np.diff(times) > 0.0005).all(), "and not all at once"


def test_hosts_that_called_nothing_closed_are_left_alone() -> None:
    ledger, _ = lane(10, 4)
    answer(ledger, [5], Rank.OPEN)
    stragglers = Stragglers([ledger], [4], 3, lambda: 0.1)
    assert len(stragglers) == 0
    assert stragglers.due(5.0) == float("inf")
    assert stragglers.take(0, 100, 5.0) is None


def test_what_stays_silent_is_asked_once_and_again_only_if_something_was_learnt() -> None:
    ledger, schedule = lane(1, 10, closed=[0])
    host = Host({0})
    assert run([(ledger, schedule)], [10], [[host]]) == pytest.approx(9 * PACE, abs=0.05)
    assert sorted(task for _, task in host.asked) == list(range(1, 10))

    ledger, schedule = lane(1, 10, closed=[0])
    host = Host({0, 1})
    run([(ledger, schedule)], [10], [[host]])
    asked = [task for _, task in host.asked]
    assert len(asked) - asked.index(1) - 1 == MOST_SILENT
    assert ledger.unanswered == 8

    ledger, schedule = lane(1, 4, closed=[0])
    host = Host({0, 1})
    run([(ledger, schedule)], [4], [[host]])
    asked = [task for _, task in host.asked]
    assert asked.count(2) == asked.count(3) == 1 + QUIET_PASSES


def test_a_firewall_that_drops_is_not_waited_for_for_ever() -> None:
    ledger, schedule = lane(1, 5000, closed=[0])
    host = Host({0})
    took = run([(ledger, schedule)], [5000], [[host]])
    assert len(host.asked) == MOST_SILENT
    assert took < (MOST_SILENT + 1) * PACE


def test_a_slower_limit_takes_more_passes_but_not_more_than_there_may_be() -> None:
    ledger, schedule = lane(1, 12, closed=[0])
    host = Host(set(range(12)), limit=2.5)
    run([(ledger, schedule)], [12], [[host]])
    assert (ledger.state == Rank.CLOSED).all()
    assert int(ledger.tries.max()) <= 1 + MOST_PASSES


def test_lanes_share_their_hosts() -> None:
    """Ports that want payloads of their own are lanes of their own, and the host's limit is one for all."""
    many, single = lane(2, 5, closed=[0, 5]), lane(2, 1)
    shared = [Host(set()), Host(set())]
    times: list[list[float]] = [[], []]

    class Both(Host):
        def __init__(self, number: int) -> None:
            super().__init__(set())
            self.number = number

        def ask(self, task: int, now: float) -> bool:
            times[self.number].append(now)
            host = shared[self.number]
            host.closed = {task}
            return host.ask(task, now)

    hosts: list[list[Host]] = [[Both(0), Both(1)], [Both(0), Both(1)]]
    run([many, single], [5, 1], hosts)
    assert (many[0].state == Rank.CLOSED).all()
    assert (single[0].state == Rank.CLOSED).all()
    assert [len(each) for each in times] == [5, 5]
    assert all(min(np.diff(each)) >= PACE - 1e-6 for each in times)


def test_every_try_knows_when_it_left() -> None:
    ledger, schedule = lane(1, 3, closed=[0], attempts=2)
    stragglers = Stragglers([ledger], [3], 3, lambda: 0.1)
    late = StragglerSchedule(schedule, ledger, stragglers, 0)
    selection = late.take(10, 50.0)
    assert selection is not None
    assert (len(selection), selection.attempt) == (1, 2)
    late.sent(selection, np.array([WALL + 777]), 50.0)
    task = np.repeat(selection.tasks, 3)
    assert (late.sent_at(task, np.array([0, 1, 2])) - WALL).tolist() == [0, 1, 777]
    assert late.take(10, 50.5) is None
    assert late.due(50.5) == pytest.approx(50.0 + PACE)
    assert late.attempts == 2
    assert late.asked_again(0) == float("inf")
    assert 0 < late.progress < 1


def test_what_the_wire_did_not_take_comes_again() -> None:
    ledger, schedule = lane(3, 2, closed=[0, 2, 4])
    stragglers = Stragglers([ledger], [2], 3, lambda: 0.1)
    late = StragglerSchedule(schedule, ledger, stragglers, 0)
    assert len(late.take(3, 1.0) or ()) == 1, "they begin a little apart"
    first = late.take(3, 1.1)
    assert first is not None
    assert len(first) == 3
    late.sent(first, np.array([WALL]), 1.1)
    second = late.take(3, 1.1)
    assert second is not None
    assert second.tasks.tolist() == first.tasks[1:].tolist()


def test_a_port_that_answers_late_is_not_asked() -> None:
    ledger, schedule = lane(1, 2, closed=[0])
    stragglers = Stragglers([ledger], [2], 3, lambda: 0.1)
    answer(ledger, [1])
    late = StragglerSchedule(schedule, ledger, stragglers, 0)
    assert late.take(10, 1.0) is None
    assert late.finished(1.0)
