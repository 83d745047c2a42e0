"""Records: every column to its field, and absent facts to null."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from scanner.core.addresses import format_address, parse_address
from scanner.core.outcomes import HINTS, NOTES, Outcomes
from scanner.core.records import verdicts
from scanner.core.rules import Rank, reason_code, state_of
from scanner.model import ProberVerdict, Protocol, Reason, State, Superseded, Verdict

NO_RESPONSE = reason_code(Reason.NO_RESPONSE)
MOMENT = 1_700_000_000 * 10**9


def silent(
    addresses: list[str], *, protocol: int = 6, port: int = 401, rank: Rank = Rank.UNANSWERED
) -> Outcomes:
    count = len(addresses)
    return Outcomes.silent(
        np.array([parse_address(address) for address in addresses], dtype=np.uint32),
        np.full(count, protocol, dtype=np.uint8),
        np.full(count, port, dtype=np.uint16),
        rank,
        NO_RESPONSE,
    )


def test_absent_facts_are_null() -> None:
    for protocol, name, state in (
        (6, Protocol.TCP, State.FILTERED),
        (17, Protocol.UDP, State.OPEN_FILTERED),
    ):
        [found] = verdicts(silent(["10.0.0.1"], protocol=protocol))
        assert found == Verdict(
            ip="10.0.0.1", proto=name, port=401, state=state, reason=Reason.NO_RESPONSE, tries=0
        )
        assert (found.ttl, found.rtt_ms, found.responder, found.time, found.service) == (None,) * 5
        assert (found.note, found.hint, found.superseded) == (None,) * 3


def test_every_column_goes_to_its_field() -> None:
    outcomes = silent(["255.255.255.255"], port=65535)
    outcomes.rank[:] = Rank.OPEN
    outcomes.reason[:] = reason_code(Reason.SYN_ACK)
    outcomes.ttl[:] = 255
    outcomes.rtt[:] = 1_234_567
    outcomes.responder[:] = 0xFFFFFFFE
    outcomes.tries[:] = 300
    outcomes.time[:] = MOMENT + 123_456_789
    [found] = list(verdicts(outcomes))
    assert found == Verdict(
        ip="255.255.255.255",
        proto=Protocol.TCP,
        port=65535,
        state=State.OPEN,
        reason=Reason.SYN_ACK,
        ttl=255,
        rtt_ms=1.234,
        responder="255.255.255.254",
        tries=300,
        time="2023-11-14T22:13:20.123456Z",
    )
    assert [type(value) for value in (found.port, found.ttl, found.rtt_ms, found.tries)] == [
        int,
        int,
        float,
        int,
    ]


def test_zeros_are_facts() -> None:
    outcomes = silent(["0.0.0.1"])
    outcomes.ttl[:] = outcomes.rtt[:] = outcomes.responder[:] = outcomes.time[:] = 0
    [found] = list(verdicts(outcomes))
    assert (found.ttl, found.rtt_ms, found.responder) == (0, 0.0, format_address(0))
    assert found.time == "1970-01-01T00:00:00.000000Z"


@pytest.mark.parametrize(
    ("rtt", "expected"),
    [
        (0, 0.0),
        (999, 0.0),
        (1000, 0.001),
        (1999, 0.001),
        (123_456_789, 123.456),
        (-2000, 0.0),
        (60 * 10**9, 60_000.0),
    ],
)
def test_round_trips_are_floored_to_microseconds(rtt: int, expected: float) -> None:
    outcomes = silent(["10.0.0.1"])
    outcomes.rtt[:] = rtt
    assert next(verdicts(outcomes)).rtt_ms == expected


@pytest.mark.parametrize(
    ("nanoseconds", "written"),
    [
        (0, "2023-11-14T22:13:20.000000Z"),
        (1, "2023-11-14T22:13:20.000000Z"),
        (999, "2023-11-14T22:13:20.000000Z"),
        (1000, "2023-11-14T22:13:20.000001Z"),
        (999_999_999, "2023-11-14T22:13:20.999999Z"),
        (10**9, "2023-11-14T22:13:21.000000Z"),
    ],
)
def test_times_are_written_to_microseconds(nanoseconds: int, written: str) -> None:
    outcomes = silent(["10.0.0.1"])
    outcomes.time[:] = MOMENT + nanoseconds
    assert next(verdicts(outcomes)).time == written


def test_some_have_what_others_lack() -> None:
    outcomes = silent(["10.0.0.1", "10.0.0.2", "10.0.0.3"])
    outcomes.time[1] = MOMENT
    outcomes.responder[2] = 7
    assert [(found.time is None, found.responder) for found in list(verdicts(outcomes))] == [
        (True, None),
        (False, None),
        (True, "0.0.0.7"),
    ]


def test_remarks() -> None:
    outcomes = silent(["10.0.0.1", "10.0.0.2"])
    outcomes.note[0] = NOTES.index("open-inferred")
    outcomes.hint[1] = 1
    assert [(found.note, found.hint) for found in verdicts(outcomes)] == [
        ("open-inferred", None),
        (None, HINTS[1]),
    ]


def test_what_was_superseded() -> None:
    outcomes = silent(["10.0.0.1"] * 3)
    outcomes.protocol[2] = 17
    filtered = (int(Rank.FILTERED), reason_code(Reason.HOST_UNREACH), 63, 7, MOMENT)
    closed = (int(Rank.CLOSED), reason_code(Reason.RESET), 64, 8, MOMENT + 1_999)
    outcomes.superseded[0] = (filtered, closed)
    outcomes.superseded[2] = (filtered,)
    unreachable = Superseded(
        state=State.FILTERED,
        reason=Reason.HOST_UNREACH,
        ttl=63,
        responder="#7",
        time="2023-11-14T22:13:20.000000Z",
    )
    reset = Superseded(
        state=State.CLOSED,
        reason=Reason.RESET,
        ttl=64,
        responder="#8",
        time="2023-11-14T22:13:20.000001Z",
    )
    found = list(verdicts(outcomes, numbered))
    assert [each.superseded for each in found] == [(unreachable, reset), None, (unreachable,)]


def numbered(numbers: NDArray[np.uint32]) -> list[str]:
    return [f"#{number}" for number in numbers.tolist()]


def test_names_are_given_by_others() -> None:
    outcomes = silent(["0.0.0.1", "0.0.0.2", "0.0.0.3"])
    outcomes.responder[1], outcomes.responder[2] = 2, 9
    assert [(each.ip, each.responder) for each in verdicts(outcomes, numbered)] == [
        ("#1", None),
        ("#2", "#2"),
        ("#3", "#9"),
    ]


def test_the_prober_is_in_the_record_where_there_is_one() -> None:
    """Targets that nobody asked, because they were found to be down, have none."""
    outcomes = silent(["0.0.0.1", "0.0.0.2"])
    outcomes.ttl[:] = 64
    outcomes.prober[0] = 0
    first, second = verdicts(outcomes, numbered)
    assert first == ProberVerdict(
        ip="#1",
        proto=Protocol.TCP,
        port=401,
        state=State.FILTERED,
        reason=Reason.NO_RESPONSE,
        ttl=64,
        prober="#0",
    )
    assert type(second) is Verdict
    assert second.ip == "#2"


def test_no_targets_no_records() -> None:
    assert list(verdicts(silent([]))) == []
    assert len(silent([])) == 0


def test_more_than_are_in_memory_at_a_time() -> None:
    count = 20_000
    outcomes = silent([format_address(number) for number in range(count)])
    outcomes.rtt[:] = np.arange(count) * 1000
    outcomes.rank[::2] = Rank.CLOSED
    found = list(verdicts(outcomes))
    assert [each.ip for each in found] == [format_address(number) for number in range(count)]
    assert [each.rtt_ms for each in found] == [number / 1000 for number in range(count)]
    assert [each.state for each in found] == [State.CLOSED, State.FILTERED] * (count // 2)


@pytest.mark.parametrize("rank", Rank)
@pytest.mark.parametrize("protocol", [6, 17])
def test_every_rank_has_its_state(rank: Rank, protocol: int) -> None:
    [found] = verdicts(silent(["10.0.0.1"], protocol=protocol, rank=rank))
    assert found.state == state_of(rank, {6: Protocol.TCP, 17: Protocol.UDP}[protocol])
