"""One datagram in pieces: which of it came, and its first bytes; the rules are those of Linux.

`PiecedDatagram.place` is `inet_frag_queue_insert` and the checks that `ip_frag_queue` makes in front of it.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

DUPLICATE = "duplicate fragment"
OVERLAP = "overlapping fragments"
TWO_ENDS = "fragments with two ends"
EMPTY = "empty fragment"
TOO_LONG = "fragments beyond 65535 bytes"

KEPT = 2048
"""Payload bytes that may be kept of each datagram."""

LONGEST = 65535
"""Bytes, of a datagram in IPv4, and in IPv6 of what follows its header."""

DATAGRAM_COST, PIECE_COST = 768, 160
"""Bytes that Python takes for each, beside the payload."""

_LONGEST_PAYLOAD = {4: LONGEST - 20, 6: LONGEST}


class First(NamedTuple):
    """What the fragment at offset 0 tells of a datagram.

    header: of IPv4 with its options, of IPv6 without extensions. extra: bytes that the length in the IP
    header counts beside the payload.
    """

    version: int
    protocol: int
    header: bytes
    extra: int
    frame: int
    tunnel: int

    def raw(self, size: int, payload: bytes) -> bytes:
        """A datagram with `size` bytes of payload, of which some are known."""
        header = self.header
        if self.version == 4:
            length = (len(header) + size).to_bytes(2, "big")
            return b"".join((header[:2], length, header[4:6], b"\0\0", header[8:], payload))
        length = size.to_bytes(2, "big")
        return b"".join((header[:4], length, self.protocol.to_bytes(1, "big"), header[7:], payload))


class PiecedDatagram:
    """The pieces of one datagram: which came, and the first bytes of what was in them.

    starts, ends: of the runs that came; a run grows only at its end, and only the last one does, as in Linux.
    end: of the farthest piece. last: whether that is the datagram's. placed: bytes within the runs.
    head: the payload known without a gap. loose: pieces behind a gap. earliest: when the first of them left.
    """

    __slots__ = (
        "born",
        "cost",
        "count",
        "earliest",
        "end",
        "ends",
        "fault",
        "first",
        "head",
        "last",
        "longest",
        "loose",
        "placed",
        "starts",
    )  # fmt: skip

    def __init__(self, born: int, version: int) -> None:
        self.born = born
        self.longest = _LONGEST_PAYLOAD[version]
        self.cost = DATAGRAM_COST
        self.count = self.placed = self.end = 0
        self.last = False
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.first: First | None = None
        self.head = b""
        self.loose: dict[int, bytes] = {}
        self.earliest = born
        self.fault: str | None = None

    def place(self, offset: int, end: int, more: bool) -> str | None:
        """Enter an extent; says why not if it cannot be."""
        if self.fault is not None or end == offset or end > self.longest:
            return self.fault or (EMPTY if end == offset else TOO_LONG)
        if not more:
            if end < self.end or (self.last and end != self.end):
                return TWO_ENDS
            self.last, self.end = True, end
        elif end > self.end:
            if self.last:
                return TWO_ENDS
            self.end = end
        starts, ends = self.starts, self.ends
        at = bisect_right(starts, offset)
        if at and offset < ends[at - 1]:
            return DUPLICATE if end <= ends[at - 1] else OVERLAP
        if at < len(starts):
            if starts[at] < end:
                return OVERLAP
        elif at and ends[-1] == offset:
            ends.pop()
            at = len(ends)
        if len(starts) == len(ends):
            starts.insert(at, offset)
        ends.insert(at, end)
        self.count += 1
        self.placed += end - offset
        return None

    def keep(self, offset: int, data: bytes, time: int) -> int:
        """Keep a piece's payload; returns how many bytes that costs."""
        self.earliest = min(self.earliest, time)
        cost = PIECE_COST + len(data)
        self.cost += cost
        if offset == len(self.head):
            self.head += data
            while self.loose and (data := self.loose.pop(len(self.head), b"")):
                self.head += data
        elif data:
            self.loose[offset] = data
        return cost

    def complete(self) -> bool:
        """Whether all is there."""
        return self.last and self.placed == self.end

    def discard(self, fault: str) -> int:
        """Forget all but that it is discarded; returns how many bytes that frees."""
        self.fault = fault
        self.first, self.head = None, b""
        self.loose, self.starts, self.ends = {}, [], []
        freed, self.cost = self.cost - DATAGRAM_COST, DATAGRAM_COST
        return freed
