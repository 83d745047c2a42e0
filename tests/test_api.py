"""The library's face: the names it exports, what they cost, and what a type checker sees of them."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import assert_type

import pytest

import scanner
from scanner import (
    CaptureError,
    GhostportError,
    Progress,
    Protocol,
    Reason,
    Result,
    ScopeRefused,
    State,
    Sweep,
    UsageError,
    Verdict,
    WireError,
    read_capture,
    sweep,
)
from scanner.wire.behaviours import closed_port
from scanner.wire.memory import SimulatedNetwork

PUBLIC = [
    "CaptureError",
    "GhostportError",
    "Progress",
    "Protocol",
    "Reason",
    "Result",
    "ScopeRefused",
    "State",
    "Sweep",
    "UsageError",
    "Verdict",
    "WireError",
    "read_capture",
    "sweep",
]


def fresh(script: str) -> str:
    """What a script prints in an interpreter of its own."""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stderr == ""
    return ran.stdout


def network() -> SimulatedNetwork:
    built = SimulatedNetwork()
    built.place("10.0.0.0/30", closed_port())
    return built


def test_exactly_these_names_are_exported():
    assert scanner.__all__ == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_each_name_is_there_and_documented(name):
    exported = getattr(scanner, name)

    assert exported.__name__ == name
    assert inspect.getdoc(exported)
    if inspect.isclass(exported):
        members = {key: value for key, value in vars(exported).items() if not key.startswith("_")}
        undocumented = [
            key for key, value in members.items() if callable(value) and not inspect.getdoc(value)
        ]
        assert undocumented == []


def test_any_other_name_is_missing():
    with pytest.raises(AttributeError, match="module 'scanner' has no attribute 'swipe'"):
        scanner.swipe  # noqa: B018


def test_a_star_import_brings_exactly_these_names():
    printed = fresh("from scanner import *; print(sorted(name for name in dir() if name[0] != '_'))")
    assert printed == f"{sorted(PUBLIC)}\n"


def test_importing_it_costs_next_to_nothing():
    printed = fresh(
        "import sys, scanner; print(sorted({'numpy', 'scapy', 'netaddr', 'msgspec'} & {*sys.modules}))"
    )
    assert printed == "[]\n"


def test_a_sweep_needs_no_scapy_and_no_rich():
    script = (
        "import sys, scanner; scanner.sweep; print(sorted({'scapy', 'rich', 'pyroute2'} & {*sys.modules}))"
    )
    assert fresh(script) == "[]\n"


def test_nothing_is_printed(capfd, tmp_path):
    planned = sweep("10.0.0.0/29", network=network(), evidence=tmp_path / "x.pcap")
    list(planned)
    list(read_capture(tmp_path / "x.pcap"))

    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("error", [UsageError, ScopeRefused, WireError, CaptureError])
def test_all_errors_are_of_one_family(error):
    assert issubclass(error, GhostportError)
    assert error("one line").exit_code in {2, 3, 4}


def test_keywords_are_keywords():
    for function, positional in ((sweep, ["targets"]), (read_capture, ["path"])):
        parameters = inspect.signature(function).parameters.values()
        assert [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY] == positional
        assert all(p.default is not p.empty for p in parameters if p.kind is p.KEYWORD_ONLY)


def test_a_type_checker_sees_what_there_is(tmp_path: Path) -> None:
    """`make lint` checks these lines; here they are only run."""
    planned = sweep(
        ["10.0.0.0/30"], ports=[401], protocols=["tcp"], network=network(), evidence=tmp_path / "x"
    )
    assert_type(planned, Sweep)
    seen: list[Progress] = []
    planned.watch = seen.append
    verdicts = iter(planned)
    assert_type(verdicts, Iterator[Verdict])
    for verdict in verdicts:
        assert_type(verdict.ip, str)
        assert_type(verdict.proto, Protocol)
        assert_type(verdict.port, int)
        assert_type(verdict.state, State)
        assert_type(verdict.reason, Reason)
        assert_type(verdict.ttl, int | None)
        assert_type(verdict.rtt_ms, float | None)
        assert_type(verdict.responder, str | None)
        assert_type(verdict.time, str | None)
    result = planned.result()
    assert_type(result, Result)
    assert_type(result.complete, bool)
    assert_type(result.open(), list[Verdict])
    assert_type(read_capture(tmp_path / "x"), Result)
    assert seen
