"""Classic pcap files, read a batch at a time; `scanner.capture.writer` writes them.

The law: the file may lie in every byte, and costs bounded memory and CaptureError at worst. Frames stay
in one buffer with offsets into it; no object is made for one of them. This file does not
know what is in a frame.

The format is draft-ietf-opsawg-pcap, and pcap-savefile(5):

    file header, 24 bytes     magic 4 · major 2 · minor 2 · reserved 8 · snaplen 4 · link type 4
    record header, 16 bytes   seconds 4 · fraction 4 · bytes captured 4 · bytes on the wire 4
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

import numpy as np
from numpy.typing import NDArray

from scanner.capture.aside import aside
from scanner.capture.memory import Allocate, own_memory
from scanner.capture.records import HEADER_LENGTH, Records
from scanner.capture.walk import Chain, walk
from scanner.contracts import Frames
from scanner.model import CaptureError

CHUNK = 12 << 20
"""Bytes of a file that are looked at together: many lanes to walk in, and little memory."""

SNAPLEN = 262_144
"""Bytes of a frame that are kept; libpcap's MAXIMUM_SNAPLEN."""

MAX_RECORD = 16 << 20
"""Bytes that a record may hold at most, whatever the file says of itself."""

PCAP_MAGICS: dict[bytes, tuple[str, int]] = {
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
    b"\xa1\xb2\x3c\x4d": (">", 1),
}
"""Byte order of a file, and nanoseconds in a unit of its fractions, by its first four bytes."""

_FILE_HEADER_LENGTH = 24
_SIZE_AT = 8
_VERSION = (2, 4)
_LINK_TYPE_BITS = 0x03FF_FFFF
_SECOND = 1_000_000_000
_SPARE = 1 << 16
"""Bytes in front of what is read, for the beginning of a record that was cut in two."""

_SEARCHED = 4096
"""Bytes in which a record is looked for, where nothing is known of where one begins."""


def read_pcap(
    stream: IO[bytes],
    name: str,
    chunk: int = CHUNK,
    *,
    warn: Callable[[str], None] | None = None,
    head: bytes = b"",
    check: Callable[[int], None] | None = None,
    ahead: bool = False,
    allocate: Allocate = own_memory,
) -> Iterator[Frames]:
    """The frames of a capture, some chunks of the file at a time, in file order.

    The file header is read at once, the rest as the iterator goes. What it gave stays valid as long as the
    memory does that it was given for it.

    Args:
        stream: binary; a pipe will do. It stays open.
        name: what to call it in an error.
        chunk: bytes to look at together; a longer record is read whole.
        warn: called with one line where the file is cut off within a record, after all
            before that has been given. Without it the iterator raises that line instead.
        head: bytes that have been read from the stream already.
        check: called with the link type; raises CaptureError where its frames are not wanted.
        ahead: read what comes next while this is looked at; for streams that never make wait.
        allocate: gives memory for what is read.

    Raises:
        CaptureError: not a capture, unreadable, or damaged; names the byte.
    """
    window = Window(stream, name, chunk, head, ahead=ahead, allocate=allocate)
    window.slide(0, _FILE_HEADER_LENGTH)
    order, unit, limit, link_type = _file_header_untrusted(bytes(window.data[:_FILE_HEADER_LENGTH]), name)
    if check is not None:
        try:
            check(link_type)
        except CaptureError as error:
            raise CaptureError(f"{name}: {error}") from None
    return closing_window(window, _read_records_untrusted(window, order, unit, limit, link_type, warn))


class Window:
    """The bytes of a stream that are being looked at, and where in the stream they begin.

    data: what is looked at. buffer: the same, `(B,)` uint8. offset: of its first byte in the stream.
    """

    def __init__(
        self,
        stream: IO[bytes],
        name: str,
        chunk: int,
        head: bytes = b"",
        *,
        ahead: bool = False,
        allocate: Allocate = own_memory,
    ) -> None:
        """`ahead`: what comes next is read while this is looked at; for streams that never make wait."""
        self.name = name
        self.buffer: NDArray[np.uint8] = np.frombuffer(head, dtype=np.uint8)
        self.data = memoryview(head)
        self.offset = 0
        self._stream = stream
        self._chunk = chunk
        self._allocate = allocate
        self._may_read_ahead = ahead
        self._ahead: Callable[[], _Piece] | None = None

    def slide(self, passed: int, least: int) -> None:
        """Leave `passed` bytes behind and read on, so that at least `least` are there.

        Fewer are there only at the end of the stream. Raises CaptureError where reading fails.
        """
        kept = self.buffer[passed:]
        self.offset += passed
        ahead, self._ahead = self._ahead, None
        # What was given out stays as it is: this is another piece of memory.
        piece = self._piece(self._room(max(self._chunk, least - len(kept)))) if ahead is None else ahead()
        whole = len(piece.data) >= self._chunk
        self.buffer = self._joined(kept, piece)
        if len(self.buffer) < least and whole:
            self.buffer = self._joined(self.buffer, self._piece(self._room(least - len(self.buffer))))
        self.data = self.buffer.data
        if whole and self._may_read_ahead:
            room = self._room(self._chunk)
            self._ahead = aside(lambda: self._piece(room))

    def close(self) -> None:
        """Wait for what is being read ahead: then nobody uses the stream."""
        if self._ahead is not None:
            with suppress(Exception):
                self._ahead()
            self._ahead = None

    def _room(self, count: int) -> NDArray[np.uint8]:
        return self._allocate(_SPARE + count)

    def _piece(self, room: NDArray[np.uint8]) -> _Piece:
        there = read_into(self._stream, room.data[_SPARE:], self.name)
        return _Piece(room, room[_SPARE : _SPARE + there])

    def _joined(self, kept: NDArray[np.uint8], piece: _Piece) -> NDArray[np.uint8]:
        """Bytes that come before, and a piece."""
        room, data = piece.room, piece.data
        begin = _SPARE - len(kept)
        if begin < 0:
            room, begin = self._allocate(len(kept) + len(data)), 0
            room[len(kept) :] = data
        room[begin : begin + len(kept)] = kept
        return room[begin : begin + len(kept) + len(data)]

    def cut_off(self, what: str, needed: int, warn: Callable[[str], None] | None) -> None:
        """Say that the stream ended within something: to `warn`, else as CaptureError."""
        line = (
            f"{self.name}: cut off at byte {self.offset + len(self.data)}: the {what} at byte "
            f"{self.offset} needs {needed} bytes, {len(self.data)} are there"
        )
        if warn is None:
            raise CaptureError(line)
        warn(line)


@dataclass(frozen=True, slots=True)
class _Piece:
    """What was read at once, with spare room in front of it."""

    room: NDArray[np.uint8]
    data: NDArray[np.uint8]


def read_into(stream: IO[bytes], room: memoryview, name: str) -> int:
    """Fill the room, less only at the end of the stream; returns how much. CaptureError where that fails."""
    done = 0
    readinto = getattr(stream, "readinto", None)
    try:
        while done < len(room):
            if readinto is not None:
                count = readinto(room[done:]) or 0
            else:
                piece = stream.read(len(room) - done)
                count = len(piece)
                room[done : done + count] = piece
            if not count:
                break
            done += count
    except OSError as error:
        raise CaptureError(f"{name}: cannot be read: {error.strerror or error}") from None
    return done


def closing_window(window: Window, frames: Iterator[Frames]) -> Iterator[Frames]:
    """The same frames; the stream is nobody's when they end, or are not wanted any more."""
    try:
        yield from frames
    finally:
        window.close()


def _file_header_untrusted(data: bytes, name: str) -> tuple[str, int, int, int]:
    """Byte order, nanoseconds a unit, greatest record and link type of a file."""
    if not data:
        raise CaptureError(f"{name}: is empty, not a capture")
    if data[:4] not in PCAP_MAGICS:
        raise CaptureError(f"{name}: is not a pcap file")
    if len(data) < _FILE_HEADER_LENGTH:
        raise CaptureError(f"{name}: cut off at byte {len(data)}, within the file header")
    order, unit = PCAP_MAGICS[data[:4]]
    major, minor, _, _, snaplen, link_type = struct.unpack_from(f"{order}HHiIII", data, 4)
    if (major, minor) != _VERSION:
        raise CaptureError(f"{name}: is a pcap file of version {major}.{minor}; only 2.4 can be read")
    return order, unit, min(max(snaplen, SNAPLEN), MAX_RECORD), link_type & _LINK_TYPE_BITS


def _read_records_untrusted(
    window: Window,
    order: str,
    unit: int,
    limit: int,
    link_type: int,
    warn: Callable[[str], None] | None,
) -> Iterator[Frames]:
    """Frames of the records behind the file header, `limit` bytes each at most."""
    passed = _FILE_HEADER_LENGTH
    needed = HEADER_LENGTH
    while True:
        if len(window.data) - passed < needed:
            window.slide(passed, needed)
            passed = 0
            if len(window.data) < needed:
                break
        starts, end = walk(_chain(window, order, limit, passed), passed)
        buffer = window.buffer
        lengths = np.diff(starts, append=end) - HEADER_LENGTH
        liars = np.flatnonzero(lengths > limit)
        whole = len(starts)
        needed = HEADER_LENGTH
        passed = end
        if len(liars):
            whole = int(liars[0])
        elif end > len(buffer):
            whole -= 1
            passed = int(starts[whole])
            needed += int(lengths[whole])
        if whole:
            frames = starts[:whole] + HEADER_LENGTH
            yield Records(buffer, frames, lengths[:whole], link_type, order, unit)
        if len(liars):
            raise CaptureError(
                f"{window.name}: the record at byte {window.offset + int(starts[whole])} claims "
                f"{lengths[whole]} bytes, more than the {limit} that one may hold; the file is damaged"
            )
    if window.data:
        window.cut_off("record", needed, warn)


def _chain(window: Window, order: str, limit: int, begin: int) -> Chain:
    """The records of a window, of which one begins at `begin`."""
    data = window.data
    captured = struct.Struct(f"{order}8xI4x").unpack_from
    header = struct.Struct(f"{order}4I").unpack_from
    sizes: NDArray[np.uint32] = np.ndarray(
        max(0, len(data) - _SIZE_AT - 3), f"{order}u4", window.buffer, offset=_SIZE_AT, strides=(1,)
    )
    # Records of one day have the high half of their seconds in common.
    high = 2 if order == "<" else 0
    mark = bytes(data[begin + high : begin + high + 2])
    last = len(data) - HEADER_LENGTH

    def lengths(at: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.add(sizes[at], HEADER_LENGTH, dtype=np.int64)

    def length(at: int) -> int:
        size: int = captured(data, at)[0]
        return size + HEADER_LENGTH

    def after(at: int) -> int | None:
        """Where the next one begins, if this is likely to be one."""
        _, fraction, size, original = header(data, at)
        sound = size <= min(limit, original) and original <= MAX_RECORD and fraction < _SECOND
        return at + HEADER_LENGTH + size if sound else None

    def likely(first: int, until: int) -> int | None:
        within = bytes(data[first : min(until, first + _SEARCHED)])
        place = within.find(mark, high)
        while place >= 0:
            at = first + place - high
            then = after(at) if at <= last else None
            if then is not None and (
                then > last or (data[then + high : then + high + 2] == mark and after(then) is not None)
            ):
                return at
            place = within.find(mark, place + 1)
        return None

    return Chain(lengths, length, likely, last)
