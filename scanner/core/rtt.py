"""How long to wait for a reply, learnt from those that came (RFC 6298)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_NS = 1e-9
_SMOOTHING = 1 / 8
_VARIATION_SMOOTHING = 1 / 4
_VARIATIONS = 4

INITIAL_TIMEOUT = 1.0
"""Seconds, while nothing has been measured (RFC 6298, 2.1)."""

LEAST_TIMEOUT = 0.1
"""Seconds; nmap's floor as well. Below it a scheduler's hiccup would look like silence."""


_WELL_KNOWN = 100
"""Answers, after which a path holds no surprise that the slowest of them does not announce."""

_SLOWER = 2
"""Times slower than all who have answered may be who answers last."""


class RoundTrip:
    """The retransmission time-out of one path.

    Samples come in batches; a batch of one is RFC 6298 to the letter, a larger one moves the averages
    as far as that many samples of its mean would. As a sweep speaks with many hosts, the slowest that has
    answered is a lower bound besides: the nearest hosts must not set the pace for the farthest.
    """

    def __init__(self, longest: float) -> None:
        """`longest`: seconds that are never exceeded, whatever is measured."""
        self._longest = longest
        self._smoothed: float | None = None
        self._variation = 0.0
        self._slowest = 0.0
        self._count = 0

    def observe(self, samples: NDArray[np.int64]) -> None:
        """Take note of round-trip times, in nanoseconds."""
        if not len(samples):
            return
        seconds = np.maximum(samples, 0) * _NS
        mean = float(seconds.mean())
        self._count += len(seconds)
        self._slowest = max(self._slowest, float(seconds.max()))
        if self._smoothed is None:
            self._smoothed = mean
            self._variation = max(mean / 2, float(np.abs(seconds - mean).mean()))
            return
        deviation = float(np.abs(seconds - self._smoothed).mean())
        count = len(seconds)
        variation_weight = 1 - (1 - _VARIATION_SMOOTHING) ** count
        weight = 1 - (1 - _SMOOTHING) ** count
        self._variation += variation_weight * (deviation - self._variation)
        self._smoothed += weight * (mean - self._smoothed)

    @property
    def smoothed(self) -> float | None:
        """The smoothed round-trip time in seconds, once there is one."""
        return self._smoothed

    def timeout(self, attempt: int) -> float:
        """Seconds to wait for a reply to try number `attempt` (0 is the first): doubled with every try."""
        return min(self._first() * (1 << min(attempt, 16)), self._longest)

    def patience(self, attempt: int) -> float:
        """Seconds to wait for a reply when no other try follows.

        Doubling spares a path that is congested; that is no reason to wait where nothing more is sent. So on
        a path that is well known, twice as long as the slowest took has to do, and the time-out of a first
        try. Whoever was asked before has had the time-outs of those tries besides.
        """
        longest = self.timeout(attempt)
        if self._count < _WELL_KNOWN:
            return longest
        return min(longest, max(self._first(), _SLOWER * self._slowest))

    def _first(self) -> float:
        if self._smoothed is None:
            return INITIAL_TIMEOUT
        return max(self._smoothed + _VARIATIONS * self._variation, self._slowest, LEAST_TIMEOUT)
