"""Scratch room in memory, that counts what is put there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")


class MemoryScratch:
    """As `scanner.core.runs.Scratch`.

    data: all that was put there. freed: bytes of it that nobody wants any more; they become zeros.
    """

    def __init__(self) -> None:
        self.data = b""
        self.freed = 0

    def append(self, data: NDArray[np.uint8]) -> int:
        offset = len(self.data)
        self.data += data.tobytes()
        return offset

    def read(self, offset: int, count: int) -> NDArray[np.uint8]:
        found = np.frombuffer(self.data[offset : offset + count], dtype=np.uint8)
        assert len(found) == count
        return found

    def free(self, offset: int, count: int) -> None:
        self.data = self.data[:offset] + bytes(count) + self.data[offset + count :]
        self.freed += count

    def aside(self, work: Callable[[], T]) -> Callable[[], T]:
        given = work()
        return lambda: given
