"""`ghostport sweep`: from words to verdicts on the screen and in a file."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from scanner.capture.evidence import plan_path
from scanner.cli import telling
from scanner.cli.inputs import request_of, whole_number
from scanner.cli.output import DONE, INCOMPLETE, Records
from scanner.cli.progress import ProgressBar
from scanner.model import GhostportError, UsageError, WireError
from scanner.sweeping import Sweep
from scanner.wire.machine import this_machine


def run_sweep(arguments: argparse.Namespace) -> int:
    """Run the command; returns its exit code. Raises GhostportError for what is wrong before it begins."""
    network = this_machine()
    request = request_of(arguments, network.zone)
    seed = None if arguments.seed is None else whole_number("--seed", arguments.seed)
    _check_files(arguments.output, arguments.evidence)
    sweep = Sweep(request, network=network, seed=seed, evidence=arguments.evidence)
    if arguments.dry_run:
        for line in telling.dry_run(sweep.plan):
            print(line)
        return DONE
    with Records(arguments) as records:
        records.tell(telling.about_sweep(sweep.plan, verbose=arguments.verbose))
        faults: list[str] = []
        began = time.monotonic()
        with _interruptible(sweep), ProgressBar(wanted=not arguments.quiet) as bar:
            sweep.watch = bar.show
            try:
                sweep.result()
            except WireError as error:
                faults.append(str(error))
        elapsed = time.monotonic() - began
        result = sweep.result()
        try:
            records.write(result)
        except GhostportError as error:
            faults.append(str(error))
        records.tell(telling.about_result(sweep, result, elapsed, verbose=arguments.verbose))
        if arguments.evidence is not None:
            records.tell(telling.about_evidence(arguments.evidence))
    if sweep.evidence_error is not None:
        faults.append(f"{sweep.evidence_error}; the evidence is incomplete")
    if not result.complete:
        faults.append(telling.unfinished(result))
    for fault in faults:
        print(f"ghostport: {fault}", file=sys.stderr)
    return INCOMPLETE if faults else DONE


def _check_files(output: str | None, evidence: str | None) -> None:
    """Raise UsageError where one file would be written over by another."""
    if evidence is None:
        return
    if evidence == "-":
        msg = "--evidence -: a capture and the plan beside it need a file; name one"
        raise UsageError(msg)
    written = {os.path.abspath(path) for path in (evidence, plan_path(evidence))}  # noqa: PTH100
    if output is not None and os.path.abspath(output) in written:  # noqa: PTH100 - raises for no name
        msg = f"{output}: -o would write over what --evidence wrote; name another file"
        raise UsageError(msg)


@contextmanager
def _interruptible(sweep: Sweep) -> Iterator[None]:
    """Ctrl-C and a polite kill end the sweep, not the program; a second one does."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def stop(number: int, _frame: object) -> None:
        sweep.stop()
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
