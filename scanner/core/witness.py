"""Whose answers tell how much the path loses: a try that came to nothing, though its target does answer.

Not every such try was lost on its way. Hosts limit how many ICMP errors they send (Linux: six at once, then
one a second to a peer, `net.ipv4.icmp_ratelimit`), and routers limit them harder. So what a router says tells
nothing; and of a host that is asked several UDP ports, only its first words do, before any limit can hold.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from scanner.core.rate import RateController
from scanner.core.rules import Rank

_UNLIMITED = 5
"""Words of a host that no common limit holds back: one less than Linux's burst (XRLIM_BURST_FACTOR, 6)."""


class Timed(Protocol):
    """What knows when each try left. attempts: most tries of its rounds."""

    @property
    def attempts(self) -> int:
        """As `Schedule.attempts`."""

    def sent_at(self, tasks: NDArray[np.int64], attempt: NDArray[np.int64]) -> NDArray[np.int64]:
        """As `Schedule.sent_at`."""


class Words:
    """How many words each address of a path has said, over all lanes whose answers may be limited."""

    def __init__(self, addresses: int) -> None:
        """None yet."""
        self._said: NDArray[np.uint16] = np.zeros(addresses, dtype=np.uint16)

    def telling(self, hosts: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which answers are among the first of their host; takes note of them all."""
        early: NDArray[np.bool_] = self._said[hosts] < _UNLIMITED
        different, counts = np.unique(hosts, return_counts=True)
        self._said[different] = np.minimum(self._said[different] + counts, _UNLIMITED)
        return early


class Witness:
    """Listens to one lane, and tells the rate. words: shared by the lanes of a path; None for no limit."""

    def __init__(self, rate: RateController | None = None, words: Words | None = None) -> None:
        """`rate`: who wants to know; None for nobody."""
        self._rate = rate
        self._words = words

    def telling(self, hosts: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which first answers of targets, by the index of their address, tell of loss."""
        return np.ones(len(hosts), dtype=np.bool_) if self._words is None else self._words.telling(hosts)

    def tell(
        self,
        schedule: Timed,
        tasks: NDArray[np.int64],
        attempt: NDArray[np.int64],
        rank: NDArray[np.uint8],
        timeout: float,
    ) -> None:
        """Pass on answers that tell, each of a task to one try; those of routers do not count."""
        if self._rate is None:
            return
        # Answers to what was asked when the rounds were over tell of limits, not of the path.
        own = (rank >= Rank.CLOSED) & (attempt < schedule.attempts)
        tasks, attempt = tasks[own], attempt[own]
        if len(tasks):
            before = schedule.sent_at(tasks, np.maximum(attempt - 1, 0))
            self._rate.heard(schedule.sent_at(tasks, attempt), before, attempt)
            self._rate.wait(timeout)
