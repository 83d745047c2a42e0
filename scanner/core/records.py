"""Records made of outcomes: the one place, so that a sweep and its capture cannot differ in form."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from scanner.core.addresses import format_addresses
from scanner.core.outcomes import ABSENT, PROTOCOLS, Outcomes
from scanner.core.rules import Rank, state_of
from scanner.model import REASONS, Verdict

_AT_ONCE = 8192
_NS_PER_US = 1000
_US_PER_MS = 1000
_KINDS = {
    number << 8 | rank: (protocol, state_of(rank, protocol))
    for number, protocol in PROTOCOLS.items()
    for rank in Rank
}


def verdicts(outcomes: Outcomes) -> Iterator[Verdict]:
    """The records of some outcomes, in their order; few are in memory at a time."""
    for begin in range(0, len(outcomes), _AT_ONCE):
        yield from _piece(outcomes.take(slice(begin, begin + _AT_ONCE)))


def _piece(piece: Outcomes) -> list[Verdict]:
    milliseconds = np.maximum(piece.rtt, 0) // _NS_PER_US / _US_PER_MS
    return [
        Verdict(
            ip=ip,
            proto=_KINDS[kind][0],
            port=port,
            state=_KINDS[kind][1],
            reason=REASONS[reason],
            ttl=None if ttl == ABSENT else ttl,
            rtt_ms=None if rtt == ABSENT else rtt_ms,
            responder=None if source == ABSENT else responder,
            tries=tries,
            time=None if moment == ABSENT else f"{time}Z",
        )
        for ip, kind, port, reason, ttl, rtt, rtt_ms, source, responder, tries, moment, time in zip(
            format_addresses(piece.address),
            (piece.protocol.astype(np.uint16) << 8 | piece.rank).tolist(),
            piece.port.tolist(),
            piece.reason.tolist(),
            piece.ttl.tolist(),
            piece.rtt.tolist(),
            milliseconds.tolist(),
            piece.responder.tolist(),
            format_addresses(np.maximum(piece.responder, 0).astype(np.uint32)),
            piece.tries.tolist(),
            piece.time.tolist(),
            np.datetime_as_string(piece.time.view("M8[ns]").astype("M8[us]")).tolist(),
            strict=True,
        )
    ]
