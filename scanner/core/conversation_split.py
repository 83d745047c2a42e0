"""Where one conversation of a flow ends and the next begins.

The law: whether a packet begins a new one depends on little: the flow's last SYN of either side, what was
seen since, and the times. So packets are cut into runs, each held against the run before it, all at once.

A TCP conversation begins with a SYN (without ACK) that is neither
* a copy of the flow's last SYN (same side, same number), within IDLE, or within COPY of an ended exchange;
* the other side's answer to a SYN that is not answered yet, within IDLE: a simultaneous open (RFC 9293, 3.5),
  a split handshake, or a copy of that;
* older than all that was seen of the conversation, which then is its own: it comes late.
Ended is what was reset, or has FINs of both sides. All other segments belong to what there is. Of UDP, what
comes after IDLE begins a conversation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanner.core.conversation_packets import (
    IDLE,
    SEEN_FIN,
    SEEN_RST,
    SEEN_SYN_ACK,
    SIDE_BITS,
    Lot,
)
from scanner.core.conversation_table import NO_SIDE, NUMBERED

COPY = 1_000_000_000
"""Nanoseconds after its end within which an exchange's own SYN is a copy of it, by a mirror port or a sender
that has not heard yet; who connects again does not do it with the same number within a second."""

_BOTH = 1 | 1 << SIDE_BITS


@dataclass(frozen=True, slots=True)
class Runs:
    """A lot cut into runs: one begins with each flow, and with each packet that may begin a conversation.

    first: int64, its first packet; R runs. flow: int64, which flow; F flows. leads: bool, is its flow's
    first. joins: bool, goes on with what was before it. since: uint16, last_syn: uint8, as in `RECORD`,
    behind each run. number: `(F, 2)` uint32, has_number: `(F, 2)` bool, of the last SYN of each side.
    """

    first: NDArray[np.int64]
    flow: NDArray[np.int64]
    leads: NDArray[np.bool_]
    joins: NDArray[np.bool_]
    since: NDArray[np.uint16]
    last_syn: NDArray[np.uint8]
    number: NDArray[np.uint32]
    has_number: NDArray[np.bool_]


def cut(
    lot: Lot, starts: NDArray[np.bool_], tail: NDArray[np.void], known: NDArray[np.bool_], *, tcp: bool
) -> Runs:
    """Cut a lot.

    Args:
        lot: at least one packet.
        starts: which packets begin a flow.
        tail: `(F,)` RECORD, the latest conversation of each flow so far; blank where there is none.
        known: `(F,)` bool, where there is one.
        tcp: the packets are segments, else datagrams.
    """
    first = np.flatnonzero(starts | lot.opens)
    leads = starts[first]
    flow = np.cumsum(leads) - 1
    last = np.append(first[1:], len(lot)) - 1
    begin, end = lot.times[first], lot.times[last]
    was = tail[flow]
    if not tcp:
        near = (begin - was["end"] <= IDLE) & (was["start"] - end <= IDLE)
        none = np.zeros((len(tail), 2), dtype=np.uint32)
        nobody = np.full(len(first), NO_SIDE, dtype=np.uint8)
        joins = leads & known[flow] & near
        return Runs(first, flow, leads, joins, was["since"], nobody, none, none.astype(np.bool_))
    is_syn, side, number = lot.opens[first], lot.side[first], lot.number[first]
    # A run without a SYN is the first of its flow, and goes on with what is known of it.
    since: NDArray[np.uint16] = np.bitwise_or.reduceat(lot.seen, first)
    since[~is_syn] |= was["since"][~is_syn]
    last_syn = np.where(is_syn, side, was["last_syn"]).astype(np.uint8)
    start_behind = np.where(is_syn, begin, np.minimum(begin, was["start"]))
    end_behind = np.maximum(end, was["end"])
    before = _Before(
        since=_previous(since, leads, was["since"]),
        last_syn=_previous(last_syn, leads, was["last_syn"]),
        start=_previous(start_behind, leads, was["start"]),
        end=_previous(end_behind, leads, was["end"]),
    )
    behind, has_behind, same, has_number = _numbers(flow, leads, is_syn, side, number, tail)
    goes_on = _goes_on(before, side, begin, same, has_number)
    joins = np.where(is_syn, goes_on, True) & (known[flow] | ~leads)
    return Runs(first, flow, leads, joins, since, last_syn, behind, has_behind)


@dataclass(frozen=True, slots=True)
class _Before:
    """What a run finds, as in `RECORD`: an element a run."""

    since: NDArray[np.uint16]
    last_syn: NDArray[np.uint8]
    start: NDArray[np.int64]
    end: NDArray[np.int64]


def _goes_on(
    before: _Before,
    side: NDArray[np.uint8],
    begin: NDArray[np.int64],
    same: NDArray[np.bool_],
    has_number: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Which SYNs belong to what was before them."""
    reset = (before.since & (_BOTH * SEEN_RST)) != 0
    finished = before.since & (_BOTH * SEEN_FIN)
    ended = reset | (finished == _BOTH * SEEN_FIN)
    answered = (before.since & (_BOTH * SEEN_SYN_ACK)) != 0
    with np.errstate(over="ignore"):
        idle = begin - before.end
    copy = same & (idle <= np.where(ended, COPY, IDLE))
    open_still = ~reset & (finished == 0) & (idle <= IDLE)
    other = open_still & (same | (~has_number & ~answered))
    late = begin <= before.start
    return np.where(before.last_syn == NO_SIDE, late, np.where(before.last_syn == side, copy, other))


def _previous(behind: NDArray[np.generic], leads: NDArray[np.bool_], tail: NDArray[np.generic]) -> NDArray:  # type: ignore[type-arg]
    """What holds behind the run before each; for the first of a flow, what held in the table."""
    shifted = np.empty_like(behind)
    shifted[1:] = behind[:-1]
    shifted[leads] = tail[leads]
    return shifted


def _numbers(
    flow: NDArray[np.int64],
    leads: NDArray[np.bool_],
    is_syn: NDArray[np.bool_],
    side: NDArray[np.uint8],
    number: NDArray[np.uint32],
    tail: NDArray[np.void],
) -> tuple[NDArray[np.uint32], NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Sequence numbers of SYNs.

    Returns:
        `(F, 2)`, of the last of each flow and side, and whether there is one; `(R,)`, whether a run's own is
        that of the last SYN of its side, and whether there is one.
    """
    run = np.arange(len(flow))
    leader = np.flatnonzero(leads)
    final = np.append(leader[1:], len(flow)) - 1
    behind, has_behind = tail["number"].copy(), np.empty((len(tail), 2), dtype=np.bool_)
    same, has_number = np.empty(len(flow), dtype=np.bool_), np.empty(len(flow), dtype=np.bool_)
    for one in (0, 1):
        latest = np.maximum.accumulate(np.where(is_syn & (side == one), run, -1))
        in_tail = (tail["known"] & (NUMBERED << one)) != 0
        earlier = np.append(-1, latest[:-1])
        here = earlier >= leader[flow]
        found = np.where(here, number[earlier], tail["number"][flow, one])
        mine = side == one
        has_number[mine] = (here | in_tail[flow])[mine]
        same[mine] = has_number[mine] & (found == number)[mine]
        here = latest[final] >= leader
        behind[here, one] = number[latest[final]][here]
        has_behind[:, one] = here | in_tail
    return behind, has_behind, same, has_number
