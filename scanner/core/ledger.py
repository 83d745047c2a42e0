"""The ledger: what is known of every target of a lane, one byte of state and one of tries each.

Conflicts are settled by rank alone: a claim counts where it ranks above what is known (open over
closed over filtered over nothing). So the state does not depend on the order in which replies are read.
Among equals the first that was read stands, and of those read together, the earliest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanner.core.columns import Columns
from scanner.core.rules import Rank


@dataclass(frozen=True, slots=True)
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


class Ledger:
    """State of tasks 0 … n−1 (a task is one address and port of a lane).

    state: `(n,)` uint8 of `Rank`. tries: `(n,)` uint8, probes that left.
    asked: how many tasks are to be asked. unanswered: how many of those still are.
    """

    def __init__(self, tasks: int, asked: int | None = None) -> None:
        """All unanswered. `asked`: how many of them this sweep asks, where it is one shard of several."""
        self.state: NDArray[np.uint8] = np.zeros(tasks, dtype=np.uint8)
        self.tries: NDArray[np.uint8] = np.zeros(tasks, dtype=np.uint8)
        self.asked = tasks if asked is None else asked
        self.unanswered = self.asked
        self._decisions: list[Replies] = []
        self._held: Replies | None = None

    def count_try(self, tasks: NDArray[np.int64]) -> None:
        """Probes left for these tasks; a task at most once a call."""
        self.tries[tasks] += 1

    def apply(self, replies: Replies) -> Replies:
        """Take note of genuine replies. Returns those that changed something, at most one a task."""
        order = np.lexsort((replies.times, ~replies.rank, replies.task))
        task = replies.task[order]
        first = np.ones(len(order), dtype=np.bool_)
        first[1:] = task[1:] != task[:-1]
        best = order[first]
        best = best[replies.rank[best] > self.state[replies.task[best]]]
        if not len(best):
            return replies.take(best)
        deciding = replies.take(best)
        self.unanswered -= int(np.count_nonzero(self.state[deciding.task] == Rank.UNANSWERED))
        self.state[deciding.task] = deciding.rank
        self._decisions.append(deciding)
        self._held = None
        return deciding

    def decisions(self) -> Replies:
        """The deciding reply of every answered task, in order of task."""
        if self._held is not None:
            return self._held
        if not self._decisions:
            empty = np.zeros(0, dtype=np.int64)
            narrow = np.zeros(0, dtype=np.uint8)
            return Replies(empty, narrow, narrow, narrow, np.zeros(0, dtype=np.uint32), empty, empty)
        everything = Replies.concatenate(self._decisions)
        # A task decided anew stands later and ranks higher: the last of each is the one that holds.
        order = np.argsort(everything.task, kind="stable")
        task = everything.task[order]
        last = np.ones(len(order), dtype=np.bool_)
        last[:-1] = task[1:] != task[:-1]
        self._held = everything.take(order[last])
        self._decisions = [self._held]
        return self._held

    def decisions_of(self, tasks: NDArray[np.int64]) -> Replies:
        """The deciding replies among some tasks, given in growing order."""
        held = self.decisions()
        if not len(tasks):
            return held.take(np.empty(0, dtype=np.int64))
        begin, end = np.searchsorted(held.task, [tasks[0], tasks[-1] + 1])
        within = np.arange(begin, end)
        at = np.minimum(np.searchsorted(tasks, held.task[within]), len(tasks) - 1)
        return held.take(within[tasks[at] == held.task[within]])
