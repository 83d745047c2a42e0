"""One command, run once and measured from outside.

Time is the whole process, from before it is started to after it is reaped; CPU is what the kernel
charged it and its children. Peak memory is reported by time(1): a child of this process would
inherit this process's own peak.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Run:
    """What one run cost.

    seconds: wall clock. cpu: seconds, user and system. rss: peak, KiB.
    ended: False where it was killed at its deadline; then `seconds` is a lower bound.
    """

    seconds: float
    cpu: float
    rss: int
    exit_code: int
    ended: bool


def measure(command: Sequence[str], *, folder: Path, deadline: float) -> Run:
    """Run a command, for `deadline` seconds at most; what it writes is `stdout` and `stderr` in `folder`."""
    peak = folder / "peak"
    timed = [time_program(), "--quiet", "--format=%M", f"--output={peak}", *command]
    # Python finds its modules compiled, as it does for everybody but some developers.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
        before = time.perf_counter()
        with subprocess.Popen(
            timed, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env=environment
        ) as process:
            try:
                ended = _ends_within(process.pid, deadline)
            except BaseException:
                _kill_children(process.pid)
                raise
            if not ended:
                _kill_children(process.pid)
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - before
            process.returncode = os.waitstatus_to_exitcode(status)
    return Run(
        seconds=seconds,
        cpu=usage.ru_utime + usage.ru_stime,
        rss=int(peak.read_text().split()[-1]),
        exit_code=process.returncode,
        ended=ended,
    )


def time_program() -> str:
    """The path of time(1), which a shell's own `time` hides."""
    return shutil.which("time") or "time"


def _ends_within(pid: int, seconds: float) -> bool:
    descriptor = os.pidfd_open(pid)
    try:
        ready, _, _ = select.select([descriptor], [], [], seconds)
    finally:
        os.close(descriptor)
    return bool(ready)


def _kill_children(pid: int) -> None:
    """End what time(1) runs, so that time(1) still tells what it used."""
    with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            os.kill(int(child), signal.SIGKILL)
