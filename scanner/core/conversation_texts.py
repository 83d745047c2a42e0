"""Texts: the first bytes of streams, put together from pieces in any order. What came first stays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scanner.core.columns import gather

FIRST_BYTES = 64

TEXT = np.dtype([("known", "<u8"), ("bytes", "u1", FIRST_BYTES)])
"""known: a bit for each of the bytes, the lowest for the first."""

_AT_ONCE = 4096
_COLUMNS = np.arange(FIRST_BYTES)
_ALL = np.uint64((1 << FIRST_BYTES) - 1)


def length_of(texts: NDArray[np.void]) -> NDArray[np.int64]:
    """How many bytes there are before the first one that is missing."""
    missing = np.append(~_matrix(texts["known"]), np.ones((len(texts), 1), dtype=np.bool_), axis=1)
    lengths: NDArray[np.int64] = np.argmax(missing, axis=1)
    return lengths


def make_room(texts: NDArray[np.void], place: NDArray[np.int64], count: NDArray[np.int64]) -> None:
    """Move some texts towards their ends, for bytes that come before them; what falls off is forgotten."""
    source = _COLUMNS - np.minimum(count, FIRST_BYTES)[:, None]
    stays = source >= 0
    source = np.maximum(source, 0)
    known = _matrix(texts["known"][place])
    texts["known"][place] = _bits(np.take_along_axis(known, source, axis=1) & stays)
    texts["bytes"][place] = np.take_along_axis(texts["bytes"][place], source, axis=1)


def write(
    texts: NDArray[np.void],
    place: NDArray[np.int64],
    offset: NDArray[np.int64],
    payload: NDArray[np.int64],
    captured: NDArray[np.int64],
    buffer: NDArray[np.uint8],
) -> None:
    """Write payloads into texts where nothing is yet.

    Args:
        texts: `TEXT`.
        place: `(N,)`, which of them; those of one text together, in the order in which they came.
        offset: where in the text each begins, from 0 to less than FIRST_BYTES.
        payload: where in the buffer.
        captured: how many bytes there are, at least 1.
        buffer: `(B,)` uint8.
    """
    for begin in range(0, len(place), _AT_ONCE):
        part = slice(begin, begin + _AT_ONCE)
        of = place[part]
        starts = np.append(True, of[1:] != of[:-1])
        whole = (offset[part] == 0) & starts & (texts["known"][of] == 0)
        row = np.flatnonzero(whole) + begin
        # Nearly always there is one piece, and nothing before it: bytes that are not known do no harm.
        texts["bytes"][place[row]] = gather(buffer, payload[row], FIRST_BYTES)
        texts["known"][place[row]] = _ALL >> (FIRST_BYTES - np.minimum(captured[row], FIRST_BYTES)).astype(
            np.uint64
        )
        row = np.flatnonzero(~whole) + begin
        if len(row):
            _overlay(texts, place[row], offset[row], payload[row], captured[row], buffer)


def _overlay(
    texts: NDArray[np.void],
    place: NDArray[np.int64],
    offset: NDArray[np.int64],
    payload: NDArray[np.int64],
    captured: NDArray[np.int64],
    buffer: NDArray[np.uint8],
) -> None:
    """As `write`, byte by byte."""
    column = _COLUMNS - offset[:, None]
    covers = (column >= 0) & (column < captured[:, None])
    source = payload[:, None] + np.where(covers, column, 0)
    count = len(place)
    first = np.flatnonzero(np.append(True, place[1:] != place[:-1]))
    piece = np.minimum.reduceat(np.where(covers, np.arange(count)[:, None], count), first, axis=0)
    place = place[first]
    known = _matrix(texts["known"][place])
    fresh = (piece < count) & ~known
    source = np.take_along_axis(source, np.minimum(piece, count - 1), axis=0)
    texts["bytes"][place] = np.where(fresh, buffer[np.where(fresh, source, 0)], texts["bytes"][place])
    texts["known"][place] = _bits(known | fresh)


def _matrix(bits: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """`(N, FIRST_BYTES)`: the bits, lowest first."""
    octets = np.ascontiguousarray(bits).view(np.uint8).reshape(-1, FIRST_BYTES // 8)
    return np.unpackbits(octets, axis=1, bitorder="little").view(np.bool_)


def _bits(matrix: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """The other way round."""
    return np.packbits(matrix, axis=1, bitorder="little").view("<u8")[:, 0]
