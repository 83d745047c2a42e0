"""The recorder: `python -m tests.replay.record [CASE…]`, or `make pcaps`. Needs root.

It builds a lab of its own, records each case, and keeps one only where all witnesses agree: the
truth of the lab or the script, the tool that probed, tshark, and `ghostport read`. Where they do
not, it says who says what, keeps the old recording, and ends with exit code 1.

`--expect` records nothing: it takes the captures that are kept, and writes anew what is expected of them;
`--unread` does not ask `ghostport read`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from scanner import read_capture
from scanner.lab import PROFILES, Lab, Plan
from scanner.model import GhostportError, UsageError
from tests.replay.case import EXPECTED, EXPECTED_PER_PROBER, PCAPS, Case, Tool
from tests.replay.cases import CASES, case_named
from tests.replay.expectation import as_lines, expected_records, other_hardware
from tests.replay.frames import read_frames
from tests.replay.helper import environment
from tests.replay.oracle import Record, verdicts
from tests.replay.origin import without_origin
from tests.replay.readme import index, readme
from tests.replay.recording import record, tool_line
from tests.replay.refused import Refused
from tests.replay.testimony import contradictions, forged_by_sweep, testimony

MOST_BYTES = 100_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Record the cases that are named, else all; gives the exit code."""
    parser = argparse.ArgumentParser(prog="record", description="Record the cases of pcaps/ again, in a lab.")
    parser.add_argument("names", nargs="*", metavar="CASE", help="which (all)")
    parser.add_argument("--expect", action="store_true", help="write expected.jsonl anew, record nothing")
    parser.add_argument("--unread", action="store_true", help="do not ask ghostport's own reader")
    asked = parser.parse_args(arguments)
    if os.geteuid() != 0 and not asked.expect:
        print("record: building a lab takes root; run: sudo make pcaps", file=sys.stderr)  # noqa: T201
        return 2
    try:
        cases = [case_named(name) for name in asked.names] or list(CASES)
        if asked.expect:
            return _expect_all(cases)
        _require_programs(cases)
        refused = _record_all(cases, read=not asked.unread)
    except (GhostportError, LookupError) as error:
        print(f"record: {error}", file=sys.stderr)  # noqa: T201
        return 2
    (PCAPS / "README.md").write_text(index(CASES))
    return 1 if refused else 0


def _require_programs(cases: Sequence[Case]) -> None:
    """Raise UsageError for a program that is missing."""
    wanted = {"tshark"} | {case.capture.split()[0] for case in cases if case.capture}
    wanted |= {line.split()[0] for case in cases for line in case.finish}
    wanted |= {case.tool.value for case in cases} - {Tool.SCAPY.value}
    path = environment()["PATH"]
    if missing := sorted(program for program in wanted if shutil.which(program, path=path) is None):
        raise UsageError(f"not installed: {', '.join(missing)}; run: make lab-packages")


def _expect_all(cases: Sequence[Case]) -> int:
    """Write anew what is expected of captures that are kept; gives the exit code."""
    refused = 0
    for case in cases:
        try:
            _write_expected(case, Plan(PROFILES[case.profile]), case.capture_path, case.folder)
        except Refused as reason:
            refused += 1
            print(f"{case.name}: refused: {reason}", file=sys.stderr)  # noqa: T201
    return 1 if refused else 0


def _record_all(cases: Sequence[Case], *, read: bool) -> int:
    """Record some cases; gives how many were refused. Those with a scene have a lab each."""
    refused = 0
    ordered = sorted(cases, key=_lab_of)
    for (profile, _), group in groupby(ordered, _lab_of):
        with Lab(profile, f"record-{os.getpid()}") as lab:
            for case in group:
                try:
                    with tempfile.TemporaryDirectory(prefix="ghostport-record-") as name:
                        _record(case, lab, Path(name), read=read)
                    print(f"{case.name}: recorded")  # noqa: T201
                except (Refused, GhostportError) as reason:
                    refused += 1
                    print(f"{case.name}: refused: {reason}", file=sys.stderr)  # noqa: T201
    return refused


def _lab_of(case: Case) -> tuple[str, str]:
    return case.profile, "" if case.scene is None else case.name


def _record(case: Case, lab: Lab, folder: Path, *, read: bool) -> None:
    printed = record(case, lab, folder)
    capture = folder / case.capture_name
    if capture.stat().st_size > MOST_BYTES:
        raise Refused(f"the capture has {capture.stat().st_size} bytes, more than {MOST_BYTES}")
    if capture.suffix == ".pcapng":
        capture.write_bytes(without_origin(capture.read_bytes()))
    if case.has_plan and case.capture is not None:
        (folder / "sweep.pcap.json").rename(folder / case.plan_name)
    records = _write_expected(case, lab.plan, capture, folder)
    wrong = contradictions(case, records, testimony(case, folder, printed))
    wrong += other_hardware(case, lab.plan, records)
    if case.tool is Tool.SWEEP and (met := forged_by_sweep(printed)) != case.forged:
        wrong.append(f"sweep: {met} forged replies, expected are {case.forged}")
    if read:
        wrong += _reader_contradicts(case, capture, records)
    if wrong:
        raise Refused("\n  ".join(["the witnesses disagree", *wrong]))
    (folder / "README.md").write_text(readme(case, lab.plan, records, tool_line(case, lab)))
    case.folder.mkdir(parents=True, exist_ok=True)
    for file in (*case.files, "README.md"):
        shutil.copyfile(folder / file, case.folder / file)


def _write_expected(case: Case, plan: Plan, capture: Path, folder: Path) -> list[Record]:
    """Write what is expected of a capture. Gives the records; raises Refused."""
    seen = read_frames(capture)
    records = expected_records(case, plan, seen)
    (folder / EXPECTED).write_text(as_lines(records))
    if case.per_prober:
        found = verdicts(seen, case.ports, per_prober=True)
        (folder / EXPECTED_PER_PROBER).write_text(as_lines(list(found.values())))
    return records


def _reader_contradicts(case: Case, capture: Path, records: Sequence[Record]) -> list[str]:
    """Where `ghostport read` says other than what is expected."""
    ports = [] if case.has_plan else ["-p", ",".join(map(str, case.ports))]
    command = ["ghostport", "read", str(capture), "--format", "jsonl", "-q", *ports]
    read = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    expected, given = as_lines(records).splitlines(), read.stdout.splitlines()
    wrong = [f"expected: {line}" for line in expected if line not in given]
    wrong += [f"    read: {line}" for line in given if line not in expected]
    if not wrong and expected != given:
        wrong.append("read: the records are in another order")
    if (read.returncode != 0) != (bool(case.unfinished) or case.is_cut):
        wrong.append(f"read: ended with exit code {read.returncode}: {read.stderr.strip()}")
    ports_asked = None if case.has_plan else case.ports
    result = read_capture(capture, ports=ports_asked, warn=lambda _line: None)
    for what, found, stated in (
        ("forged replies", result.forged, case.forged),
        ("unfinished targets", result.unfinished, case.unfinished),
    ):
        if found != stated:
            wrong.append(f"read: {found} {what}, expected are {stated}")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
