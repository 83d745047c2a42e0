"""The limit a host: no window of time holds more packets to one than its share and a burst."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.core.hostpace import DEFAULT_PER_HOST, MANY_PORTS, HostPace, default_per_host

rates = st.sampled_from([0.5, 3.0, 50.0, 99.0, 1000.0, 5000.0])


@given(
    rates,
    st.sampled_from([0.0, 12345.678, 3.2e7]),
    st.lists(st.tuples(st.floats(0, 0.1), st.lists(st.integers(0, 3), max_size=300)), max_size=12),
)
def test_no_window_holds_more_than_its_share(
    rate: float, now: float, turns: list[tuple[float, list[int]]]
) -> None:
    pace = HostPace(4, rate)
    sent: list[tuple[float, int]] = []
    for wait, wanted in turns:
        now += wait
        hosts = np.array(wanted, dtype=np.int64)
        allowed = pace.allowed(hosts, now)
        pace.spend(hosts[:allowed], now)
        sent += [(now, host) for host in wanted[:allowed]]
    burst = max(1.0, rate / 50)
    for host in range(4):
        times = [moment for moment, one in sent if one == host]
        for first, begin in enumerate(times):
            for last in range(first, len(times)):
                assert last - first + 1 <= rate * (times[last] - begin) + burst + rate * 2e-8 + 1e-6


@given(rates, st.integers(1, 400))
def test_due_is_honest_and_the_rate_is_reached(rate: float, count: int) -> None:
    pace, now = HostPace(2, rate), 50.0
    hosts = np.zeros(count, dtype=np.int64)
    left = count
    for _ in range(count + 1):
        allowed = pace.allowed(hosts[:left], now)
        assert allowed > 0, "it was due"
        pace.spend(hosts[:allowed], now)
        left -= allowed
        if not left:
            break
        now = max(now, pace.due(0))
    assert left == 0
    assert now - 50.0 <= count / rate + 0.006


def test_others_are_not_held_back_and_the_first_too_many_is() -> None:
    pace = HostPace(3, 100.0)
    assert pace.allowed(np.array([0, 1, 2, 0, 1, 0, 2]), 0.0) == 5, "two of a host at once"
    pace.spend(np.array([0, 0]), 0.0)
    assert pace.allowed(np.array([1, 0, 1]), 0.0) == 1
    assert pace.allowed(np.array([1, 1]), 0.0) == 2
    assert pace.due(1) < 0.0 < pace.due(0)
    assert pace.allowed(np.array([], dtype=np.int64), 0.0) == 0


@pytest.mark.parametrize(
    ("probes", "adaptive", "limit"),
    [
        (1, True, math.inf),
        (MANY_PORTS, True, math.inf),
        (MANY_PORTS + 1, True, DEFAULT_PER_HOST),
        (65535, False, math.inf),
    ],
)
def test_a_limit_that_nobody_asked_for_is_for_many_ports_alone(
    probes: int, adaptive: bool, limit: float
) -> None:
    assert default_per_host(probes, adaptive=adaptive) == limit
