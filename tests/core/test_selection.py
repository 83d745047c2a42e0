"""What is asked of captures: moments and networks as people write them."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.core.selection import parse_time
from scanner.model import UsageError


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("0", 0),
        ("1732370000", 1_732_370_000_000_000_000),
        ("1732370000.5", 1_732_370_000_500_000_000),
        ("1732370000.123456789", 1_732_370_000_123_456_789),
        ("1970-01-01", 0),
        ("1970-01-02", 86_400_000_000_000),
        ("1970-01-01T00:01", 60_000_000_000),
        ("1970-01-01 00:00:01.000000001Z", 1_000_000_001),
        ("1970-01-01T00:00:01,25", 1_250_000_000),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T00:00:00-0130", 5_400_000_000_000),
        ("1969-12-31T23:59:59.5Z", -500_000_000),
    ],
)
def test_a_moment(text: str, moment: int) -> None:
    assert parse_time(text) == moment


@given(st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)))
def test_a_moment_as_records_write_it(moment: datetime) -> None:
    expected = (moment - datetime(1970, 1, 1)).total_seconds()
    assert abs(parse_time(f"{moment.isoformat(timespec='microseconds')}Z") / 1e9 - expected) < 1e-5


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "1970",
        "-1",
        "1e9",
        "2026-13-01",
        "2026-01-01T25:00",
        "2026-01-01T",
        "1.1234567890",
        "1970-01-01Z",
    ],
)
def test_what_is_no_moment_is_named(text: str) -> None:
    if text == "1970":
        assert parse_time(text) == 1970 * 10**9, "seconds since the epoch"
        return
    with pytest.raises(UsageError, match="is not a time; write it like"):
        parse_time(text)
