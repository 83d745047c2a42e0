"""Where records begin, in a file that is a chain of them: each tells its length, and so where the next is.

Such a chain can only be walked record by record. But it can be walked from many places at once: a record is
guessed in each of many lanes, and NumPy takes one step in all of them together. A lane is true if the one
before it, being true, ends just where it begins; the first begins at a record that is known. So a wrong guess
costs time, and nothing else: what it spoilt is walked again, one record after the other.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.int64]

LANE = 1 << 15
"""Bytes of a lane, at least."""

LEAST_LANES, MOST_LANES = 32, 256
"""With fewer, walking in step is slower than walking; with more, guessing takes longer than walking."""

_ACTIVE = 24
"""Lanes that have to be left for more steps in all of them to be worth it."""

_STEPS = 64
"""Steps that are taken before it is looked which lanes have ended."""


@dataclass(frozen=True, slots=True)
class Chain:
    """What is known of a kind of record.

    lengths(at): `(N,)` int64, bytes from each of these records to the next; more than none, whatever they
        say.
    length(at): likewise, of one.
    likely(first, until): a place from `first` on, before `until`, where a record is likely to begin; None
        where there is none.
    last: records that begin at it or before can be read, and only these are asked about.
    """

    lengths: Callable[[Positions], Positions]
    length: Callable[[int], int]
    likely: Callable[[int, int], int | None]
    last: int


def walk(chain: Chain, begin: int) -> tuple[Positions, int]:
    """Find all records from a first one on.

    Returns:
        Where those begin that can be read, `(N,)` int64 in order, and where the last of them ends.
    """
    span = chain.last - begin
    if span // LANE < LEAST_LANES:
        return _serially(chain, begin, chain.last + 1)
    lane = max(LANE, span // MOST_LANES)
    starts = [begin]
    for border in range(begin + lane, chain.last - lane, lane):
        # One that reached into its lane from the lane before may be the guess of both.
        guess = chain.likely(max(border, starts[-1] + 1), border + lane)
        if guess is not None:
            starts.append(guess)
    return _joined(chain, _in_step(chain, np.array(starts, dtype=np.int64)))


def _serially(chain: Chain, at: int, until: int) -> tuple[Positions, int]:
    """Records from one on that begin before `until`, and where the last of them ends."""
    found = array("q")
    length, last = chain.length, min(until - 1, chain.last)
    while at <= last:
        found.append(at)
        at += length(at)
    return np.array(found, dtype=np.int64), at


def _in_step(chain: Chain, starts: Positions) -> _Lanes:
    """Walk from all starts at once, each as far as the next."""
    lanes = len(starts)
    limits = np.append(starts[1:], chain.last + 1)
    at = starts
    ends = np.empty(lanes, dtype=np.int64)
    active = np.arange(lanes)
    blocks: list[tuple[Positions, Positions]] = []
    while len(active) > _ACTIVE:
        block = _block(chain, at)
        inside = block < limits[active]
        blocks.append((active, np.where(inside[:-1], block[:-1], -1)))
        going = inside[-1]
        ended = np.flatnonzero(~going)
        ends[active[ended]] = block[np.count_nonzero(inside[:, ended], axis=0), ended]
        active, at = active[going], block[-1, going]
    rest = {}
    for lane, place in zip(active.tolist(), at.tolist(), strict=True):
        rest[lane], ends[lane] = _serially(chain, place, int(limits[lane]))
    table = np.full((lanes, len(blocks) * _STEPS), -1, dtype=np.int64)
    for number, (walking, places) in enumerate(blocks):
        table[walking, number * _STEPS : (number + 1) * _STEPS] = places.T
    there = table >= 0
    return _Lanes(starts, ends, table[there], np.append(0, np.cumsum(there.sum(axis=1))), rest)


def _block(chain: Chain, at: Positions) -> Positions:
    """_STEPS steps from each place, `(_STEPS + 1, N)`; what follows where the chain is left means nothing."""
    block = np.empty((_STEPS + 1, len(at)), dtype=np.int64)
    block[0] = at
    for step in range(_STEPS):
        at = np.minimum(block[step], chain.last)
        np.add(at, chain.lengths(at), out=block[step + 1])
    return block


@dataclass(frozen=True, slots=True)
class _Lanes:
    """What was found in lanes, each walked as far as the next one's start.

    starts: `(L,)` int64. ends: `(L,)` int64, at the next one's start or past it. flat: the records of all,
    and of each from `border[lane]` on; `rest` has what more some lanes hold.
    """

    starts: Positions
    ends: Positions
    flat: Positions
    border: Positions
    rest: dict[int, Positions]

    def records(self, first: int, last: int) -> list[Positions]:
        """Those of lanes from `first` up to `last`, without that one."""
        parts = []
        for lane in sorted(lane for lane in self.rest if first <= lane < last):
            parts += [self.flat[self.border[first] : self.border[lane + 1]], self.rest[lane]]
            first = lane + 1
        return [*parts, self.flat[self.border[first] : self.border[last]]]


def _joined(chain: Chain, lanes: _Lanes) -> tuple[Positions, int]:
    """The chain that begins with the first lane."""
    count = len(lanes.starts)
    # Where a lane does not end at the next one's start, that guess was wrong, or a record reaches past it.
    breaks = np.append(np.flatnonzero(lanes.ends[:-1] != lanes.starts[1:]), count - 1)
    parts: list[Positions] = []
    lane = 0
    while lane < count:
        last = int(breaks[np.searchsorted(breaks, lane)])
        parts += lanes.records(lane, last + 1)
        at, lane = int(lanes.ends[last]), last + 1
        # On, one by one, until there is a lane that agrees.
        while lane < count and at != lanes.starts[lane]:
            lane = int(np.searchsorted(lanes.starts, at, side="left"))
            until = int(lanes.starts[lane]) if lane < count else chain.last + 1
            more, at = _serially(chain, at, until)
            parts.append(more)
    if at <= chain.last:
        more, at = _serially(chain, at, chain.last + 1)
        parts.append(more)
    return np.concatenate(parts), at
