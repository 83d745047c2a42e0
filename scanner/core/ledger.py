"""The ledger: what is known of every target of a lane, one byte of state and one of tries each.

Conflicts are settled by rank alone: a claim counts where it ranks above what is known (open over
closed over filtered over nothing). So the state does not depend on the order in which replies are read.
Among equals the first that was read stands, and of those read together, the earliest. What was known before
is not forgotten: a refusal that an accept supersedes is evidence as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanner.core.columns import Columns
from scanner.core.ordering import consecutive
from scanner.core.rules import Rank

_RANK_BITS = 3

_RUN = 1 << 17
"""Replies that are put in order of task together, in a processor's cache."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Replies(Columns):
    """Genuine replies, one element each: what the ledger needs of them.

    task: int64. rank, reason, ttl: uint8. responder: uint32. times: int64 ns.
    rtt: int64 ns from the probe that was answered.
    """

    task: NDArray[np.int64]
    rank: NDArray[np.uint8]
    reason: NDArray[np.uint8]
    ttl: NDArray[np.uint8]
    responder: NDArray[np.uint32]
    times: NDArray[np.int64]
    rtt: NDArray[np.int64]

    @staticmethod
    def none() -> Replies:
        """Not one."""
        wide, narrow = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.uint8)
        return Replies(wide, narrow, narrow, narrow, np.empty(0, dtype=np.uint32), wide, wide)


class Ledger:
    """State of tasks 0 … n−1 (a task is one address and port of a lane).

    state: `(n,)` uint8 of `Rank`. tries: `(n,)` uint8, probes that left.
    unanswered: how many tasks still are.
    """

    def __init__(self, tasks: int) -> None:
        """All unanswered."""
        self.state: NDArray[np.uint8] = np.zeros(tasks, dtype=np.uint8)
        self.tries: NDArray[np.uint8] = np.zeros(tasks, dtype=np.uint8)
        self.unanswered = tasks
        # Each in order of task; `_fresh` is what will be the next run.
        self._runs: list[Replies] = []
        self._fresh: list[Replies] = []
        self._fresh_replies = 0

    def count_try(self, tasks: NDArray[np.int64]) -> None:
        """Probes left for these tasks; a task at most once a call."""
        self.tries[tasks] += 1

    def apply(self, replies: Replies) -> Replies:
        """Take note of genuine replies. Returns those that changed something, at most one a task.

        Calls must come in order of time; within one, replies may stand in any order.
        """
        told = np.flatnonzero(replies.rank > self.state[replies.task])
        told = told[np.argsort(replies.times[told], kind="stable")]
        order = told[_grouped(replies.task[told])]
        task, rank = replies.task[order], replies.rank[order]
        last = _last_of(task)
        earlier = order[:0]
        if not last.all():
            # A step is what says more than all before it; the last step of a task decides.
            height = (np.cumsum(last) - last << _RANK_BITS) + rank
            step = np.ones(len(order), dtype=np.bool_)
            step[1:] = height[1:] > np.maximum.accumulate(height)[:-1]
            order, last = order[step], _last_of(task[step])
            order, earlier = order[last], order[~last]
        deciding = replies.take(order)
        if not len(deciding):
            return deciding
        self.unanswered -= int(np.count_nonzero(self.state[deciding.task] == Rank.UNANSWERED))
        self.state[deciding.task] = deciding.rank
        self._fresh += [replies.take(earlier), deciding] if len(earlier) else [deciding]
        self._fresh_replies += len(earlier) + len(deciding)
        if self._fresh_replies >= _RUN:
            self._order_fresh()
            self._runs += self._fresh
            self._fresh, self._fresh_replies = [], 0
        return deciding

    def replies_of(self, tasks: NDArray[np.int64]) -> tuple[Replies, Replies]:
        """The replies that decided some tasks, given in growing order, and those that did before them.

        Each in no order but that of time among those of one task.
        """
        self._order_fresh()
        some = Replies.concatenate(
            [_among(run, tasks) for run in (*self._runs, *self._fresh)] or [Replies.none()]
        )
        # Each that is kept says more than the one before it: the last is the one whose rank still holds.
        holds = some.rank == self.state[some.task]
        return some.where(holds), some.take(~holds)

    def _order_fresh(self) -> None:
        if len(self._fresh) > 1:
            fresh = Replies.concatenate(self._fresh)
            self._fresh = [fresh.take(_grouped(fresh.task))]


def _grouped(task: NDArray[np.int64]) -> NDArray[np.int64]:
    """The order that is by task, and among those of one task as they stand."""
    # Sorting one number that holds both takes a fraction of a stable sort of places.
    bits = len(task).bit_length()
    return np.sort(task << bits | np.arange(len(task))) & ((1 << bits) - 1)


def _last_of(task: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which elements are the last of their task, where those of one stand together."""
    last = np.ones(len(task), dtype=np.bool_)
    last[:-1] = task[1:] != task[:-1]
    return last


def _among(replies: Replies, tasks: NDArray[np.int64]) -> Replies:
    """Those of some tasks; both in order of task."""
    if not len(tasks) or not len(replies):
        return replies.take(slice(0, 0))
    begin, end = np.searchsorted(replies.task, [tasks[0], tasks[-1] + 1])
    within = replies.take(slice(begin, end))
    if consecutive(tasks):
        return within
    at = np.minimum(np.searchsorted(tasks, within.task), len(tasks) - 1)
    return within.where(tasks[at] == within.task)
