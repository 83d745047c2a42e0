"""What each side of a conversation said: how many bytes, and the first of them.

Bytes of TCP are counted in sequence space, so that what is sent again counts once: from where the data begin
(behind the SYN; where none was seen first, the lowest byte seen) to the highest byte seen, but never more
than all payloads together, whatever numbers a sender makes up. The number of a segment is taken relative to
the one before it (RFC 1982), so that streams may be longer than 4 GiB.

The first bytes are FIRST_BYTES from the lowest one captured; where two segments differ, the one that came
first counts, as far as no byte is missing. Of UDP they are those of the first datagram that has any.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanner.core.columns import Columns
from scanner.core.conversation_table import LEFT_OUT, Room, allotted, grown
from scanner.core.conversation_texts import FIRST_BYTES, TEXT, length_of, make_room, write

_STREAM = np.dtype(
    [
        ("high", "i8"),  # behind the highest byte, relative to the base
        ("low", "i8"),  # the lowest byte
        ("position", "i8"),  # the last segment
        ("window", "i8"),  # the first byte of the text
        ("text", TEXT),
        ("last", "u4"),  # sequence number of the last segment
    ]
)
_NOWHERE = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Payloads(Columns):
    """Payloads, by stream, and within a stream in order of time.

    stream: int64, its place. begin: uint32, number of the first byte. base: uint32, that of the stream's
    first. anchored: bool, the base is behind a SYN. size, payload, captured: as in `Segments`.
    """

    stream: NDArray[np.int64]
    begin: NDArray[np.uint32]
    base: NDArray[np.uint32]
    anchored: NDArray[np.bool_]
    size: NDArray[np.int64]
    payload: NDArray[np.int64]
    captured: NDArray[np.int64]


class Streams:
    """The streams of one transport."""

    def __init__(self, room: Room, *, tcp: bool) -> None:
        self._room = room
        self._tcp = tcp
        self._streams = np.empty(0, dtype=_STREAM)
        self._count = 0

    def allot(self, base: NDArray[np.uint32]) -> NDArray[np.int64]:
        """Places of new streams that begin at these numbers, LEFT_OUT for those that find no room."""
        places = allotted(self._count, len(base), self._room)
        kept = places != LEFT_OUT
        self._count += int(np.count_nonzero(kept))
        self._streams = grown(self._streams, self._count)
        fresh = np.zeros(len(base), dtype=_STREAM)
        fresh["last"] = base
        fresh["window"] = _NOWHERE
        self._streams[places[kept]] = fresh[kept]
        return places

    def add(self, payloads: Payloads, buffer: NDArray[np.uint8]) -> None:
        """Take in at least one payload."""
        starts = np.ones(len(payloads), dtype=np.bool_)
        starts[1:] = payloads.stream[1:] != payloads.stream[:-1]
        first = np.flatnonzero(starts)
        place = payloads.stream[first]
        if self._tcp:
            self._measure(payloads, first, place)
            self._read_segments(payloads, starts, first, place, buffer)
        else:
            self._read_datagrams(payloads, first, place, buffer)

    def sizes(
        self, place: NDArray[np.int64], anchored: NDArray[np.bool_], total: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Bytes on the wire, each counted once; all payloads together, `total`, where the place is none."""
        if not self._tcp:
            return total
        streams = self._at(place)
        reach = streams["high"] - np.where(anchored, 0, streams["low"])
        return np.where(place < 0, total, np.clip(reach, 0, total))

    def first_bytes(self, place: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """The first bytes of each, `(N, FIRST_BYTES)` uint8, and how many there are before one is missing."""
        texts = self._at(place)["text"]
        return texts["bytes"], length_of(texts)

    def _at(self, place: NDArray[np.int64]) -> NDArray[np.void]:
        streams = np.zeros(len(place), dtype=_STREAM)
        streams[place >= 0] = self._streams[place[place >= 0]]
        return streams

    def _measure(self, payloads: Payloads, first: NDArray[np.int64], place: NDArray[np.int64]) -> None:
        """How far the streams reach now."""
        streams = self._streams
        begin, last = payloads.begin, np.append(first[1:], len(payloads)) - 1
        before = np.empty_like(begin)
        before[1:] = begin[:-1]
        before[first] = streams["last"][place]
        step = (begin - before).view(np.int32).astype(np.int64)
        walked = np.cumsum(step)
        offset = streams["position"][place] + step[first] - walked[first]
        position = walked + np.repeat(offset, np.diff(np.append(first, len(payloads))))
        high = np.maximum.reduceat(position + payloads.size, first)
        streams["high"][place] = np.maximum(streams["high"][place], high)
        streams["low"][place] = np.minimum(streams["low"][place], np.minimum.reduceat(position, first))
        streams["position"][place] = position[last]
        streams["last"][place] = begin[last]

    def _read_segments(
        self,
        payloads: Payloads,
        starts: NDArray[np.bool_],
        first: NDArray[np.int64],
        place: NDArray[np.int64],
        buffer: NDArray[np.uint8],
    ) -> None:
        """Keep the first bytes, wherever in the capture they are."""
        position = (payloads.begin - payloads.base).view(np.int32).astype(np.int64)
        skipped = np.where(payloads.anchored, np.maximum(-position, 0), 0)
        position = position + skipped
        captured = payloads.captured - skipped
        position[captured <= 0] = _NOWHERE
        old = self._streams["window"][place]
        window = np.minimum(old, np.minimum.reduceat(position, first))
        texts = self._streams["text"]
        moved = np.flatnonzero((window < old) & (old != _NOWHERE))
        if len(moved):
            make_room(texts, place[moved], old[moved] - window[moved])
        self._streams["window"][place] = window
        # Far from the first bytes nearly all segments are; and of what is full nothing changes.
        full = ~texts["known"][place] == 0
        edge = np.where(full | (window == _NOWHERE), np.iinfo(np.int64).min, window + FIRST_BYTES)
        unit = np.cumsum(starts) - 1
        row = np.flatnonzero(position < edge[unit])
        if len(row):
            write(
                texts,
                payloads.stream[row],
                position[row] - window[unit[row]],
                payloads.payload[row] + skipped[row],
                captured[row],
                buffer,
            )

    def _read_datagrams(
        self,
        payloads: Payloads,
        first: NDArray[np.int64],
        place: NDArray[np.int64],
        buffer: NDArray[np.uint8],
    ) -> None:
        """Keep the beginning of each stream's first datagram."""
        row = np.where(payloads.captured > 0, np.arange(len(payloads)), len(payloads))
        row = np.minimum.reduceat(row, first)
        row = row[(row < len(payloads)) & (self._streams["window"][place] == _NOWHERE)]
        if len(row):
            stream = payloads.stream[row]
            self._streams["window"][stream] = 0
            begin = np.zeros(len(row), dtype=np.int64)
            write(self._streams["text"], stream, begin, payloads.payload[row], payloads.captured[row], buffer)
