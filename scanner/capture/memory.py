"""Memory for what is read of captures: of this process, or in common with another."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Allocate: TypeAlias = Callable[[int], NDArray[np.uint8]]
"""Gives so many bytes to read into, `(N,)` uint8."""


def own_memory(count: int) -> NDArray[np.uint8]:
    """Bytes of nobody else, valid for as long as somebody holds them."""
    return np.empty(count, dtype=np.uint8)


def common_memory(count: int) -> NDArray[np.uint8]:
    """Zeros that this process has in common with those that are forked off it.

    What nobody touches costs nothing. Raises OSError where there is no room.
    """
    flags = mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
    return np.frombuffer(mmap.mmap(-1, count, flags=flags), dtype=np.uint8)
