"""Records made of outcomes: the one place, so that a sweep and its capture cannot differ in form."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import msgspec
import numpy as np
from numpy.typing import NDArray

from scanner.core.addresses import format_addresses
from scanner.core.outcomes import ABSENT, HINTS, NOTES, PROTOCOLS, Outcomes
from scanner.core.rules import Rank, state_of
from scanner.model import REASONS, ProberVerdict, Superseded, Verdict

Names = Callable[[NDArray[np.uint32]], list[str]]
"""Texts of addresses' numbers; those below `book.FIRST_ENTRY` are IPv4 addresses themselves."""

OUI = 8
"""Characters of a hardware address that say who made it: its first three bytes (IEEE 802, 8.2.2)."""

_AT_ONCE = 8192
NS_PER_US = 1000
_US_PER_MS = 1000
_KINDS = {
    number << 8 | rank: (protocol, state_of(rank, protocol))
    for number, protocol in PROTOCOLS.items()
    for rank in Rank
}
_NOTES = tuple(text or None for text in NOTES)
_HINTS = tuple(text or None for text in HINTS)


def verdicts(outcomes: Outcomes, names: Names = format_addresses) -> Iterator[Verdict]:
    """The records of some outcomes, in their order; few are in memory at a time."""
    for begin in range(0, len(outcomes), _AT_ONCE):
        piece = outcomes.take(slice(begin, begin + _AT_ONCE))
        records = _records(piece, names)
        yield from records if (piece.prober == ABSENT).all() else _by_prober(records, piece.prober, names)


def _by_prober(records: list[Verdict], prober: NDArray[np.int64], names: Names) -> Iterator[Verdict]:
    """The same records, with their probers; targets that nobody asked have none."""
    texts = names(np.maximum(prober, 0).astype(np.uint32))
    for record, number, text in zip(records, prober.tolist(), texts, strict=True):
        yield record if number == ABSENT else ProberVerdict(**msgspec.structs.asdict(record), prober=text)


def _records(piece: Outcomes, names: Names) -> list[Verdict]:
    milliseconds = np.maximum(piece.rtt, 0) // NS_PER_US / _US_PER_MS
    addresses = names(piece.address)
    columns = (
        addresses,
        (piece.protocol.astype(np.uint16) << 8 | piece.rank).tolist(),
        piece.port.tolist(),
        piece.reason.tolist(),
        piece.ttl.tolist(),
        piece.rtt.tolist(),
        milliseconds.tolist(),
        piece.responder.tolist(),
        _responders(piece, addresses, names),
        piece.tries.tolist(),
        piece.time.tolist(),
        _iso(piece.time),
        piece.note.tolist(),
        piece.hint.tolist(),
        superseded(piece, names),
        *_macs(piece.mac),
    )
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
            time=None if moment == ABSENT else time,
            note=_NOTES[note],
            hint=_HINTS[hint],
            superseded=steps,
            mac=mac,
            oui=oui,
        )
        for (
            ip, kind, port, reason, ttl, rtt, rtt_ms, source, responder, tries, moment, time, note, hint,
            steps, mac, oui,
        ) in zip(*columns, strict=True)
    ]  # fmt: skip


def _macs(numbers: NDArray[np.int64]) -> tuple[list[str | None], list[str | None]]:
    """Texts of hardware addresses, and of their organisationally unique identifiers."""
    macs: list[str | None] = [None] * len(numbers)
    rows = np.flatnonzero(numbers != ABSENT)
    if not len(rows):
        return macs, macs
    ouis = macs.copy()
    for row, text in zip(rows.tolist(), mac_texts(numbers[rows]), strict=True):
        macs[row], ouis[row] = text, text[:OUI]
    return macs, ouis


def mac_texts(numbers: NDArray[np.int64]) -> list[str]:
    """Hardware addresses as text, from their numbers."""
    return [number.to_bytes(6, "big").hex(":") for number in numbers.tolist()]


def _responders(piece: Outcomes, addresses: list[str], names: Names) -> list[str]:
    """Texts of who replied, which is mostly the target itself: its text is there already."""
    elsewhere = np.flatnonzero((piece.responder != piece.address) & (piece.responder != ABSENT))
    if not len(elsewhere):
        return addresses
    texts = list(addresses)
    others = names(piece.responder[elsewhere].astype(np.uint32))
    for row, text in zip(elsewhere.tolist(), others, strict=True):
        texts[row] = text
    return texts


def superseded(piece: Outcomes, names: Names) -> list[tuple[Superseded, ...] | None]:
    """What was known before of each outcome, as its record has it."""
    held: list[tuple[Superseded, ...] | None] = piece.superseded.tolist()
    rows = np.flatnonzero(piece.superseded != None).tolist()  # noqa: E711 - element by element
    steps = [(piece.protocol[row], *step) for row in rows for step in piece.superseded[row]]
    if not steps:
        return held
    protocols, ranks, reasons, ttls, responders, times = zip(*steps, strict=True)
    made = map(
        lambda protocol, rank, reason, ttl, responder, moment, time: Superseded(
            state=state_of(rank, PROTOCOLS[protocol]),
            reason=REASONS[reason],
            ttl=ttl,
            responder=responder,
            time=None if moment == ABSENT else time,
        ),
        protocols,
        ranks,
        reasons,
        ttls,
        names(np.array(responders, dtype=np.uint32)),
        times,
        _iso(np.array(times, dtype=np.int64)),
    )
    for row in rows:
        held[row] = tuple(islice(made, len(piece.superseded[row])))
    return held


def _iso(times: NDArray[np.int64]) -> list[str]:
    """As `2024-01-01T00:00:00.000001Z`; what is finer is cut off."""
    texts: list[str] = np.datetime_as_string(times.view("M8[ns]").astype("M8[us]"), timezone="UTC").tolist()
    return texts
