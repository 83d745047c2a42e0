"""`ghostport read`: what captures say, by the rules of a sweep."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from scanner.cli import telling
from scanner.cli.inputs import selection_of
from scanner.cli.output import DONE, INCOMPLETE, Records
from scanner.cli.plugins import plugins_of
from scanner.core.selection import Selection
from scanner.model import GhostportError, UsageError
from scanner.reading import Reading, read_captures
from scanner.reporters.text import printable

if TYPE_CHECKING:
    from scanner.plugins.registry import Plugins

BAD_INPUT = 2


def run_read(arguments: argparse.Namespace) -> int:
    """Run the command; returns its exit code. Raises GhostportError where there is nothing to read."""
    selection = selection_of(arguments)
    with plugins_of(arguments) as plugins:
        return _run(arguments, selection, plugins)


def _run(arguments: argparse.Namespace, selection: Selection, plugins: Plugins | None) -> int:
    captures = _each_once(arguments.captures)
    unreadable: list[GhostportError] = []
    faults: list[str] = []
    with Records(arguments, plugins) as records:
        reading = read_captures(
            captures,
            selection=selection,
            conversations=arguments.conversations,
            per_prober=arguments.per_prober,
            warn=faults.append,
            fault=unreadable.append,
        )
        if unreadable and not reading.frames and len(unreadable) == len(captures):
            for error in unreadable[:-1]:
                _say(str(error))
            raise unreadable[-1]
        try:
            _tell(records, reading, arguments)
        except GhostportError as error:
            faults.append(str(error))
    if reading.conversations is not None:
        faults += telling.about_conversations(reading.conversations)
    if not reading.result.complete:
        faults.append(f"the sweep was {telling.unfinished(reading.result)}")
    for fault in (*map(str, unreadable), *faults):
        _say(fault)
    if unreadable:
        return BAD_INPUT
    return INCOMPLETE if faults else DONE


def _tell(records: Records, reading: Reading, arguments: argparse.Namespace) -> None:
    if reading.conversations is not None:
        records.write_conversations(reading.conversations, reading)
    elif not arguments.conversations:
        records.write(reading.result)
        records.tell(telling.about_reading(reading.result))
        if next(iter(reading.result), None) is None:
            records.tell(telling.nothing_probed(reading, arguments.ports))
            if not arguments.verbose:
                # It may be the reason why there is nothing.
                records.tell(telling.not_read(reading))
    if arguments.verbose:
        records.tell(telling.about_frames(reading))


def _say(fault: str) -> None:
    print(f"ghostport: {printable(fault)}", file=sys.stderr)


def _each_once(names: Sequence[str]) -> list[str]:
    """The files, without repeats. Raises UsageError where standard input is wanted twice."""
    if names.count("-") > 1:
        msg = "-: standard input can be read once only; leave out one -"
        raise UsageError(msg)
    found: dict[object, str] = {}
    for name in names:
        try:
            status = os.stat(name)  # noqa: PTH116 - a name that is not a path, such as -, will do
            found.setdefault((status.st_dev, status.st_ino), name)
        except (OSError, ValueError):
            found.setdefault(name, name)
    return list(found.values())
