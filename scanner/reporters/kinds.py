"""Kinds of records: most facts are one of few, and how those are written is found out once a kind."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanner.core.ordering import distinct
from scanner.core.outcomes import ABSENT, Outcomes
from scanner.core.texts import Few, Piece


@dataclass(frozen=True, slots=True)
class Kinds:
    """N records by protocol, rank, reason, TTL, note, hint, and which facts there are.

    which: `(N,)` intp, the kind of each. alike: one record of each of the K kinds.
    """

    which: NDArray[np.intp]
    alike: Outcomes

    @staticmethod
    def of(records: Outcomes) -> Kinds:
        """The kinds of some records."""
        there = np.zeros(len(records), dtype=np.uint8)
        for fact in (records.rtt, records.responder, records.time, records.mac, records.prober, records.ttl):
            there = there << 1 | (fact != ABSENT)
        there = there << 1 | (records.superseded != None)  # noqa: E711 - element by element
        ttl = records.ttl.astype(np.uint8)
        codes = (there, records.protocol, records.rank, records.reason, records.note, records.hint, ttl)
        keys = np.zeros((len(records), 8), dtype=np.uint8)
        for place, code in enumerate(codes):
            keys[:, place] = code
        key = keys.view(np.uint64)[:, 0]
        kinds = distinct(key)
        which = np.searchsorted(kinds, key)
        rows = np.empty(len(kinds), dtype=np.intp)
        rows[which] = np.arange(len(key))
        return Kinds(which, records.take(rows))

    def rows(self, there: NDArray[np.bool_]) -> NDArray[np.intp]:
        """The records of those kinds where `there`, `(K,)`, is True."""
        return np.flatnonzero(there[self.which]) if there.any() else np.empty(0, dtype=np.intp)

    def column(self, texts: Iterable[bytes]) -> Few:
        """A text of each kind, as a column of the records."""
        return Few(tuple(texts), self.which)

    def only(self, there: NDArray[np.bool_], piece: Piece) -> Piece:
        """A column of the records, empty for those kinds where `there`, `(K,)`, is False."""
        if isinstance(piece, bytes):
            return self.column(piece if here else b"" for here in there.tolist())
        if isinstance(piece, Few) and piece.which is self.which:
            texts = zip(piece.texts, there.tolist(), strict=True)
            return self.column(text if here else b"" for text, here in texts)
        return piece.where(there[self.which])
