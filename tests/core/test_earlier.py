"""Which of a flow's earlier probes is named, against a plain search."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.core.earlier import Numbered, last_so_far, named
from scanner.core.rules import Check

LAST = 0xFFFF_FFFF


def numbered(rows: list[tuple[int, int, int]]) -> Numbered:
    """Flow, place and number of each."""
    table = np.array(rows, dtype=np.int64).reshape(-1, 3)
    return Numbered(table[:, 0], table[:, 1], table[:, 2].astype(np.uint32))


flows, numbers, sizes = st.integers(0, 1), st.sampled_from([0, 1, 2, 3, LAST]), st.integers(0, 2)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(flows, numbers, sizes), max_size=8),
    st.lists(st.tuples(flows, st.integers(0, 30), numbers, st.sampled_from(sorted(set(Check)))), max_size=8),
)
def test_against_a_plain_search(
    asked: list[tuple[int, int, int]], said: list[tuple[int, int, int, Check]]
) -> None:
    asked.sort(key=lambda item: item[0])
    probes = numbered([(flow, 3 * at, number) for at, (flow, number, _) in enumerate(asked)])
    size = np.array([extra for _, _, extra in asked], dtype=np.uint32)
    claims = numbered([(flow, 3 * (place // 3) + 1, number) for flow, place, number, _ in said])
    check = np.array([way for *_, way in said], dtype=np.uint8)

    expected = []
    for flow, place, number, way in said:
        found = -1
        for at, (asked_flow, first, extra) in enumerate(asked):
            names = {Check.SEQUENCE: {0}, Check.ACKNOWLEDGED: {0, extra}, Check.RESET: {0, extra, LAST}}
            fits = (number - first) % (LAST + 1) in names.get(way, set())
            several = len({other for same, other, _ in asked if same == flow}) > 1
            if asked_flow == flow and several and at <= place // 3 and fits:
                found = at
        expected.append(found)
    assert named(probes, size, claims, check).tolist() == expected


@pytest.mark.parametrize(
    ("good", "begins", "last"),
    [
        ([0, 1, 0, 0, 1, 0], [1, 0, 0, 1, 0, 0], [-1, 1, 1, -1, 4, 4]),
        ([1, 0], [1, 1], [0, -1]),
        ([], [], []),
    ],
)
def test_the_last_so_far(good: list[int], begins: list[int], last: list[int]) -> None:
    assert last_so_far(np.array(good, dtype=np.bool_), np.array(begins, dtype=np.bool_)).tolist() == last
