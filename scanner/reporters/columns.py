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
from scanner.core.rules import state_of
from scanner.core.texts import Piece, Texts
from scanner.core.writing import Writing
from scanner.model import REASONS, ProberVerdict, Superseded
from scanner.reporters.kinds import Kinds

_AT_ONCE = 1 << 13
"""Records written together: their columns and lines stay in a processor's cache."""


@dataclass(frozen=True, slots=True)
class Cells:
    """One field of N records.

    pieces: what stands in it, end to end. kinds: of the records. there: `(K,)` bool, the kinds that have it;
    None for all. text: whether it is text, and not a number or an object.
    """

    pieces: Sequence[Piece]
    kinds: Kinds
    there: NDArray[np.bool_] | None = None
    text: bool = True

    def between(self, opening: bytes, closing: bytes, absent: bytes) -> list[Piece]:
        """The field with something before and behind it; `absent` instead where it is not."""
        there, kinds = self.there, self.kinds
        if there is None or there.all():
            return [opening, *self.pieces, closing]
        if not there.any():
            return [absent]
        return [
            kinds.column(opening if here else absent for here in there.tolist()),
            *(kinds.only(there, piece) for piece in self.pieces),
            kinds.only(there, closing),
        ]


Steps = tuple[Superseded, ...]


class Cutter:
    """Cuts outcomes into cells. `encode` is how the format writes superseded replies."""

    def __init__(self, encode: Callable[[Steps], bytes]) -> None:
        self._encode = encode
        self._writing = Writing()
        self._reasons, self._notes, self._hints = (
            [text.encode() for text in texts] for texts in (REASONS, NOTES, HINTS)
        )

    def cut(self, outcomes: Outcomes, names: Names) -> Iterator[tuple[int, dict[str, Cells]]]:
        """Some records at a time: how many, and their fields by name, in the order of `ProberVerdict`'s."""
        for begin in range(0, len(outcomes), _AT_ONCE):
            piece = outcomes.take(slice(begin, begin + _AT_ONCE))
            cells = self._cells(piece, names)
            yield len(piece), {name: cells[name] for name in ProberVerdict.__struct_fields__}

    def _cells(self, piece: Outcomes, names: Names) -> dict[str, Cells]:
        kinds = Kinds.of(piece)
        address = self._addresses(piece.address, names)
        return {
            **self._few(kinds),
            **self._rare(piece, kinds, names),
            "ip": Cells(address, kinds),
            "port": Cells([self._number(piece.port)], kinds, text=False),
            "rtt_ms": Cells(
                self._writing.thousandths(np.maximum(piece.rtt, 0) // NS_PER_US),
                kinds,
                kinds.alike.rtt != ABSENT,
                text=False,
            ),
            "responder": Cells(
                self._responders(piece, address, names), kinds, kinds.alike.responder != ABSENT
            ),
            "tries": Cells([self._number(piece.tries)], kinds, text=False),
            "time": Cells(self._writing.moments(piece.time), kinds, kinds.alike.time != ABSENT),
        }

    def _few(self, kinds: Kinds) -> dict[str, Cells]:
        """Fields in which records of one kind are alike."""
        alike = kinds.alike
        protocols = [PROTOCOLS[number] for number in alike.protocol.tolist()]
        states = map(state_of, alike.rank.tolist(), protocols)
        ttls = kinds.column(b"%d" % ttl for ttl in alike.ttl.tolist())

        def looked_up(table: Sequence[bytes], codes: NDArray[np.uint8]) -> list[Piece]:
            return [kinds.column(table[code] for code in codes.tolist())]

        return {
            "proto": Cells([kinds.column(protocol.encode() for protocol in protocols)], kinds),
            "state": Cells([kinds.column(state.encode() for state in states)], kinds),
            "reason": Cells(looked_up(self._reasons, alike.reason), kinds),
            "ttl": Cells([ttls], kinds, alike.ttl != ABSENT, text=False),
            "service": Cells([], kinds, np.zeros(len(alike), dtype=np.bool_)),
            "note": Cells(looked_up(self._notes, alike.note), kinds, alike.note > 0),
            "hint": Cells(looked_up(self._hints, alike.hint), kinds, alike.hint > 0),
        }

    def _rare(self, piece: Outcomes, kinds: Kinds, names: Names) -> dict[str, Cells]:
        """Fields that few records have, or those of some sweeps only."""
        surpassed = kinds.alike.superseded != None  # noqa: E711 - element by element
        rows = kinds.rows(surpassed)
        steps = superseded(piece.take(rows), names) if len(rows) else []
        encoded = [self._encode(each) for each in steps if each is not None]
        mac = kinds.alike.mac != ABSENT
        owners = kinds.rows(mac)
        macs = [text.encode() for text in mac_texts(piece.mac[owners])]
        prober = kinds.alike.prober != ABSENT
        asked = kinds.rows(prober)
        probers = names(piece.prober[asked].astype(np.uint32)) if len(asked) else []
        count = len(piece)
        return {
            "superseded": Cells([_at(rows, encoded, count)], kinds, surpassed, text=False),
            "mac": Cells([_at(owners, macs, count)], kinds, mac),
            "oui": Cells([_at(owners, [text[:OUI] for text in macs], count)], kinds, mac),
            "prober": Cells([_at(asked, [text.encode() for text in probers], count)], kinds, prober),
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


def _at(rows: NDArray[np.intp], texts: Sequence[bytes], count: int) -> Piece:
    """`count` texts, of which some rows have these, and the others none."""
    if not texts:
        return b""
    place = np.zeros(count, dtype=np.intp)
    place[rows] = np.arange(1, len(rows) + 1)
    return Texts.of([b"", *texts]).at(place)
