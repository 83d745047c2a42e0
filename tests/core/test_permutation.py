"""The order of a sweep: a bijection that spreads, the same for ever."""

from __future__ import annotations

import hashlib
import itertools
import math
import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scanner.core.permutation import MAX_SIZE, Permutation, shard_positions, shard_size
from scanner.model import UsageError

seeds = st.integers() | st.binary(max_size=80)


@given(st.integers(0, 3000), seeds)
@example(0, 0)
@example(1, b"")
@example(2, -1)
@example(3, 1 << 200)
@example(1 << 16, b"longer than one block of positions")
def test_bijective_and_inverted(n: int, seed: int | bytes) -> None:
    order, positions = Permutation(n, seed), np.arange(n)
    indexes = order.forward(positions)
    assert indexes.dtype == np.int64
    assert np.array_equal(np.sort(indexes), positions)
    assert np.array_equal(order.inverse(indexes), positions)


@given(st.integers(1, MAX_SIZE), seeds, st.data())
@example(MAX_SIZE, 0, None)
@example((1 << 24) ** 2 - 1, 0, None)
@example((1 << 24) * ((1 << 24) - 1) + 1, 0, None)
def test_inverted_where_it_is_large(n: int, seed: int | bytes, data: st.DataObject | None) -> None:
    drawn = data.draw(st.lists(st.integers(0, n - 1), max_size=50)) if data else []
    positions = np.array([0, n - 1, n // 2, *drawn])
    order = Permutation(n, seed)
    indexes = order.forward(positions)
    assert indexes.min() >= 0
    assert indexes.max() < n
    assert np.array_equal(order.inverse(indexes), positions)
    assert np.array_equal(order.forward(order.inverse(positions)), positions)
    assert len(set(indexes.tolist())) == len(set(positions.tolist()))


@given(st.integers(0, 2000), st.integers(1, 40), seeds)
def test_every_index_once_across_shards(n: int, shards: int, seed: int | bytes) -> None:
    order = Permutation(n, seed)
    visited: list[int] = []
    for shard in range(shards):
        size = shard_size(n, shard, shards)
        half = size // 2
        for first, count in ((0, half), (half, size - half)):
            visited += order.forward(shard_positions(first, count, shard, shards)).tolist()
    assert sorted(visited) == list(range(n))


def test_a_shard_is_a_stride() -> None:
    assert shard_positions(2, 3, 1, 4).tolist() == [9, 13, 17]
    assert shard_positions(5, 0, 1, 4).tolist() == []
    assert [shard_size(10, shard, 4) for shard in range(4)] == [3, 3, 2, 2]


@pytest.mark.parametrize(("shard", "shards"), [(-1, 4), (4, 4), (0, 0)])
def test_no_such_shard(shard: int, shards: int) -> None:
    with pytest.raises(UsageError, match=f"no shard {shard} of {shards}"):
        shard_size(10, shard, shards)
    with pytest.raises(UsageError, match=f"no shard {shard} of {shards}"):
        shard_positions(0, 1, shard, shards)


@given(seeds, seeds)
@example(0, b"\0")
@example(0, b"")
@example(255, -1)
@example(b"\0", b"\0\0")
def test_different_seeds_differ(one: int | bytes, other: int | bytes) -> None:
    positions = np.arange(64)
    same = np.array_equal(
        Permutation(1 << 20, one).forward(positions), Permutation(1 << 20, other).forward(positions)
    )
    assert same == (one == other)


@pytest.mark.parametrize("n", [1 << 16, 1 << 24, 1 << 32, 1 << 48])
@pytest.mark.parametrize("stride", [1, 2, 256, 257, 4096])
def test_neighbours_are_spread(n: int, stride: int) -> None:
    # Also with strides that move only one half of the network; a /24 is hit twice in a row by chance alone.
    count = min(n // stride, 20_000)
    same = steps = 0
    for seed in range(max(1, 4000 // count)):
        indexes = Permutation(n, seed).forward(shard_positions(0, count, 0, stride))
        same += int(((indexes[1:] >> 8) == (indexes[:-1] >> 8)).sum())
        steps += count - 1
    by_chance = steps * 256 / n
    assert same <= by_chance + 5 * math.sqrt(by_chance) + 2


@pytest.mark.parametrize("n", [10_007, 1 << 20, 1 << 32])
def test_a_start_of_the_order_covers_everything_evenly(n: int) -> None:
    starts, bins = 4096, 64
    for seed in range(8):
        indexes = Permutation(n, seed).forward(np.arange(starts))
        counts = np.bincount(indexes * bins // n, minlength=bins)
        chi_squared = float(((counts - starts / bins) ** 2).sum() / (starts / bins))
        # 63 degrees of freedom: beyond 130 once in a million seeds.
        assert chi_squared < 130


def test_small_orders_are_all_reached() -> None:
    positions, each = np.arange(4), 60
    seen = Counter(tuple(Permutation(4, seed).forward(positions).tolist()) for seed in range(24 * each))
    assert set(seen) == set(itertools.permutations(range(4)))
    assert max(seen.values()) < 2 * each


@pytest.mark.parametrize(
    ("n", "seed", "first", "digest"),
    [
        (1000, 401, [421, 851, 288, 759], "c22eb3185bc38271"),
        (65536, b"ghostport", [2393, 18278, 20253, 33677], "4a621f759933b44c"),
        ((1 << 32) - 5, 0, [1327379070, 3734265327, 1375265775, 1534331190], "2c74bc7655891e9e"),
        (1 << 48, -7, [89439581119595, 54634709899689, 261268297678789, 183454281226857], "713284fe27f24bd8"),
    ],
)
def test_the_order_of_saved_sweeps_stays(n: int, seed: int | bytes, first: list[int], digest: str) -> None:
    indexes = Permutation(n, seed).forward(np.arange(1000))
    assert indexes[:4].tolist() == first
    assert hashlib.sha256(indexes.astype("<i8").tobytes()).hexdigest()[:16] == digest


def test_strays_are_refused() -> None:
    order = Permutation(100, 0)
    for stray in (-1, 100, 1 << 40):
        with pytest.raises(IndexError, match=r"outside 0 \.\. 99"):
            order.forward(np.array([5, stray]))
        with pytest.raises(IndexError, match=r"outside 0 \.\. 99"):
            order.inverse(np.array([5, stray]))


@pytest.mark.parametrize("n", [-1, MAX_SIZE + 1])
def test_a_size_out_of_bounds_is_refused(n: int) -> None:
    with pytest.raises(UsageError, match=r"the most is 2\*\*48"):
        Permutation(n, 0)


def test_the_argument_is_left_alone_and_may_be_strided() -> None:
    order, positions = Permutation(1000, 3), np.arange(1000)
    strided = order.forward(positions[::7])
    assert np.array_equal(positions, np.arange(1000))
    assert np.array_equal(strided, order.forward(positions)[::7])


def test_equal_by_size_and_seed_and_mum_about_the_seed() -> None:
    assert Permutation(10, 3) == Permutation(10, 3) != Permutation(10, 4)
    assert "12345" not in repr(Permutation(10, 12345))


def test_a_million_positions_take_little_time() -> None:
    order, positions = Permutation((1 << 32) - 5, 1), np.arange(1_000_000)
    started = time.perf_counter()
    order.forward(positions)
    # Twenty times what it takes, so that a busy machine passes and a loop in Python does not.
    assert time.perf_counter() - started < 0.5
