"""Pairs: which frame of a capture was a probe, and which the reply that decided its target's verdict.

What the verdicts of a capture are made of, frame by frame; by the same rules, and held in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scanner.core.flowtable import Probes, join, target_keys
from scanner.core.packets import Decoded
from scanner.core.recorded import Numbers, Question, bearing
from scanner.core.rules import Claims, Rank, Rules


@dataclass(frozen=True, slots=True)
class Pairs:
    """Places of frames in a capture, in order of their target's address, protocol and port.

    probe, reply: `(K,)` int64, a pair for each target that was answered.
    unanswered: `(M,)` int64, the last probe to each of the others.
    """

    probe: NDArray[np.int64]
    reply: NDArray[np.int64]
    unanswered: NDArray[np.int64]


class Pairing:
    """Collects probes and claims, and brings them together."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._rules = Rules(question.rules)
        self._probes: list[Probes] = []
        self._claims: list[Claims] = []

    def add(self, decoded: Decoded, frames: int) -> None:
        """Take in the packets of some frames, of which so many came before."""
        probes, claims = bearing(self._question, self._rules, decoded)
        self._probes.append(replace(probes, frame=probes.frame + frames))
        self._claims.append(replace(claims, frame=claims.frame + frames))

    def pairs(self, renumber: Callable[[Numbers], Numbers] = lambda numbers: numbers) -> Pairs:
        """The pairs. `renumber` makes of addresses numbers that are in the order of records."""
        question = self._question
        probes = Probes.concatenate([Probes.none(), *self._probes])
        claims = Claims.concatenate([Claims.none(), *self._claims])
        joined = join(probes, claims, question.ports if question.key is None else None)
        said = joined.genuine & (claims.rank[joined.row] != Rank.UNANSWERED)
        row, probe = joined.row[said], joined.probe[said]
        keys = target_keys(replace(probes, target=renumber(probes.target)))
        # The highest rank wins, of equals the earliest; of the silent, the last probe stands for all.
        best = _first_each(
            keys[probe], claims.frame[row], claims.times[row], -claims.rank[row].astype(np.int64)
        )
        silent = np.flatnonzero(joined.true & ~np.isin(keys, keys[probe]))
        last = silent[_first_each(keys[silent], -probes.frame[silent], -probes.times[silent])]
        return Pairs(probes.frame[probe[best]], claims.frame[row[best]], probes.frame[last])


def _first_each(keys: NDArray[np.uint64], *by: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of the rows of each key the first, by criteria of which the last one weighs most; in order of keys."""
    order = np.lexsort((*by, keys))
    begins = np.ones(len(order), dtype=np.bool_)
    begins[1:] = np.diff(keys[order]) != 0
    return order[begins]
