"""How many who would have answered are still silent, judged by how often those that did had to be asked.

If each try fails by itself with probability q, the number of tries that an answer takes is geometric, and
q is best estimated as failures / tries over all answers (maximum likelihood). After k tries, of every
(1 − q^k) who answered there are q^k who have not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def most_tries(attempts: int) -> int:
    """Probes a target at most, where `attempts` were asked for: if replies get lost, twice the retries."""
    return 2 * attempts - 1


class Loss:
    """The loss of one lane, learnt from its answers."""

    def __init__(self) -> None:
        """Nothing is known, and nothing seems lost."""
        self._answers = 0
        self._failures = 0

    def observe(self, attempts: NDArray[np.int64]) -> None:
        """Targets answered for the first time, each to this try (0 is the first)."""
        self._answers += len(attempts)
        self._failures += int(attempts.sum())

    @property
    def rate(self) -> float:
        """Share of tries that came to nothing, among targets that answer."""
        return self._failures / (self._failures + self._answers) if self._answers else 0.0

    def missing(self, tries: int) -> float:
        """How many targets that would answer are expected to be silent still, after so many tries."""
        silent = self.rate**tries
        return self._answers * silent / (1.0 - silent) if silent < 1.0 else 0.0
