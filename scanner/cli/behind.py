"""Writing behind: a file is written on a thread of its own, while what comes next is made ready.

A write is all but wholly a system call, in which Python lets go of its lock. This is for files that keep
nobody waiting for long: whoever writes to a pipe wants to be interrupted there.
"""

from __future__ import annotations

import io
from queue import Queue
from threading import Thread
from typing import IO, TYPE_CHECKING

from scanner.reporters import write_all

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

WORTH_A_THREAD = 1 << 16
"""Bytes; fewer are written before a thread has woken up."""


class WriteBehind(io.RawIOBase):
    """A file to write to. What goes wrong is raised by a later `write`, or by `flush` or `close`."""

    def __init__(self, file: IO[bytes]) -> None:
        """`file` is closed with this."""
        self._file = file
        # One piece waits while another is written: memory is bounded.
        self._pieces: Queue[memoryview | None] = Queue(maxsize=1)
        self._thread: Thread | None = None
        self._fault: BaseException | None = None

    def writable(self) -> bool:
        """As `io.RawIOBase`."""
        return True

    def write(self, data: ReadableBuffer) -> int:
        """Take all of a piece; what may still be changed is copied."""
        self._complain()
        piece = memoryview(data).cast("B")
        if self._thread is None and len(piece) < WORTH_A_THREAD:
            write_all(self._file, piece)
            return len(piece)
        if self._thread is None:
            self._thread = Thread(target=self._run, name="write-behind", daemon=True)
            self._thread.start()
        self._pieces.put(piece if piece.readonly else memoryview(bytes(piece)))
        return len(piece)

    def flush(self) -> None:
        """Wait until all is written."""
        self._pieces.join()
        self._complain()
        self._file.flush()

    def close(self) -> None:
        """Flush, and close the file."""
        if self.closed:
            return
        try:
            super().close()
        finally:
            if self._thread is not None:
                self._pieces.put(None)
            self._file.close()

    def _run(self) -> None:
        ended = False
        while not ended:
            piece = self._pieces.get()
            try:
                # After a fault there is a hole, behind which nothing is worth writing.
                if piece is None:
                    ended = True
                elif self._fault is None:
                    write_all(self._file, piece)
            except BaseException as fault:
                self._fault = fault
            finally:
                self._pieces.task_done()

    def _complain(self) -> None:
        if self._fault is not None:
            raise self._fault
