"""`ghostport sweep`: from words to verdicts on the screen and in a file."""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from scanner.capture.evidence import plan_path
from scanner.cli import telling
from scanner.cli.inputs import request_of, whole_number
from scanner.cli.output import DONE, INCOMPLETE, Records
from scanner.cli.plugins import plugins_of, scope_of
from scanner.cli.progress import ProgressBar
from scanner.contracts import Network
from scanner.core.hosts import Hosts
from scanner.model import GhostportError, UsageError, WireError
from scanner.planning import Request, by_protocol
from scanner.plugins.probes import probe_named
from scanner.sweeping import Sweep
from scanner.wire.machine import this_machine

if TYPE_CHECKING:
    from scanner.plugins.registry import Plugins


def run_sweep(arguments: argparse.Namespace) -> int:
    """Run the command; returns its exit code. Raises GhostportError for what is wrong before it begins."""
    network = this_machine()
    seed = None if arguments.seed is None else whole_number("--seed", arguments.seed)
    _check_files(arguments.output, arguments.evidence)
    with plugins_of(arguments) as plugins:
        words = [*arguments.probe, *(f"udp-payload:{name}" for name in arguments.payload)]
        probes = by_protocol([probe_named(word, plugins) for word in words])
        request = request_of(arguments, network.zone, probes)
        if arguments.discover_v6:
            request = replace(request, targets=request.targets | _neighbours(arguments, network))
        return _run(arguments, request, network, seed, plugins)


def _neighbours(arguments: argparse.Namespace, network: Network) -> Hosts:
    """Who answers on the link that is named."""
    from scanner.core.scope import Scope  # noqa: PLC0415 - for those who ask
    from scanner.discovery import discover_ipv6  # noqa: PLC0415

    if arguments.interface is None:
        msg = "--discover-v6: on which link? name it by --interface"
        raise UsageError(msg)
    if arguments.dry_run:
        msg = "--discover-v6 sends packets, and --dry-run sends none: leave one out"
        raise UsageError(msg)
    found = discover_ipv6(
        network, arguments.interface, identifier=secrets.randbits(16), scope=Scope.private()
    )
    if not arguments.quiet:
        count = found.size
        said = "1 IPv6 neighbour answers" if count == 1 else f"{count} IPv6 neighbours answer"
        print(f"{said} on {arguments.interface}", file=sys.stderr)
    return found


def _run(
    arguments: argparse.Namespace,
    request: Request,
    network: Network,
    seed: int | None,
    plugins: Plugins | None,
) -> int:
    sweep = Sweep(
        request,
        network=network,
        seed=seed,
        evidence=arguments.evidence,
        scope=scope_of(arguments, plugins),
        identify=arguments.identify,
        plugins=plugins,
    )
    if arguments.dry_run:
        for line in telling.dry_run(sweep.plan):
            print(line)
        return DONE
    with Records(arguments, plugins) as records:
        if plugins is not None and arguments.evidence_sink:
            from scanner.plugins.sinks import Sinks  # noqa: PLC0415 - for those who have one

            sweep.sinks = Sinks(plugins, arguments.evidence_sink)
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
    if sweep.sinks is not None:
        faults += map(telling.sink_failed, sweep.sinks.failed)
    if sweep.unidentified:
        faults.append(telling.unidentified(sweep.unidentified))
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
