"""When each probe of one round left.

An entry for every run of packets with one time stamp, not for every packet.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

_FIRST_CAPACITY = 256


class SendLog:
    """Positions are logged in growing order, each run under its first position."""

    def __init__(self) -> None:
        """Nothing has left."""
        self._count = 0
        self._first: NDArray[np.int64] = np.empty(_FIRST_CAPACITY, dtype=np.int64)
        self._wall: NDArray[np.int64] = np.empty(_FIRST_CAPACITY, dtype=np.int64)
        self._steady: NDArray[np.float64] = np.empty(_FIRST_CAPACITY, dtype=np.float64)

    def __len__(self) -> int:
        return self._count

    def append(self, positions: NDArray[np.int64], wall: NDArray[np.int64], now: float) -> None:
        """Log packets that left.

        Args:
            positions: `(N,)`, growing, above all logged before.
            wall: `(N,)` ns, not falling.
            now: seconds on the steady clock, when the last of them had left.
        """
        runs = np.flatnonzero(np.diff(wall, prepend=wall[:1] - 1))
        self._reserve(self._count + len(runs))
        room = slice(self._count, self._count + len(runs))
        self._first[room] = positions[runs]
        self._wall[room] = wall[runs]
        self._steady[room] = now
        self._count += len(runs)

    def _reserve(self, count: int) -> None:
        if count <= len(self._first):
            return
        more = max(count, 2 * len(self._first)) - len(self._first)
        self._first = np.concatenate([self._first, np.empty(more, dtype=np.int64)])
        self._wall = np.concatenate([self._wall, np.empty(more, dtype=np.int64)])
        self._steady = np.concatenate([self._steady, np.empty(more, dtype=np.float64)])

    def wall(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """When these positions left, in ns on the wall clock; they must have."""
        run = np.searchsorted(self._first[: self._count], positions, side="right") - 1
        times: NDArray[np.int64] = self._wall[run]
        return times

    def left_by(self, moment: float) -> float:
        """Positions below this had left by `moment` (steady): infinity where all had."""
        run = int(np.searchsorted(self._steady[: self._count], moment, side="right"))
        return float("inf") if run == self._count else float(self._first[run])

    def left_at(self, position: int) -> float:
        """When this position had left, on the steady clock; minus infinity where nothing has."""
        if not self._count:
            return float("-inf")
        run = int(np.searchsorted(self._first[: self._count], position, side="right")) - 1
        return float(self._steady[max(run, 0)])

    @property
    def last(self) -> float:
        """When the last packet had left (steady); minus infinity where none has."""
        return float(self._steady[self._count - 1]) if self._count else float("-inf")


class LateLog:
    """When probes left that no round sent: by task and try, in any order. For few of them."""

    def __init__(self) -> None:
        """Nothing has left."""
        self._key: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._wall: NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def append(self, attempt: int, tasks: NDArray[np.int64], wall: NDArray[np.int64]) -> None:
        """Log a try of tasks, `(N,)`, at `(N,)` ns; each task and try once."""
        key = np.concatenate([self._key, _keys(tasks, attempt)])
        order = np.argsort(key, kind="stable")
        self._key, self._wall = key[order], np.concatenate([self._wall, wall])[order]

    def holds(self, tasks: NDArray[np.int64], attempt: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which tries of tasks are logged here."""
        return np.isin(_keys(tasks, attempt), self._key)

    def wall(self, tasks: NDArray[np.int64], attempt: NDArray[np.int64]) -> NDArray[np.int64]:
        """When they left, in ns on the wall clock; they must have."""
        times: NDArray[np.int64] = self._wall[np.searchsorted(self._key, _keys(tasks, attempt))]
        return times


def _keys(tasks: NDArray[np.int64], attempt: NDArray[np.int64] | int) -> NDArray[np.int64]:
    keys: NDArray[np.int64] = tasks << 8 | attempt
    return keys


Timeout = Callable[[int], float]
"""Seconds to wait for a reply to try number k."""
