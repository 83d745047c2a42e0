"""Replies to an earlier probe, where those of one flow have numbers that differ.

Whoever asks again from the same port, but with another sequence number, as nmap does from a port that it was
given, may still be answered what it asked before: the number tells.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanner.core.ordering import distinct
from scanner.core.rules import Check

Numbers = NDArray[np.uint32]


@dataclass(frozen=True, slots=True, eq=False)
class Numbered:
    """Probes, or claims, one element each.

    flow: int64. place: int64, in an order in which those of a flow are by time. number: uint32, the sequence
    number; that of the probe which a claim names.
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
        probes: `P` of them, in the order of their places; flows in which all have one number are left out.
        size: `(P,)`, bytes of data that came with each.
        claims: `C` of them.
        check: `(C,)`, a `Check`: an acknowledgement may count all of that data as well, and a reset leave out
            the SYN.

    Returns:
        `(C,)`, which probe; -1 where there is none.
    """
    found = np.full(len(check), -1, dtype=np.int64)
    several = _several(probes)
    among = np.flatnonzero(np.isin(probes.flow, several))
    doubtful = np.isin(claims.flow, several)
    some, extra = probes.take(among), size[among]
    acknowledges = (check == Check.ACKNOWLEDGED) | (check == Check.RESET)
    for number, allowed in (
        (some.number, acknowledges | (check == Check.SEQUENCE)),
        (some.number + extra, acknowledges),
        (some.number - np.uint32(1), check == Check.RESET),
    ):
        rows = np.flatnonzero(allowed & doubtful)
        if len(rows):
            last = _last_of_the_number(Numbered(some.flow, some.place, number), claims.take(rows))
            found[rows] = np.maximum(found[rows], np.where(last < 0, -1, among[last]))
    return found


def _several(probes: Numbered) -> NDArray[np.int64]:
    """Flows of which not all probes, given in the order of their places, have one number."""
    differs = (probes.flow[1:] == probes.flow[:-1]) & (probes.number[1:] != probes.number[:-1])
    return distinct(probes.flow[1:][differs])


def _last_of_the_number(probes: Numbered, claims: Numbered) -> NDArray[np.int64]:
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


def last_so_far(good: NDArray[np.bool_], begins: NDArray[np.bool_]) -> NDArray[np.int64]:
    """At each place the last good one of its group, itself included; -1 where there was none yet.

    `begins`: where in the order a group begins.
    """
    place = np.arange(len(good))
    last = np.maximum.accumulate(np.where(good, place, -1))
    first = np.maximum.accumulate(np.where(begins, place, 0))
    return np.where(last >= first, last, -1)
