"""Long talk over UDP made short: of a flow's many datagrams, those that can decide anything are kept.

Every datagram may be a probe and every one back an answer, but what counts is the first answer and the last
probe before it, who spoke first, how many probes there were and when the last one left.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scanner.core.flowtable import Probes, by_flow, copies, flow_words
from scanner.core.packets import UDP
from scanner.core.rules import Claims, reason_code
from scanner.model import Reason

LONG = 16
"""Packets of a flow, among those given together, from which on it is made short."""

_TURNS = 4
"""How often the direction changes until all is said: whoever spoke first, an answer, and once more each
where the capture begins in the middle."""

_PROBE, _RESPONSE, _ERROR = 0, 1, 2


def thinned(probes: Probes, claims: Claims) -> tuple[Probes, Claims]:
    """The same probes and claims, in their order, without datagrams that change nothing."""
    one, two = np.flatnonzero(probes.protocol == UDP), np.flatnonzero(claims.protocol == UDP)
    if len(one) + len(two) <= LONG:
        return probes, claims
    asked, said = probes.take(one), claims.take(two)
    ours, theirs = flow_words(asked), flow_words(said)
    words = np.concatenate([ours[0], theirs[0]]), np.concatenate([ours[1], theirs[1]])
    order, begins = by_flow(words, np.concatenate([asked.times, said.times]))
    flow = np.cumsum(begins) - 1
    long = np.bincount(flow)[flow] > LONG
    if not long.any():
        return probes, claims
    is_error = said.reason != reason_code(Reason.UDP_RESPONSE)
    kind = np.concatenate([np.full(len(asked), _PROBE), np.where(is_error, _ERROR, _RESPONSE)])[order]
    keep = ~long | _telling(kind, begins, flow)
    of = np.empty(len(order), dtype=np.int64)
    of[order] = flow
    kept = np.empty(len(order), dtype=np.bool_)
    kept[order] = keep
    made_short = np.empty(len(order), dtype=np.bool_)
    made_short[order] = long
    counts = _counts(asked, of[: len(asked)], kept[: len(asked)], made_short[: len(asked)])
    count = probes.count.copy()
    count[one] = counts
    stay, remain = np.ones(len(probes), dtype=np.bool_), np.ones(len(claims), dtype=np.bool_)
    stay[one], remain[two] = kept[: len(asked)], kept[len(asked) :]
    return replace(probes, count=count).take(stay), claims.take(remain)


def _telling(
    kind: NDArray[np.int64], begins: NDArray[np.bool_], flow: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Which packets, by flow and time, are needed: both ends of the first turns, the last probe, errors."""
    starts = begins.copy()
    starts[1:] |= kind[1:] != kind[:-1]
    ends = np.append(starts[1:], True)
    turns = np.cumsum(starts, dtype=np.int64)
    turn = turns - turns[np.flatnonzero(begins)][flow]
    telling: NDArray[np.bool_] = (kind == _ERROR) | ((starts | ends) & (turn < _TURNS))
    # The probe that an error answers.
    telling[:-1] |= (kind[1:] == _ERROR) & (flow[1:] == flow[:-1])
    probes = np.flatnonzero(kind == _PROBE)
    telling[probes[np.append(flow[probes][1:] != flow[probes][:-1], True)[: len(probes)]]] = True
    return telling


def _counts(
    asked: Probes, flow: NDArray[np.int64], kept: NDArray[np.bool_], long: NDArray[np.bool_]
) -> NDArray[np.uint32]:
    """How many probes each stands for: the last one of a flow for those that are left out."""
    count = asked.count.copy()
    if long.any():
        rows = np.flatnonzero(long)
        count[rows[copies(asked.take(rows))]] = 0
    out = np.flatnonzero(~kept)
    if len(out):
        left = np.bincount(flow[out], weights=count[out], minlength=int(flow.max()) + 1).astype(np.uint32)
        rows = np.flatnonzero(kept)
        rows = rows[np.lexsort((rows, asked.times[rows], flow[rows]))]
        last = rows[np.append(flow[rows][1:] != flow[rows][:-1], True)[: len(rows)]]
        count[last] += left[flow[last]]
    return count
