"""`ghostport read`: a capture's verdicts, by the rules of a sweep."""

from __future__ import annotations

import argparse
import sys

from scanner.cli import telling
from scanner.cli.output import DONE, INCOMPLETE, Records
from scanner.model import GhostportError
from scanner.reading import read_capture


def run_read(arguments: argparse.Namespace) -> int:
    """Run the command; returns its exit code. Raises GhostportError where there is nothing to read."""
    faults: list[str] = []
    with Records(arguments) as records:
        result = read_capture(arguments.capture, ports=arguments.ports, warn=faults.append)
        try:
            records.write(result)
        except GhostportError as error:
            faults.append(str(error))
        records.tell(telling.about_reading(result))
    if not result.complete:
        faults.append(f"the sweep was {telling.unfinished(result)}")
    for fault in faults:
        print(f"ghostport: {fault}", file=sys.stderr)
    return INCOMPLETE if faults else DONE
