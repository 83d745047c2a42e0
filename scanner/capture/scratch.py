"""Room on disk for what does not fit into memory, as long as somebody holds it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from scanner.capture.aside import aside
from scanner.model import CaptureError

T = TypeVar("T")


class ScratchFile:
    """A temporary file without a name, made when it is first written to, gone when this object is.

    Where it lies, TMPDIR tells. Several threads may use it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._end = 0
        self._gaps: list[tuple[int, int]] = []

    def append(self, data: NDArray[np.uint8]) -> int:
        """Put bytes where there is room. Returns where; raises CaptureError where there is none."""
        done = 0
        try:
            with self._lock:
                descriptor = self._opened()
                offset = self._place(len(data))
            while done < len(data):
                done += os.pwrite(descriptor, data[done:].data, offset + done)
        except OSError as error:
            import tempfile  # noqa: PLC0415

            msg = (
                f"{tempfile.gettempdir()}: no room for temporary data: {error.strerror}; name a larger "
                "folder in TMPDIR, or ask about fewer ports"
            )
            raise CaptureError(msg) from None
        return offset

    def read(self, offset: int, count: int) -> NDArray[np.uint8]:
        """`count` bytes from there; they must have been written."""
        data = np.empty(count, dtype=np.uint8)
        done = 0
        while done < count:
            done += os.preadv(self._opened(), [data[done:].data], offset + done)
        return data

    def free(self, offset: int, count: int) -> None:
        """Nobody wants these bytes any more, which were put there at once."""
        with self._lock:
            self._gaps.append((offset, count))

    def aside(self, work: Callable[[], T]) -> Callable[[], T]:
        """Begin some work on a thread of its own; what is returned waits for what it gives or raises."""
        return aside(work)

    def _place(self, count: int) -> int:
        """Where so many bytes go: into the first gap that is large enough, else behind all others."""
        for number, (offset, room) in enumerate(self._gaps):
            if room >= count:
                # What is left of a gap is too little for anything that is worth to be put away.
                del self._gaps[number]
                return offset
        offset, self._end = self._end, self._end + count
        return offset

    def _opened(self) -> int:
        if self._descriptor is None:
            import tempfile  # noqa: PLC0415 - for large captures alone

            self._descriptor, name = tempfile.mkstemp(prefix="ghostport-")
            os.unlink(name)  # noqa: PTH108 - the name is a string already
        return self._descriptor

    def __del__(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
