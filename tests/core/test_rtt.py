"""The retransmission time-out, by RFC 6298's own formulas."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.core.rtt import INITIAL_TIMEOUT, LEAST_TIMEOUT, RoundTrip


def observed(*batches: list[float], longest: float = 60.0) -> RoundTrip:
    """After samples in seconds, batch by batch."""
    trip = RoundTrip(longest)
    for batch in batches:
        trip.observe(np.array([round(sample * 1e9) for sample in batch], dtype=np.int64))
    return trip


def rfc_6298(samples: list[float]) -> tuple[float, float]:
    """SRTT and RTO (section 2.2 and 2.3), without bounds and with no clock granularity."""
    smoothed, variation = samples[0], samples[0] / 2
    for sample in samples[1:]:
        variation = 3 / 4 * variation + 1 / 4 * abs(smoothed - sample)
        smoothed = 7 / 8 * smoothed + 1 / 8 * sample
    return smoothed, smoothed + 4 * variation


def test_the_first_sample() -> None:
    trip = observed([0.2])
    assert trip.smoothed == pytest.approx(0.2)
    assert trip.timeout(0) == pytest.approx(0.2 + 4 * 0.1)


def test_a_sequence_worked_out_by_hand() -> None:
    trip = observed([0.5], [0.3], [0.7])
    # After 0.3: variation 3/4·0.25 + 1/4·0.2 = 0.2375, smoothed 7/8·0.5 + 1/8·0.3 = 0.475.
    # After 0.7: variation 3/4·0.2375 + 1/4·0.225 = 0.234375, smoothed 7/8·0.475 + 1/8·0.7 = 0.503125.
    assert trip.smoothed == pytest.approx(0.503125)
    assert trip.timeout(0) == pytest.approx(0.503125 + 4 * 0.234375)


@given(st.lists(st.floats(1e-6, 5.0), min_size=1, max_size=30))
def test_single_samples_follow_the_rfc(samples: list[float]) -> None:
    trip = observed(*([sample] for sample in samples))
    smoothed, timeout = rfc_6298(samples)
    assert trip.smoothed == pytest.approx(smoothed, abs=1e-8)
    assert trip.timeout(0) == pytest.approx(max([timeout, LEAST_TIMEOUT, *samples]), abs=1e-7)


@given(st.floats(1e-3, 3.0), st.floats(1e-3, 3.0), st.integers(1, 1000))
def test_a_batch_weighs_as_much_as_its_samples(first: float, sample: float, count: int) -> None:
    batch, single = observed([first], [sample] * count), observed([first], *([[sample]] * count))
    assert batch.smoothed == pytest.approx(single.smoothed, rel=1e-6)
    assert min(first, sample) - 1e-9 <= (batch.smoothed or 0) <= max(first, sample) + 1e-9


def test_the_slowest_host_is_a_lower_bound() -> None:
    trip = observed([2.0], *[[0.01] * 500] * 5)
    assert trip.smoothed == pytest.approx(0.01, rel=0.05)
    assert trip.timeout(0) == pytest.approx(2.0)


def test_the_slowest_of_one_batch_counts_too() -> None:
    assert observed([0.001] * 999 + [1.5]).timeout(0) >= 1.5


def test_the_floor() -> None:
    assert observed([0.0001] * 100).timeout(0) == LEAST_TIMEOUT


@pytest.mark.parametrize("longest", [0.05, 0.5, 3.0])
def test_the_cap_holds_whatever_is_measured(longest: float) -> None:
    assert RoundTrip(longest).timeout(0) == min(INITIAL_TIMEOUT, longest)
    for trip in (observed([9.0], longest=longest), observed([0.2], longest=longest)):
        for attempt in (0, 5, 255):
            assert trip.timeout(attempt) <= longest
    assert observed([0.2], longest=longest).timeout(255) == longest


def test_doubled_with_every_try() -> None:
    trip = observed([0.2])
    assert [trip.timeout(attempt) for attempt in range(4)] == pytest.approx([0.6, 1.2, 2.4, 4.8])


def test_nothing_measured() -> None:
    trip = observed([])
    assert trip.smoothed is None
    assert trip.timeout(0) == INITIAL_TIMEOUT == 1.0


def test_a_reply_that_seems_older_than_its_probe_counts_as_none() -> None:
    trip = observed([-5.0, -0.001])
    assert trip.smoothed == 0.0
    assert trip.timeout(0) == LEAST_TIMEOUT


def test_on_a_path_that_is_not_known_the_last_try_is_waited_for_as_long_as_doubling_says() -> None:
    for trip in (observed([]), observed([0.01] * 99)):
        assert [trip.patience(attempt) for attempt in (0, 2)] == [trip.timeout(0), trip.timeout(2)]


def test_on_a_path_that_is_well_known_the_last_try_is_waited_for_no_longer_than_it_takes() -> None:
    assert observed([0.001] * 100).patience(2) == LEAST_TIMEOUT
    assert observed([0.001] * 99 + [0.08]).patience(2) == pytest.approx(0.16)
    trip = observed([0.001] * 1000 + [0.3])
    assert trip.patience(0) == trip.timeout(0)
    assert trip.patience(2) == pytest.approx(0.6)
    assert trip.timeout(0) < trip.patience(2) < trip.timeout(2)


@given(st.lists(st.floats(1e-6, 5.0), min_size=1, max_size=200), st.integers(0, 5))
def test_patience_is_never_less_than_a_first_try_has_nor_more_than_its_own(
    samples: list[float], attempt: int
) -> None:
    trip = observed(samples, longest=2.0)
    assert trip.timeout(0) <= trip.patience(attempt) <= trip.timeout(attempt)
