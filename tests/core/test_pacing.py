"""The token bucket: never more than it promises, and never a wait for nothing."""

from __future__ import annotations

import itertools
import math
import sys

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from scanner.core.pacing import TokenBucket

rates = st.sampled_from([0.1, 1.0, 3.0, 49.0, 50.0, 99.5, 200.0, 1000.0, 12345.6, 1e6, 1e7])


def burst(rate: float) -> float:
    return max(1.0, rate / 50)


def quantum(rate: float) -> float:
    return max(1.0, rate / 200)


starts = st.sampled_from([0.0, 1e-3, 12345.678, 3.2e7, 1.7e9])


@given(
    rates,
    starts,
    st.lists(
        st.tuples(st.floats(0, 0.05) | st.floats(0, 30), st.floats(0, 1), st.booleans()),
        min_size=1,
        max_size=40,
    ),
)
def test_no_window_lets_out_more_than_its_share(
    rate: float, now: float, calls: list[tuple[float, float, bool]]
) -> None:
    bucket = TokenBucket(rate)
    taken: list[tuple[float, int]] = []
    for wait, part, asks_twice in calls:
        now += wait
        if asks_twice:
            bucket.due(now)
            bucket.available(now)
        count = math.ceil(bucket.available(now) * part)
        bucket.take(count)
        taken.append((now, count))
    for first, last in itertools.combinations_with_replacement(range(len(taken)), 2):
        out = sum(count for _, count in taken[first : last + 1])
        window = taken[last][0] - taken[first][0]
        # A quantum is given out a thousandth early; times so large are rounded themselves.
        allowance = quantum(rate) / 500 + rate * math.ulp(now) * 4
        assert out <= rate * window + burst(rate) + allowance


@given(rates, starts, st.floats(0, 0.1), st.integers(1, 100_000))
def test_due_is_honest(rate: float, now: float, wait: float, count: int) -> None:
    bucket = TokenBucket(rate)
    assume(bucket.available(now) >= 1)
    bucket.take(min(count, bucket.available(now)))
    now += wait
    due = bucket.due(now)
    assert due >= now
    if due == now:
        assert bucket.available(now) > 0
    else:
        assert bucket.available(now) == 0
        assert due - now <= quantum(rate) / rate * 1.001 + math.ulp(now)
        assert bucket.available(due) > 0


@given(rates, starts)
def test_a_simulated_clock_gets_on(rate: float, now: float) -> None:
    """Waiting until `due` and no longer, packets go out at the rate."""
    bucket, begin, sent = TokenBucket(rate), now, 0
    for _ in range(50):
        count = bucket.available(now)
        assert count > 0
        bucket.take(count)
        sent += count
        now = bucket.due(now)
    elapsed = now - begin
    assert sent <= rate * elapsed + burst(rate) + 1
    assert sent >= rate * elapsed * 0.97


def test_a_full_bucket_at_first_and_never_fuller() -> None:
    bucket = TokenBucket(1000)
    assert bucket.available(5.0) == 20
    assert bucket.available(500.0) == 20
    bucket.take(20)
    assert bucket.available(500.0) == 0


def test_given_out_by_the_quantum() -> None:
    bucket = TokenBucket(1000)
    bucket.take(bucket.available(0.0))
    assert bucket.available(0.004) == 0
    assert bucket.due(0.004) == pytest.approx(0.005)
    assert bucket.available(0.005) == 5
    assert bucket.available(0.0075) == 7


def test_what_was_not_taken_stays() -> None:
    bucket = TokenBucket(1000)
    bucket.take(15)
    assert bucket.available(0.0) == 5
    bucket.take(2)
    assert bucket.available(0.0) == 0, "three are less than a quantum"
    assert bucket.available(0.002) == 5


def test_slow_rates_let_out_one_at_a_time() -> None:
    bucket = TokenBucket(0.5)
    assert bucket.available(0.0) == 1
    bucket.take(1)
    assert bucket.available(1.9) == 0
    assert bucket.due(1.9) == pytest.approx(2.0)
    assert bucket.available(2.0) == 1
    assert bucket.available(100.0) == 1


def test_infinity_never_waits() -> None:
    bucket = TokenBucket(math.inf)
    for now in (0.0, 0.0, 3.0):
        assert bucket.available(now) == sys.maxsize
        bucket.take(10**9)
        assert bucket.due(now) == now


def test_a_clock_that_steps_back_earns_nothing() -> None:
    bucket = TokenBucket(1000)
    assert bucket.available(10.0) == bucket.available(5.0) == 20, "nor loses"
    bucket.take(20)
    assert bucket.available(5.0) == 0
    assert bucket.available(10.0) == 0
    assert bucket.available(10.005) == 5


@given(rates, rates, starts, st.floats(0, 0.1))
def test_a_rate_that_changes_holds_from_then_on(before: float, after: float, now: float, wait: float) -> None:
    bucket = TokenBucket(before)
    bucket.take(bucket.available(now))
    now += wait
    bucket.change(after, now)
    begin, sent = now, 0
    for _ in range(50):
        count = bucket.available(now)
        bucket.take(count)
        sent += count
        now = bucket.due(now)
    elapsed = now - begin
    assert sent <= after * elapsed + burst(after) + 1
    assert sent >= after * elapsed * 0.97 - 1


def test_what_was_earned_stays_up_to_a_burst_of_the_new_rate() -> None:
    bucket = TokenBucket(1000)
    bucket.take(bucket.available(0.0))
    bucket.change(10_000, 0.010)
    assert bucket.available(0.010) == 0, "ten were earned at the old rate, less than a quantum of the new"
    assert bucket.available(0.014) == 50
    bucket.change(100, 0.014)
    assert bucket.available(0.014) == 2


def test_from_and_to_no_limit() -> None:
    bucket = TokenBucket(math.inf)
    bucket.take(10**9)
    bucket.change(1000, 1.0)
    assert bucket.available(1.0) == 20
    bucket.take(20)
    bucket.change(math.inf, 1.0)
    assert bucket.available(1.0) == sys.maxsize
