from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.contracts import Clock
from scanner.wire.clock import NANOSECONDS, SimulatedClock, SystemClock


def test_the_system_clock_shows_the_machines_time() -> None:
    clock: Clock = SystemClock()
    before = time.time_ns()
    assert before <= clock.wall() <= time.time_ns()
    steady = clock.steady()
    clock.sleep(0.01)
    assert clock.steady() - steady >= 0.01


def test_sleeping_for_no_time_or_less_returns_at_once() -> None:
    clock = SystemClock()
    before = clock.steady()
    clock.sleep(0)
    clock.sleep(-5)
    assert clock.steady() - before < 0.1


def test_simulated_time_moves_only_when_told_to() -> None:
    clock: Clock = SimulatedClock(start=5 * NANOSECONDS)
    assert (clock.wall(), clock.steady()) == (5 * NANOSECONDS, 0.0)
    clock.sleep(1.5)
    assert (clock.wall(), clock.steady()) == (6_500_000_000, 1.5)
    clock.sleep(-1)
    assert clock.wall() == 6_500_000_000


def test_simulated_time_never_goes_back() -> None:
    clock = SimulatedClock(start=100)
    clock.advance_to(300)
    clock.advance_to(200)
    assert clock.wall() == 300


@given(st.floats(min_value=0, exclude_min=True, max_value=1e6))
def test_every_sleep_moves_simulated_time(seconds: float) -> None:
    clock = SimulatedClock()
    before = clock.wall()
    clock.sleep(seconds)
    assert clock.wall() > before
    assert (clock.wall() - before) / NANOSECONDS == pytest.approx(seconds, abs=1e-9)
