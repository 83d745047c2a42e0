"""Which of a flow's earlier probes is named, against a plain search."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.core import earlier
from scanner.core.earlier import Numbered, last_so_far, named
from scanner.core.rules import Check

LAST = 0xFFFF_FFFF


def numbered(rows: list[tuple[int, int, int]]) -> Numbered:
    """Flow, place and number of each."""
    table = np.array(rows, dtype=np.int64).reshape(-1, 3)
    return Numbered(table[:, 0], table[:, 1], table[:, 2].astype(np.uint32))


flows, numbers, sizes = st.integers(0, 1), st.sampled_from([0, 1, 2, 3, LAST]), st.integers(0, 3)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(flows, numbers, sizes), max_size=8),
    st.lists(st.tuples(flows, st.integers(0, 8), numbers, st.sampled_from(sorted(set(Check)))), max_size=8),
)
def test_against_a_plain_search(
    asked: list[tuple[int, int, int]], said: list[tuple[int, int, int, Check]]
) -> None:
    """Of each claim is said behind how many probes of its flow it came."""
    asked.sort(key=lambda item: item[0])
    of = {flow: [at for at, (other, _, _) in enumerate(asked) if other == flow] for flow in (0, 1)}
    probes = numbered([(flow, 2 * at, number) for at, (flow, number, _) in enumerate(asked)])
    size = np.array([extra for _, _, extra in asked], dtype=np.uint32)

    expected, rows = [], []
    for flow, behind, number, way in said:
        before = of[flow][:behind]
        begin = of[flow][0] if of[flow] else flow * len(asked)
        rows.append((flow, 2 * (before[-1] if before else begin - 1) + 1, number))
        found = -1
        for at in before if len({asked[other][1:] for other in of[flow]}) > 1 else []:
            counted = {*range(asked[at][2] + 1)}
            names = {Check.SEQUENCE: {0}, Check.ACKNOWLEDGED: counted, Check.RESET: counted | {LAST}}
            if (number - asked[at][1]) % (LAST + 1) in names.get(way, set()):
                found = at
        expected.append(found)
    check = np.array([way for *_, way in said], dtype=np.uint8)
    assert named(probes, size, numbered(rows), check).tolist() == expected


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


def test_of_many_probes_with_data_the_last_are_looked_at() -> None:
    count = 3 * earlier._MOST_WITH_DATA
    probes = numbered([(0, place, 10 * place) for place in range(count)])
    size = np.full(count, 5, dtype=np.uint32)
    wanted = [count - 1, count - earlier._MOST_WITH_DATA, 0]
    claims = numbered([(0, count, 10 * place + 2) for place in wanted])
    check = np.full(len(wanted), Check.ACKNOWLEDGED, dtype=np.uint8)
    assert named(probes, size, claims, check).tolist() == [*wanted[:2], -1]
    exact = numbered([(0, count, 10 * place) for place in wanted])
    assert named(probes, size, exact, check).tolist() == wanted
