"""Outcomes put away in order of address, more of them than memory holds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanner.core.columns import Columns
from scanner.core.outcomes import Outcomes
from scanner.core.rules import Rank
from scanner.core.runs import LAST_KEY, Runs, Scratch

_LOW_BITS = 24
"""Of a key: what stands behind the address, protocol and port."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class _Row(Columns):
    """`Outcomes` of numbers alone; superseded: uint32, one more than a place in a list, 0 for none.

    place: int64, where in the capture it was decided.
    """

    address: NDArray[np.uint32]
    protocol: NDArray[np.uint8]
    port: NDArray[np.uint16]
    rank: NDArray[np.uint8]
    reason: NDArray[np.uint8]
    ttl: NDArray[np.int16]
    rtt: NDArray[np.int64]
    responder: NDArray[np.int64]
    tries: NDArray[np.int64]
    time: NDArray[np.int64]
    note: NDArray[np.uint8]
    hint: NDArray[np.uint8]
    superseded: NDArray[np.uint32]
    prober: NDArray[np.int64]
    mac: NDArray[np.int64]
    place: NDArray[np.int64]


_OURS = ("superseded", "place")


class OutcomeStore:
    """An `OutcomeSource` of whatever was put into it. Targets may be put in more than once."""

    def __init__(self, scratch: Scratch, most: int) -> None:
        """`most`: rows to hold in memory."""
        nothing = np.empty(0, dtype=np.uint32)
        empty = Outcomes.silent(
            nothing, nothing.astype(np.uint8), nothing.astype(np.uint16), Rank.UNANSWERED, 0
        )
        self._superseded: list[object] = []
        self._runs: Runs[_Row] = Runs(self._plain(empty, np.empty(0, dtype=np.int64)), scratch, most)

    def __len__(self) -> int:
        return self._runs.count

    def add(self, outcomes: Outcomes, places: NDArray[np.int64]) -> None:
        """Put outcomes away. Raises CaptureError where there is no room.

        `places`: `(N,)`, of two rows of one target that were decided at one time, the lower one holds.
        """
        keys = outcomes.address.astype(np.uint64) << np.uint64(_LOW_BITS)
        keys |= outcomes.protocol.astype(np.uint64) << np.uint64(16)
        keys |= outcomes.port.astype(np.uint64)
        self._runs.add(keys, self._plain(outcomes, places))

    def borders(self, step: int) -> NDArray[np.uint32]:
        """As `OutcomeSource`."""
        return self._runs.borders(step, _LOW_BITS).astype(np.uint32)

    def outcomes(self, first: int, last: int) -> Outcomes:
        """As `OutcomeSource`."""
        end = min(LAST_KEY, ((last + 1) << _LOW_BITS) - 1)
        rows = _by_place(self._runs.between(first << _LOW_BITS, end))
        superseded = np.full(len(rows), None, dtype=object)
        for row in np.flatnonzero(rows.superseded):
            superseded[row] = self._superseded[rows.superseded[row] - 1]
        names = (name for name in _Row.__slots__ if name not in _OURS)
        return Outcomes(superseded=superseded, **{name: getattr(rows, name) for name in names})

    def _plain(self, outcomes: Outcomes, places: NDArray[np.int64]) -> _Row:
        number = np.zeros(len(outcomes), dtype=np.uint32)
        for row in np.flatnonzero(outcomes.superseded.astype(np.bool_)):
            self._superseded.append(outcomes.superseded[row])
            number[row] = len(self._superseded)
        names = (name for name in _Row.__slots__ if name not in _OURS)
        return _Row(superseded=number, place=places, **{name: getattr(outcomes, name) for name in names})


def _by_place(rows: _Row) -> _Row:
    """Rows in order of their targets; those of one target in the order in which they were decided."""
    again = np.ones(max(0, len(rows) - 1), dtype=np.bool_)
    for column in (rows.address, rows.protocol, rows.port):
        again &= column[1:] == column[:-1]
    if not again.any():
        return rows
    return rows.take(np.lexsort((rows.place, rows.port, rows.protocol, rows.address)))
