"""A result: records by address, whatever they came from; counts; and what is left out when cut short."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from scanner import result as module
from scanner.core.addresses import AddressSet
from scanner.core.outcomes import HINTS, NOTES, Absent, Outcomes, OutcomeSource, address_borders
from scanner.core.packets import TCP, UDP
from scanner.core.rules import Rank, reason_code
from scanner.core.targets import parse_targets
from scanner.model import Protocol, Reason, State
from scanner.result import OnlyDecided, Result, Tally, not_open, only_open, responders

Row = tuple[str, int, int, Rank, Reason, str | None]
"""Address, IP protocol, port, rank, reason, responder."""


class Source(OutcomeSource):
    """Fixed outcomes."""

    def __init__(self, *rows: Row) -> None:
        numbers = [int(parse_targets([row[0]]).ipv4.starts[0]) for row in rows]
        self._addresses = AddressSet.from_addresses(np.array(numbers, dtype=np.uint32))
        silent = Outcomes.silent(
            np.array(numbers, dtype=np.uint32),
            np.array([row[1] for row in rows], dtype=np.uint8),
            np.array([row[2] for row in rows], dtype=np.uint16),
            Rank.UNANSWERED,
            0,
        )
        self._outcomes = dataclasses.replace(
            silent,
            rank=np.array([row[3] for row in rows], dtype=np.uint8),
            reason=np.array([reason_code(row[4]) for row in rows], dtype=np.uint8),
            responder=np.array(
                [-1 if row[5] is None else int(parse_targets([row[5]]).ipv4.starts[0]) for row in rows],
                dtype=np.int64,
            ),
        )

    def put(self, outcomes: Outcomes) -> None:
        self._outcomes = outcomes

    def borders(self, step: int) -> NDArray[np.uint32]:
        return address_borders(self._addresses, 3, step)

    def outcomes(self, first: int, last: int) -> Outcomes:
        address = self._outcomes.address
        return self._outcomes.take((address >= first) & (address <= last))


TCP_PORTS = Source(
    ("10.0.0.3", TCP, 401, Rank.OPEN, Reason.SYN_ACK, "10.0.0.3"),
    ("10.0.0.1", TCP, 401, Rank.CLOSED, Reason.RESET, "10.0.0.1"),
    ("10.0.0.2", TCP, 401, Rank.UNANSWERED, Reason.NO_RESPONSE, None),
)
UDP_PORTS = Source(
    ("10.0.0.1", UDP, 402, Rank.OPEN, Reason.UDP_RESPONSE, "10.0.0.1"),
    ("10.0.0.1", UDP, 401, Rank.UNANSWERED, Reason.NO_RESPONSE, None),
    ("10.0.0.3", UDP, 401, Rank.FILTERED, Reason.HOST_UNREACH, "10.9.9.9"),
)
GONE = Absent(parse_targets(["10.0.0.0"]).ipv4, [(TCP, 401), (UDP, 401)], reason_code(Reason.NO_ROUTE))

EVERYBODY = [
    ("10.0.0.0", "tcp", 401, "down", "no-route"),
    ("10.0.0.0", "udp", 401, "down", "no-route"),
    ("10.0.0.1", "tcp", 401, "closed", "reset"),
    ("10.0.0.1", "udp", 401, "open|filtered", "no-response"),
    ("10.0.0.1", "udp", 402, "open", "udp-response"),
    ("10.0.0.2", "tcp", 401, "filtered", "no-response"),
    ("10.0.0.3", "tcp", 401, "open", "syn-ack"),
    ("10.0.0.3", "udp", 401, "filtered", "host-unreach"),
]


def result(*, complete: bool = True) -> Result:
    sources: list[OutcomeSource] = [UDP_PORTS, GONE, TCP_PORTS]
    if not complete:
        sources = [OnlyDecided(source) for source in sources]
    return Result(sources, complete=complete, unfinished=0, forged=0)


def said(verdicts) -> list[tuple[str, str, int, str, str]]:
    return [(v.ip, v.proto.value, v.port, v.state.value, v.reason.value) for v in verdicts]


def test_records_come_by_address_protocol_and_port():
    assert said(result()) == EVERYBODY
    assert said(result().verdicts()) == EVERYBODY


def test_it_can_be_gone_through_again():
    found = result()

    assert list(found) == list(found)
    assert sum(found.tally().values()) == len(list(found))


@pytest.mark.parametrize(
    ("choice", "rows"), [(only_open, {4, 6}), (not_open, {0, 1, 2, 3, 5, 7}), (responders, {2, 4, 6, 7})]
)
def test_records_may_be_chosen(choice, rows):
    assert said(result().verdicts(choice)) == [row for at, row in enumerate(EVERYBODY) if at in rows]


def test_open_gives_the_open_ones():
    assert said(result().open()) == [EVERYBODY[4], EVERYBODY[6]]


def test_the_tally_counts_by_protocol_port_state_and_reason():
    assert result().tally() == {
        (Protocol.TCP, 401, State.DOWN, Reason.NO_ROUTE): 1,
        (Protocol.UDP, 401, State.DOWN, Reason.NO_ROUTE): 1,
        (Protocol.TCP, 401, State.CLOSED, Reason.RESET): 1,
        (Protocol.UDP, 401, State.OPEN_FILTERED, Reason.NO_RESPONSE): 1,
        (Protocol.UDP, 402, State.OPEN, Reason.UDP_RESPONSE): 1,
        (Protocol.TCP, 401, State.FILTERED, Reason.NO_RESPONSE): 1,
        (Protocol.TCP, 401, State.OPEN, Reason.SYN_ACK): 1,
        (Protocol.UDP, 401, State.FILTERED, Reason.HOST_UNREACH): 1,
    }


def remarked() -> Result:
    """What a capture of one direction gives: nobody replied, and one betrays that somebody did."""
    silence = [(f"10.0.0.{last}", TCP, 401, Rank.UNANSWERED, Reason.NO_RESPONSE, None) for last in (1, 2, 3)]
    source = Source(*silence)
    everything = source.outcomes(0, 0xFFFFFFFF)
    everything.note[1] = NOTES.index("open-inferred")
    everything.hint[:] = 1
    source.put(everything)
    return Result(
        [source],
        complete=True,
        unfinished=0,
        forged=0,
        names=lambda numbers: [f"#{n & 255}" for n in numbers],
    )


def test_the_tally_counts_remarks():
    tally = remarked().tally()

    assert tally.notes == {"open-inferred": 1}
    assert tally.hints == {HINTS[1]: 3}
    assert result().tally().notes == result().tally().hints == {}


def test_whether_many_answered_is_known_without_counting_all():
    """Who is down, or said nothing, did not."""
    answered = [row for row in EVERYBODY if row[3] != "down" and row[4] != "no-response"]
    few = len(answered)
    assert 0 < few < len(EVERYBODY)
    assert [result().more_answered_than(most) for most in (0, few - 1, few)] == [True, True, False]
    assert not Result([], complete=True, unfinished=0, forged=0).more_answered_than(0)


def test_who_must_have_answered_is_a_responder():
    assert [(v.ip, v.note) for v in remarked().verdicts(responders)] == [("#2", "open-inferred")]


def test_cut_short_silence_proves_nothing():
    known = [row for row in EVERYBODY if row[4] != "no-response"]

    assert said(result(complete=False)) == known
    assert sum(result(complete=False).tally().values()) == len(known)


def test_a_result_of_nothing():
    nothing = Result([], complete=True, unfinished=0, forged=0)

    assert (list(nothing), nothing.open(), dict(nothing.tally())) == ([], [], {})


def test_many_addresses_and_ports_take_little_memory_at_a_time():
    # 2 ** 24 addresses and 64 ports: all outcomes at once would take 30 GB.
    ports = [(TCP, port) for port in range(1, 65)]
    vast = Result(
        [Absent(parse_targets(["10.0.0.0/8"]).ipv4, ports, 0)], complete=True, unfinished=0, forged=0
    )

    verdicts = vast.verdicts()

    assert [next(verdicts).port for _ in range(64)] == list(range(1, 65))
    assert next(verdicts).ip == "10.0.0.1"


def test_a_tally_of_every_port_and_reason_is_no_dictionary() -> None:
    """Each pair of them took 400 bytes, and a capture may have them all."""
    tally = Tally()
    ports = np.arange(1 << 16, dtype=np.uint16)
    for reason in (Reason.NET_UNREACH, Reason.HOST_UNREACH):
        outcomes = Outcomes.silent(
            np.zeros(1 << 16, dtype=np.uint32),
            np.full(1 << 16, TCP, dtype=np.uint8),
            ports,
            Rank.FILTERED,
            reason_code(reason),
        )
        tally.count(outcomes)
        tally.count(outcomes.take(ports < 2))
    assert len(tally) == len(list(tally)) == 2 << 16
    assert tally.total() == (2 << 16) + 4
    kind = (Protocol.TCP, 1, State.FILTERED, Reason.NET_UNREACH)
    assert (tally[kind], kind in tally) == (2, True)
    other = (Protocol.TCP, 1, State.OPEN, Reason.SYN_ACK)
    assert (tally[other], other in tally) == (0, False)
    assert tally.by_reason()[Protocol.TCP, State.FILTERED, Reason.HOST_UNREACH] == (1 << 16) + 2


def test_of_very_many_hardware_addresses_those_of_many_are_counted(monkeypatch) -> None:
    monkeypatch.setattr(module, "_MOST_MACS", 10)
    tally = Tally()
    for begin in range(0, 100, 5):
        outcomes = Outcomes.silent(
            np.arange(begin * 2, begin * 2 + 7, dtype=np.uint32),
            np.full(7, TCP, dtype=np.uint8),
            np.full(7, 401, dtype=np.uint16),
            Rank.CLOSED,
            reason_code(Reason.RESET),
        )
        outcomes.mac[:] = [*range(1000 + begin, 1000 + begin + 5), 7, 7]
        tally.count(outcomes)
        assert len(tally.macs) <= 10
    assert tally.macs.most_common(1) == [(7, 40)]
