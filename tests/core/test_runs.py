"""Rows by key: whatever was written to disk, a range of keys gives what sorting everything would."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from scanner.capture.aside import aside
from scanner.core import runs
from scanner.core.columns import Columns
from scanner.core.runs import LAST_KEY, Runs, cuts, one_ahead
from scanner.model import CaptureError
from tests.core.memory_scratch import MemoryScratch

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rows(Columns):
    number: NDArray[np.int64]
    flag: NDArray[np.uint8]


def rows_of(numbers: range) -> Rows:
    return Rows(np.array(numbers, dtype=np.int64), (np.array(numbers) % 7).astype(np.uint8))


NOTHING = rows_of(range(0))


def filled(
    parts: list[list[int]], most: int, scratch: MemoryScratch | None = None
) -> tuple[Runs[Rows], MemoryScratch]:
    """Runs of these keys; rows are numbered as they are added."""
    scratch = scratch or MemoryScratch()
    held = Runs(NOTHING, scratch, most)
    done = 0
    for part in parts:
        held.add(np.array(part, dtype=np.uint64), rows_of(range(done, done + len(part))))
        done += len(part)
    assert held.count == done
    return held, scratch


few_keys = st.integers(0, 9) | st.sampled_from([LAST_KEY, LAST_KEY - 1, 1 << 63])


@pytest.fixture(autouse=True)
def small_samples(monkeypatch):
    monkeypatch.setattr(runs, "_SAMPLED", 3)
    monkeypatch.setattr(runs, "_MERGED", 4)


@settings(max_examples=300)
@given(st.lists(st.lists(few_keys, max_size=12), max_size=8), st.integers(1, 20), few_keys, few_keys)
def test_a_range_of_keys(parts: list[list[int]], most: int, one: int, two: int) -> None:
    first, last = min(one, two), max(one, two)
    held, _ = filled(parts, most)
    flat = [key for part in parts for key in part]
    expected = sorted((key, number) for number, key in enumerate(flat) if first <= key <= last)
    for _ in range(2):
        found = held.between(first, last)
        assert found.number.tolist() == [number for _, number in expected]
        assert found.flag.tolist() == [number % 7 for _, number in expected]
        assert [found.number.dtype.name, found.flag.dtype.name] == ["int64", "uint8"]


@settings(max_examples=300)
@given(st.lists(st.lists(few_keys, max_size=12), max_size=8), st.integers(1, 20), st.integers(1, 9))
def test_cuts_cover_every_key_once(parts: list[list[int]], most: int, step: int) -> None:
    held, _ = filled(parts, most)
    ranges = list(cuts(held.samples(), step, 2))
    assert (ranges[0][0], ranges[-1][1]) == (0, LAST_KEY)
    for (_, last), (first, _) in itertools.pairwise(ranges):
        assert first == last + 1
    assert all(first <= last for first, last in ranges)


def test_cuts_hold_about_as_many_rows_as_they_should() -> None:
    held, _ = filled([list(range(0, 4000, 4)), list(range(2, 4000, 4))], 500)
    sizes = [len(held.between(first, last)) for first, last in cuts(held.samples(), 100, 0)]
    assert sum(sizes) == 2000
    assert max(sizes) <= 120
    assert len(sizes) >= 15


def test_keys_that_belong_together_are_divided_only_where_they_are_too_many() -> None:
    held, _ = filled([[16 + low for low in range(16)] * 2, [32 + low for low in range(16)] * 40], 10_000)
    ranges = list(cuts(held.samples(), 60, 4))
    assert any(first == 32 for first, _ in ranges), "between the two"
    assert not any(16 < first < 32 for first, _ in ranges)
    assert sum(32 < first < 48 for first, _ in ranges) > 5


def test_only_what_is_too_much_for_memory_is_written() -> None:
    held, scratch = filled([[1, 2], [3]], 4)
    assert held.between(0, 9).number.tolist() == [0, 1, 2]
    assert scratch.data == b""
    _, scratch = filled([[1, 2], [3, 4]], 4)
    assert len(scratch.data) == 4 * (8 + 8 + 1)


def test_borders_are_keys_without_their_low_bits() -> None:
    held, _ = filled([[key << 4 | 3 for key in range(100)]], 30)
    borders = held.borders(10, 4)
    assert borders[0] == 0
    assert np.diff(borders.astype(np.int64)).max() <= 18
    assert held.borders(1000, 4).tolist() == [0]
    assert Runs(NOTHING, MemoryScratch(), 5).borders(10, 4).tolist() == []


class ReadScratch(MemoryScratch):
    """Counts how often it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0

    def read(self, offset: int, count: int) -> NDArray[np.uint8]:
        self.reads += 1
        return super().read(offset, count)


@pytest.mark.parametrize("same", [False, True])
def test_a_range_is_read_out_of_few_runs_however_many_there_were(same: bool) -> None:
    random = np.random.default_rng(1)
    keys = random.integers(0, 5000, 3000) * (not same)
    held, scratch = filled([keys[at : at + 10].tolist() for at in range(0, 3000, 10)], 10, ReadScratch())
    assert isinstance(scratch, ReadScratch)
    scratch.reads = 0
    found = held.between(1000, 1010)
    assert scratch.reads <= 4 * 5 * 3
    there = np.flatnonzero((keys >= 1000) & (keys <= 1010))
    assert sorted(found.number.tolist()) == there.tolist()
    everything = held.between(0, LAST_KEY).number.tolist()
    assert everything == np.argsort(keys, kind="stable").tolist()
    # What was merged takes no room any more.
    assert len(scratch.data) - scratch.freed == 3000 * (8 + 8 + 1)


@pytest.mark.parametrize("most", [5, 50])
def test_the_parts_of_a_key_are_as_they_were_added(most: int) -> None:
    keys = [at % 7 * (at % 3 == 0) for at in range(400)]
    held, _ = filled([keys[at : at + 6] for at in range(0, 400, 6)], most)
    parts = [part.number.tolist() for part in held.parts(0)]
    assert [row for part in parts for row in part] == [at for at, key in enumerate(keys) if not key]
    assert max(map(len, parts)) <= most + 6


class LazyScratch(MemoryScratch):
    """Begins no work before somebody waits for it."""

    def aside(self, work: Callable[[], T]) -> Callable[[], T]:
        return work


@given(st.lists(st.lists(few_keys, max_size=12), max_size=8), st.integers(1, 20))
def test_it_does_not_matter_when_rows_are_put_away(parts: list[list[int]], most: int) -> None:
    at_once, _ = filled(parts, most)
    later, _ = filled(parts, most, LazyScratch())
    one, other = (held.between(0, LAST_KEY) for held in (at_once, later))
    assert one.number.tolist() == other.number.tolist()


class FullScratch(MemoryScratch):
    def append(self, data: NDArray[np.uint8]) -> int:
        raise CaptureError("no room")

    def aside(self, work: Callable[[], T]) -> Callable[[], T]:
        return aside(work)


def test_where_there_was_no_room_whoever_comes_next_is_told() -> None:
    held = Runs(NOTHING, FullScratch(), 2)
    held.add(np.array([1, 2], dtype=np.uint64), rows_of(range(2)))
    with pytest.raises(CaptureError, match="no room"):
        held.between(0, LAST_KEY)


def test_one_is_begun_before_the_one_before_is_handed_out() -> None:
    begun: list[int] = []

    class Noting(MemoryScratch):
        def aside(self, work: Callable[[], T]) -> Callable[[], T]:
            begun.append(len(begun))
            return work

    works = [partial(int, str(number)) for number in range(3)]
    seen = [(given, len(begun)) for given in one_ahead(Noting(), works)]
    assert seen == [(0, 2), (1, 3), (2, 3)]
    assert list(one_ahead(Noting(), [])) == []
