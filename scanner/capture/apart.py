"""A process apart that reads a capture, while this one looks at what was read.

It is a fork of this one, so that it starts at once. Frames lie in memory that both see. It sends a message
for each lot of them, for a warning, for what makes the capture unreadable, and at its end; it gets a byte for
each lot that is done with. That goes through pipes: nothing here can send to a network.
"""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import threading
import traceback
import warnings
from collections.abc import Callable, Container, Iterator
from pathlib import Path
from typing import IO, NoReturn, TypeAlias

import numpy as np
from numpy.typing import NDArray

from scanner.capture import open_capture
from scanner.capture.aside import settle
from scanner.capture.memory import Allocate
from scanner.capture.messages import heard, pipe, say
from scanner.capture.shared import ROOMS, ROWS, TRAYS, Shared
from scanner.contracts import Frames
from scanner.model import CaptureError

Warn: TypeAlias = Callable[[str], None]
Read: TypeAlias = Callable[[Allocate | None, Warn | None], Iterator[Frames]]
"""Reads a capture, as `open_capture` does with these two."""

_FRAMES, _WARNING, _FAULT, _BROKEN, _END = b"FWXBE"
_MOST_TEXT = 1 << 14

_WORTHWHILE = 64 << 20
"""Bytes of a file for which another process pays."""


def open_apart(
    path: str | os.PathLike[str], *, warn: Warn | None = None, interfaces: Container[str] = ()
) -> Iterator[Frames]:
    """As `scanner.capture.open_capture`; large files are read in a process apart, where one can be had.

    Frames are valid until the next are asked for, and the file is opened when the first are.

    Raises:
        CaptureError: as there, or the process has ended before its time.
    """

    def read(allocate: Allocate | None, warn: Warn | None) -> Iterator[Frames]:
        return open_capture(path, warn=warn, interfaces=interfaces, allocate=allocate)

    if not _is_large(path):
        return read(None, warn)
    settle()
    return apart(read, warn) if _possible() else read(None, warn)


def _is_large(path: str | os.PathLike[str]) -> bool:
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        # Said when it is opened.
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size >= _WORTHWHILE


def _possible() -> bool:
    """Whether there is a processor for another process, and nothing in this one that a fork would break.

    Other threads would be missing in a fork, with all that they hold.
    """
    alone = threading.active_count() == 1 and threading.current_thread() is threading.main_thread()
    return alone and hasattr(os, "fork") and len(os.sched_getaffinity(0)) > 1


def apart(read: Read, warn: Warn | None) -> Iterator[Frames]:
    """What `read` gives, done in a process apart; done here, where none can be had.

    Frames are valid until the next are asked for.

    Raises:
        CaptureError: `read` raised it, or the process has ended before its time.
        RuntimeError: `read` raised something else; its traceback.
    """
    with contextlib.ExitStack() as stack:
        try:
            shared = Shared()
            messages, their_messages = pipe(stack, buffered=True)
            their_done, done = pipe(stack, buffered=False)
            process = _fork()
        except OSError:
            yield from read(None, warn)
            return
        if not process:
            # Whose ends stay open here is not missed when it is gone.
            messages.close()
            done.close()
            _serve(read, _Sender(shared, their_messages, their_done), warns=warn is not None)
        stack.callback(_end, process)
        their_messages.close()
        their_done.close()
        yield from _received(shared, messages, done, warn)


def _fork() -> int:
    with warnings.catch_warnings():
        # Newer Pythons warn of all threads; those of NumPy's libraries are idle, and prepared for forks.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _end(process: int) -> None:
    """End the other process, wherever it is; it has nothing to lose."""
    with contextlib.suppress(OSError):
        os.kill(process, signal.SIGKILL)
    with contextlib.suppress(OSError):
        os.waitpid(process, 0)


def _received(shared: Shared, messages: IO[bytes], done: IO[bytes], warn: Warn | None) -> Iterator[Frames]:
    """What the other process sends, until its end."""
    lot = 0
    while (message := heard(messages)) is not None:
        kind, content = message
        if kind == _FRAMES:
            yield shared.take(lot, content)
            lot += 1
            with contextlib.suppress(OSError):
                done.write(b"\0")
        elif kind == _WARNING and warn is not None:
            warn(_text(content))
        elif kind == _FAULT:
            raise CaptureError(_text(content))
        elif kind == _BROKEN:
            raise RuntimeError(_text(content))
        else:
            return
    raise CaptureError("the process that reads the capture has ended; has something killed it?")


def _serve(read: Read, sender: _Sender, *, warns: bool) -> NoReturn:
    """Be the other process."""
    try:
        # Ctrl-C is meant for the one that was started, which ends this one.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        sender.send_all(read, warns=warns)
    finally:
        os._exit(0)


class _Sender:
    """Sends frames, as far ahead of who gets them as there is room."""

    def __init__(self, shared: Shared, messages: IO[bytes], done: IO[bytes]) -> None:
        """`done` gives a byte for each lot of frames that is done with."""
        self._shared = shared
        self._messages = messages
        self._news = done
        self._room = self._sent = self._done = 0
        # Of each room, how many lots have been sent with the last of its frames.
        self._last = [0] * ROOMS

    def send_all(self, read: Read, *, warns: bool) -> None:
        """Read, and say how it ended. Raises OSError where nobody wants to know any more."""
        try:
            for frames in read(self._allocate, self._warn if warns else None):
                for begin in range(0, len(frames), ROWS):
                    self._send(frames.part(begin, begin + ROWS))
        except CaptureError as error:
            say(self._messages, _FAULT, _bytes(str(error)))
        except Exception:
            say(self._messages, _BROKEN, _bytes(traceback.format_exc()))
        else:
            say(self._messages, _END)

    def _allocate(self, count: int) -> NDArray[np.uint8]:
        self._room += 1
        self._wait(self._last[self._room % ROOMS])
        return self._shared.room(self._room, count)

    def _send(self, frames: Frames) -> None:
        self._wait(self._sent + 1 - TRAYS)
        label = self._shared.put(self._sent, frames)
        self._sent += 1
        self._last[self._shared.room_of(frames)] = self._sent
        say(self._messages, _FRAMES, label)

    def _wait(self, lots: int) -> None:
        """Until so many are done with."""
        while self._done < lots:
            if not self._news.read(1):
                raise ConnectionError
            self._done += 1

    def _warn(self, line: str) -> None:
        say(self._messages, _WARNING, _bytes(line))


def _bytes(text: str) -> bytes:
    return text[-_MOST_TEXT:].encode(errors="surrogatepass")


def _text(content: bytes) -> str:
    return content.decode(errors="surrogatepass")
