"""The oracle agrees with every expectation: what tshark sees bears out each record, field by field."""

from __future__ import annotations

import ast
import functools
import json
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from scanner.model import State
from tests.replay import frames, oracle
from tests.replay.case import Case
from tests.replay.cases import CASES, case_named
from tests.replay.frames import Seen, read_frames
from tests.replay.oracle import Record, Target, verdicts

pytestmark = pytest.mark.skipif(
    shutil.which("tshark") is None, reason="tshark is not installed (make lab-packages)"
)


_OF_NO_PLAN = {"note", "hint"}
"""What is not said where a plan lies beside the capture."""


@pytest.fixture(scope="module")
def dissected() -> Iterator[Mapping[str, Future[Seen]]]:
    """All captures, by tshark: most of its time is its start, so several at once."""
    with ThreadPoolExecutor(4) as pool:
        yield {case.name: pool.submit(read_frames, case.capture_path) for case in CASES}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_oracle_says_what_is_expected(case, dissected):
    assert disagreements(case, expected(case), verdicts(dissected[case.name].result(), case.ports)) == []


@pytest.mark.parametrize("case", [case for case in CASES if case.per_prober], ids=lambda case: case.name)
def test_the_oracle_says_what_is_expected_of_each_prober(case, dissected):
    found = verdicts(dissected[case.name].result(), case.ports, per_prober=True)

    assert list(found.values()) == [
        json.loads(line) for line in case.per_prober_path.read_text().splitlines()
    ]


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("nmap-tcp", "state", "filtered"),
        ("ipv6-refused-udp", "reason", "no-route"),
        ("gre", "responder", "192.0.2.2"),
        ("vxlan", "ttl", 1),
        ("fragments-syn", "tries", 3),
        ("any-bridged", "tries", 4),
        ("outbound-syn", "note", None),
        ("outbound-silent", "hint", None),
        ("refused-then-open", "superseded", None),
    ],
)
def test_an_expectation_that_differs_is_found(name, field, value, dissected):
    case = case_named(name)
    records = expected(case)
    changed = next(target for target, record in records.items() if record[field] != value)
    records[changed] = {**records[changed], field: value}

    lines = disagreements(case, records, verdicts(dissected[name].result(), case.ports))

    assert [line.split(": ")[1].split(" ")[0] for line in lines] == [field]


def test_a_record_too_many_or_too_few_is_found(dissected):
    case = case_named("nmap-tcp")
    records = expected(case)
    found = verdicts(dissected[case.name].result(), case.ports)
    (first, *rest) = records

    assert len(disagreements(case, {target: records[target] for target in rest}, found)) == 1
    assert len(disagreements(case, records, {target: found[target] for target in rest})) == 1
    assert first in found


@pytest.mark.parametrize("module", [frames, oracle], ids=lambda module: module.__name__)
def test_it_shares_no_code_with_what_it_judges(module):
    tree = ast.parse(Path(module.__file__).read_text())
    imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}

    assert {name for name in imported if name.startswith(("scanner", "tests"))} <= {
        "scanner.model",
        "tests.replay.frames",
    }


def expected(case: Case) -> dict[Target, Record]:
    verdicts = case.expected(with_zones=False)
    return {(v.ip, v.proto, v.port): json.loads(msgspec.json.encode(v)) for v in verdicts}


def disagreements(case: Case, expected: Mapping[Target, Record], found: Mapping[Target, Record]) -> list[str]:
    """Where oracle and expectation differ, one line each. What was never probed, only a plan can know."""
    compared = functools.partial(_compared, _OF_NO_PLAN if case.has_plan else set())
    lines = []
    for target in sorted({*expected, *found}):
        if target not in found and case.has_plan and expected[target]["state"] == State.DOWN:
            continue
        if target not in expected and case.unfinished and found[target]["responder"] is None:
            continue
        lines += compared(target, expected.get(target), found.get(target))
    return lines


def _compared(left_out: set[str], target: Target, expected: Record | None, found: Record | None) -> list[str]:
    named = f"{target[0]} {target[1]}/{target[2]}"
    if expected is None or found is None:
        return [f"{named}: {'is not expected' if expected is None else 'is not found'}"]
    return [
        f"{named}: {field} is {found[field]!r} by the oracle, expected is {value!r}"
        for field, value in expected.items()
        if field not in left_out and found[field] != value
    ]
