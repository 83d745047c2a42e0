"""Outcomes: what a ledger decided in its columns, and all sources in order of address."""

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
from scanner.model import Reason, State

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


def test_what_was_superseded_is_laid_below() -> None:
    ledger = Ledger(4)
    rank = np.array([1, 2, 3, 1, 3, 2], dtype=np.uint8)
    ledger.apply(
        Replies(
            task=np.array([1, 1, 1, 2, 3, 0]),
            rank=rank,
            reason=rank,
            ttl=60 + rank,
            responder=20 + rank.astype(np.uint32),
            times=MOMENT + np.arange(6),
            rtt=np.arange(6),
        )
    )
    outcomes = silent(["10.0.0.1", "10.0.0.2", "10.0.0.3"])
    outcomes.decide(np.array([1, 2, 3]), ledger)
    assert outcomes.superseded.tolist() == [
        ((1, 1, 61, 21, MOMENT), (2, 2, 62, 22, MOMENT + 1)),
        None,
        None,
    ]


def told(rank: Rank, moment: int, *, tries: int = 1, note: int = 0, hint: int = 0) -> Outcomes:
    """One target, as one source found it; the responder tells which source that was."""
    outcomes = silent(["10.0.0.1"], rank=rank)
    outcomes.time[:] = ABSENT if rank == Rank.DOWN else MOMENT + moment
    outcomes.tries[:] = tries
    outcomes.note[:], outcomes.hint[:] = note, hint
    if rank in {Rank.FILTERED, Rank.CLOSED, Rank.OPEN}:
        outcomes.responder[:] = moment
        outcomes.superseded[0] = ((1, 1, 1, 1, moment),)
    return outcomes


@pytest.mark.parametrize(
    ("first", "second", "winner"),
    [
        ((Rank.OPEN, 9), (Rank.CLOSED, 1), (Rank.OPEN, 9, 9)),
        ((Rank.CLOSED, 9), (Rank.CLOSED, 4), (Rank.CLOSED, 4, 4)),
        ((Rank.FILTERED, 4), (Rank.CLOSED, 9), (Rank.CLOSED, 9, 9)),
        ((Rank.UNANSWERED, 9), (Rank.FILTERED, 1), (Rank.FILTERED, 1, 1)),
        ((Rank.UNANSWERED, 3), (Rank.UNANSWERED, 9), (Rank.UNANSWERED, 9, ABSENT)),
        ((Rank.DOWN, 0), (Rank.FILTERED, 1), (Rank.FILTERED, 1, 1)),
        ((Rank.UNANSWERED, 5), (Rank.DOWN, 0), (Rank.DOWN, 5, ABSENT)),
    ],
)
def test_of_what_several_say_of_one_target_the_highest_rank_wins_and_among_equals_the_earliest(
    first: tuple[Rank, int], second: tuple[Rank, int], winner: tuple[Rank, int, int]
) -> None:
    rows = [told(*first, tries=2), told(*second, tries=3)]
    for order in (rows, rows[::-1]):
        other = silent(["10.0.0.1"], port=402)
        merged = Outcomes.concatenate([*order, other]).in_order()
        assert merged.port.tolist() == [401, 402]
        rank, moment, responder = winner
        assert (merged.rank[0], merged.time[0], merged.responder[0]) == (rank, MOMENT + moment, responder)
        assert merged.tries.tolist() == [5, 0]
        below = merged.superseded[0]
        assert below == (None if responder == ABSENT else ((1, 1, 1, 1, responder),))


def test_remarks_on_silence_stay_as_long_as_the_silence() -> None:
    remarked = told(Rank.UNANSWERED, 1, note=1, hint=2)
    for other, note, hint in (
        (told(Rank.UNANSWERED, 2), 1, 2),
        (told(Rank.UNANSWERED, 0, hint=1), 1, 2),
        (told(Rank.FILTERED, 2), 1, 0),
        (told(Rank.CLOSED, 2), 0, 0),
    ):
        merged = Outcomes.concatenate([remarked, other]).in_order()
        assert (merged.note.tolist(), merged.hint.tolist()) == ([note], [hint])


def test_each_prober_keeps_its_own() -> None:
    rows = [told(Rank.OPEN, 1), told(Rank.CLOSED, 2), told(Rank.CLOSED, 1)]
    for row, prober in zip(rows, (7, 5, 5), strict=True):
        row.prober[:] = prober
    merged = Outcomes.concatenate(rows).in_order()
    assert (merged.prober.tolist(), merged.rank.tolist()) == ([5, 7], [Rank.CLOSED, Rank.OPEN])
    assert merged.responder.tolist() == [1, 1]


targets = st.tuples(st.integers(0, 3), st.sampled_from([6, 17]), st.integers(1, 3))


@given(st.lists(targets, max_size=12, unique=True))
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
        "note": "uint8",
        "hint": "uint8",
        "superseded": "object",
        "mac": "int64",
        "prober": "int64",
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
