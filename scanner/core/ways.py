"""Several ways through the tasks of one lane at once, so that as many senders can be busy with it.

Each way has every n-th position of the lane's order, with rounds and a log of its own, and sends them in
that order; so a sender that is held up never makes another one's times doubtful.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scanner.core.schedule import Schedule


class Ways:
    """Schedules side by side over one ledger, seen as one; what is asked, each of `ways` says by itself."""

    def __init__(self, ways: Sequence[Schedule]) -> None:
        """`ways`: of n in all, the k-th is the way (k, n)."""
        self.ways = tuple(ways)

    @property
    def attempts(self) -> int:
        """As `Schedule.attempts`."""
        return max(way.attempts for way in self.ways)

    @property
    def progress(self) -> float:
        """As `Schedule.progress`."""
        return sum(way.progress for way in self.ways) / len(self.ways)

    def due(self, now: float) -> float:
        """As `Schedule.due`."""
        return min(way.due(now) for way in self.ways)

    def finished(self, now: float) -> bool:
        """As `Schedule.finished`."""
        return all(way.finished(now) for way in self.ways)

    def asked_again(self, attempt: int) -> float:
        """As `Schedule.asked_again`."""
        return min(way.asked_again(attempt) for way in self.ways)

    def sent_at(self, tasks: NDArray[np.int64], attempt: NDArray[np.int64]) -> NDArray[np.int64]:
        """As `Schedule.sent_at`."""
        times = np.empty(len(tasks), dtype=np.int64)
        positions, way = np.divmod(self.ways[0].order.inverse(tasks), len(self.ways))
        for number, each in enumerate(self.ways):
            rows = np.flatnonzero(way == number)
            times[rows] = each.logged_at(positions[rows], attempt[rows])
        return times
