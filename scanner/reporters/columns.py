"""Records still in columns, as cells of the formats that have a line a record: no object is made of any.

What comes out is, byte for byte, what the same records would be as `Verdict` objects; tests hold it to that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanner.core.addresses import format_addresses
from scanner.core.book import FIRST_ENTRY
from scanner.core.outcomes import ABSENT, HINTS, NOTES, PROTOCOLS, Outcomes
from scanner.core.records import NS_PER_US, OUI, Names, mac_texts, superseded
from scanner.core.rules import Rank, state_of
from scanner.core.texts import Piece, Texts, Writing
from scanner.model import REASONS, ProberVerdict, Superseded

_AT_ONCE = 1 << 14
"""Records written together: their columns and lines stay in a processor's cache."""


@dataclass(frozen=True, slots=True)
class Cells:
    """One field of N records.

    pieces: what stands in it, end to end. there: `(N,)` bool, where it stands; None for everywhere.
    text: whether it is text, and not a number or an object.
    """

    pieces: Sequence[Piece]
    there: NDArray[np.bool_] | None = None
    text: bool = True

    @property
    def nowhere(self) -> bool:
        """Whether no record has the field."""
        return self.there is not None and not self.there.any()

    def between(self, opening: bytes, closing: bytes, absent: bytes) -> list[Piece]:
        """The field with something before and behind it; `absent` instead where it is not."""
        if self.there is None:
            return [opening, *self.pieces, closing]
        if self.nowhere:
            return [absent]
        which = self.there.astype(np.intp)
        return [
            Texts.of([absent, opening]).take(which),
            *(
                Texts.of([b"", piece]).take(which) if isinstance(piece, bytes) else piece.where(self.there)
                for piece in self.pieces
            ),
            Texts.of([b"", closing]).take(which),
        ]


Steps = tuple[Superseded, ...]


class Cutter:
    """Cuts outcomes into cells. `encode` is how the format writes superseded replies."""

    def __init__(self, encode: Callable[[Steps], bytes]) -> None:
        self._encode = encode
        self._writing = Writing()
        self._protocols, self._reasons, self._notes, self._hints = (
            Texts.of([text.encode() for text in texts])
            for texts in (PROTOCOLS.values(), REASONS, NOTES, HINTS)
        )
        states = [state_of(rank, protocol) for protocol in PROTOCOLS.values() for rank in Rank]
        self._states = Texts.of([state.encode() for state in states])
        self._places = np.zeros(256, dtype=np.intp)
        self._places[list(PROTOCOLS)] = np.arange(len(PROTOCOLS))

    def cut(self, outcomes: Outcomes, names: Names) -> Iterator[tuple[int, dict[str, Cells]]]:
        """Some records at a time: how many, and their fields by name, in the order of `ProberVerdict`'s."""
        for begin in range(0, len(outcomes), _AT_ONCE):
            piece = outcomes.take(slice(begin, begin + _AT_ONCE))
            cells = self._cells(piece, names)
            yield len(piece), {name: cells[name] for name in ProberVerdict.__struct_fields__}

    def _cells(self, piece: Outcomes, names: Names) -> dict[str, Cells]:
        protocol = self._places[piece.protocol]
        address = self._addresses(piece.address, names)
        return {
            "ip": Cells(address),
            "proto": Cells([_looked_up(self._protocols, protocol)]),
            "port": Cells([self._number(piece.port)], text=False),
            "state": Cells([_looked_up(self._states, protocol * len(Rank) + piece.rank)]),
            "reason": Cells([_looked_up(self._reasons, piece.reason)]),
            "ttl": Cells([self._number(np.maximum(piece.ttl, 0))], _there(piece.ttl), text=False),
            "rtt_ms": Cells(
                self._writing.thousandths(np.maximum(piece.rtt, 0) // NS_PER_US),
                _there(piece.rtt),
                text=False,
            ),
            "responder": Cells(self._responders(piece, address, names), _there(piece.responder)),
            "tries": Cells([self._number(piece.tries)], text=False),
            "time": Cells(self._writing.moments(piece.time), _there(piece.time)),
            "service": _nowhere(),
            "note": Cells([_looked_up(self._notes, piece.note)], piece.note > 0),
            "hint": Cells([_looked_up(self._hints, piece.hint)], piece.hint > 0),
            "superseded": self._superseded(piece, names),
            **self._macs(piece.mac),
            "prober": self._probers(piece.prober, names),
        }

    def _number(self, numbers: NDArray[np.integer]) -> Piece:
        first = int(numbers[0])
        return b"%d" % first if (numbers == first).all() else self._writing.decimals(numbers)

    def _addresses(self, numbers: NDArray[np.uint32], names: Names) -> Sequence[Piece]:
        if names is format_addresses or int(numbers.max(initial=0)) < FIRST_ENTRY:
            return self._writing.quads(numbers)
        return [Texts.of([text.encode() for text in names(numbers)])]

    def _responders(self, piece: Outcomes, address: Sequence[Piece], names: Names) -> Sequence[Piece]:
        """Who replied, which is mostly the target itself: its text is there already."""
        elsewhere = (piece.responder != piece.address) & (piece.responder != ABSENT)
        if not elsewhere.any():
            return address
        return self._addresses(np.where(elsewhere, piece.responder, piece.address).astype(np.uint32), names)

    def _superseded(self, piece: Outcomes, names: Names) -> Cells:
        there = piece.superseded != None  # noqa: E711 - element by element
        if not there.any():
            return _nowhere()
        rows = np.flatnonzero(there)
        steps = superseded(piece.take(rows), names)
        return _at(rows, [self._encode(each) for each in steps if each is not None], there, text=False)

    def _macs(self, numbers: NDArray[np.int64]) -> dict[str, Cells]:
        there = numbers != ABSENT
        if not there.any():
            return {"mac": _nowhere(), "oui": _nowhere()}
        rows = np.flatnonzero(there)
        texts = [text.encode() for text in mac_texts(numbers[rows])]
        return {"mac": _at(rows, texts, there), "oui": _at(rows, [text[:OUI] for text in texts], there)}

    def _probers(self, prober: NDArray[np.int64], names: Names) -> Cells:
        there = prober != ABSENT
        if not there.any():
            return _nowhere()
        rows = np.flatnonzero(there)
        return _at(rows, [text.encode() for text in names(prober[rows].astype(np.uint32))], there)


def _there(column: NDArray[np.signedinteger]) -> NDArray[np.bool_] | None:
    """Where a column has facts; None for everywhere."""
    there: NDArray[np.bool_] = column != ABSENT
    return None if there.all() else there


def _nowhere() -> Cells:
    return Cells((), there=np.zeros(1, dtype=np.bool_))


def _looked_up(table: Texts, codes: NDArray[np.integer]) -> Piece:
    """The texts of codes `(N,)`, or the one text where all are alike."""
    first = int(codes[0])
    if (codes == first).all():
        return table.text(first)
    return table.take(codes.astype(np.int64))


def _at(
    rows: NDArray[np.int64], texts: Sequence[bytes], there: NDArray[np.bool_], *, text: bool = True
) -> Cells:
    """Texts of some rows, the others empty."""
    place = np.zeros(len(there), dtype=np.int64)
    place[rows] = np.arange(1, len(rows) + 1)
    return Cells([Texts.of([b"", *texts]).take(place)], there, text)
