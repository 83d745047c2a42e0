"""Rows by key, more of them than memory holds: sorted runs, kept in a scratch file, read a range at a time.

An external merge sort without the last merge: who reads asks for a range of keys, and gets the rows of all
runs that lie in it, sorted; within one key in the order in which they were added. Where there are many, some
are merged into one: a range has rows of every run, and to ask each for a few takes too long.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from scanner.core.columns import Columns
from scanner.core.ordering import distinct, merged_order, stable_order

LAST_KEY = (1 << 64) - 1

_SAMPLED = 256
"""Rows for which one key is kept in memory."""

_FAR_MORE = 2

_MERGED = 32
"""Runs that are merged into one."""

W = TypeVar("W")


class Scratch(Protocol):
    """Somewhere to put bytes for a while, and somebody to help with it."""

    def append(self, data: NDArray[np.uint8]) -> int:
        """Put them behind all others; returns where. Raises CaptureError where there is no room."""

    def read(self, offset: int, count: int) -> NDArray[np.uint8]:
        """`count` bytes from there."""

    def free(self, offset: int, count: int) -> None:
        """Nobody wants these bytes any more, which were put there at once."""

    def aside(self, work: Callable[[], W]) -> Callable[[], W]:
        """Begin some work, perhaps while what follows goes on; what is returned waits for what it gives."""


T = TypeVar("T", bound=Columns)


@dataclass(frozen=True, slots=True)
class _Segment:
    """Sorted rows in the scratch file: where, how many, the last key, and the key of every _SAMPLED-th."""

    offset: int
    count: int
    last: int
    sample: NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class _Run:
    """Sorted rows, in segments one behind the other; `merges` made it."""

    segments: list[_Segment]
    merges: int

    def within(self, first: int, last: int) -> Iterator[_Segment]:
        """The segments that may have rows with keys from one to another, both included."""
        for segment in self.segments[bisect_left(self.segments, first, key=_last) :]:
            if int(segment.sample[0]) > last:
                break
            yield segment


def _last(segment: _Segment) -> int:
    return segment.last


class Runs(Generic[T]):
    """Rows of one kind of table, each under a key.

    count: how many.
    """

    def __init__(self, empty: T, scratch: Scratch, most: int) -> None:
        """`empty`: a table of that kind without rows. `most`: rows to hold in memory."""
        self._empty = empty
        self._scratch = scratch
        self._most = most
        fields = [(name, getattr(empty, name).dtype) for name in type(empty).__slots__]
        self._layout = np.dtype([("key", np.dtype(np.uint64)), *fields])
        self._pending: list[tuple[NDArray[np.uint64], T]] = []
        self._waiting = 0
        self._runs: list[_Run] = []
        self._writing: Callable[[], None] | None = None
        self._held: NDArray[np.void] | None = None
        self.count = 0

    def add(self, keys: NDArray[np.uint64], rows: T) -> None:
        """Take in rows. Raises CaptureError where the scratch file had no room for those before."""
        if not len(keys):
            return
        self._pending.append((keys, rows))
        self._waiting += len(keys)
        self.count += len(keys)
        if self._waiting >= self._most:
            self._settle()
            pending, self._pending = self._pending, []
            self._waiting = 0
            self._writing = self._scratch.aside(lambda: self._write(pending))

    def between(self, first: int, last: int) -> T:
        """All rows with keys from `first` to `last`, both included, by key."""
        held = self._rest()
        parts = [*self._read(self._runs, first, last), held[_within(held["key"], first, last)]]
        return self._table(_merged(parts))

    def parts(self, key: int) -> Iterator[T]:
        """All rows of one key, as they were added, some at a time."""
        held = self._rest()
        for part in self._read(self._runs, key, key):
            yield self._table(part)
        part = held[_within(held["key"], key, key)]
        if len(part):
            yield self._table(part)

    def like(self) -> Runs[T]:
        """Room for other rows of the same kind."""
        return Runs(self._empty, self._scratch, self._most)

    def samples(self) -> NDArray[np.uint64]:
        """The key of about every _SAMPLED-th row, ascending."""
        rest = self._rest()["key"][::_SAMPLED]
        return np.sort(np.concatenate([*_samples(self._runs), rest]))

    def borders(self, step: int, low: int) -> NDArray[np.uint64]:
        """Keys less their `low` bits, ascending, with about `step` rows from each to the next."""
        sampled = self.samples() >> np.uint64(low)
        return distinct(sampled[:: max(1, step // _SAMPLED)])

    def _table(self, packed: NDArray[np.void]) -> T:
        kind = type(self._empty)
        return kind(*(np.ascontiguousarray(packed[name]) for name in kind.__slots__))

    def _rest(self) -> NDArray[np.void]:
        """What has not been written, by key."""
        if self._held is None:
            self._settle()
            pending, self._pending = self._pending, []
            self._held = self._sorted(pending)
        return self._held

    def _settle(self) -> None:
        """Wait for what is being written."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing()

    def _sorted(self, pending: list[tuple[NDArray[np.uint64], T]]) -> NDArray[np.void]:
        """Rows by key."""
        packed = np.empty(sum(len(keys) for keys, _ in pending), dtype=self._layout)
        done = 0
        for keys, rows in pending:
            part = packed[done : done + len(keys)]
            part["key"] = keys
            for name in type(rows).__slots__:
                part[name] = getattr(rows, name)
            done += len(keys)
        return _moved(packed, stable_order(packed["key"]))

    def _write(self, pending: list[tuple[NDArray[np.uint64], T]]) -> None:
        """Put rows away; merge runs where there are many that took as many merges."""
        runs = self._runs
        runs.append(_Run([self._put(self._sorted(pending))], merges=0))
        while len(runs) >= _MERGED and runs[-_MERGED].merges == runs[-1].merges:
            runs[-_MERGED:] = [self._merge(runs[-_MERGED:])]

    def _merge(self, runs: list[_Run]) -> _Run:
        """One run of several, which stand in the order in which their rows were added."""
        segments: list[_Segment] = []
        samples = np.sort(np.concatenate(list(_samples(runs))))
        for first, last in cuts(samples, self._most, 0):
            begin = first
            if heavy(samples, first, self._most):
                segments += map(self._put, self._read(runs, first, first))
                begin += 1
            packed = _merged([self._sorted([]), *self._read(runs, begin, last)])
            if len(packed):
                segments.append(self._put(packed))
        for run in runs:
            for segment in run.segments:
                self._scratch.free(segment.offset, segment.count * self._layout.itemsize)
        return _Run(segments, runs[0].merges + 1)

    def _put(self, packed: NDArray[np.void]) -> _Segment:
        keys = packed["key"]
        offset = self._scratch.append(packed.view(np.uint8))
        return _Segment(offset, len(packed), int(keys[-1]), keys[::_SAMPLED].copy())

    def _read(self, runs: list[_Run], first: int, last: int) -> Iterator[NDArray[np.void]]:
        """Rows with keys from one to another, both included, by run, and each part by key; none is empty."""
        for run in runs:
            for segment in run.within(first, last):
                part = self._rows(segment, first, last)
                if len(part):
                    yield part

    def _rows(self, segment: _Segment, first: int, last: int) -> NDArray[np.void]:
        # A sampled key tells of the rows up to the next one.
        within = _within(segment.sample, first, last)
        begin, end = max(0, within.start - 1) * _SAMPLED, min(within.stop * _SAMPLED, segment.count)
        size = self._layout.itemsize
        data = self._scratch.read(segment.offset + begin * size, max(0, end - begin) * size)
        packed: NDArray[np.void] = data.view(self._layout)
        return packed[_within(packed["key"], first, last)]


def _samples(runs: list[_Run]) -> Iterator[NDArray[np.uint64]]:
    return (segment.sample for run in runs for segment in run.segments)


def _merged(parts: list[NDArray[np.void]]) -> NDArray[np.void]:
    """Rows by key, those of one key in their order; of parts by key, at least one."""
    parts = [part for part in parts if len(part)] or parts[:1]
    if len(parts) == 1:
        return parts[0]
    packed = np.concatenate(parts)
    return _moved(packed, merged_order(packed["key"]))


def one_ahead(scratch: Scratch, works: Iterable[Callable[[], W]]) -> Iterator[W]:
    """What works give, in their order; each is begun before what the one before it gave is handed out."""
    begun: Callable[[], W] | None = None
    for work in works:
        begun, given = scratch.aside(work), begun
        if given is not None:
            yield given()
    if begun is not None:
        yield begun()


def cuts(samples: NDArray[np.uint64], most: int, together: int) -> Iterator[tuple[int, int]]:
    """Ranges of keys, first and last, that cover all, with about `most` rows in each.

    Args:
        samples: of all the rows, ascending, as `Runs.samples` gives them.
        most: rows; a single key with more is not divided.
        together: low bits of a key. Keys that differ in these alone are divided only if they have more
            rows than that between them.
    """
    step = max(1, most // _SAMPLED)
    first = 0
    for border in samples[step::step].tolist():
        whole = border >> together << together
        begin = whole if whole > first else border
        if begin > first:
            yield first, begin - 1
            first = begin
    yield first, LAST_KEY


def heavy(samples: NDArray[np.uint64], key: int, most: int) -> bool:
    """Whether one key has far more than `most` rows, by the sorted samples of all."""
    within = _within(samples, key, key)
    there: int = within.stop - within.start
    return there * _SAMPLED > _FAR_MORE * most


def _within(keys: NDArray[np.uint64], first: int, last: int) -> slice:
    """Where in sorted keys those from first to last are."""
    begin = np.searchsorted(keys, np.uint64(first), side="left")
    end = np.searchsorted(keys, np.uint64(last), side="right")
    return slice(int(begin), int(end))


def _moved(packed: NDArray[np.void], order: NDArray[np.int64]) -> NDArray[np.void]:
    """Rows in another order: each is moved as a whole, and once."""
    moved: NDArray[np.void] = packed.view(f"V{packed.dtype.itemsize}")[order].view(packed.dtype)
    return moved
