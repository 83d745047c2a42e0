"""Orders, against Python's own sort, which is stable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.core import ordering
from scanner.core.ordering import consecutive, counted, distinct, merged_order, places, stable_order

keys_of = st.lists(st.integers(0, 5) | st.integers(0, (1 << 64) - 1), max_size=40)


@pytest.mark.parametrize("few", [1, 8, 1 << 20], ids=["mend ties", "as it is", "sort anew"])
@given(keys_of)
def test_rows_of_one_key_stay_in_their_order(few: int, keys: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ordering, "_FEW", few)
        found = stable_order(np.array(keys, dtype=np.uint64))
    assert found.tolist() == sorted(range(len(keys)), key=keys.__getitem__)


@given(keys_of, keys_of)
def test_runs_are_merged_one_behind_the_other(one: list[int], two: list[int]) -> None:
    keys = sorted(one) + sorted(two)
    found = merged_order(np.array(keys, dtype=np.uint64))
    assert found.tolist() == sorted(range(len(keys)), key=keys.__getitem__)


@given(
    st.sets(st.integers(-20, 20)) | st.integers(-9, 9).map(lambda first: range(first, first + 9)), st.data()
)
def test_places_among_others(among: Collection[int], data: st.DataObject) -> None:
    ordered = sorted(among)
    numbers = data.draw(st.lists(st.sampled_from(ordered)) if ordered else st.just([]))
    found = places(np.array(numbers, dtype=np.int64), np.array(ordered, dtype=np.int64))
    assert found.tolist() == [ordered.index(number) for number in numbers]


@given(st.sets(st.integers(-5, 5), min_size=1))
def test_whether_numbers_have_no_gap(numbers: set[int]) -> None:
    first, *_, last = [*sorted(numbers)] * 2
    assert consecutive(np.array(sorted(numbers))) == (numbers == set(range(first, last + 1)))


@given(keys_of)
def test_distinct_numbers(keys: list[int]) -> None:
    assert distinct(np.array(keys, dtype=np.uint64)).tolist() == sorted(set(keys))


@given(st.lists(st.integers(-3, 3) | st.integers(-(2**63), 2**63 - 1)))
def test_values_are_counted(values: list[int]) -> None:
    distinct, counts = counted(np.array(values, dtype=np.int64))
    assert list(zip(distinct.tolist(), counts.tolist(), strict=True)) == sorted(Counter(values).items())
