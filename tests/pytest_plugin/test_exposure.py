"""What is asserted of verdicts, and how it reads when it does not hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from scanner import UsageError, sweep
from scanner.pytest_plugin.exposure import MOST_ROWS, Exposure, Findings, difference, table
from scanner.wire.behaviours import by_port, closed_port, open_port, silent
from scanner.wire.memory import SimulatedNetwork


@pytest.fixture(scope="module")
def exposure() -> Exposure:
    """10.0.0.2 is open on both ports, 10.0.0.5 on 401, 10.0.0.6 is silent; all by TCP."""
    network = SimulatedNetwork()
    network.place("10.0.0.0/29", closed_port())
    network.place("10.0.0.2", open_port())
    network.place("10.0.0.5", by_port({401: open_port()}, closed_port()))
    network.place("10.0.0.6", silent())
    result = sweep("10.0.0.0/29", ports="401,3493", protocols="tcp", network=network).result()
    return Exposure("10.0.0.0/29 (tcp 401,3493)", result, Path("sweep.pcapng"))


OPEN = ["10.0.0.2 401/tcp", "10.0.0.2 3493/tcp", "10.0.0.5 401/tcp"]


@pytest.mark.parametrize(
    ("allowed", "others"),
    [
        (["10.0.0.2", "10.0.0.5"], []),
        (["10.0.0.0/29"], []),
        (["10.0.0.0/29 401", "10.0.0.2 3493/tcp"], []),
        (["10.0.0.1", "10.0.0.2", "10.0.0.5"], []),
        ([], OPEN),
        (["10.0.0.2"], OPEN[2:]),
        (["10.0.0.0/29 401"], OPEN[1:2]),
        (["10.0.0.0/29 401/udp"], OPEN),
        (["10.0.0.4/30"], OPEN[:2]),
        (["fd00::/64"], OPEN),
    ],
)
def test_nothing_is_open_but_what_is_allowed(exposure, allowed, others):
    if not others:
        exposure.assert_only_open(*allowed)
        return
    with pytest.raises(AssertionError) as failed:
        exposure.assert_only_open(*allowed)
    first, *rows, last = str(failed.value).splitlines()
    assert first == f"open, but not allowed: {', '.join(others)}"
    assert [" ".join(row.split()[:2]) for row in rows[1:]] == others
    assert last == f"allowed: {', '.join(allowed) or 'nothing'}"


def test_what_is_required_is_open(exposure):
    exposure.assert_open("10.0.0.2", "10.0.0.5 401")
    exposure.assert_open()
    with pytest.raises(AssertionError) as failed:
        exposure.assert_open("10.0.0.2", "10.0.0.5", "10.0.0.6 401/tcp")
    first, _, *rows = str(failed.value).splitlines()
    assert first == "not open, but required: 10.0.0.5 3493/tcp, 10.0.0.6 401/tcp"
    assert [row.split()[2:4] for row in rows] == [["closed", "reset"], ["filtered", "no-response"]]


@pytest.mark.parametrize("text", ["10.0.0.9", "10.0.0.2 22", "10.0.0.2 401/udp"])
def test_what_was_never_asked_cannot_be_required(exposure, text):
    with pytest.raises(AssertionError, match=f"^never asked: {text}; the sweep was of 10.0.0.0/29 "):
        exposure.assert_open("10.0.0.2", text)


@pytest.mark.parametrize("text", ["", "host", "10.0.0", "10.0.0.1 ups", "10.0.0.1 401/http", "10.0.0.1:401"])
def test_what_is_no_target_is_refused(exposure, text):
    with pytest.raises(UsageError, match="is no target of a sweep; write"):
        exposure.assert_only_open(text)


def test_findings_are_lists_of_records(exposure):
    assert [f"{v.ip} {v.port}/{v.proto}" for v in exposure.open()] == OPEN
    assert [v.state for v in exposure.of("10.0.0.6")] == ["filtered"] * 2
    assert len(exposure.responders()) == 14
    assert len(list(exposure)) == 16
    assert exposure.of("10.0.0.7 401") == [v for v in exposure if (v.ip, v.port) == ("10.0.0.7", 401)]


def test_their_text_is_short(exposure):
    assert repr(exposure.of("10.0.0.2 401")) == "[10.0.0.2 401/tcp open (syn-ack)]"
    assert repr(Findings(exposure)).endswith(", 10.0.0.2 401/tcp open (syn-ack), … 11 more]")


def test_a_report_shows_the_open_ones_first(exposure):
    first, _, *rows, last = exposure.report().splitlines()

    assert first == f"{exposure.title}: {exposure.summary()}"
    assert [row.split()[2] for row in rows] == ["open"] * 3 + ["closed"] * 11
    assert last == "evidence: sweep.pcapng (read it with: ghostport read sweep.pcapng)"


def test_a_long_table_is_cut(exposure):
    records = list(exposure) * 10

    lines = table(records).splitlines()

    assert len(lines) == 1 + MOST_ROWS + 1
    assert lines[-1] == "… and 110 more"
    assert table([]) == ""


def test_lists_of_records_are_compared_record_by_record(exposure):
    two, five = exposure.of("10.0.0.2 401"), exposure.of("10.0.0.5 401")

    lines = difference("==", two, five)

    assert lines is not None
    assert lines[0] == "[10.0.0.2 401/tcp open (syn-ack)] == [10.0.0.5 401/tcp open (syn-ack)]"
    assert lines[2] == "not expected: 10.0.0.2 401/tcp"
    assert lines[6] == "expected, but missing: 10.0.0.5 401/tcp"
    assert difference("!=", two, five) is None
    assert difference("==", [1], [2]) is None
    assert difference("==", two, "text") is None
    assert difference("==", two, ["10.0.0.2"]) is not None
