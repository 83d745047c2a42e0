"""Outcomes: what a sweep or a capture came to, in columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol as TypingProtocol

import numpy as np
from numpy.typing import NDArray

from scanner.core import packets
from scanner.core.addresses import AddressSet
from scanner.core.columns import Columns
from scanner.core.ledger import Ledger, Replies
from scanner.core.ordering import distinct, places
from scanner.core.rules import Rank, reason_code
from scanner.model import Protocol, Reason

PROTOCOLS = {
    packets.TCP: Protocol.TCP,
    packets.UDP: Protocol.UDP,
    packets.SCTP: Protocol.SCTP,
    packets.ICMP: Protocol.ICMP,
}
"""Protocols by their IP protocol number."""

IP_PROTOCOLS = {protocol: number for number, protocol in PROTOCOLS.items()}
"""IP protocol numbers by transport."""

ABSENT = -1
"""In a signed column: there is no such fact."""

NOTES = ("", "open-inferred", "address-conflict")
"""What else may be known of a target, by code."""

ADDRESS_CONFLICT = NOTES.index("address-conflict")

HINTS = (
    "",
    "one-way capture: no inbound packets on this link",
    "one-way capture: no inbound packets from this target",
    "one-way capture: no inbound packets to this prober",
)
"""Why there may be no reply, by code."""

_AT_ONCE = 1 << 15
_LAST_ADDRESS = (1 << 32) - 1


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Outcomes(Columns):
    """One element a target.

    address: uint32. protocol: uint8. port: uint16. rank: uint8 of `Rank`. reason: uint8.
    ttl: int16, rtt: int64 ns, responder: int64, time: int64 ns; each ABSENT where there is none. That is
    NO_TIME as well.
    tries: int64. note, hint: uint8, places in NOTES and HINTS. superseded: None, or a tuple of tuples
    (rank, reason, ttl, responder, time), of replies that said less and came before. prober: int64, ABSENT
    where the outcome is that of all probers. mac: int64, the hardware address that answered for the target.
    """

    address: NDArray[np.uint32]
    protocol: NDArray[np.uint8]
    port: NDArray[np.uint16]
    rank: NDArray[np.uint8]
    reason: NDArray[np.uint8]
    ttl: NDArray[np.int16]
    rtt: NDArray[np.int64]
    responder: NDArray[np.int64]
    tries: NDArray[np.int64]
    time: NDArray[np.int64]
    note: NDArray[np.uint8]
    hint: NDArray[np.uint8]
    superseded: NDArray[np.object_]
    prober: NDArray[np.int64]
    mac: NDArray[np.int64]

    @staticmethod
    def silent(
        address: NDArray[np.uint32],
        protocol: NDArray[np.uint8],
        port: NDArray[np.uint16],
        rank: Rank,
        reason: int,
    ) -> Outcomes:
        """Targets of which no reply is known: all of one rank and reason, never tried."""
        count = len(address)
        return Outcomes(
            address=address,
            protocol=protocol,
            port=port,
            rank=np.full(count, rank, dtype=np.uint8),
            reason=np.full(count, reason, dtype=np.uint8),
            ttl=np.full(count, ABSENT, dtype=np.int16),
            rtt=np.full(count, ABSENT, dtype=np.int64),
            responder=np.full(count, ABSENT, dtype=np.int64),
            tries=np.zeros(count, dtype=np.int64),
            time=np.full(count, ABSENT, dtype=np.int64),
            note=np.zeros(count, dtype=np.uint8),
            hint=np.zeros(count, dtype=np.uint8),
            superseded=np.full(count, None, dtype=np.object_),
            prober=np.full(count, ABSENT, dtype=np.int64),
            mac=np.full(count, ABSENT, dtype=np.int64),
        )

    def decide(self, tasks: NDArray[np.int64], ledger: Ledger) -> None:
        """Fill in what a ledger decided of some tasks, which are these targets, in growing order."""
        decided, superseded = ledger.replies_of(tasks)
        row = places(decided.task, tasks)
        self.rank[row] = decided.rank
        self.reason[row] = decided.reason
        self.ttl[row] = decided.ttl
        self.rtt[row] = decided.rtt
        self.responder[row] = decided.responder
        self.time[row] = decided.times
        self._lay_below(tasks, superseded)

    def _lay_below(self, tasks: NDArray[np.int64], steps: Replies) -> None:
        rows = np.searchsorted(tasks, steps.task).tolist()
        facts = (steps.rank, steps.reason, steps.ttl, steps.responder, steps.times)
        for row, *step in zip(rows, *(column.tolist() for column in facts), strict=True):
            self.superseded[row] = (*(self.superseded[row] or ()), tuple(step))

    def in_order(self) -> Outcomes:
        """By address, protocol, port and prober; what several rows say of one target is merged."""
        keys = self.address.astype(np.uint64) << np.uint64(24)
        keys |= self.protocol.astype(np.uint64) << np.uint64(16)
        keys |= self.port
        if (keys[1:] > keys[:-1]).all():
            return self
        ordered = self.take(np.lexsort((self.prober, keys)))
        begins = np.zeros(len(ordered), dtype=np.bool_)
        begins[:1] = True
        for key in (ordered.address, ordered.protocol, ordered.port, ordered.prober):
            begins[1:] |= key[1:] != key[:-1]
        return ordered if begins.all() else ordered._merged(begins)

    def _merged(self, begins: NDArray[np.bool_]) -> Outcomes:
        """One row for each target, of which the first row `begins` a run of rows."""
        target = np.cumsum(begins) - 1
        # The highest rank wins, of equals the earliest; but any reply tells that somebody is there.
        height = np.where(self.rank == Rank.DOWN, Rank.UNANSWERED, self.rank).astype(np.int64)
        best = np.lexsort((self.time, self.rank != Rank.DOWN, -height, target))
        chosen = self.take(best[begins])
        first = np.flatnonzero(begins)
        chosen.tries[:] = np.add.reduceat(self.tries, first)
        # Where nobody replied, the last probe gives the time; a remark on silence ends with the silence.
        decided = height[best[begins]]
        silent, doubtful = decided == Rank.UNANSWERED, decided <= Rank.FILTERED
        chosen.time[silent] = np.maximum.reduceat(self.time, first)[silent]
        note = np.maximum.reduceat(self.note, first)
        chosen.note[:] = np.where(doubtful | (note == ADDRESS_CONFLICT), note, 0)
        chosen.mac[:] = np.maximum.reduceat(self.mac, first)
        chosen.hint[:] = np.where(silent, np.maximum.reduceat(self.hint, first), 0)
        return chosen


class OutcomeSource(TypingProtocol):
    """Something that knows the outcomes of some addresses."""

    def borders(self, step: int) -> NDArray[np.uint32]:
        """Some of its addresses, ascending from the first on, about `step` outcomes from each to the next."""

    def outcomes(self, first: int, last: int) -> Outcomes:
        """Those of its addresses from `first` to `last`, both included, in any order."""

    def pieces(self) -> Iterator[Outcomes]:
        """All outcomes in order, a bounded number at a time."""
        for first, last in _ranges(self.borders(_AT_ONCE)):
            yield self.outcomes(first, last).in_order()


class Absent(OutcomeSource):
    """Addresses that were found to be down, or that no route leads to: every port of theirs is `down`."""

    def __init__(self, addresses: AddressSet, ports: Iterable[tuple[int, int]], reason: int) -> None:
        """`ports`: what would have been asked, as (IP protocol, port)."""
        self._addresses = addresses
        pairs = list(ports)
        self._protocols = np.array([protocol for protocol, _ in pairs], dtype=np.uint8)
        self._ports = np.array([port for _, port in pairs], dtype=np.uint16)
        self._reason = reason

    def borders(self, step: int) -> NDArray[np.uint32]:
        """As `OutcomeSource`."""
        return address_borders(self._addresses, len(self._ports), step)

    @property
    def size(self) -> int:
        """How many verdicts."""
        return self._addresses.size * len(self._ports)

    def outcomes(self, first: int, last: int) -> Outcomes:
        """As `OutcomeSource`."""
        within = self._addresses & AddressSet.of([(first, last)])
        address = within.chunk(0, within.size)
        return Outcomes.silent(
            np.repeat(address, len(self._ports)),
            np.tile(self._protocols, len(address)),
            np.tile(self._ports, len(address)),
            Rank.DOWN,
            self._reason,
        )


def mac_numbers(macs: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Hardware addresses `(N, 6)` as numbers."""
    wide = np.zeros((len(macs), 8), dtype=np.uint8)
    wide[:, 2:] = macs
    return wide.view(">i8")[:, 0].astype(np.int64)


def absent(addresses: AddressSet, why: Reason, ports: Mapping[Protocol, tuple[int, ...]]) -> Absent:
    """Addresses of which no port will be asked, or was."""
    asked = [(IP_PROTOCOLS[protocol], port) for protocol, listed in ports.items() for port in listed]
    return Absent(addresses, asked, reason_code(why))


def address_borders(addresses: AddressSet, density: int, step: int) -> NDArray[np.uint32]:
    """As `OutcomeSource.borders`, where each address has `density` outcomes at most."""
    return addresses.at(np.arange(0, addresses.size, max(1, step // max(1, density))))


def in_address_order(sources: Iterable[OutcomeSource]) -> Iterator[Outcomes]:
    """All outcomes by address, protocol and port, a bounded number at a time."""
    listed = list(sources)
    if len(listed) == 1:
        yield from listed[0].pieces()
    elif listed:
        step = max(1, _AT_ONCE // len(listed))
        for first, last in _ranges(np.concatenate([source.borders(step) for source in listed])):
            yield Outcomes.concatenate(source.outcomes(first, last) for source in listed).in_order()


def _ranges(borders: NDArray[np.uint32]) -> Iterator[tuple[int, int]]:
    """From each border to the next, and from the last one to the end."""
    firsts = distinct(borders).tolist()
    return zip(firsts, [*(border - 1 for border in firsts[1:]), _LAST_ADDRESS], strict=False)
