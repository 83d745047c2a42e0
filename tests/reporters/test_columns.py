"""Records written from columns are, byte for byte, those written from objects."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.contracts import ColumnReporter
from scanner.core.addresses import format_addresses
from scanner.core.book import FIRST_ENTRY
from scanner.core.outcomes import ABSENT, HINTS, NOTES, PROTOCOLS, Outcomes
from scanner.core.records import verdicts
from scanner.core.rules import Rank
from scanner.model import REASONS
from scanner.reporters.csv import CsvReporter
from scanner.reporters.jsonl import JsonlReporter
from scanner.reporters.terminal import TerminalReporter

ADDRESSES = st.integers(0, 2**32 - 1) | st.integers(0x0A320000, 0x0A320010)
MOMENTS = st.just(ABSENT) | st.integers(0, 2**62) | st.integers(1_795_702_573 * 10**9, 1_795_702_575 * 10**9)
ROUND_TRIPS = st.just(ABSENT) | st.integers(0, 2**62) | st.integers(0, 10**8)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(Rank), st.integers(0, len(REASONS) - 1), st.integers(0, 255), ADDRESSES,
        st.integers(0, 2**62),
    ),
    min_size=1,
    max_size=2,
).map(tuple)  # fmt: skip
ROWS = st.lists(
    st.tuples(
        ADDRESSES,
        st.sampled_from(list(PROTOCOLS)),
        st.integers(1, 65535),
        st.sampled_from(Rank),
        st.integers(0, len(REASONS) - 1),
        st.integers(ABSENT, 255),
        ROUND_TRIPS,
        st.just(ABSENT) | ADDRESSES,
        st.integers(0, 3) | st.integers(0, 2**40),
        MOMENTS,
        st.integers(0, len(NOTES) - 1),
        st.integers(0, len(HINTS) - 1),
        st.none() | STEPS,
        st.just(ABSENT) | ADDRESSES,
        st.just(ABSENT) | st.integers(0, 2**48 - 1),
    ),
    max_size=20,
)
KINDS = ["u4", "u1", "u2", "u1", "u1", "i2", "i8", "i8", "i8", "i8", "u1", "u1", "O", "i8", "i8"]


def outcomes_of(rows) -> Outcomes:
    columns = []
    for values, kind in zip(zip(*rows, strict=True) if rows else [()] * len(KINDS), KINDS, strict=True):
        column = np.empty(len(rows), dtype=kind)
        for row, value in enumerate(values):
            column[row] = value
        columns.append(column)
    return Outcomes(*columns)


def odd_names(addresses):
    return [
        text if number < FIRST_ENTRY else f"2001:db8::{number:x}"
        for number, text in zip(addresses.tolist(), format_addresses(addresses), strict=True)
    ]


def both(factory, outcomes, names) -> tuple[bytes, bytes]:
    written = []
    for columns in (True, False):
        stream = io.BytesIO()
        reporter = factory(stream)
        if columns:
            reporter.write_outcomes([outcomes], names)
        else:
            reporter.write(verdicts(outcomes, names))
        reporter.close()
        written.append(stream.getvalue())
    return written[0], written[1]


@pytest.mark.parametrize("factory", [JsonlReporter, CsvReporter])
@pytest.mark.parametrize("names", [format_addresses, odd_names])
@given(ROWS)
def test_columns_and_objects_come_to_the_same_bytes(factory, names, rows):
    by_columns, by_objects = both(factory, outcomes_of(rows), names)
    assert by_columns == by_objects


@pytest.mark.parametrize("factory", [JsonlReporter, CsvReporter])
def test_so_they_do_over_many_pieces(factory):
    random = np.random.default_rng(5)
    count = 50_000
    outcomes = Outcomes.silent(
        np.arange(count, dtype=np.uint32) + 0x0A320000,
        np.full(count, 6, dtype=np.uint8),
        np.full(count, 401, dtype=np.uint16),
        Rank.UNANSWERED,
        0,
    )
    told = random.random(count) < 0.9
    outcomes.rank[told] = Rank.CLOSED
    outcomes.responder[told] = outcomes.address[told]
    outcomes.rtt[told] = random.integers(0, 10**10, int(told.sum()))
    outcomes.time[:] = 1_795_702_573 * 10**9 + random.integers(0, 10**10, count)
    by_columns, by_objects = both(factory, outcomes, format_addresses)
    assert by_columns == by_objects


def test_those_who_take_no_columns_are_known():
    assert isinstance(JsonlReporter(io.BytesIO()), ColumnReporter)
    assert not isinstance(TerminalReporter(io.BytesIO()), ColumnReporter)
