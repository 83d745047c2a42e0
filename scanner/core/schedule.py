"""The schedule of a lane: which task is asked when, and when there is nothing left to wait for.

A round visits every task once, in a keyed order; the next visits those that are still unanswered, in the
same order, each as soon as its own time-out has passed. So rounds overlap: while the first is under way,
those behind it ask again, and what they are answered tells early how much gets lost.
Nothing is stored a task: the order is computed again, and the send log has an entry a system call.
Time is an argument; packets are somebody else's business.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanner.core.hostpace import HostPace
from scanner.core.ledger import Ledger
from scanner.core.permutation import shard_positions, shard_size
from scanner.core.rules import Rank
from scanner.core.sendlog import SendLog, Timeout
from scanner.core.spread import SpreadOrder

_WINDOW = 1 << 14
_MOST_WINDOWS = 64
"""Windows looked through in one call, so that a caller comes back to its replies in between."""

_FEW = 8
"""Where no more than one in so many has not answered, they are looked for, instead of passing all again."""

_HAIR = 1e-6
"""Seconds by which a time-out may seem unfinished when it is over: `(a + b) - b` can fall short of `a`."""

_NOTHING: NDArray[np.int64] = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Selection:
    """Tasks to be asked now: `positions` and `tasks` `(N,)` int64; attempt 0 is the first try."""

    attempt: int
    positions: NDArray[np.int64]
    tasks: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.tasks)


class _Round:
    """Where one round stands.

    next: the first position not looked at. positions, tasks: at hand. silent: positions and tasks of the rest
    of the round, once they are few.
    """

    def __init__(self) -> None:
        self.log = SendLog()
        self.next = 0
        self.positions = _NOTHING
        self.tasks = _NOTHING
        self.silent: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None

    @property
    def passed(self) -> int:
        """All positions below have been asked in this round, or were answered."""
        return int(self.positions[0]) if len(self.positions) else self.next


class Schedule:
    """Rounds over the tasks of one lane.

    Args:
        ledger: whose unanswered tasks are asked; its size is the number of tasks.
        seed: of the order.
        attempts: most probes a task, at least 1, unless `another` asks for more.
        timeout: seconds to wait for a reply to try k, asked anew whenever it matters.
        patience: the same for the last try; None for no difference.
        way: which part of the tasks is ours, as (number, of how many): every so-manieth of the order.
        another: asked when so many rounds are over, from `attempts` on: is one more worth it?
        ports: tasks an address; those of one are numbered in a row.
        hosts: holds probes to one address back, by its index; None for no limit.
    """

    def __init__(  # noqa: PLR0913 - each is a decision of its own
        self,
        ledger: Ledger,
        seed: int,
        attempts: int,
        timeout: Timeout,
        way: tuple[int, int] = (0, 1),
        another: Callable[[int], bool] = lambda _rounds: False,
        *,
        ports: int = 1,
        hosts: HostPace | None = None,
        patience: Timeout | None = None,
    ) -> None:
        """At the first position of the first round."""
        self._ledger = ledger
        self._order = SpreadOrder(len(ledger.state) // ports, ports, seed)
        self._way = way
        self._size = shard_size(len(ledger.state), *way)
        self._attempts = attempts
        self._another = another
        self._timeout = timeout
        self._patience = patience or timeout
        self._ports = ports
        self._hosts = hosts
        self._rounds = [_Round()]
        self._over = 0

    @property
    def ways(self) -> tuple[Schedule, ...]:
        """As `Ways.ways`: this one."""
        return (self,)

    @property
    def order(self) -> SpreadOrder:
        """The order of all tasks, those of other ways too."""
        return self._order

    @property
    def attempts(self) -> int:
        """Most probes a task, as far as has been asked for."""
        return self._attempts

    @property
    def progress(self) -> float:
        """How much of the work is done, from 0 to 1, if the rest stays as silent as what was asked so far."""
        # The ways through a ledger are equal parts of it.
        unanswered = self._ledger.unanswered / self._way[1]
        if not unanswered or self._over >= self._attempts:
            return 1.0
        asked = self._rounds[0].next
        silent = max(0.0, unanswered - (self._size - asked)) / asked if asked else 1.0
        again = sum(each.next for each in self._rounds[1:])
        return (asked + silent * again) / (self._size * (1.0 + silent * (self._attempts - 1)))

    def take(
        self, limit: int, now: float, *, heard: float | None = None, first: bool = False
    ) -> Selection | None:
        """Up to `limit` tasks that may be asked now, or None. They count as asked once `sent` says so.

        Who has waited for another try comes first; or, where `first` says so, and no host is to be spared,
        when all have been asked once.
        heard: up to when replies have been listened to, where that is not now; whose time-out has passed
        since then may have answered.
        """
        heard = now if heard is None else heard
        if limit <= 0 or self._nothing:
            return None
        windows, left = 0, _MOST_WINDOWS
        # Where a round passes only those who have answered, the next one may go on, or begin.
        while left and windows != left:
            windows = left
            self._begin_rounds()
            for attempt in range(len(self._rounds) - 1, self._over - 1, -1):
                each = self._rounds[attempt]
                if attempt and first and self._hosts is None and self._rounds[0].passed < self._size:
                    continue
                self._drop_answered(attempt)
                while not len(each.tasks) and left and self._refill(attempt, heard):
                    left -= 1
                    self._drop_answered(attempt)
                ready = self._ready(each.tasks[:limit], now)
                if ready:
                    return Selection(attempt, each.positions[:ready], each.tasks[:ready])
        return None

    def upcoming(self, limit: int, gone: Selection | None) -> Selection | None:
        """Up to `limit` tasks of the first round that come next; None for none.

        They are asked when `take` gives them. gone: what it gave last, if that is not booked as sent yet.
        """
        first = self._rounds[0]
        begin = len(gone) if gone is not None and not gone.attempt else 0
        if len(first.tasks) < begin + limit and first.next < self._size:
            held = first.positions, first.tasks
            self._refill(0, 0.0)
            first.positions = np.concatenate([held[0], first.positions])
            first.tasks = np.concatenate([held[1], first.tasks])
        tasks = first.tasks[begin : begin + limit]
        return Selection(0, first.positions[begin : begin + limit], tasks) if len(tasks) else None

    def sent(self, selection: Selection, wall: NDArray[np.int64], now: float) -> None:
        """The first `len(wall)` packets of what `take` gave have left, at these times."""
        count = len(wall)
        if not count:
            return
        each = self._rounds[selection.attempt]
        each.log.append(selection.positions[:count], wall, now)
        self._ledger.count_try(selection.tasks[:count])
        each.positions, each.tasks = each.positions[count:], each.tasks[count:]
        if self._hosts is not None:
            self._hosts.spend(selection.tasks[:count] // self._ports, now)

    def due(self, now: float) -> float:
        """When to look again: now where something can be asked, infinity where nothing is left."""
        if self._nothing:
            return float("inf")
        self._begin_rounds()
        if self._over >= self._attempts:
            ended = self._rounds[-1].log.last + self._patience(self._attempts - 1)
            return ended if ended > now else float("inf")
        return max(now, min(self._due(attempt) for attempt in range(self._over, len(self._rounds))))

    def finished(self, now: float) -> bool:
        """Whether nothing is left to ask or to wait for."""
        return self.due(now) == float("inf")

    def sent_at(self, tasks: NDArray[np.int64], attempt: NDArray[np.int64]) -> NDArray[np.int64]:
        """When try number `attempt` of each task left, in ns; all of them must have."""
        return self.logged_at(self._order.inverse(tasks) // self._way[1], attempt)

    def logged_at(self, positions: NDArray[np.int64], attempt: NDArray[np.int64]) -> NDArray[np.int64]:
        """As `sent_at`, for those at these positions of this way."""
        if len(self._rounds) == 1:
            return self._rounds[0].log.wall(positions)
        times = np.empty(len(positions), dtype=np.int64)
        for number, each in enumerate(self._rounds):
            rows = np.flatnonzero(attempt == number)
            if len(rows):
                times[rows] = each.log.wall(positions[rows])
        return times

    def asked_again(self, attempt: int) -> float:
        """The moment (steady) before which all who were asked for try k have answered or been asked again.

        Minus infinity for the last try, after which none are; infinity where all have.
        """
        if self._nothing:
            return float("inf")
        if attempt >= min(self._attempts, len(self._rounds)) - 1:
            return float("-inf")
        passed = self._rounds[attempt + 1].passed
        return float("inf") if passed >= self._size else self._rounds[attempt].log.left_at(passed)

    @property
    def _nothing(self) -> bool:
        """Whether there is nothing to ask."""
        return not self._size or not self._ledger.unanswered

    def _begin_rounds(self) -> None:
        """Note which rounds are over, and begin the next as soon as the last is under way."""
        while self._over < len(self._rounds) and self._rounds[self._over].passed >= self._size:
            self._over += 1
        if self._over >= self._attempts and self._another(self._attempts):
            self._attempts += 1
        if len(self._rounds) < self._attempts and self._rounds[-1].passed:
            self._rounds.append(_Round())

    def _refill(self, attempt: int, heard: float) -> bool:
        """Have tasks of a round at hand whose time had come by then; False where there are none."""
        each = self._rounds[attempt]
        end: float = self._size
        if attempt:
            before = self._rounds[attempt - 1]
            end = min(before.passed, before.log.left_by(heard - self._timeout(attempt - 1) + _HAIR))
        if end <= each.next:
            return False
        if each.silent is None and attempt and before.passed >= self._size:
            each.silent = self._silent(each.next)
        if each.silent is not None:
            positions, tasks = each.silent
            count = int(np.searchsorted(positions, end))
            each.positions, each.tasks = positions[:count], tasks[:count]
            each.silent = positions[count:], tasks[count:]
            each.next = int(end)
            return True
        count = min(_WINDOW, int(end) - each.next)
        each.positions = np.arange(each.next, each.next + count)
        each.tasks = self._order.forward(shard_positions(each.next, count, *self._way))
        each.next += count
        return True

    def _silent(self, begin: int) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """Positions and tasks of those unanswered from a position on, in order; None where they are many."""
        if self._ledger.unanswered > len(self._ledger.state) // _FEW:
            return None
        tasks = np.flatnonzero(self._ledger.state == Rank.UNANSWERED)
        places = self._order.inverse(tasks)
        number, ways = self._way
        positions = places // ways
        rows = np.flatnonzero((places % ways == number) & (positions >= begin))
        rows = rows[np.argsort(positions[rows])]
        return positions[rows], tasks[rows]

    def _drop_answered(self, attempt: int) -> None:
        each = self._rounds[attempt]
        # Who was never asked has not answered either.
        if attempt and len(each.tasks):
            unanswered = self._ledger.state[each.tasks] == Rank.UNANSWERED
            if not unanswered.all():
                each.positions, each.tasks = each.positions[unanswered], each.tasks[unanswered]

    def _ready(self, tasks: NDArray[np.int64], now: float) -> int:
        """How many of the first tasks may be asked without one host getting too much."""
        return len(tasks) if self._hosts is None else self._hosts.allowed(tasks // self._ports, now)

    def _due(self, attempt: int) -> float:
        """When something of a round can be asked; infinity where that depends on the round before."""
        each = self._rounds[attempt]
        if len(each.tasks):
            head = int(each.tasks[0]) // self._ports
            return float("-inf") if self._hosts is None else self._hosts.due(head)
        if not attempt:
            return float("-inf") if each.next < self._size else float("inf")
        before = self._rounds[attempt - 1]
        if each.next >= before.passed:
            return float("inf")
        return before.log.left_at(each.next) + self._timeout(attempt - 1)
