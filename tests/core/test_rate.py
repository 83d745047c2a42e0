"""The rate under a simulated link: a lane's schedule sends, a link of some capacity carries, hosts answer."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

import numpy as np
import pytest

from scanner.core.ledger import Ledger, Replies
from scanner.core.loss import Loss, most_tries
from scanner.core.pacing import TokenBucket
from scanner.core.rate import JUDGED_TRIES, LEAST_RATE, START_RATE, Counters, RateController
from scanner.core.rtt import RoundTrip
from scanner.core.rules import Rank
from scanner.core.schedule import Schedule, Selection

NS = 10**9
NEVER = float("inf")
WALL = 10**18
QUEUE = 0.02
"""Seconds that a packet may wait at the bottleneck."""


@dataclass
class Link:
    """A road. capacity: packets a second. loss: each way. rtt: seconds. machine: packets it can send."""

    capacity: float = float("inf")
    loss: float = 0.0
    rtt: float = 0.02
    machine: float = 400_000.0
    free: float = 0.0
    chance: np.random.Generator = field(default_factory=lambda: np.random.default_rng(1))

    def carry(self, count: int, now: float) -> np.ndarray:
        """When the reply to each of some packets is here; infinity where one of the two is lost."""
        arrived = np.full(count, now + self.rtt)
        lost = self.chance.random((2, count)) < self.loss
        if np.isfinite(self.capacity):
            self.free = max(self.free, now)
            room = int(max(0.0, (QUEUE - (self.free - now)) * self.capacity))
            # Those that find the queue full are not the first but any of a burst.
            kept = self.chance.permutation(count)[:room]
            dropped = np.ones(count, dtype=bool)
            dropped[kept] = False
            self.free += len(kept) / self.capacity
            arrived += self.free - now
            lost |= dropped
        arrived[lost.any(axis=0)] = np.inf
        return arrived


@dataclass
class Swept:
    """How a simulated sweep went. rates: (second, rate), in every turn."""

    controller: RateController
    seconds: float
    found: float
    probes: int
    rates: list[tuple[float, float]]

    def at(self, second: float) -> float:
        return [rate for moment, rate in self.rates if moment <= second][-1]


class Simulation:
    """A sweep of hosts of which a share answers, through a link."""

    def __init__(self, link: Link, controller: RateController, *, there: np.ndarray, attempts: int) -> None:
        self.link, self.controller, self.there = link, controller, there
        self.ledger, self.trip, self.loss = Ledger(len(there)), RoundTrip(1.0), Loss()
        most = most_tries(attempts)
        self.schedule = Schedule(
            self.ledger,
            1,
            attempts,
            self.trip.timeout,
            another=lambda done: done < most and self.loss.missing(done) > 0.01,
        )
        self.bucket = TokenBucket(controller.rate)
        self.pending: list[tuple[float, int, np.ndarray, int]] = []
        self.now, self.probes, self.received = 0.0, 0, 0

    @property
    def wall(self) -> int:
        return WALL + round(self.now * NS)

    def turn(self) -> None:
        """Send what may be sent, or wait; then hear what has come."""
        if self.controller.due(self.now):
            asked_again = [self.schedule.asked_again(attempt) for attempt in range(JUDGED_TRIES)]
            self.controller.look(self.now, self.wall, Counters(self.received), asked_again)
            self.bucket.change(self.controller.rate, self.now)
        selection = self.schedule.take(min(4096, self.bucket.available(self.now)), self.now)
        if selection is None:
            due = self.schedule.due(self.now)
            due = due if due > self.now else self.bucket.due(self.now)
            arrival = self.pending[0][0] if self.pending else NEVER
            self.now = max(self.now, min(max(due, self.now + 1e-4), self.now + 0.1, arrival))
        else:
            self.send(selection)
        while self.pending and self.pending[0][0] <= self.now:
            _, _, tasks, attempt = heapq.heappop(self.pending)
            self.hear(tasks, attempt)

    def send(self, selection: Selection) -> None:
        count = len(selection)
        replies = self.link.carry(count, self.now)
        self.schedule.sent(selection, np.full(count, self.wall, dtype=np.int64), self.now)
        self.bucket.take(count)
        self.controller.sent(count, 0)
        self.probes += count
        rows = np.flatnonzero(np.isfinite(replies) & self.there[selection.tasks])
        for part in np.array_split(rows[np.argsort(replies[rows])], 4):
            if len(part):
                place = 4 * self.probes + len(self.pending)
                arrived = (float(replies[part].max()), place, selection.tasks[part], selection.attempt)
                heapq.heappush(self.pending, arrived)
        self.now += count / self.link.machine

    def hear(self, tasks: np.ndarray, attempt: int) -> None:
        self.received += len(tasks)
        tasks = tasks[self.ledger.state[tasks] == Rank.UNANSWERED]
        tries = np.full(len(tasks), attempt)
        sent = self.schedule.sent_at(tasks, tries)
        self.trip.observe(self.wall - sent)
        self.loss.observe(tries)
        self.controller.heard(sent, self.schedule.sent_at(tasks, np.maximum(tries - 1, 0)), tries)
        self.controller.wait(self.trip.timeout(0))
        zero = np.zeros(len(tasks), dtype=np.int64)
        narrow = zero.astype(np.uint8)
        self.ledger.apply(
            Replies(tasks, narrow + Rank.OPEN, narrow, narrow, zero.astype(np.uint32), zero, zero)
        )


def sweep(
    link: Link,
    *,
    tasks: int = 100_000,
    responders: float = 0.3,
    attempts: int = 3,
    controller: RateController | None = None,
    longest: float = 300.0,
    seed: int = 1,
) -> Swept:
    """Run a sweep to its end; no longer than some simulated seconds."""
    there = np.random.default_rng(seed).random(tasks) < responders
    run = Simulation(link, controller or RateController(), there=there, attempts=attempts)
    rates: list[tuple[float, float]] = []
    while not run.schedule.finished(run.now):
        assert run.now < longest, f"{run.ledger.unanswered} of {tasks} are still unanswered"
        run.turn()
        rates.append((run.now, run.controller.rate))
    missed = int((run.ledger.state[there] == Rank.UNANSWERED).sum())
    found = 1.0 - missed / max(1, int(there.sum()))
    return Swept(run.controller, run.now, found, run.probes, rates)


def test_a_clean_path_is_soon_as_fast_as_it_can_be() -> None:
    done = sweep(Link(), tasks=200_000)
    assert done.found == 1
    assert done.at(0.05) == START_RATE
    assert done.at(1.2) >= 320_000
    assert done.controller.peak > 300_000
    assert (done.controller.cuts, done.controller.loss, done.controller.own_loss) == (0, 0, 0)


def test_never_above_what_is_allowed() -> None:
    for most in (3_000.0, 45_000.0):
        done = sweep(Link(), tasks=15_000, controller=RateController(most=most))
        assert max(rate for _, rate in done.rates) == most
        assert done.probes <= most * done.seconds + most / 50 + 1
        assert done.seconds > 15_000 / most


def test_what_the_machine_cannot_send_is_not_asked_of_it() -> None:
    done = sweep(Link(machine=50_000.0), tasks=200_000, responders=0.9)
    assert 40_000 < done.controller.rate < 200_000
    assert done.controller.cuts == 0


def test_where_nobody_answers_it_stays_where_it_began() -> None:
    done = sweep(Link(), tasks=20_000, responders=0.0)
    assert {rate for _, rate in done.rates} == {START_RATE}


def test_few_answers_are_enough_in_time() -> None:
    done = sweep(Link(), tasks=100_000, responders=0.01)
    assert done.controller.rate > 100_000


@pytest.mark.parametrize("capacity", [15_000.0, 60_000.0])
def test_a_bottleneck_is_found_and_used(capacity: float) -> None:
    done = sweep(Link(capacity=capacity), tasks=100_000)
    assert done.found > 0.999
    later = [rate for moment, rate in done.rates if moment > 3.0]
    assert later
    assert max(later) < 2 * capacity
    carried = done.probes / done.seconds
    assert 0.5 * capacity < carried < 1.1 * capacity
    assert done.controller.cuts >= 2


def test_a_path_far_too_narrow_is_not_flooded() -> None:
    """A twelfth of the rate at the start: still more is found than by going on as it began."""
    flooded = sweep(Link(capacity=800.0), tasks=10_000, controller=Stubborn())
    adapted = sweep(Link(capacity=800.0), tasks=10_000)
    assert flooded.found < 0.6
    assert adapted.found > 0.9
    assert adapted.controller.rate < 2_000


@pytest.mark.parametrize("responders", [0.9, 0.1])
def test_loss_at_random_does_not_slow_it_down(responders: float) -> None:
    """20 % each way: 36 % of tries come to nothing, at any rate."""
    done = sweep(Link(loss=0.2), attempts=9, responders=responders)
    assert done.found == 1
    assert done.controller.own_loss == pytest.approx(0.36, abs=0.08)
    assert done.controller.loss == pytest.approx(0.36, abs=0.02)
    # Half of it is spent on the last tries of the silent; at the rate of the start it would be far more.
    assert done.seconds < 0.5 * done.probes / START_RATE + 15
    assert min(rate for _, rate in done.rates) > 1_000


def test_loss_at_random_before_a_bottleneck() -> None:
    done = sweep(Link(loss=0.1, capacity=20_000.0), attempts=6, tasks=50_000, responders=0.5)
    assert done.found > 0.9999
    assert max(rate for moment, rate in done.rates if moment > 5.0) < 60_000
    assert done.probes / done.seconds > 2_500


@pytest.mark.parametrize("loss", [0.5, 0.8])
def test_however_much_is_lost_it_does_not_stand_still(loss: float) -> None:
    done = sweep(Link(loss=loss), tasks=3_000, responders=0.9, longest=120.0)
    assert min(rate for _, rate in done.rates) >= LEAST_RATE


class Stubborn(RateController):
    """Stays at the rate at which it began."""

    def due(self, now: float) -> bool:
        return now < 0


class Alone:
    """A controller by itself: probes leave at its rate, and a share of them is answered at once or lost."""

    def __init__(self, **more: float) -> None:
        self.rate = RateController(**more)
        self.now = 100.0
        self.received = self.dropped = 0

    def wall(self) -> int:
        return round(self.now * NS)

    def run(self, seconds: float, *, dropped: float = 0.0, refused: float = 0.0, sent: float = 1.0) -> None:
        """Everything is answered. dropped: share of replies the kernel drops; refused: of packets."""
        end = self.now + seconds
        while self.now < end:
            assert self.rate.due(self.now)
            self.rate.look(
                self.now, self.wall(), Counters(self.received, self.dropped), [self.now] * JUDGED_TRIES
            )
            self.now += 0.025
            count = int(self.rate.rate * 0.025 * sent)
            left = int(count * (1 - refused))
            self.rate.sent(left, count - left)
            kept = int(left * (1 - dropped))
            self.received, self.dropped = self.received + kept, self.dropped + left - kept
            times = np.full(kept, self.wall() - NS // 100, dtype=np.int64)
            self.rate.heard(times, times, np.zeros(kept, dtype=np.int64))
            self.rate.wait(0.05)


def test_frames_that_the_kernel_drops_halve_the_rate() -> None:
    alone = Alone(most=80_000.0)
    alone.run(1.0)
    before = alone.rate.rate
    assert before == 80_000
    alone.run(0.075, dropped=0.2)
    assert alone.rate.rate == before / 2, "once, and not for each look at what was under way"
    assert alone.rate.cuts == 1
    alone.run(0.5)
    assert before / 2 < alone.rate.rate < before, "by steps from now on"


def test_a_few_dropped_frames_are_no_reason() -> None:
    alone = Alone()
    alone.run(1.0, dropped=0.004)
    assert alone.rate.cuts == 0


def test_a_device_that_takes_no_more_sets_the_rate() -> None:
    alone = Alone()
    alone.run(1.0)
    before = alone.rate.rate
    alone.run(0.3, refused=0.5)
    assert 0.2 * before < alone.rate.rate < 0.8 * before
    assert alone.rate.cuts == 0, "for nothing was lost"


def test_a_rate_that_is_not_used_does_not_grow() -> None:
    alone = Alone()
    alone.run(2.0, sent=0.3)
    assert alone.rate.rate == START_RATE


def test_evidence_from_before_it_began_or_of_late_tries_is_harmless() -> None:
    rate = RateController()
    old = np.array([1, 2, 3], dtype=np.int64)
    rate.heard(old, old, np.array([0, 1, 9]))
    rate.look(1.0, 10**9, Counters(), [0.0] * JUDGED_TRIES)
    rate.heard(old, old, np.array([0, 1, 9]))
    rate.heard(old + 2 * 10**9, old, np.array([0, 1, 9]))
    rate.look(1.5, 10**9, Counters(), [0.0] * JUDGED_TRIES)
    assert rate.rate == START_RATE
    assert rate.loss == pytest.approx(30 / 39)
