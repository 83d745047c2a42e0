"""Processes that stay: started in a namespace, outliving whoever built the lab, ended with it.

They are found again by their namespace, never by a pid written down, so that a lab can be
taken down by another process than the one that built it, and after that one was killed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

from scanner.lab import namespaces
from scanner.model import UsageError

_POLL = 0.005
"""Seconds between two looks at something that is about to happen."""


def start(
    namespace: str,
    command: Iterable[str],
    *,
    log: Path,
    stdin: Path | None = None,
    environment: Mapping[str, str] | None = None,
    descriptors: Collection[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a command in a namespace, in a session of its own; all it writes goes to the file `log`.

    environment: added to this process's own. descriptors: what it inherits beside the standard streams.
    """
    # Inside from its first moment, so that it is found there though its builder be killed now.
    with (
        log.open("wb") as output,
        (stdin or Path(os.devnull)).open("rb") as source,
        namespaces.entered(namespace),
    ):
        return subprocess.Popen(
            namespaces.exec_command(namespace, command),
            stdin=source,
            stdout=output,
            stderr=output,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
            pass_fds=descriptors,
        )


def wait_until(
    ready: Callable[[], bool], process: subprocess.Popen[bytes], *, log: Path, seconds: float
) -> None:
    """Wait until a started process is ready; then let go of it, as it is to outlive this one.

    Raises UsageError, with the last line of the log, where it ends or takes longer than `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            lines = log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
            what = "ended at once" if process.poll() is not None else f"was not ready within {seconds:g} s"
            raise UsageError(f"the lab cannot be built here: {log.stem} {what}: {lines[-1]}")
        time.sleep(_POLL)
    # Popen would warn when it is forgotten with its process alive; `end_all` waits for that one.
    process.returncode = 0


def end_all(namespace: str, seconds: float = 5.0) -> None:
    """End every process of a namespace, and wait until they are gone. UsageError if one stays."""
    deadline = time.monotonic() + seconds
    while found := namespaces.pids(namespace):
        if time.monotonic() > deadline:
            raise UsageError(f"process {found[0]} in {namespace} does not end")
        for pid in found:
            _kill(pid)
        time.sleep(_POLL)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        return  # gone already, or another's child
