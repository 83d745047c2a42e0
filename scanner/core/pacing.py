"""Pacing: a token bucket, with the time as an argument."""

from __future__ import annotations

import math
import sys

_BURST_SECONDS = 0.02
_QUANTUM_SECONDS = 0.005
_ENOUGH = 0.999
"""Of a quantum: rounded, the times of a clock that has run for years must not ask for a wait of nothing."""


class TokenBucket:
    """At most `rate` packets a second, up to a fiftieth of a second's worth of them at once.

    Packets are given out by the quantum, a two-hundredth of a second's worth, so that a caller does not
    wake for each. A rate of infinity never makes anybody wait.
    """

    def __init__(self, rate: float) -> None:
        """A full bucket; time begins with the first question."""
        self._set(rate)
        self._tokens = self._burst
        self._updated: float | None = None

    @property
    def unlimited(self) -> bool:
        """Whether nobody is ever made to wait."""
        return math.isinf(self._rate)

    def change(self, rate: float, now: float) -> None:
        """Another rate from now on. What has been earned stays, up to a burst of the new rate."""
        if rate == self._rate:
            return
        if math.isinf(self._rate):
            self._tokens = math.inf
        self._fill(now)
        self._set(rate)
        self._tokens = min(self._tokens, self._burst)

    def available(self, now: float) -> int:
        """How many packets may leave now: none until there is a quantum of them. `sys.maxsize` for all."""
        if math.isinf(self._rate):
            return sys.maxsize
        self._fill(now)
        return max(1, int(self._tokens)) if self._enough() else 0

    def take(self, count: int) -> None:
        """Packets left."""
        self._tokens -= count

    def due(self, now: float) -> float:
        """When packets may leave again."""
        if math.isinf(self._rate):
            return now
        self._fill(now)
        return now if self._enough() else now + (self._quantum - self._tokens) / self._rate

    def _set(self, rate: float) -> None:
        self._rate = rate
        unlimited = math.isinf(rate)
        self._burst = rate if unlimited else max(1.0, rate * _BURST_SECONDS)
        self._quantum = 1.0 if unlimited else max(1.0, rate * _QUANTUM_SECONDS)

    def _fill(self, now: float) -> None:
        if self._updated is not None:
            now = max(now, self._updated)
            self._tokens = min(self._burst, self._tokens + (now - self._updated) * self._rate)
        self._updated = now

    def _enough(self) -> bool:
        return self._tokens >= self._quantum * _ENOUGH
