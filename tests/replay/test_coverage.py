"""The recorded cases leave no reason out, and no line of the rules' tables untested."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from scanner import read_capture
from scanner.capture import open_capture
from scanner.core import flowtable, rules
from scanner.core.rules import ACK, ICMP_RULES, RST, TCP_RULES, UDP_RULES, Check, Rank
from scanner.model import TRANSPORTS, Protocol, Reason, State
from tests.replay.case import Case, Tool
from tests.replay.cases import CASES

_TABLES = {"TCP_RULES": TCP_RULES, "UDP_RULES": UDP_RULES, "ICMP_RULES": ICMP_RULES}
OTHER_PROBES = {Reason.INIT_ACK, Reason.ABORT, Reason.ECHO_REPLY}
"""Reasons that only other probes than SYN and UDP lead to: tests/lab/sweep/test_probes.py has those."""


def spoken_of(rule: object) -> bool:
    """Whether the recorded cases speak of a rule: they probe over TCP and UDP."""
    return getattr(rule, "probe", Protocol.TCP) in TRANSPORTS


LINES = [
    (name, number) for name, table in _TABLES.items() for number, rule in enumerate(table) if spoken_of(rule)
]


def holds(case: Case) -> bool:
    ports = None if case.has_plan else case.ports
    return list(read_capture(case.capture_path, ports=ports, warn=lambda _line: None)) == case.expected()


def all_hold() -> bool:
    return all(map(holds, CASES))


def test_all_hold_as_they_are():
    assert [case.name for case in CASES if not holds(case)] == []


def test_every_reason_is_given_by_some_case():
    assert {verdict.reason for case in CASES for verdict in case.expected()} == set(Reason) - OTHER_PROBES


def test_every_state_is_given_by_some_case_for_each_protocol():
    given = {(verdict.proto, verdict.state) for case in CASES for verdict in case.expected()}

    states = set(State) - {State.UP, State.UNFILTERED}
    assert given == {(protocol, state) for protocol in TRANSPORTS for state in states} - {
        (Protocol.TCP, State.OPEN_FILTERED)
    }


@pytest.mark.parametrize(("table", "number"), LINES, ids=str)
def test_a_line_of_the_rules_that_is_changed_makes_some_case_fail(monkeypatch, table, number):
    lines = list(_TABLES[table])
    # A rank no rule gives, so whatever the line decides is seen to differ.
    lines[number] = dataclasses.replace(lines[number], rank=Rank.DOWN)
    monkeypatch.setattr(rules, table, tuple(lines))

    assert not all_hold()


def _says_that_it_is_out_of_reach(rule):
    """Targets and routers say so both; a scope, routers alone."""
    return (rule.version, rule.type) in {(4, 3), (6, 1)} and rule.reason is not Reason.BEYOND_SCOPE


def _weakened(table, number, **fields):
    return pytest.param(table, number, fields, id=f"{table}-{number}-{'-'.join(fields)}")


@pytest.mark.parametrize(
    ("table", "number", "fields"),
    [
        _weakened("TCP_RULES", 0, check=Check.NONE),
        _weakened("TCP_RULES", 0, check=Check.SEQUENCE),
        _weakened("TCP_RULES", 0, set=RST),
        _weakened("TCP_RULES", 1, check=Check.NONE),
        _weakened("TCP_RULES", 1, check=Check.RESET),
        _weakened("TCP_RULES", 2, check=Check.SEQUENCE),
        _weakened("TCP_RULES", 2, clear=ACK),
        *(
            _weakened("ICMP_RULES", number, from_target=sender)
            for number, rule in enumerate(ICMP_RULES)
            for sender in (True, False)
            if spoken_of(rule) and rule.from_target is None and _says_that_it_is_out_of_reach(rule)
        ),
        *(
            _weakened("ICMP_RULES", number, code=0)
            for number, rule in enumerate(ICMP_RULES)
            if spoken_of(rule) and rule.code is None
        ),
    ],
)
def test_a_rule_that_asks_more_or_less_makes_some_case_fail(monkeypatch, table, number, fields):
    lines = list(_TABLES[table])
    lines[number] = dataclasses.replace(lines[number], **fields)
    monkeypatch.setattr(rules, table, tuple(lines))

    assert not all_hold()


def test_who_spoke_first_matters_to_some_case(monkeypatch):
    monkeypatch.setattr(flowtable, "_leading", lambda probes, *_rest: np.ones(len(probes), dtype=np.bool_))

    assert not all_hold()


def test_link_layers_are_there():
    layers = {
        frames.link_type for case in CASES for frames in open_capture(case.capture_path, warn=lambda _: None)
    }

    # https://www.tcpdump.org/linktypes.html
    bare, cooked, loopback, ppp = {12, 14, 101, 228, 229}, {113, 276}, {0, 108}, {9, 50, 51}
    assert layers == {1, 239} | bare | cooked | loopback | ppp


def test_every_tool_has_its_case():
    assert {case.tool for case in CASES} == set(Tool)
