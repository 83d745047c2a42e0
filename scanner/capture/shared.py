"""Memory that two processes have in common: one reads captures into it, and hands their frames to the other.

Rooms for what is read are used one after the other in a ring, and so are trays for where frames lie in them.
"""

from __future__ import annotations

import struct
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from scanner.capture.memory import common_memory
from scanner.capture.pcap import CHUNK, MAX_RECORD
from scanner.capture.records import Records
from scanner.contracts import Frames

ROOMS: Final = 3
"""What is read is put together from two rooms in a third one at most; and while one is filled, frames of
another one are looked at.
"""

TRAYS: Final = 6

ROWS: Final = 1 << 16
"""Frames that a tray has room for."""

_ROOM: Final = CHUNK + MAX_RECORD + (1 << 20)
"""Bytes. What is not written to costs nothing, and only the longest of records fill it."""

_STARTS, _LENGTHS, _ORIGINALS, _TIMES = ((0, "u4"), (4, "u4"), (8, "u4"), (12, "i8"))
"""Of each column the bytes in front of it in a row's share of a tray, and what it holds."""

_SHARE: Final = 20
_LABEL = struct.Struct("=QQIi?cI")
_NO_RECORDS = b"-"
_MOST_NAME: Final = 1 << 10
"""Characters of an interface's name; the kernel's have fifteen."""


class Shared:
    """Rooms and trays, by number; to be made before the process that it is shared with."""

    def __init__(self) -> None:
        """Raises OSError where there is no memory."""
        self._memory = common_memory(ROOMS * _ROOM + TRAYS * ROWS * _SHARE)

    def room(self, number: int, count: int) -> NDArray[np.uint8]:
        """`count` bytes of a room. Raises ValueError where it has fewer."""
        if count > _ROOM:
            msg = f"{count} bytes do not fit into {_ROOM}"
            raise ValueError(msg)
        begin = number % ROOMS * _ROOM
        return self._memory[begin : begin + count]

    def room_of(self, frames: Frames) -> int:
        """The number, below ROOMS, of the room in which frames lie."""
        return self._place(frames) // _ROOM

    def put(self, tray: int, frames: Frames) -> bytes:
        """Put frames that lie in a room on a tray, ROWS at most. Gives what `take` needs to know of them."""
        count = len(frames)
        self._column(tray, _STARTS, count)[:] = frames.starts
        self._column(tray, _LENGTHS, count)[:] = frames.lengths
        order, unit = _NO_RECORDS, 0
        if isinstance(frames, Records):
            order, unit = frames.order.encode(), frames.unit
        else:
            self._column(tray, _ORIGINALS, count)[:] = np.minimum(frames.original_lengths, 0xFFFF_FFFF)
            self._column(tray, _TIMES, count)[:] = frames.times
        named = frames.interface is not None
        label = _LABEL.pack(
            self._place(frames), len(frames.buffer), count, frames.link_type, named, order, unit
        )
        return label + (frames.interface or "")[:_MOST_NAME].encode(errors="surrogatepass")

    def take(self, tray: int, label: bytes) -> Frames:
        """Those frames. The tray may be used again then, but not the room."""
        place, size, count, link_type, named, order, unit = _LABEL.unpack_from(label)
        buffer = self._memory[place : place + size]
        starts = self._column(tray, _STARTS, count).astype(np.int64)
        lengths = self._column(tray, _LENGTHS, count).astype(np.int64)
        if order != _NO_RECORDS:
            return Records(buffer, starts, lengths, link_type, order.decode(), unit)
        return Frames(
            buffer=buffer,
            starts=starts,
            lengths=lengths,
            original_lengths=self._column(tray, _ORIGINALS, count).astype(np.int64),
            times=self._column(tray, _TIMES, count).copy(),
            link_type=link_type,
            interface=label[_LABEL.size :].decode(errors="surrogatepass") if named else None,
        )

    def _place(self, frames: Frames) -> int:
        return frames.buffer.ctypes.data - self._memory.ctypes.data

    def _column(self, tray: int, column: tuple[int, str], count: int) -> NDArray[Any]:
        before, dtype = column
        at = ROOMS * _ROOM + ROWS * (tray % TRAYS * _SHARE + before)
        return np.ndarray((count,), dtype=dtype, buffer=self._memory, offset=at)
