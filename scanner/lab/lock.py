"""One at a time: who builds or removes a lab keeps others from doing the same.

The lock is a name among the abstract Unix sockets (unix(7)). It leaves no file, and it is
free again once its holder is gone, and with it the commands that inherited the socket.
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from scanner.model import UsageError

_POLL = 0.005
"""Seconds between two tries."""


@contextmanager
def held(name: str, seconds: float = 30.0) -> Iterator[None]:
    """Hold the lock of this name, after waiting for it; UsageError where that takes too long."""
    deadline = time.monotonic() + seconds
    with socket.socket(socket.AF_UNIX) as lock:
        lock.set_inheritable(True)
        while not _taken(lock, name):
            if time.monotonic() > deadline:
                raise UsageError(f"{name} is being built or removed by another process; try again later")
            time.sleep(_POLL)
        yield


def _taken(lock: socket.socket, name: str) -> bool:
    try:
        lock.bind(f"\0{name}")
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return False
        raise
    return True
