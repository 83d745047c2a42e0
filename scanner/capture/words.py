"""Words and cells at many places of a capture at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def columns(
    buffer: NDArray[np.uint8], starts: NDArray[np.int64], count: int, order: str
) -> NDArray[np.uint32]:
    """The first `count` 32-bit words at each of `starts`, as `(N, count)` in the file's byte order."""
    cells = cells_of(buffer, 4 * count)[starts]
    return cells.view(f"{order}u4").reshape(len(starts), count)


def cells_of(buffer: NDArray[np.uint8], size: int) -> NDArray[np.void]:
    """The buffer seen as cells of `size` bytes, one beginning at each byte; no copy."""
    return np.ndarray(max(0, len(buffer) - size + 1), dtype=f"V{size}", buffer=buffer, strides=(1,))
