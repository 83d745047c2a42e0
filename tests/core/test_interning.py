"""Numbers for keys, against a dictionary."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.core.interning import Interning
from scanner.model import CaptureError

CALLS = st.lists(st.lists(st.integers(0, 60), max_size=40), max_size=12)


@given(CALLS)
def test_numbers_are_given_in_the_order_in_which_keys_are_met(calls: list[list[int]]) -> None:
    interning: Interning[np.uint64] = Interning(np.uint64, 100, "full")
    known: dict[int, int] = {}
    for call in calls:
        expected = [known.setdefault(key, len(known)) for key in call]
        assert interning.numbers(np.array(call, dtype=np.uint64)).tolist() == expected
    assert len(interning) == len(known)
    assert interning.keys(np.arange(len(known))).tolist() == list(known)
    assert interning.in_order().tolist() == [known[key] for key in sorted(known)]


def test_keys_may_come_one_by_one() -> None:
    interning: Interning[np.uint64] = Interning(np.uint64, 5000, "full")
    keys = np.random.default_rng(3).permutation(5000).astype(np.uint64)
    one_by_one = [interning.numbers(keys[at : at + 1])[0] for at in range(len(keys))]
    assert one_by_one == list(range(5000))
    assert interning.numbers(keys[::-1]).tolist() == list(range(4999, -1, -1))


def test_one_key_too_many_is_refused() -> None:
    interning: Interning[np.uint64] = Interning(np.uint64, 3, "there are more than 3")
    assert interning.numbers(np.array([5, 6, 5, 7], dtype=np.uint64)).tolist() == [0, 1, 0, 2]
    with pytest.raises(CaptureError, match="there are more than 3"):
        interning.numbers(np.array([5, 8], dtype=np.uint64))
    assert interning.numbers(np.array([7, 5], dtype=np.uint64)).tolist() == [2, 0]
