"""Records: every column to its field, absent facts to null, and all in order of address."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.core.addresses import AddressSet, format_address, parse_address
from scanner.core.ledger import Ledger, Replies
from scanner.core.outcomes import ABSENT, Absent, Outcomes, OutcomeSource, in_address_order
from scanner.core.records import verdicts
from scanner.core.rules import Rank, reason_code
from scanner.model import Protocol, Reason, State, Verdict

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


def test_no_targets_no_records() -> None:
    assert list(verdicts(silent([]))) == []
    assert len(silent([])) == 0


def test_decided_by_a_ledger() -> None:
    ledger = Ledger(10)
    rows = np.array([2, 5, 9])
    ledger.apply(
        Replies(
            task=rows,
            rank=np.array([3, 2, 1], dtype=np.uint8),
            reason=np.array([1, 3, 7], dtype=np.uint8),
            ttl=np.array([60, 61, 62], dtype=np.uint8),
            responder=np.array([20, 50, 0xFFFFFFFF], dtype=np.uint32),
            times=MOMENT + rows,
            rtt=rows * 1000,
        )
    )
    outcomes = silent(["10.0.0.2", "10.0.0.3", "10.0.0.9"])
    outcomes.decide(np.array([2, 3, 9]), ledger)
    assert outcomes.rank.tolist() == [3, 0, 1]
    assert outcomes.reason.tolist() == [1, NO_RESPONSE, 7]
    assert outcomes.ttl.tolist() == [60, ABSENT, 62]
    assert outcomes.rtt.tolist() == [2000, ABSENT, 9000]
    assert outcomes.responder.tolist() == [20, ABSENT, 0xFFFFFFFF]
    assert outcomes.time.tolist() == [MOMENT + 2, ABSENT, MOMENT + 9]


targets = st.tuples(st.integers(0, 3), st.sampled_from([6, 17]), st.integers(1, 3))


@given(st.lists(targets, max_size=12))
def test_in_order(rows: list[tuple[int, int, int]]) -> None:
    outcomes = Outcomes.silent(
        np.array([address for address, _, _ in rows], dtype=np.uint32),
        np.array([protocol for _, protocol, _ in rows], dtype=np.uint8),
        np.array([port for _, _, port in rows], dtype=np.uint16),
        Rank.UNANSWERED,
        NO_RESPONSE,
    )
    outcomes.tries[:] = np.arange(len(rows))
    ordered = outcomes.in_order()
    assert list(
        zip(ordered.address.tolist(), ordered.protocol.tolist(), ordered.port.tolist(), strict=True)
    ) == sorted(rows)
    assert [rows[at] for at in ordered.tries.tolist()] == sorted(rows), "rows stay together"


def test_some_and_all_of_several() -> None:
    outcomes = silent(["10.0.0.1", "10.0.0.2", "10.0.0.3"])
    both = Outcomes.concatenate([outcomes.take(np.array([2])), outcomes.take(outcomes.address < 0x0A000003)])
    assert [found.ip for found in verdicts(both)] == ["10.0.0.3", "10.0.0.1", "10.0.0.2"]
    assert {field.name: getattr(both, field.name).dtype.name for field in fields(Outcomes)} == {
        "address": "uint32",
        "protocol": "uint8",
        "port": "uint16",
        "rank": "uint8",
        "reason": "uint8",
        "ttl": "int16",
        "rtt": "int64",
        "responder": "int64",
        "tries": "int64",
        "time": "int64",
    }


def absent(
    *ranges: tuple[str, str], ports: list[tuple[int, int]], reason: Reason = Reason.NO_ROUTE
) -> Absent:
    held = AddressSet.of((parse_address(first), parse_address(last)) for first, last in ranges)
    return Absent(held, ports, reason_code(reason))


def test_absent_addresses_are_down_at_every_port() -> None:
    gone = absent(("10.0.0.1", "10.0.0.2"), ports=[(6, 401), (17, 53)], reason=Reason.NO_ARP_RESPONSE)
    found = list(verdicts(gone.outcomes(0, 0xFFFFFFFF)))
    assert [(each.ip, each.proto, each.port) for each in found] == [
        ("10.0.0.1", "tcp", 401),
        ("10.0.0.1", "udp", 53),
        ("10.0.0.2", "tcp", 401),
        ("10.0.0.2", "udp", 53),
    ]
    assert {(each.state, each.reason, each.tries, each.time) for each in found} == {
        (State.DOWN, Reason.NO_ARP_RESPONSE, 0, None)
    }
    second = gone.outcomes(parse_address("10.0.0.2"), 0xFFFFFFFF)
    assert [each.ip for each in verdicts(second)] == ["10.0.0.2"] * 2
    assert len(gone.outcomes(0, parse_address("10.0.0.0"))) == 0


def test_all_sources_in_order_of_address() -> None:
    sources: list[OutcomeSource] = [
        absent(("10.0.0.5", "10.0.0.6"), ("10.0.0.1", "10.0.0.1"), ports=[(17, 2), (6, 9)]),
        absent(("10.0.0.2", "10.0.0.5"), ports=[(6, 1), (6, 8)]),
    ]
    found = [each for block in in_address_order(sources) for each in verdicts(block)]
    keys = [(parse_address(each.ip), each.proto, each.port) for each in found]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys) == 2 * 3 + 2 * 4


def test_more_addresses_than_a_block() -> None:
    """Every target once, however the blocks cut through the ranges of the sources."""
    sources: list[OutcomeSource] = [
        absent(("10.0.0.0", "10.0.255.254"), ("10.3.0.0", "10.3.0.9"), ports=[(6, 401)]),
        absent(("10.0.0.0", "10.1.0.3"), ports=[(17, 401)]),
        absent(("10.2.0.0", "10.3.255.255"), ports=[(6, 402), (17, 402)]),
    ]
    blocks = list(in_address_order(sources))
    everything = Outcomes.concatenate(blocks)
    assert len(blocks) > 2
    assert max(map(len, blocks)) <= 1 << 17
    assert len(everything) == 65_535 + 10 + 65_540 + 2 * 131_072
    address = everything.address.astype(np.int64)
    key = (address << 24) | (everything.protocol.astype(np.int64) << 16) | everything.port
    assert (np.diff(key) > 0).all()


def test_the_highest_addresses() -> None:
    source = absent(("255.255.255.250", "255.255.255.255"), ("0.0.0.1", "0.0.0.2"), ports=[(6, 401)])
    found = [each.ip for block in in_address_order([source]) for each in verdicts(block)]
    assert found == ["0.0.0.1", "0.0.0.2", *(format_address(0xFFFFFFFA + at) for at in range(6))]


def test_no_sources() -> None:
    assert list(in_address_order([])) == []
    assert list(in_address_order([Absent(AddressSet.empty(), [(6, 401)], 0)])) == []
