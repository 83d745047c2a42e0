"""Outcomes put away in order of address, more of them than memory holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from scanner.core.columns import Columns
from scanner.core.outcomes import ABSENT, HINTS, Outcomes, OutcomeSource
from scanner.core.rules import Rank
from scanner.core.runs import LAST_KEY, Runs, Scratch, cuts, heavy

_LOW_BITS = 24
"""Of a key: what stands behind the address, protocol and port."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class _Row(Columns):
    """`Outcomes` of numbers alone; superseded: uint32, a number of its own where there is any, else 0.

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


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class _Step(Columns):
    """What came before an outcome: of which row, as `_Row.superseded` has it; prober; facts of the reply."""

    of: NDArray[np.uint32]
    prober: NDArray[np.int64]
    rank: NDArray[np.uint8]
    reason: NDArray[np.uint8]
    ttl: NDArray[np.int16]
    responder: NDArray[np.int64]
    time: NDArray[np.int64]

    @staticmethod
    def none() -> _Step:
        """Not one."""
        byte, wide = np.empty(0, dtype=np.uint8), np.empty(0, dtype=np.int64)
        return _Step(np.empty(0, dtype=np.uint32), wide, byte, byte, np.empty(0, dtype=np.int16), wide, wide)


T = TypeVar("T", _Row, _Step)

_FACTS = _Step.__slots__[2:]
_OURS = ("superseded", "place")


class OutcomeStore(OutcomeSource):
    """An `OutcomeSource` of whatever was put into it. Targets may be put in more than once."""

    def __init__(self, scratch: Scratch, most: int) -> None:
        """`most`: rows to hold in memory."""
        nothing = np.empty(0, dtype=np.uint32)
        empty = Outcomes.silent(
            nothing, nothing.astype(np.uint8), nothing.astype(np.uint16), Rank.UNANSWERED, 0
        )
        self._most = most
        self._surpassed = 0
        self._hints: NDArray[np.uint8] = np.arange(len(HINTS), dtype=np.uint8)
        self._runs: Runs[_Row] = Runs(_row(empty, nothing, np.empty(0, dtype=np.int64)), scratch, most)
        self._steps: Runs[_Step] = Runs(_Step.none(), scratch, most)

    def __len__(self) -> int:
        return self._runs.count

    def add(self, outcomes: Outcomes, places: NDArray[np.int64]) -> None:
        """Put outcomes away. Raises CaptureError where there is no room.

        `places`: `(N,)`, of two rows of one target that were decided at one time, the lower one holds.
        """
        keys = outcomes.address.astype(np.uint64) << np.uint64(_LOW_BITS)
        keys |= outcomes.protocol.astype(np.uint64) << np.uint64(16)
        keys |= outcomes.port.astype(np.uint64)
        number = np.zeros(len(outcomes), dtype=np.uint32)
        rows = np.flatnonzero(outcomes.superseded.astype(np.bool_))
        if len(rows):
            number[rows] = self._surpassed + 1 + np.arange(len(rows))
            self._surpassed += len(rows)
            told = outcomes.superseded[rows]
            of = np.repeat(rows, [len(steps) for steps in told])
            facts = zip(*(step for steps in told for step in steps), strict=True)
            columns = (
                np.array(fact, dtype=getattr(_Step.none(), name).dtype)
                for fact, name in zip(facts, _FACTS, strict=True)
            )
            self._steps.add(keys[of], _Step(number[of], outcomes.prober[of], *columns))
        self._runs.add(keys, _row(outcomes, number, places))

    def say_instead(self, hint: int, instead: int) -> None:
        """Whatever has one hint has another one now."""
        self._hints[hint] = instead

    def borders(self, step: int) -> NDArray[np.uint32]:
        """As `OutcomeSource`."""
        return self._runs.borders(step, _LOW_BITS).astype(np.uint32)

    def outcomes(self, first: int, last: int) -> Outcomes:
        """As `OutcomeSource`."""
        end = min(LAST_KEY, ((last + 1) << _LOW_BITS) - 1)
        return self._outcomes(self._runs, self._steps, first << _LOW_BITS, end)

    def pieces(self) -> Iterator[Outcomes]:
        """As `OutcomeSource`: one target, too, may have many outcomes, for as many probers."""
        yield from self._in_pieces(self._runs, self._steps, by_prober=False)

    def _in_pieces(self, rows: Runs[_Row], steps: Runs[_Step], *, by_prober: bool) -> Iterator[Outcomes]:
        samples = rows.samples()
        # Half of what is held at most stays near at hand, in a processor's cache.
        for first, last in cuts(samples, self._most // 2, 0):
            begin = first
            if not by_prober and heavy(samples, first, self._most):
                yield from self._in_pieces(_by_prober(rows, first), _by_prober(steps, first), by_prober=True)
                begin += 1
            outcomes = self._outcomes(rows, steps, begin, last)
            if len(outcomes):
                yield outcomes.in_order()

    def _outcomes(self, runs: Runs[_Row], kept: Runs[_Step], first: int, last: int) -> Outcomes:
        """Those whose keys are in a range."""
        rows = _by_place(runs.between(first, last))
        superseded = np.full(len(rows), None, dtype=object)
        surpassed = np.flatnonzero(rows.superseded)
        if len(surpassed):
            steps = kept.between(first, last)
            number = rows.superseded[surpassed]
            order = np.argsort(steps.of, kind="stable")
            begin, end = (np.searchsorted(steps.of[order], number, side=side) for side in ("left", "right"))
            facts = (getattr(steps, name)[order].tolist() for name in _FACTS)
            told = list(zip(*facts, strict=True))
            for row, here, there in zip(surpassed.tolist(), begin.tolist(), end.tolist(), strict=True):
                superseded[row] = tuple(told[here:there])
        names = (name for name in _Row.__slots__ if name not in (*_OURS, "hint"))
        return Outcomes(
            superseded=superseded,
            hint=self._hints[rows.hint],
            **{name: getattr(rows, name) for name in names},
        )


def _by_prober(rows: Runs[T], key: int) -> Runs[T]:
    """All rows of one target, under their probers."""
    found = rows.like()
    for part in rows.parts(key):
        found.add((part.prober - ABSENT).astype(np.uint64), part)
    return found


def _row(outcomes: Outcomes, superseded: NDArray[np.uint32], places: NDArray[np.int64]) -> _Row:
    names = (name for name in _Row.__slots__ if name not in _OURS)
    return _Row(superseded=superseded, place=places, **{name: getattr(outcomes, name) for name in names})


def _by_place(rows: _Row) -> _Row:
    """Rows in order of their targets; those of one target in the order in which they were decided."""
    again = np.ones(max(0, len(rows) - 1), dtype=np.bool_)
    for column in (rows.address, rows.protocol, rows.port):
        again &= column[1:] == column[:-1]
    if not again.any():
        return rows
    return rows.take(np.lexsort((rows.place, rows.port, rows.protocol, rows.address)))
