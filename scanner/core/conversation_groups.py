"""Packets of one lot that are of one conversation: put together, and counted into its record."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanner.core.conversation_packets import SEEN_SYN, SEEN_SYN_ACK, SIDE_BITS, Lot
from scanner.core.conversation_split import Runs
from scanner.core.conversation_table import ANCHORED, BASE, NO_SIDE, NUMBERED

_ANY_SYN = (SEEN_SYN | SEEN_SYN_ACK) * (1 | 1 << SIDE_BITS)


@dataclass(frozen=True, slots=True)
class Groups:
    """Runs that are of one conversation, together; G groups, by flow and time.

    run: int64, the first run of each. first, count: int64, its packets. flow: int64. goes_on: bool, with what
    was known of the flow before. of: int64, the group of each packet. head, last: int64, the first and the
    last group of each flow.
    """

    run: NDArray[np.int64]
    first: NDArray[np.int64]
    count: NDArray[np.int64]
    flow: NDArray[np.int64]
    goes_on: NDArray[np.bool_]
    of: NDArray[np.int64]
    head: NDArray[np.int64]
    last: NDArray[np.int64]


def group(lot: Lot, runs: Runs) -> Groups:
    """Put runs together that go on with one another."""
    run = np.flatnonzero(runs.leads | ~runs.joins)
    first = runs.first[run]
    count = np.diff(np.append(first, len(lot)))
    head = np.flatnonzero(runs.leads[run])
    return Groups(
        run=run,
        first=first,
        count=count,
        flow=runs.flow[run],
        goes_on=runs.joins[run],
        of=np.repeat(np.arange(len(run)), count),
        head=head,
        last=np.append(head[1:], len(run)) - 1,
    )


def count_in(records: NDArray[np.void], lot: Lot, groups: Groups, runs: Runs) -> None:
    """Count the packets of each group into its record, and note what they tell of the flow.

    What they carry is another matter (`Streams`).
    """
    first = groups.first
    last = first + groups.count - 1
    earlier = lot.times[first] < records["start"]
    records["spoke"] = np.where(earlier, lot.side[first], records["spoke"])
    records["start"] = np.minimum(records["start"], lot.times[first])
    records["end"] = np.maximum(records["end"], lot.times[last])
    upper = np.add.reduceat(lot.side.astype(np.uint32), first, dtype=np.uint32)
    records["packets"][:, 0] += groups.count.astype(np.uint32) - upper
    records["packets"][:, 1] += upper
    records["seen"] |= np.bitwise_or.reduceat(lot.seen, first)
    # Only the first run of a group can be without a SYN of its own.
    begins = np.append(runs.first, len(lot) - 1)
    opening = np.where(lot.opens[first], first, begins[groups.run + 1])
    opens = lot.opens[opening] & (opening <= last) & (records["opener"] == NO_SIDE)
    records["opener"][opens] = lot.side[opening[opens]]
    _find_bases(records, lot, groups)
    latest, run = groups.last, np.append(groups.run[groups.head][1:], len(runs.first)) - 1
    records["since"][latest] = runs.since[run]
    records["last_syn"][latest] = runs.last_syn[run]
    records["number"][latest] = runs.number
    for side in (0, 1):
        records["known"][latest[runs.has_number[:, side]]] |= NUMBERED << side


def _find_bases(records: NDArray[np.void], lot: Lot, groups: Groups) -> None:
    """Where the data of each side begin: behind its SYN, if that comes first, else with the first data."""
    telling = (lot.size > 0) | ((lot.seen & _ANY_SYN) != 0)
    for side in (0, 1):
        row = np.flatnonzero(telling & (lot.side == side))
        of = groups.of[row]
        row = row[np.append(True, of[1:] != of[:-1])[: len(row)]]
        of = groups.of[row]
        fresh = (records["known"][of] & (BASE << side)) == 0
        row, of = row[fresh], of[fresh]
        anchored = np.where((lot.seen[row] & _ANY_SYN) != 0, (BASE | ANCHORED) << side, BASE << side)
        records["base"][of, side] = lot.begin[row]
        records["known"][of] |= anchored.astype(np.uint8)
