"""Reassembly of IP fragments (RFC 791, 3.2; RFC 8200, 4.5), by the rules of Linux.

What Linux does with a fragment (`ip_frag_queue`, `ip6_frag_queue`, `inet_frag_queue_insert`) is done here,
with these differences, since this is a reader and not a receiver:

* What was discarded stays so until it expires, as RFC 5722 has it; Linux begins anew with the next fragment.
* What was complete is known for a moment, so that a capture may hold every packet twice.
* What never became complete is handed out as far as it goes, if it has a beginning.
* An IPv6 datagram may be cut within its TCP or UDP header, which Linux refuses since 5.11: what the target
  makes of such a probe, its replies tell.
* Fragments whose ECN marks contradict each other (RFC 3168, 5.3) are put together all the same.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanner.core.packets import MIRRORED, Fragments
from scanner.core.pieces import DATAGRAM_COST, DUPLICATE, KEPT, LONGEST, TOO_LONG, First, PiecedDatagram

UNEVEN = "fragment that is no multiple of 8 bytes"
HEADLESS = "fragment without its first"

_SECOND = 1_000_000_000
_TIMEOUT = {4: 30 * _SECOND, 6: 60 * _SECOND}
_COMPARED = 64
"""Payload bytes by which a copy is told from another datagram: with TCP and UDP a checksum is among them."""

_IPV6_HEADER = 40
_NOT_COUNTED = {4: 0, 6: _IPV6_HEADER + 8}
"""Bytes in front of the payload that an IP length does not count, or that are taken out (fragment header)."""

_ROWS = 1 << 16
_NEVER = 1 << 63

Key = tuple[int, int, int]
"""Source and destination; tunnel and identification; version and, in IPv4, protocol."""

Piece = tuple[int, int, int, int, int, int, bool, int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Reassembled:
    """Datagrams in one piece, one element each, as link type RAW holds them.

    buffer: `(B,)` uint8, where they lie. starts, lengths: int64. times: int64 ns, of the fragment that came
    first: a router may answer it before the others have left. frame: int64, of the one at offset 0.
    tunnel: uint32.

    A datagram is shorter than its IP header says where payload was not captured or not kept. There are no
    fragment fields and, in IPv6, no other extension headers; IPv4's checksum is the first fragment's.
    """

    buffer: NDArray[np.uint8]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    times: NDArray[np.int64]
    frame: NDArray[np.int64]
    tunnel: NDArray[np.uint32]


class Reassembler:
    """Puts datagrams together; what time it is, the fragments say.

    unread: fragments by the reason why they are in no datagram that was handed out.
    """

    def __init__(self, memory: int = 4 << 20) -> None:
        """Keep about `memory` bytes of the unfinished and discarded, and less of the complete."""
        self.unread: Counter[str] = Counter()
        self._memory = memory
        self._held = 0
        self._unfinished: dict[int, OrderedDict[Key, PiecedDatagram]] = {
            version: OrderedDict() for version in _TIMEOUT
        }
        self._complete: OrderedDict[Key, tuple[int, int, bytes]] = OrderedDict()
        self._due = _NEVER
        self._out: list[tuple[bytes, int, int, int]] = []

    def add(self, buffer: NDArray[np.uint8], fragments: Fragments) -> Reassembled | None:
        """Take fragments, in the order of their times.

        Args:
            buffer: `(B,)` uint8, where the fragments lie.
            fragments: whose IP headers and `captured` bytes are within the buffer.

        Returns:
            the datagrams that are complete or were given up; None if there are none.
        """
        order = np.argsort(fragments.ip.times, kind="stable")
        view = np.ascontiguousarray(buffer).data
        for at in range(0, len(order), _ROWS):
            for piece in self._pieces(fragments, order[at : at + _ROWS]):
                self._take(view, piece)
        return self._ready()

    def finish(self) -> Reassembled | None:
        """Hand out what was never completed, as far as it goes, and forget everything."""
        for table in self._unfinished.values():
            while table:
                self._give_up(table, next(iter(table)))
        self._complete.clear()
        self._due = _NEVER
        return self._ready()

    def _pieces(self, fragments: Fragments, rows: NDArray[np.int64]) -> Iterator[Piece]:
        ip = fragments.ip
        six = ip.version[rows] == 6
        offset, size, more = fragments.offset[rows], fragments.size[rows], fragments.more[rows]
        end = offset + size
        # Of a piece that others follow, Linux drops the odd bytes in IPv4 and the whole in IPv6.
        long, uneven = six & (end > LONGEST), more & (end % 8 != 0)
        if refused := int(np.count_nonzero(long)):
            self.unread[TOO_LONG] += refused
        if refused := int(np.count_nonzero(uneven & six & ~long)):
            self.unread[UNEVEN] += refused
        end = np.where(uneven, end & ~np.int64(7), end)
        sound = ~(long | (uneven & six))
        rows, six, offset, end, more = rows[sound], six[sound], offset[sound], end[sound], more[sound]
        known = np.minimum(fragments.captured[rows], end - offset)
        kept = np.clip(np.minimum(known, KEPT - offset), 0, None)
        half = np.uint64(32)
        protocol = fragments.protocol[rows].astype(np.int64)
        addresses = (ip.source[rows].astype(np.uint64) << half) | ip.destination[rows]
        number = (ip.tunnel[rows].astype(np.uint64) << half) | ip.identification[rows]
        kind = (ip.version[rows].astype(np.int64) << 8) | np.where(six, 0, protocol)
        payload = fragments.payload[rows]
        return zip(
            addresses.tolist(),
            number.tolist(),
            kind.tolist(),
            ip.times[rows].tolist(),
            offset.tolist(),
            end.tolist(),
            more.tolist(),
            payload.tolist(),
            (payload + kept).tolist(),
            fragments.start[rows].tolist(),
            ip.frame[rows].tolist(),
            protocol.tolist(),
            strict=True,
        )

    def _take(self, view: memoryview, piece: Piece) -> None:
        addresses, number, kind, time, offset, end, more, payload, stop, start, frame, protocol = piece
        if time >= self._due:
            self._expire(time)
        version, key = kind >> 8, (addresses, number, kind)
        table = self._unfinished[version]
        datagram = table.get(key)
        if datagram is not None and abs(time - datagram.born) >= _TIMEOUT[version]:
            self._give_up(table, key)
            datagram = None
        data = bytes(view[payload:stop])
        if datagram is None:
            if key in self._complete and self._is_copy(key, time, (offset, end, more), data):
                self.unread[DUPLICATE] += 1
                return
            datagram = table[key] = PiecedDatagram(time, version)
            self._held += DATAGRAM_COST
            self._due = min(self._due, time + _TIMEOUT[version])
        if (fault := datagram.place(offset, end, more)) is not None:
            self._refuse(datagram, fault)
        else:
            if not offset:
                extra = payload - start - _NOT_COUNTED[version]
                header = bytes(view[start : payload if version == 4 else start + _IPV6_HEADER])
                datagram.first = First(version, protocol, header, extra, frame, number >> 32)
            self._held += datagram.keep(offset, data, time)
            if datagram.complete():
                self._give_up(table, key)
                self._remember(key, time, datagram)
        while self._held > self._memory:
            self._give_up(*self._oldest())

    def _is_copy(self, key: Key, time: int, extent: tuple[int, int, bool], data: bytes) -> bool:
        """Whether it is of a datagram that was complete a moment ago; if not, that one is forgotten."""
        born, total, head = self._complete[key]
        offset, end, more = extent
        known = head[offset : offset + len(data)]
        fits = end <= total if more else end == total
        if fits and abs(time - born) < MIRRORED and data.startswith(known):
            return True
        del self._complete[key]
        return False

    def _refuse(self, datagram: PiecedDatagram, fault: str) -> None:
        self.unread[fault] += 1
        if fault is not DUPLICATE and datagram.fault is None:
            self.unread[fault] += datagram.count
            self._held -= datagram.discard(fault)

    def _remember(self, key: Key, time: int, datagram: PiecedDatagram) -> None:
        self._complete[key] = (time, datagram.end, datagram.head[:_COMPARED])
        self._due = min(self._due, time + MIRRORED)
        if len(self._complete) * DATAGRAM_COST > self._memory:
            self._complete.popitem(last=False)

    def _expire(self, now: int) -> None:
        """Give up what came too long ago, and find out when to look again."""
        self._due = _NEVER
        for version, table in self._unfinished.items():
            while table:
                key, datagram = next(iter(table.items()))
                if now < (deadline := datagram.born + _TIMEOUT[version]):
                    self._due = min(self._due, deadline)
                    break
                self._give_up(table, key)
        while self._complete:
            key, (born, _, _) = next(iter(self._complete.items()))
            if now < born + MIRRORED:
                self._due = min(self._due, born + MIRRORED)
                break
            del self._complete[key]

    def _oldest(self) -> tuple[OrderedDict[Key, PiecedDatagram], Key]:
        fronts = [(table, *next(iter(table.items()))) for table in self._unfinished.values() if table]
        table, key, _ = min(fronts, key=lambda front: front[2].born)
        return table, key

    def _give_up(self, table: OrderedDict[Key, PiecedDatagram], key: Key) -> None:
        datagram = table.pop(key)
        self._held -= datagram.cost
        if datagram.first is not None:
            self._hand_out(datagram, datagram.first)
        elif datagram.fault is None:
            self.unread[HEADLESS] += datagram.count

    def _hand_out(self, datagram: PiecedDatagram, first: First) -> None:
        if first.extra + datagram.end > LONGEST:
            self.unread[TOO_LONG] += datagram.count
            return
        raw = first.raw(datagram.end, datagram.head)
        self._out.append((raw, datagram.earliest, first.frame, first.tunnel))

    def _ready(self) -> Reassembled | None:
        if not self._out:
            return None
        raw, times, frames, tunnels = zip(*self._out, strict=True)
        self._out = []
        lengths = np.array([len(datagram) for datagram in raw], dtype=np.int64)
        return Reassembled(
            buffer=np.frombuffer(b"".join(raw), dtype=np.uint8),
            starts=np.cumsum(lengths) - lengths,
            lengths=lengths,
            times=np.array(times, dtype=np.int64),
            frame=np.array(frames, dtype=np.int64),
            tunnel=np.array(tunnels, dtype=np.uint32),
        )
