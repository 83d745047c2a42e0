"""A process apart that sends the slots of a transmit ring; see `slots.py`, which is all of its program."""

from __future__ import annotations

import contextlib
import socket
import struct
import subprocess
import sys

from scanner.model import WireError
from scanner.wire import slots
from scanner.wire.slots import COMMAND, Departure

_LONGEST_ANSWER = 1 << 16
_LONGEST_END = 5.0
"""Seconds that a process which has nobody left to ask it is waited for."""


class SendingProcess:
    """Sends the slots of one ring, one row of them after the other.

    Raises OSError where it cannot be started.
    """

    def __init__(self, ring: socket.socket, count: int, slot_size: int) -> None:
        """Start it, and do not wait for it. ring: the socket. count: slots of `slot_size` bytes."""
        self._commands, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            descriptors = (ring.fileno(), theirs.fileno())
            try:
                # Isolated, and in a session of its own: neither the caller's folder and environment nor the
                # keys of its terminal mean anything to it.
                self._process = subprocess.Popen(  # noqa: S603 - our own file, by our own interpreter
                    [sys.executable, "-I", "-S", slots.__file__, *map(str, (*descriptors, count, slot_size))],
                    pass_fds=descriptors,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            except BaseException:
                self._commands.close()
                raise

    def begin(self, first: int, count: int) -> None:
        """Have so many slots sent, from the first on. Raises WireError where there is nobody to do it."""
        try:
            self._commands.send(COMMAND.pack(first, count))
        except OSError:
            raise _ended() from None

    def outcome(self) -> Departure:
        """Wait until what was begun is done. Raises WireError where the process has ended meanwhile."""
        try:
            answer = self._commands.recv(_LONGEST_ANSWER)
            return Departure.unpack(answer)
        except (OSError, struct.error):
            raise _ended() from None

    def close(self) -> None:
        """End it, when it has sent what it has."""
        self._commands.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_LONGEST_END)
            return
        self._process.kill()
        self._process.wait()


def _ended() -> WireError:
    return WireError("the process that sends has ended: has something killed it?")
