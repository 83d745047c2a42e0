"""Rows by key, more of them than memory holds: sorted runs, kept in a scratch file, read a range at a time.

An external merge sort without the merge: who reads asks for a range of keys, and gets the rows of all runs
that lie in it, sorted; within one key in the order in which they were added.
"""

from __future__ import annotations

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

W = TypeVar("W")


class Scratch(Protocol):
    """Somewhere to put bytes for a while, and somebody to help with it."""

    def append(self, data: NDArray[np.uint8]) -> int:
        """Put them behind all others; returns where. Raises CaptureError where there is no room."""

    def read(self, offset: int, count: int) -> NDArray[np.uint8]:
        """`count` bytes from there."""

    def aside(self, work: Callable[[], W]) -> Callable[[], W]:
        """Begin some work, perhaps while what follows goes on; what is returned waits for what it gives."""


T = TypeVar("T", bound=Columns)


@dataclass(frozen=True, slots=True)
class _Run:
    """Sorted rows in the scratch file: where, how many, and the key of every _SAMPLED-th."""

    offset: int
    count: int
    sample: NDArray[np.uint64]


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
        self._writing: Callable[[], _Run] | None = None
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
            self._writing = self._scratch.aside(lambda: self._written(pending))

    def between(self, first: int, last: int) -> T:
        """All rows with keys from `first` to `last`, both included, by key."""
        held = self._rest()
        parts = [self._read(run, first, last) for run in self._runs]
        parts.append(held[_within(held["key"], first, last)])
        parts = [part for part in parts if len(part)]
        if not parts:
            return self._empty
        packed = parts[0]
        if len(parts) > 1:
            packed = np.concatenate(parts)
            packed = _moved(packed, merged_order(packed["key"]))
        return self._table(packed)

    def parts(self, key: int) -> Iterator[T]:
        """All rows of one key, as they were added, some at a time."""
        held = self._rest()
        for run in self._runs:
            part = self._read(run, key, key)
            if len(part):
                yield self._table(part)
        part = held[_within(held["key"], key, key)]
        if len(part):
            yield self._table(part)

    def like(self) -> Runs[T]:
        """Room for other rows of the same kind."""
        return Runs(self._empty, self._scratch, self._most)

    def samples(self) -> NDArray[np.uint64]:
        """The key of about every _SAMPLED-th row, in no order."""
        rest = self._rest()["key"][::_SAMPLED]
        return np.concatenate([*(run.sample for run in self._runs), rest])

    def borders(self, step: int, low: int) -> NDArray[np.uint64]:
        """Keys less their `low` bits, ascending, with about `step` rows from each to the next."""
        sampled = np.sort(self.samples()) >> np.uint64(low)
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
            self._runs.append(writing())

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

    def _written(self, pending: list[tuple[NDArray[np.uint64], T]]) -> _Run:
        packed = self._sorted(pending)
        offset = self._scratch.append(packed.view(np.uint8))
        return _Run(offset, len(packed), packed["key"][::_SAMPLED].copy())

    def _read(self, run: _Run, first: int, last: int) -> NDArray[np.void]:
        # A sampled key tells of the rows up to the next one.
        within = _within(run.sample, first, last)
        begin, end = max(0, within.start - 1) * _SAMPLED, min(within.stop * _SAMPLED, run.count)
        size = self._layout.itemsize
        data = self._scratch.read(run.offset + begin * size, max(0, end - begin) * size)
        packed: NDArray[np.void] = data.view(self._layout)
        return packed[_within(packed["key"], first, last)]


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
        samples: of all the rows, as `Runs.samples` gives them.
        most: rows; a single key with more is not divided.
        together: low bits of a key. Keys that differ in these alone are divided only if they have more
            rows than that between them.
    """
    step = max(1, most // _SAMPLED)
    first = 0
    for border in np.sort(samples)[step::step].tolist():
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
