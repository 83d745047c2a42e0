"""Processes that stay while a case is recorded."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.replay.refused import Refused

_ROOT = Path(__file__).parents[2]


def environment() -> dict[str, str]:
    """Where `ghostport` and `python` are those that run this."""
    path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(_ROOT)}


@contextmanager
def helper(command: Sequence[str], ready: bytes, wanted: str = "") -> Iterator[None]:
    """A process that stays, once it has said that it is ready; `wanted` is its standard input."""
    process = subprocess.Popen(
        command, cwd=_ROOT, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(wanted.encode())
        process.stdin.close()
        process.stdin = None
        if process.stdout.readline() != ready:
            raise Refused(f"{' '.join(command)}: was not ready")
        yield
    finally:
        process.kill()
        process.communicate()
