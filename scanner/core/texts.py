"""Texts in columns: lines for many records at once, no Python object a record.

A column of texts is a matrix of bytes and a length a row, or few different texts and which of them each row
has. A line is columns and constants end to end: each is laid over the output where the one before it ends,
whole width at a time, so that what it has too much is covered by what follows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanner.core.columns import Columns
from scanner.core.ordering import distinct

_MOST_JOINED = 512
"""Different texts that neighbouring columns of few may make together: more are no longer made in no time."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Texts(Columns):
    """N short texts, each in a cell of W bytes.

    cells: `(N,)` of `V<W>`; what lies behind a text may be anything. lengths: `(N,)` int64, bytes.
    """

    cells: NDArray[np.void]
    lengths: NDArray[np.int64]

    @staticmethod
    def of(texts: Sequence[bytes]) -> Texts:
        """These texts, one a row; also a table to look rows up in."""
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

    def at(self, rows: NDArray[np.integer]) -> Texts:
        """Those of some rows: what `take` gives, but NumPy has a faster way to copy cells of odd widths."""
        return Texts(self.cells.take(rows), self.lengths.take(rows))

    def where(self, there: NDArray[np.bool_]) -> Texts:
        """The same, but empty where `there`, `(N,)`, is False."""
        return Texts(self.cells, np.where(there, self.lengths, 0))


@dataclass(frozen=True, slots=True)
class Few:
    """N texts of which few are different.

    texts: those. which: `(N,)` intp, the place of each row's among them. Columns that share one array here
    are joined without a look at the rows.
    """

    texts: tuple[bytes, ...]
    which: NDArray[np.intp]

    def where(self, there: NDArray[np.bool_]) -> Few:
        """The same, but empty where `there`, `(N,)`, is False."""
        return Few((*self.texts, b""), np.where(there, self.which, len(self.texts)))


Piece = bytes | Texts | Few


def lines(pieces: Iterable[Piece], count: int) -> memoryview:
    """`count` texts, one behind the other: each all the pieces' rows of its own, constants in between.

    Read-only; nobody else has it.
    """
    laid = [piece if isinstance(piece, bytes) else _told_apart(piece) for piece in _joined(pieces)]
    least = [len(piece) if isinstance(piece, bytes) else piece.shortest for piece in laid]
    total = np.full(count, sum(len(piece) for piece in laid if isinstance(piece, bytes)), dtype=np.int64)
    for piece in laid:
        if not isinstance(piece, bytes):
            total += piece.lengths
    ends = np.cumsum(total)
    place = ends - total
    size = int(ends[-1]) if count else 0
    widths = [len(piece) if isinstance(piece, bytes) else piece.cells.itemsize for piece in laid]
    room = np.empty(size + max(widths, default=0), dtype=np.uint8)
    behind = sum(least)
    for piece, short in zip(laid, least, strict=True):
        behind -= short
        if isinstance(piece, bytes):
            _windows(room, len(piece))[place] = np.void(piece)
            place += len(piece)
        else:
            _lay(room, place, piece, behind)
            place += piece.lengths
    return room.data[:size].toreadonly()


def _joined(pieces: Iterable[Piece]) -> list[Piece]:
    """The same; what can be put together a kind of row, and not a row, is one."""
    joined: list[Piece] = [b""]
    for piece in pieces:
        last = joined[-1]
        both = None if isinstance(last, Texts) or isinstance(piece, Texts) else _join(last, piece)
        joined[-1:] = [last, piece] if both is None else [both]
    return [piece for piece in joined if piece != b""]


def _join(left: bytes | Few, right: bytes | Few) -> bytes | Few | None:
    """Two columns as one; None where that has too many different texts."""
    if isinstance(left, bytes):
        if isinstance(right, bytes):
            return left + right
        return Few(tuple([left + text for text in right.texts]), right.which)
    if isinstance(right, bytes):
        return Few(tuple([text + right for text in left.texts]), left.which)
    if left.which is right.which:
        return Few(tuple(map(bytes.__add__, left.texts, right.texts)), left.which)
    if len(left.texts) * len(right.texts) > _MOST_JOINED:
        return None
    return Few(
        tuple([before + text for before in left.texts for text in right.texts]),
        left.which * len(right.texts) + right.which,
    )


def _told_apart(piece: Texts | Few) -> Texts:
    """A text a row."""
    return piece if isinstance(piece, Texts) else Texts.of(piece.texts).at(piece.which)


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
