"""Reading fields of many packets at once out of one buffer.

Bounds are the caller's business, but kept here too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import numpy as np
from numpy.typing import NDArray


def gather(buffer: NDArray[np.uint8], starts: NDArray[np.int64], width: int) -> NDArray[np.uint8]:
    """Copy `width` bytes from each start into the rows of a matrix.

    Bytes past the end of the buffer read as zero; starts must not be negative.

    Returns:
        `(N, width)` uint8, contiguous.
    """
    last = len(buffer) - width
    if last >= 0:
        # Overlapping cells, of which one is copied at once: half the time that rows of bytes take.
        cells = np.ndarray((last + 1,), dtype=f"V{width}", buffer=np.ascontiguousarray(buffer), strides=(1,))
        inside = not len(starts) or int(starts.max()) <= last
        chosen = cells[starts if inside else np.minimum(starts, last)]
        rows = chosen.view(np.uint8).reshape(len(starts), width)
        if inside:
            return rows
    else:
        rows = np.empty((len(starts), width), dtype=np.uint8)
    for row in np.flatnonzero(starts > last):
        tail = buffer[starts[row] : starts[row] + width]
        rows[row] = 0
        rows[row, : len(tail)] = tail
    return rows


def columns(rows: NDArray[np.uint8], layout: np.dtype[np.void]) -> NDArray[np.void]:
    """See each row of a contiguous matrix as one header."""
    seen: NDArray[np.void] = rows.view(layout)[:, 0]
    return seen


Rows = NDArray[np.int64] | NDArray[np.bool_] | slice


def chosen(rows: NDArray[np.int64], count: int) -> NDArray[np.int64] | slice:
    """Rows, each once and in growing order, of `count`: an index that copies nothing where they are all."""
    return slice(None) if len(rows) == count else rows


class Columns:
    """Base of dataclasses with slots whose fields are arrays of one length, an element a row of a table.

    A field may be such a table itself.
    """

    __slots__: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(getattr(self, self.__slots__[0]))

    def take(self, rows: Rows) -> Self:
        """Some of the rows."""
        fields: list[Columns | NDArray[np.generic]] = [getattr(self, name) for name in self.__slots__]
        return type(self)(*(one.take(rows) if isinstance(one, Columns) else one[rows] for one in fields))

    def where(self, mask: NDArray[np.bool_]) -> Self:
        """The rows that a mask chooses; not copied where that is all of them."""
        return self if mask.all() else self.take(mask)

    @classmethod
    def concatenate(cls, parts: Iterable[Self]) -> Self:
        """All rows of several tables, in order; there must be at least one."""
        listed = list(parts)
        if len(listed) == 1:
            return listed[0]
        joined: list[object] = []
        for name in cls.__slots__:
            fields = [getattr(part, name) for part in listed]
            kind = type(fields[0])
            joined.append(kind.concatenate(fields) if issubclass(kind, Columns) else np.concatenate(fields))
        return cls(*joined)
