"""Ports as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.core.ports import format_ports, parse_ports, ports_of
from scanner.model import UsageError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("401", (401,)),
        ("401,3493", (401, 3493)),
        ("3493,401,401", (401, 3493)),
        ("1-1024", tuple(range(1, 1025))),
        ("-", tuple(range(1, 65536))),
        ("-100", tuple(range(1, 101))),
        ("60000-", tuple(range(60000, 65536))),
        ("5-7,6-8,1", (1, 5, 6, 7, 8)),
        ("65535", (65535,)),
        ("7-7", (7,)),
        ("0401", (401,)),
    ],
)
def test_accepted_forms(text: str, expected: tuple[int, ...]) -> None:
    assert parse_ports(text) == expected


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("0", "port 0 does not exist; ports are 1 to 65535"),
        ("0-10", "port 0 does not exist"),
        ("-0", "port 0 does not exist"),
        ("70000", "port 70000 does not exist; ports are 1 to 65535"),
        ("1-65536", "port 65536 does not exist"),
        ("401,70000", "port 70000 does not exist"),
        ("9" * 9999, "does not exist"),
        ("20-10", "20-10 ends before it starts; write 10-20"),
        ("", "'' is not a port"),
        ("401,", "'401,' is not a port"),
        ("401 ", "'401 ' is not a port"),
        ("401\n", "is not a port"),
        ("ups", "'ups' is not a port"),
        ("1-2-3", "'1-2-3' is not a port"),
        ("--", "'--' is not a port"),
        ("+5", "'+5' is not a port"),
        ("\u0664", "is not a port"),
    ],
)
def test_refused_by_name(text: str, fault: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_ports(text)
    assert fault in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 200


@given(st.sets(st.integers(1, 65535)) | st.sets(st.integers(1, 40)) | st.sets(st.integers(65500, 65535)))
def test_written_and_read_back(ports: set[int]) -> None:
    text = format_ports(tuple(ports))
    assert (parse_ports(text) if text else ()) == tuple(sorted(ports))


@pytest.mark.parametrize(
    ("ports", "text"),
    [
        ((), ""),
        ((401,), "401"),
        ((1, 2, 3, 7), "1-3,7"),
        ((1, 2), "1-2"),
        (tuple(range(1, 65536)), "1-65535"),
    ],
)
def test_runs_are_written_as_ranges(ports: tuple[int, ...], text: str) -> None:
    assert format_ports(ports) == text


def test_ports_as_text_or_as_numbers() -> None:
    assert ports_of("401,3493") == ports_of([3493, 401]) == ports_of(iter((401, 3493))) == (401, 3493)
    with pytest.raises(UsageError, match="70000"):
        ports_of([70000])
