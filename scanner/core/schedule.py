"""The schedule of a lane: which task is asked when, and when there is nothing left to wait for.

A round visits every task once, in the order of a keyed permutation; the next visits those that are still
unanswered, in the same order, each as soon as its own time-out has passed. Nothing is stored a task:
the order is computed again, and the send log has an entry a system call.
Time is an argument; packets are somebody else's business.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanner.core.ledger import Ledger
from scanner.core.permutation import Permutation, shard_positions, shard_size
from scanner.core.rules import Rank
from scanner.core.sendlog import SendLog, Timeout

_WINDOW = 1 << 14
_MOST_WINDOWS = 64
"""Windows looked through in one call, so that a caller comes back to its replies in between."""

_HAIR = 1e-6
"""Seconds by which a time-out may seem unfinished when it is over: `(a + b) - b` can fall short of `a`."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Tasks to be asked now: `positions` and `tasks` `(N,)` int64; attempt 0 is the first try."""

    attempt: int
    positions: NDArray[np.int64]
    tasks: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.tasks)


class Schedule:
    """Rounds over the tasks of one lane.

    Args:
        ledger: whose unanswered tasks are asked; its size is the number of tasks.
        seed: of the order.
        attempts: most probes a task, at least 1, unless `another` asks for more.
        timeout: seconds to wait for a reply to try k, asked anew whenever it matters.
        shard: which part of the tasks is ours, as (index, count).
        another: asked when so many rounds are over, from `attempts` on: is one more worth it?
    """

    def __init__(
        self,
        ledger: Ledger,
        seed: int,
        attempts: int,
        timeout: Timeout,
        shard: tuple[int, int] = (0, 1),
        another: Callable[[int], bool] = lambda _rounds: False,
    ) -> None:
        """At the first position of the first round."""
        self._ledger = ledger
        self._permutation = Permutation(len(ledger.state), seed)
        self._shard = shard
        self._size = shard_size(len(ledger.state), *shard)
        self._attempts = attempts
        self._another = another
        self._timeout = timeout
        self._logs: list[SendLog] = [SendLog()]
        self._next = 0
        self._positions: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._tasks: NDArray[np.int64] = np.empty(0, dtype=np.int64)

    @property
    def attempt(self) -> int:
        """The round under way; `attempts` once all are over."""
        return len(self._logs) - 1

    @property
    def progress(self) -> float:
        """How much of the work is done, from 0 to 1, if the rest stays as silent as what was asked so far."""
        unanswered = self._ledger.unanswered
        if not unanswered or self.attempt >= self._attempts:
            return 1.0
        asked = self._size if self.attempt else self._next
        silent = (unanswered - (self._size - asked)) / asked if asked else 1.0
        walked = self._next / self._size
        done = silent * (self.attempt - 1 + walked) + 1.0 if self.attempt else walked
        return done / (1.0 + silent * (self._attempts - 1))

    def take(self, limit: int, now: float) -> Selection | None:
        """Up to `limit` tasks that may be asked now, or None. They count as asked once `sent` says so."""
        if limit <= 0:
            return None
        for _ in range(_MOST_WINDOWS):
            if not self._candidates():
                return None
            unanswered = self._ledger.state[self._tasks] == Rank.UNANSWERED
            if not unanswered.all():
                self._positions, self._tasks = self._positions[unanswered], self._tasks[unanswered]
            if len(self._tasks):
                ready = min(limit, self._ready(now))
                if not ready:
                    return None
                return Selection(self.attempt, self._positions[:ready], self._tasks[:ready])
        return None

    def sent(self, selection: Selection, wall: NDArray[np.int64], now: float) -> None:
        """The first `len(wall)` packets of what `take` gave have left, at these times."""
        count = len(wall)
        if not count:
            return
        self._logs[-1].append(selection.positions[:count], wall, now)
        self._ledger.count_try(selection.tasks[:count])
        self._positions, self._tasks = self._positions[count:], self._tasks[count:]

    def due(self, now: float) -> float:
        """When to look again: now where something can be asked, infinity where nothing is left."""
        if not self._ledger.unanswered:
            return float("inf")
        if self.attempt >= self._attempts and not self._another(self.attempt):
            ended = self._logs[-2].last + self._timeout(self._attempts - 1)
            return ended if ended > now else float("inf")
        if not len(self._positions) or not self.attempt:
            return now
        return max(now, self._logs[-2].left_at(int(self._positions[0])) + self._timeout(self.attempt - 1))

    def finished(self, now: float) -> bool:
        """Whether nothing is left to ask or to wait for."""
        return self.due(now) == float("inf")

    def sent_at(self, tasks: NDArray[np.int64], attempt: NDArray[np.int64]) -> NDArray[np.int64]:
        """When try number `attempt` of each task left, in ns; all of them must have."""
        positions = self._permutation.inverse(tasks) // self._shard[1]
        times = np.empty(len(tasks), dtype=np.int64)
        for round_number, log in enumerate(self._logs):
            rows = np.flatnonzero(attempt == round_number)
            if len(rows):
                times[rows] = log.wall(positions[rows])
        return times

    def _candidates(self) -> bool:
        """Have tasks of this round at hand, or begin the next round; False once all are over."""
        while not len(self._tasks):
            if not self._ledger.unanswered:
                return False
            if self.attempt >= self._attempts:
                if not self._another(self.attempt):
                    return False
                self._attempts += 1
            if self._next >= self._size:
                self._logs.append(SendLog())
                self._next = 0
                continue
            count = min(_WINDOW, self._size - self._next)
            self._positions = np.arange(self._next, self._next + count)
            self._tasks = self._permutation.forward(shard_positions(self._next, count, *self._shard))
            self._next += count
            return True
        return True

    def _ready(self, now: float) -> int:
        """How many of the tasks at hand have waited long enough for a reply to their last try."""
        if not self.attempt:
            return len(self._tasks)
        before = self._logs[-2].left_by(now - self._timeout(self.attempt - 1) + _HAIR)
        return int(np.searchsorted(self._positions, before, side="left"))
