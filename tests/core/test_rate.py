"""The rate under a simulated link: a lane's schedule sends, a link of some capacity carries, hosts answer."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

import numpy as np

from scanner.core.ledger import Ledger, Replies
from scanner.core.loss import Loss, most_tries
from scanner.core.pacing import TokenBucket
from scanner.core.rate import JUDGED_TRIES, Counters, RateController
from scanner.core.rtt import RoundTrip
from scanner.core.rules import Rank
from scanner.core.schedule import Schedule

NS = 10**9
WALL = 10**18
QUEUE = 0.02
"""Seconds that a packet may wait at the bottleneck."""


@dataclass
class Link:
    """What the road does. capacity: packets a second. loss: each way. rtt: seconds. machine: sent a second."""

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


def hear(controller: RateController, schedule: Schedule, tasks: np.ndarray, attempt: np.ndarray) -> None:
    controller.heard(
        schedule.sent_at(tasks, attempt), schedule.sent_at(tasks, np.maximum(attempt - 1, 0)), attempt
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
    """Run a sweep to its end against hosts of which a share answers, through a link."""
    controller = controller or RateController()
    chance = np.random.default_rng(seed)
    there = chance.random(tasks) < responders
    ledger, trip, loss = Ledger(tasks), RoundTrip(1.0), Loss()
    most = most_tries(attempts)
    schedule = Schedule(
        ledger, seed, attempts, trip.timeout, another=lambda done: done < most and loss.missing(done) > 0.01
    )
    bucket = TokenBucket(controller.rate)
    pending: list[tuple[float, int, np.ndarray, np.ndarray]] = []
    now, turn, probes, received = 0.0, 0, 0, 0
    rates: list[tuple[float, float]] = []
    busy = 0.0
    while not schedule.finished(now):
        turn += 1
        assert now < longest, f"{ledger.unanswered} of {tasks} are still unanswered"
        if controller.due(now):
            asked_again = [schedule.asked_again(attempt) for attempt in range(JUDGED_TRIES)]
            controller.look(now, WALL + round(now * NS), Counters(received), asked_again)
            bucket.change(controller.rate, now)
        rates.append((now, controller.rate))
        selection = schedule.take(min(4096, bucket.available(now)), now)
        wake = now
        if selection is None:
            due = schedule.due(now)
            due = max(due, now + 1e-4) if due > now else max(bucket.due(now), now + 1e-4)
            wake = min(due, now + 0.1, *(each[0] for each in pending[:1]))
        else:
            count = len(selection)
            probes += count
            replies = link.carry(count, now)
            schedule.sent(selection, np.full(count, WALL + round(now * NS), dtype=np.int64), now)
            bucket.take(count)
            controller.sent(count, 0)
            rows = np.flatnonzero(np.isfinite(replies) & there[selection.tasks])
            for part in np.array_split(rows[np.argsort(replies[rows])], 4):
                if len(part):
                    heard = (float(replies[part].max()), turn * 4 + len(pending), selection.tasks[part], part)
                    heapq.heappush(
                        pending, (*heard[:2], selection.tasks[part], np.full(len(part), selection.attempt))
                    )
            wake = now + count / link.machine
        now = max(now, wake)
        while pending and pending[0][0] <= now:
            _, _, told, attempt = heapq.heappop(pending)
            received += len(told)
            first = ledger.state[told] == Rank.UNANSWERED
            told, attempt = told[first], attempt[first]
            sent_at = schedule.sent_at(told, attempt)
            trip.observe(WALL + round(now * NS) - sent_at)
            loss.observe(attempt)
            hear(controller, schedule, told, attempt)
            controller.wait(trip.timeout(0))
            zero = np.zeros(len(told), dtype=np.int64)
            narrow = zero.astype(np.uint8)
            ledger.apply(
                Replies(told, narrow + Rank.OPEN, narrow, narrow, zero.astype(np.uint32), zero, zero)
            )
    found = float((ledger.state[there] != Rank.UNANSWERED).mean())
    return Swept(controller, now, found, probes, rates)
