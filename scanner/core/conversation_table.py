"""Where conversations are kept: a record each, in columns, and which one is the latest of every flow.

Exact, not hashed: no two flows share a record, whatever somebody sends. Records have a bound; what finds no
room is known to have found none.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEFT_OUT = -1
"""The place of what there was no room for."""
UNKNOWN = -2
"""The place of what was never met."""

NO_SIDE = 2

BASE, ANCHORED, NUMBERED = (1 << bit for bit in (0, 2, 4))
"""What is known of side 0, as bits: where its data begin; that its SYN said so; the number of its last SYN.
One bit further, those of side 1."""

RECORD = np.dtype(
    [
        ("one", "u8"),  # the flow
        ("two", "u8"),
        ("start", "i8"),
        ("end", "i8"),
        ("total", "i8", 2),  # of each side, as in all that follow with a 2: bytes of all payloads
        ("packets", "u4", 2),
        ("stream", "i4", 2),  # the place of its data among the streams
        ("base", "u4", 2),  # sequence number at which the data begin
        ("number", "u4", 2),  # sequence number of the flow's last SYN
        ("seen", "u2"),  # SEEN_ bits
        ("since", "u2"),  # those since the flow's last SYN
        ("last_syn", "u1"),  # who sent the flow's last SYN
        ("opener", "u1"),  # who sent the conversation's first SYN
        ("spoke", "u1"),  # who sent its first packet
        ("known", "u1"),
    ]
)
"""A conversation. `number`, `since` and `last_syn` count for the latest of a flow only."""

_LEAST = 1024


def blank(one: NDArray[np.uint64], two: NDArray[np.uint64]) -> NDArray[np.void]:
    """Records of conversations in which nothing was said."""
    records = np.zeros(len(one), dtype=RECORD)
    records["one"], records["two"] = one, two
    records["start"], records["end"] = np.iinfo(np.int64).max, np.iinfo(np.int64).min
    records["stream"] = UNKNOWN
    records["last_syn"] = records["opener"] = NO_SIDE
    return records


class Room:
    """How much more may be kept of something, perhaps by several."""

    def __init__(self, most: int) -> None:
        self._left = most

    def take(self, count: int) -> int:
        """Take room for so many. Returns for how many there is."""
        granted = min(count, self._left)
        self._left -= granted
        return granted


class ConversationTable:
    """The conversations of one transport.

    records: `RECORD`; the first `count` are in use.
    """

    def __init__(self, room: Room) -> None:
        """`room`: for records."""
        self._room = room
        self.records = np.empty(0, dtype=RECORD)
        self.count = 0
        self._one = np.empty(0, dtype=np.uint64)
        self._two = np.empty(0, dtype=np.uint64)
        self._latest = np.empty(0, dtype=np.int32)

    def latest(self, one: NDArray[np.uint64], two: NDArray[np.uint64]) -> NDArray[np.int64]:
        """The place of the latest conversation of each flow, LEFT_OUT or UNKNOWN."""
        where, met = self._find(one, two)
        place = np.full(len(one), UNKNOWN, dtype=np.int64)
        place[met] = self._latest[where[met]]
        return place

    def remember(self, one: NDArray[np.uint64], two: NDArray[np.uint64], place: NDArray[np.int64]) -> None:
        """Note the places of the latest conversations of flows, which come in order and once each."""
        where, met = self._find(one, two)
        self._latest[where[met]] = place[met]
        new = ~met
        if new.any():
            self._one = np.insert(self._one, where[new], one[new])
            self._two = np.insert(self._two, where[new], two[new])
            self._latest = np.insert(self._latest, where[new], place[new].astype(np.int32))

    def allot(self, count: int) -> NDArray[np.int64]:
        """So many new places, LEFT_OUT for the last ones if there is too little room."""
        places = allotted(self.count, count, self._room)
        self.count += int(np.count_nonzero(places != LEFT_OUT))
        self.records = grown(self.records, self.count)
        return places

    def _find(
        self, one: NDArray[np.uint64], two: NDArray[np.uint64]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Where flows are or would be among those that were met, and which of them were."""
        low = np.searchsorted(self._one, one, side="left")
        end = np.searchsorted(self._one, one, side="right")
        high = end.copy()
        # The same by bisection for the second word, for all at once.
        rest = np.flatnonzero(low < high)
        while len(rest):
            middle = (low[rest] + high[rest]) // 2
            less = self._two[middle] < two[rest]
            low[rest[less]] = middle[less] + 1
            high[rest[~less]] = middle[~less]
            rest = rest[low[rest] < high[rest]]
        met = low < end
        met[met] = self._two[low[met]] == two[met]
        return low, met


def allotted(first: int, count: int, room: Room) -> NDArray[np.int64]:
    """So many places from the first on, LEFT_OUT for those behind the end of the room."""
    places = np.arange(first, first + count, dtype=np.int64)
    places[room.take(count) :] = LEFT_OUT
    return places


def grown(records: NDArray[np.void], count: int) -> NDArray[np.void]:
    """The same records with room for at least so many."""
    if count <= len(records):
        return records
    larger = np.empty(max(_LEAST, 1 << (count - 1).bit_length()), dtype=records.dtype)
    larger[: len(records)] = records
    return larger
