from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.core.loss import Loss, most_tries


def answered(*attempts: int) -> Loss:
    loss = Loss()
    loss.observe(np.array(attempts, dtype=np.int64))
    return loss


def test_nothing_known_is_nothing_lost() -> None:
    assert Loss().rate == 0
    assert Loss().missing(1) == 0


def test_answers_to_the_first_try_tell_of_no_loss() -> None:
    assert answered(*[0] * 1000).missing(1) == 0


def test_the_rate_is_failures_in_tries() -> None:
    assert answered(0, 0, 0, 1).rate == pytest.approx(1 / 5)
    assert answered(2).rate == pytest.approx(2 / 3)


@pytest.mark.parametrize("chance", [0.02, 0.19, 0.5])
def test_what_is_missing_is_foretold(chance: float) -> None:
    """Of 200 000 hosts asked three times through such a loss, as many stay silent as it says."""
    needed = np.random.default_rng(1).geometric(1 - chance, 200_000) - 1
    loss = Loss()
    for part in np.array_split(needed[needed < 3], 7):
        loss.observe(part)
    # Answers that would have taken more tries are not seen, so the rate is a little low: the more, the worse.
    silent = int(np.count_nonzero(needed >= 3))
    assert 0.3 * silent <= loss.missing(3) <= 1.2 * silent + 3


@given(st.lists(st.integers(0, 20), min_size=1), st.integers(1, 100))
def test_more_tries_leave_fewer(attempts: list[int], tries: int) -> None:
    loss = answered(*attempts)
    assert 0 <= loss.rate < 1
    assert 0 <= loss.missing(tries + 1) <= loss.missing(tries)


@pytest.mark.parametrize(("attempts", "most"), [(1, 1), (3, 5), (6, 11)])
def test_the_retries_are_doubled_at_most(attempts: int, most: int) -> None:
    assert most_tries(attempts) == most
