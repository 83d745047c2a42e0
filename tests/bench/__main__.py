"""`make bench`: ghostport beside its peers, on one lab. Nothing is asserted; figures are printed and kept.

    python -m tests.bench [CASE ...]

BENCH_RUNS: rounds (5). BENCH_LAB: how the labs' names begin (bench).
What was measured goes to out/bench.json as well.
"""

from __future__ import annotations

import compileall
import dataclasses
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import scanner
from scanner.model import GhostportError
from tests.bench.cases import CASES, Case
from tests.bench.contest import Contest, Ring
from tests.bench.labs import Labs
from tests.bench.machine import PEERS, machine
from tests.bench.standing import standings
from tests.bench.table import table

RESULTS = Path(__file__).parents[2] / "out" / "bench.json"

BUSY = 0.25
"""The load a processor, before anything has begun, from which on times say little."""


def main(names: list[str]) -> int:
    try:
        runs = int(os.environ.get("BENCH_RUNS", "5"))
        cases = [case for case in CASES if case.name in names or (case.unasked and not names)]
    except ValueError:
        runs = 0
    if runs < 1:
        return complain("BENCH_RUNS is not a number of rounds, 1 or more")
    if unknown := set(names) - {case.name for case in CASES}:
        return complain(f"no case {min(unknown)!r}; there are {', '.join(case.name for case in CASES)}")
    missing = [name for name in ("ip", "nft", "time") if shutil.which(name) is None]
    if os.geteuid() != 0 or missing:
        return complain("this needs root, and the packages of `make lab-packages`")
    if absent := [peer for peer in PEERS if shutil.which(peer) is None]:
        tell(f"left out, as not installed: {', '.join(absent)} (make lab-packages)")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if os.getloadavg()[0] > BUSY * (os.cpu_count() or 1):
        tell(f"bench: others work here (load {os.getloadavg()[0]:.2f}): trust CPU seconds, not wall clock")
    # As an installed package is; a checkout may be told not to.
    compileall.compile_dir(Path(scanner.__file__).parent, quiet=1)
    began = time.monotonic()
    where = machine()
    try:
        contests = run([without(case, absent) for case in cases], runs)
    except GhostportError as error:
        return complain(str(error))
    print(table(contests))
    print()
    print(", ".join(f"{name} {value}" for name, value in where.items()))
    print(f"{time.monotonic() - began:.0f} s in all; load at the end {os.getloadavg()[0]:.2f}")
    keep(where, contests)
    ours = [contest.attempts[contest.case.contenders[0].name] for contest in contests]
    return 1 if any(attempt.failed for attempts in ours for attempt in attempts) else 0


def run(cases: list[Case], rounds: int) -> list[Contest]:
    """All cases, or those that there was time for; labs are there as long."""
    done: list[Contest] = []
    labs = Labs(os.environ.get("BENCH_LAB", "bench"))
    with tempfile.TemporaryDirectory() as scratch:
        try:
            ring = Ring(labs, Path(scratch))
            for case in cases:
                done.append(ring.run(case, rounds=rounds, tell=tell))  # noqa: PERF401 - kept if cut short
        except (KeyboardInterrupt, SystemExit):
            tell("cut short; what was measured is kept")
        finally:
            labs.close()
    return done


def without(case: Case, absent: list[str]) -> Case:
    """A case without the tools that are not there."""
    return dataclasses.replace(
        case, contenders=tuple(one for one in case.contenders if not set(one.command.split()) & set(absent))
    )


def keep(where: dict[str, str], contests: list[Contest]) -> None:
    """Write all that was measured."""
    RESULTS.parent.mkdir(exist_ok=True)
    cases = {
        contest.case.name: {
            "title": contest.case.title,
            "figure": contest.case.figure,
            "packets": contest.packets,
            "commands": {one.name: one.command for one in contest.case.contenders},
            "standings": [dataclasses.asdict(standing) for standing in standings(contest)],
            "attempts": {
                name: [dataclasses.asdict(attempt) for attempt in attempts]
                for name, attempts in contest.attempts.items()
            },
        }
        for contest in contests
    }
    RESULTS.write_text(json.dumps({"machine": where, "cases": cases}, indent=1) + "\n")
    tell(f"kept: {RESULTS}")


def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def complain(line: str) -> int:
    tell(f"bench: {line}")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
