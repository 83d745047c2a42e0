"""Captures written a batch at a time: classic pcap, and pcapng where frames are of several interfaces.

The law: a file that was written ends at a whole record, whatever happened. This file does not know what is in
a frame; `scanner.capture.pcap` and `scanner.capture.pcapng` have the formats' layouts.
"""

from __future__ import annotations

import errno
import io
import os
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from scanner.capture.pcap import SNAPLEN
from scanner.capture.words import cells_of
from scanner.contracts import Frames, Sent
from scanner.model import CaptureError

_FILE_HEADER = struct.Struct("<IHHiIII")
_NANOSECOND_MAGIC = 0xA1B23C4D
_VERSION = (2, 4)
_RECORD_HEADER_LENGTH = 16
_SECOND = 1_000_000_000
_LAST_SECOND = (1 << 32) - 1

_SECTION = struct.pack("<IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28)
_INTERFACE, _ENHANCED = 1, 6
_NAME, _TSRESOL, _NANOSECONDS = 2, 9, 9
_PACKET_HEADER_LENGTH, _TRAILER_LENGTH = 28, 4


@dataclass(frozen=True, slots=True)
class Received:
    """Frames that came in, and which of them to write.

    selection: `(K,)` int64 indices into `frames`, None for all.
    """

    frames: Frames
    selection: NDArray[np.int64] | None = None


class CaptureWriter:
    """What both formats have in common.

    A buffered stream is bypassed: its raw stream is written, once a call, so that what was
    recorded is in the file and a failure can be mended there.
    """

    def __init__(self, stream: IO[bytes], header: bytes, link_types: Sequence[int], snaplen: int) -> None:
        """`header`: what the file begins with. `link_types`: of each interface.

        Raises CaptureError where the stream does not take the header.
        """
        self._name = _name_of(stream)
        self._link_types = link_types
        self._snaplen = snaplen
        self._failure: str | None = None
        self._stream: IO[bytes] | io.RawIOBase = stream
        try:
            if isinstance(stream, io.BufferedWriter | io.BufferedRandom):
                stream.flush()
                self._stream = stream.raw
            self._end = self._position()
            self._emit(memoryview(header), np.array([len(header)]))
        except OSError as error:
            raise self._failed(error) from None

    def write(self, groups: Iterable[Sent | Received], interface: int = 0) -> None:
        """Append the frames of all groups, merged by time; frames of one time keep their order.

        Nothing that the groups hold is needed afterwards. `interface`: which of the file's they were on.

        Raises:
            CaptureError: the stream failed, now or in an earlier call. The file ends at a
                whole record if the stream can be truncated.
            ValueError: frames of another link type, or of a time that the format cannot
                express (1970 to 2106).
        """
        if self._failure is not None:
            raise CaptureError(self._failure)
        parts = [part for group in groups if len(part := self._as_frames(group, interface))]
        if not parts:
            return
        records, ends = self._records(parts, interface)
        try:
            self._emit(records.data, ends)
        except OSError as error:
            raise self._failed(error) from None

    def _records(self, parts: list[Frames], interface: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """The records of all frames in time order, and `(N,)` int64 where each one ends."""
        raise NotImplementedError

    def _as_frames(self, group: Sent | Received, interface: int) -> Frames:
        """Any group as received frames: a batch is a buffer whose frames lie at a fixed stride."""
        if isinstance(group, Received):
            frames, chosen = group.frames, group.selection
            link_type = self._link_types[interface]
            if frames.link_type != link_type:
                raise ValueError(f"frames of link type {frames.link_type}, in a capture of {link_type}")
            if chosen is None:
                return frames
            return Frames(
                frames.buffer,
                frames.starts[chosen],
                frames.lengths[chosen],
                frames.original_lengths[chosen],
                frames.times[chosen],
                frames.link_type,
            )
        count, length = group.frames.shape
        lengths = np.full(count, length, dtype=np.int64)
        starts = np.arange(count, dtype=np.int64) * length
        return Frames(
            group.frames.reshape(-1), starts, lengths, lengths, group.times, self._link_types[interface]
        )

    def _emit(self, data: memoryview, ends: NDArray[np.int64]) -> None:
        """Write all of the data; where that fails, leave no part of a record.

        ends: `(N,)` int64, ascending, where in `data` each record ends.
        """
        written = 0
        try:
            while written < len(data):
                written += self._write_some(data[written:])
        except BaseException:
            # An interrupt can come between a write and its being counted: ask the file.
            written = max(written, self._position() - self._end)
            whole = int(np.searchsorted(ends, written, side="right"))
            self._end += int(ends[whole - 1]) if whole else 0
            self._cut()
            raise
        self._end += len(data)

    def _write_some(self, data: memoryview) -> int:
        """Write as much as the stream takes at once, and say how much."""
        count = self._stream.write(data)
        if not count:
            raise BlockingIOError(errno.EAGAIN, "the stream takes nothing more for now")
        return count

    def _cut(self) -> None:
        """Truncate the stream after the last whole record. A pipe cannot be; its reader sees the cut."""
        try:
            if self._position() > self._end:
                self._stream.truncate(self._end)
                self._stream.seek(self._end)
        except (OSError, ValueError):
            pass

    def _position(self) -> int:
        """Where the stream stands, 0 for a pipe."""
        try:
            return self._stream.tell()
        except (OSError, ValueError):
            return 0

    def _failed(self, error: OSError) -> CaptureError:
        """Remember a failure, and put it into words."""
        self._failure = f"{self._name}: the capture cannot be written: {error.strerror or error}"
        return CaptureError(self._failure)


class PcapWriter(CaptureWriter):
    """Writes a pcap file with nanosecond times, little endian.

    Args:
        stream: binary and writable; the capture begins at its current position. It stays
            open, and nobody else may write to it meanwhile.
        link_type: LINKTYPE_ value of all frames.
        snaplen: bytes of a frame that are kept.

    Raises:
        CaptureError: the stream does not take the file header.
    """

    def __init__(self, stream: IO[bytes], link_type: int, snaplen: int = SNAPLEN) -> None:
        header = _FILE_HEADER.pack(_NANOSECOND_MAGIC, *_VERSION, 0, 0, snaplen, link_type)
        super().__init__(stream, header, [link_type], snaplen)

    def _records(self, parts: list[Frames], interface: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        times, lengths, original = _facts(parts, self._snaplen)
        seconds = times // _SECOND
        if seconds.min() < 0 or seconds.max() > _LAST_SECOND:
            raise ValueError("a pcap file holds times from 1970 to 2106 only")
        headers = np.empty((len(times), 4), dtype="<u4")
        headers[:, 0] = seconds
        headers[:, 1] = times - seconds * _SECOND
        headers[:, 2] = lengths
        headers[:, 3] = original
        begins, ends = _in_time(times, lengths + _RECORD_HEADER_LENGTH)
        records = np.empty(int(ends[-1]), dtype=np.uint8)
        cells_of(records, _RECORD_HEADER_LENGTH)[begins] = headers.view(f"V{_RECORD_HEADER_LENGTH}")[:, 0]
        _lay_in(parts, lengths, records, begins + _RECORD_HEADER_LENGTH)
        return records, ends


class PcapngWriter(CaptureWriter):
    """Writes a pcapng file with nanosecond times, little endian, of one section.

    Args:
        stream: as for `PcapWriter`.
        interfaces: name and LINKTYPE_ value of each.
        snaplen: bytes of a frame that are kept.

    Raises:
        CaptureError: the stream does not take the first blocks.
    """

    def __init__(
        self, stream: IO[bytes], interfaces: Sequence[tuple[str, int]], snaplen: int = SNAPLEN
    ) -> None:
        blocks = (_interface(name, link_type, snaplen) for name, link_type in interfaces)
        header = _SECTION + b"".join(blocks)
        super().__init__(stream, header, [link_type for _, link_type in interfaces], snaplen)

    def _records(self, parts: list[Frames], interface: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        times, lengths, original = _facts(parts, self._snaplen)
        if times.min() < 0:
            raise ValueError("a pcapng file holds times from 1970 on only")
        sizes = _PACKET_HEADER_LENGTH + (lengths + 3 & ~3) + _TRAILER_LENGTH
        headers = np.empty((len(times), 7), dtype="<u4")
        headers[:, 0] = _ENHANCED
        headers[:, 1] = sizes
        headers[:, 2] = interface
        headers[:, 3] = times >> 32
        headers[:, 4] = times & 0xFFFF_FFFF
        headers[:, 5] = lengths
        headers[:, 6] = original
        begins, ends = _in_time(times, sizes)
        records = np.zeros(int(ends[-1]), dtype=np.uint8)
        cells_of(records, _PACKET_HEADER_LENGTH)[begins] = headers.view(f"V{_PACKET_HEADER_LENGTH}")[:, 0]
        trailers = np.ascontiguousarray(headers[:, 1]).view(f"V{_TRAILER_LENGTH}")
        cells_of(records, _TRAILER_LENGTH)[begins + sizes - _TRAILER_LENGTH] = trailers
        _lay_in(parts, lengths, records, begins + _PACKET_HEADER_LENGTH)
        return records, ends


def _interface(name: str, link_type: int, snaplen: int) -> bytes:
    """An interface description block, with its name and nanosecond times."""
    text = name.encode(errors="surrogateescape")
    options = struct.pack("<HH", _NAME, len(text)) + text + bytes(-len(text) % 4)
    options += struct.pack("<HHBxxx", _TSRESOL, 1, _NANOSECONDS) + bytes(4)
    length = 20 + len(options)
    return (
        struct.pack("<IIHHI", _INTERFACE, length, link_type, 0, snaplen) + options + struct.pack("<I", length)
    )


def _facts(
    parts: list[Frames], snaplen: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Times of all frames, bytes of each that are kept, and bytes on the wire."""
    lengths = np.minimum(np.concatenate([part.lengths for part in parts]), snaplen)
    original = np.concatenate([part.original_lengths for part in parts])
    return np.concatenate([part.times for part in parts]), lengths, original


def _in_time(
    times: NDArray[np.int64], sizes: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each record begins, laid in order of time; and in that order, where each one ends."""
    if np.all(times[1:] >= times[:-1]):
        ends = np.cumsum(sizes)
        return ends - sizes, ends
    # Parts that are in order each are merged as runs by this sort.
    order = np.argsort(times, kind="stable")
    ends = np.cumsum(sizes[order])
    begins = np.empty_like(ends)
    begins[order] = ends - sizes[order]
    return begins, ends


def _lay_in(
    parts: list[Frames], lengths: NDArray[np.int64], records: NDArray[np.uint8], begins: NDArray[np.int64]
) -> None:
    """Copy the bytes of all frames to where they belong."""
    done = 0
    for part in parts:
        these = slice(done, done + len(part))
        _copy(part.buffer, part.starts, lengths[these], records, begins[these])
        done += len(part)


def _copy(
    source: NDArray[np.uint8],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    target: NDArray[np.uint8],
    begins: NDArray[np.int64],
) -> None:
    """Copy `lengths` bytes from each of `starts` to each of `begins`, one length at a time.

    The frames of a sweep have few lengths, and NumPy moves cells of one size fastest.
    """
    if lengths.min() == lengths.max():
        runs: list[tuple[int, Any]] = [(int(lengths[0]), slice(None))]
    else:
        order = np.argsort(lengths, kind="stable")
        distinct, firsts = np.unique(lengths[order], return_index=True)
        runs = list(zip(distinct.tolist(), np.split(order, firsts[1:]), strict=True))
    for length, chosen in runs:
        if length:
            cells_of(target, length)[begins[chosen]] = cells_of(source, length)[starts[chosen]]


def _name_of(stream: IO[bytes]) -> str:
    """What to call a stream in an error."""
    name = getattr(stream, "name", None)
    return os.fsdecode(name) if isinstance(name, str | bytes | os.PathLike) else "capture"
