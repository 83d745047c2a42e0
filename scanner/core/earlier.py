"""Replies to an earlier probe, where those of one flow differ.

Whoever asks again from the same port, but with another sequence number, as nmap does from a port that it was
given, may still be answered what it asked before: the number tells. So it does where data came with the first
SYN only (RFC 7413).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from scanner.core.ordering import distinct
from scanner.core.rules import Check

Numbers = NDArray[np.uint32]

_MOST_WITH_DATA = 64
"""Who fills a capture with them must not be able to hold up its reader."""


@dataclass(frozen=True, slots=True, eq=False)
class Numbered:
    """Probes, or claims, one element each.

    flow: int64. place: int64, in an order by flow and time. number: uint32, the sequence number; that of the
    probe which a claim names.
    """

    flow: NDArray[np.int64]
    place: NDArray[np.int64]
    number: Numbers

    def take(self, rows: NDArray[np.int64]) -> Numbered:
        """Some of them."""
        return Numbered(self.flow[rows], self.place[rows], self.number[rows])


def named(probes: Numbered, size: Numbers, claims: Numbered, check: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The last probe before each claim, of the same flow, that has the number which the claim names.

    Args:
        probes: `P` of them, in the order of their places; flows in which all are alike are left out.
        size: `(P,)`, bytes of data that came with each.
        claims: `C` of them.
        check: `(C,)`, a `Check`: an acknowledgement may count data as well, and a reset leave out the SYN. Of
            probes with data, the last 64 before the claim are looked at.

    Returns:
        `(C,)`, which probe; -1 where there is none.
    """
    found = np.full(len(check), -1, dtype=np.int64)
    several = _several(probes, size)
    among = np.flatnonzero(np.isin(probes.flow, several))
    doubtful = np.isin(claims.flow, several)
    some = probes.take(among)
    less = Numbered(some.flow, some.place, some.number - np.uint32(1))
    acknowledges = (check == Check.ACKNOWLEDGED) | (check == Check.RESET)
    for last, allowed in (
        (partial(_last_of_the_number, some), acknowledges | (check == Check.SEQUENCE)),
        (partial(_last_of_the_number, less), check == Check.RESET),
        (partial(_last_with_data, some, size[among]), acknowledges),
    ):
        rows = np.flatnonzero(allowed & doubtful)
        if len(rows):
            place = last(claims.take(rows))
            found[rows] = np.maximum(found[rows], np.where(place < 0, -1, among[place]))
    return found


def _several(probes: Numbered, size: Numbers) -> NDArray[np.int64]:
    """Flows of which not all probes, given in the order of their places, are alike."""
    differs = (probes.number[1:] != probes.number[:-1]) | (size[1:] != size[:-1])
    return distinct(probes.flow[1:][differs & (probes.flow[1:] == probes.flow[:-1])])


def _last_of_the_number(probes: Numbered, claims: Numbered) -> NDArray[np.int64]:
    """The last probe before each claim of just that number; -1 where there is none."""
    count = len(probes.flow)
    flow = np.concatenate([probes.flow, claims.flow])
    number = np.concatenate([probes.number, claims.number])
    order = np.lexsort((np.concatenate([probes.place, claims.place]), number, flow))
    begins = np.ones(len(order), dtype=np.bool_)
    begins[1:] = (np.diff(flow[order]) != 0) | (number[order][1:] != number[order][:-1])
    last = last_so_far(order < count, begins)
    is_claim = np.flatnonzero(order >= count)
    found = np.empty(len(claims.flow), dtype=np.int64)
    found[order[is_claim] - count] = np.where(last[is_claim] < 0, -1, order[last[is_claim]])
    return found


def _last_with_data(probes: Numbered, size: Numbers, claims: Numbered) -> NDArray[np.int64]:
    """The last probe before each claim of whose data it acknowledges some; -1 where there is none."""
    rows = np.flatnonzero(size)
    sent, size = probes.take(rows), size[rows]
    found = np.full(len(claims.flow), -1, dtype=np.int64)
    at = np.searchsorted(sent.place, claims.place) - 1
    pending = np.arange(len(at))
    for _ in range(_MOST_WITH_DATA):
        pending = pending[at[pending] >= 0]
        pending = pending[sent.flow[at[pending]] == claims.flow[pending]]
        if not len(pending):
            break
        before = at[pending]
        named_it = claims.number[pending] - sent.number[before] <= size[before]
        found[pending[named_it]] = rows[before[named_it]]
        pending = pending[~named_it]
        at[pending] -= 1
    return found


def last_so_far(good: NDArray[np.bool_], begins: NDArray[np.bool_]) -> NDArray[np.int64]:
    """At each place the last good one of its group, itself included; -1 where there was none yet.

    `begins`: where in the order a group begins.
    """
    place = np.arange(len(good))
    last = np.maximum.accumulate(np.where(good, place, -1))
    first = np.maximum.accumulate(np.where(begins, place, 0))
    return np.where(last >= first, last, -1)
