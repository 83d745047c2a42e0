"""The time: the real one, and one that only moves when it is told to.

Both follow `scanner.contracts.Clock`. Nothing else in this package asks what time it
is, except the rings, which stamp frames with the clock that the kernel stamps with.
"""

from __future__ import annotations

import time

NANOSECONDS = 1_000_000_000
"""Nanoseconds in a second."""


class SystemClock:
    """The machine's clocks: CLOCK_REALTIME, CLOCK_MONOTONIC and a sleep that waits."""

    def wall(self) -> int:
        """Nanoseconds since the epoch; packet rings stamp frames with the same clock."""
        return time.time_ns()

    def steady(self) -> float:
        """Seconds on a clock that never jumps."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait. Zero or less returns at once."""
        if seconds > 0:
            time.sleep(seconds)


class SimulatedClock:
    """Virtual time: starts where it is told to and moves on by `sleep` and `advance_to` only.

    start: nanoseconds since the epoch at which the simulation begins.
    """

    def __init__(self, start: int = 1_700_000_000 * NANOSECONDS) -> None:
        """Begin at `start`; `steady` begins at zero."""
        self._start = start
        self._now = start

    def wall(self) -> int:
        """Nanoseconds since the epoch."""
        return self._now

    def steady(self) -> float:
        """Seconds since the simulation began."""
        return (self._now - self._start) / NANOSECONDS

    def sleep(self, seconds: float) -> None:
        """Move on; the caller goes on at once."""
        if seconds > 0:
            # A sleep too short for the clock's grain must still move it: a caller that
            # sleeps until something is due would otherwise loop for ever.
            self._now += max(1, round(seconds * NANOSECONDS))

    def advance_to(self, moment: int) -> None:
        """Move on to `moment` (nanoseconds since the epoch); never back."""
        self._now = max(self._now, moment)
