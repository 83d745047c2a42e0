"""Texts in columns: lines for many records at once, no Python object a record.

A column of texts is a matrix of bytes and a length a row. A line is columns and constants end to end: each
is laid over the output where the one before it ends, whole width at a time, so that what it has too much
is covered by what follows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanner.core.columns import Columns
from scanner.core.ordering import distinct

_THOUSAND = 1000
_DECIMALS = 10_000
_SHORTEST = 10**15
"""Below it a number of thousandths has 15 digits at most, and a double's shortest text is just those
(IEEE 754: 15 digits survive)."""
_SECOND = 1_000_000_000
_MICROSECOND = 1000


@dataclass(frozen=True, slots=True)
class Texts(Columns):
    """N short texts, each in a cell of W bytes.

    cells: `(N,)` of `V<W>`; what lies behind a text may be anything. lengths: `(N,)` int64, bytes.
    """

    cells: NDArray[np.void]
    lengths: NDArray[np.int64]

    @staticmethod
    def of(texts: Sequence[bytes]) -> Texts:
        """These texts, one a row; also a table to `take` rows from."""
        lengths = np.array([len(text) for text in texts], dtype=np.int64)
        width = max(1, int(lengths.max(initial=0)))
        joined = b"".join(text.ljust(width, b"\0") for text in texts)
        return Texts(np.frombuffer(joined, dtype=f"V{width}"), lengths)

    @property
    def shortest(self) -> int:
        """Bytes of the shortest."""
        return int(self.lengths.min()) if len(self) else 0

    def text(self, row: int) -> bytes:
        """One of them."""
        return bytes(self.cells[row].tobytes()[: self.lengths[row]])

    def where(self, there: NDArray[np.bool_]) -> Texts:
        """The same, but empty where `there`, `(N,)`, is False."""
        return Texts(self.cells, np.where(there, self.lengths, 0))


Piece = bytes | Texts


def lines(pieces: Iterable[Piece], count: int) -> bytes:
    """`count` texts, one behind the other: each all the pieces' rows of its own, constants in between."""
    pieces = list(_merged(pieces))
    least = [len(piece) if isinstance(piece, bytes) else piece.shortest for piece in pieces]
    total = np.full(count, sum(len(piece) for piece in pieces if isinstance(piece, bytes)), dtype=np.int64)
    for piece in pieces:
        if not isinstance(piece, bytes):
            total += piece.lengths
    ends = np.cumsum(total)
    place = ends - total
    size = int(ends[-1]) if count else 0
    widths = [len(piece) if isinstance(piece, bytes) else piece.cells.itemsize for piece in pieces]
    room = np.empty(size + max(widths, default=0), dtype=np.uint8)
    behind = sum(least)
    for piece, short in zip(pieces, least, strict=True):
        behind -= short
        if isinstance(piece, bytes):
            _windows(room, len(piece))[place] = np.void(piece)
            place += len(piece)
        else:
            _lay(room, place, piece, behind)
            place += piece.lengths
    return room[:size].tobytes()


def _merged(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """The same; constants that follow each other are one."""
    constant = b""
    for piece in pieces:
        if isinstance(piece, bytes):
            constant += piece
        else:
            if constant:
                yield constant
            constant = b""
            yield piece
    if constant:
        yield constant


def _lay(room: NDArray[np.uint8], place: NDArray[np.int64], piece: Texts, behind: int) -> None:
    """Write cells to their places; at least `behind` bytes of each line are yet to come."""
    width = piece.cells.itemsize
    if width - piece.shortest <= behind:
        _windows(room, width)[place] = piece.cells
        return
    # What a cell has too much would reach into the next line, which is begun already.
    for length in distinct(piece.lengths).tolist():
        if length:
            rows = np.flatnonzero(piece.lengths == length)
            cells = piece.cells[rows].view(np.uint8).reshape(len(rows), width)[:, :length]
            _windows(room, length)[place[rows]] = np.ascontiguousarray(cells).view(f"V{length}")[:, 0]


def _windows(room: NDArray[np.uint8], width: int) -> NDArray[np.void]:
    """Every run of `width` bytes, seen as one element; they overlap."""
    return np.ndarray((len(room) - width + 1,), dtype=f"V{width}", buffer=room, strides=(1,))


class Writing:
    """Columns of numbers, addresses and times as texts: what is looked up for them, made once."""

    def __init__(self) -> None:
        """Make the tables."""
        self._decimals = _table(np.arange(_DECIMALS).astype("S4"))
        self._octets = Texts.of([b"%d." % octet for octet in range(256)])
        self._last_octet = Texts.of([b"%d" % octet for octet in range(256)])
        self._padded = Texts.of([b"%03d" % number for number in range(_THOUSAND)])
        self._fractions = Texts.of(
            [b"." + (b"%03d" % number).rstrip(b"0") if number else b".0" for number in range(_THOUSAND)]
        )

    def quads(self, addresses: NDArray[np.uint32]) -> list[Piece]:
        """IPv4 addresses `(N,)`, dotted."""
        octets = addresses.astype(">u4").view(np.uint8).reshape(-1, 4)
        return [
            *(self._octets.take(octets[:, place].astype(np.intp)) for place in range(3)),
            self._last_octet.take(octets[:, 3].astype(np.intp)),
        ]

    def decimals(self, numbers: NDArray[np.integer]) -> Texts:
        """Integers `(N,)`."""
        if not len(numbers) or (int(numbers.max()) < _DECIMALS and int(numbers.min()) >= 0):
            return self._decimals.take(numbers.astype(np.int64))
        return _table(numbers.astype("S20"))

    def thousandths(self, numbers: NDArray[np.int64]) -> list[Piece]:
        """Numbers `(N,)` of thousandths, none below zero, as JSON and Python write the float of one."""
        if int(numbers.max(initial=0)) >= _SHORTEST:
            return [Texts.of([repr(number / _THOUSAND).encode() for number in numbers.tolist()])]
        whole, rest = np.divmod(numbers, _THOUSAND)
        return [self.decimals(whole), self._fractions.take(rest)]

    def moments(self, times: NDArray[np.int64]) -> list[Piece]:
        """Times `(N,)`, ns since the epoch, as `2024-01-01T00:00:00.000001Z`; what is finer is cut off."""
        seconds, rest = np.divmod(times, _SECOND)
        distinct, which = _distinct(seconds)
        texts = np.datetime_as_string(distinct.view("M8[s]")).astype("S")
        milliseconds, microseconds = np.divmod(rest // _MICROSECOND, _THOUSAND)
        return [_table(texts).take(which), b".", *map(self._padded.take, (milliseconds, microseconds)), b"Z"]


def _table(texts: NDArray[np.bytes_]) -> Texts:
    return Texts(texts.view(f"V{texts.itemsize}"), np.char.str_len(texts).astype(np.int64))


def _distinct(values: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Values `(N,)`, each once and ascending, and where among them each is."""
    least = int(values.min(initial=0))
    span = int(values.max(initial=0)) - least + 1
    if span > len(values):
        distinct, which = np.unique(values, return_inverse=True)
        return distinct, which
    there = np.bincount(values - least, minlength=span) > 0
    return np.flatnonzero(there) + least, (np.cumsum(there) - 1)[values - least]
