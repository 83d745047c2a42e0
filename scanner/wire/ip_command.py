"""Running iproute2's `ip`, the one door to the kernel's tables.

What `ip` prints is JSON; who asks parses it in pure functions. The runner is an argument
wherever it is used, so tests hand in recorded texts and a laboratory can run `ip -n NAME`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from scanner.model import UsageError

Runner: TypeAlias = Callable[[Sequence[str], str], str]
"""Given the arguments behind `ip` and the text for its standard input: its standard output."""

_NO_JSON = "`ip -j` does not answer in JSON; install iproute2 4.16 or newer"
_PATIENCE = 60.0  # seconds; a dump of a full Internet table takes two


def run_ip(arguments: Sequence[str], text: str = "") -> str:
    """Run `ip` with these arguments and return what it prints.

    Its exit status is not looked at: of a batch some lines may fail, and that is an answer.
    Raises UsageError where there is no `ip`, or it does not come back.
    """
    try:
        done = subprocess.run(  # noqa: S603 - an argument list and no shell
            [_program(), *arguments],
            input=text,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"the command `ip` cannot be run: {error}") from None
    if done.returncode and not done.stdout.strip() and "-batch" not in arguments:
        said = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[0]
        raise UsageError(f"`ip {' '.join(arguments)}` failed: {said}")
    return done.stdout


def _program() -> str:
    # An ordinary user's PATH may lack sbin, where some distributions have it.
    places = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
    found = shutil.which("ip", path=places)
    if found is None:
        raise UsageError("the command `ip` is missing; install iproute2")
    return found


def parse_json_list(text: str) -> list[dict[str, Any]]:
    """The objects of one `ip -j` answer; of an empty answer, none.

    Raises UsageError where it is no JSON list, as with an `ip` that knows no `-j`.
    """
    if not text.strip():
        return []
    try:
        values = json.loads(text)
    except ValueError:
        values = None
    if not isinstance(values, list):
        raise UsageError(_NO_JSON)
    # Old releases print an empty object for what a filter left out.
    return [value for value in values if isinstance(value, dict) and value]


def parse_json_lines(text: str) -> list[dict[str, Any]]:
    """The objects of an `ip -j -batch` answer: one JSON list for each line that succeeded.

    Raises UsageError where one is no JSON list.
    """
    lists = filter(None, map(str.strip, text.splitlines()))
    try:
        values = json.loads(f"[{','.join(lists)}]")  # all at once: a third of the time
    except ValueError:
        values = [None]
    if not all(isinstance(value, list) for value in values):
        raise UsageError(_NO_JSON)
    return [value for line in values for value in line if isinstance(value, dict) and value]
