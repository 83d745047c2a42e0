"""Outcomes: what a sweep or a capture came to, in columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol as TypingProtocol

import numpy as np
from numpy.typing import NDArray

from scanner.core import decode
from scanner.core.addresses import AddressSet
from scanner.core.columns import Columns
from scanner.core.ledger import Ledger
from scanner.core.rules import Rank
from scanner.model import Protocol

PROTOCOLS = {decode.TCP: Protocol.TCP, decode.UDP: Protocol.UDP}
"""Transports by their IP protocol number."""

ABSENT = -1
"""In a signed column: there is no such fact."""

_AT_ONCE = 1 << 17


@dataclass(frozen=True, slots=True)
class Outcomes(Columns):
    """One element a target.

    address: uint32. protocol: uint8. port: uint16. rank: uint8 of `Rank`. reason: uint8.
    ttl: int16, rtt: int64 ns, responder: int64, time: int64 ns; each ABSENT where there is none.
    tries: int64.
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
        )

    def decide(self, tasks: NDArray[np.int64], ledger: Ledger) -> None:
        """Fill in what a ledger decided of some tasks, which are these targets, in growing order."""
        decided = ledger.decisions_of(tasks)
        row = np.searchsorted(tasks, decided.task)
        self.rank[row] = decided.rank
        self.reason[row] = decided.reason
        self.ttl[row] = decided.ttl
        self.rtt[row] = decided.rtt
        self.responder[row] = decided.responder
        self.time[row] = decided.times

    def in_order(self) -> Outcomes:
        """By address, protocol and port."""
        return self.take(np.lexsort((self.port, self.protocol, self.address)))


class OutcomeSource(TypingProtocol):
    """Something that knows the outcomes of some addresses."""

    @property
    def addresses(self) -> AddressSet:
        """Which."""

    @property
    def density(self) -> int:
        """The most outcomes that one address has."""

    def outcomes(self, first: int, last: int) -> Outcomes:
        """Those of its addresses from `first` to `last`, both included, in any order."""


class Absent:
    """Addresses that were found to be down, or that no route leads to: every port of theirs is `down`."""

    def __init__(self, addresses: AddressSet, ports: Iterable[tuple[int, int]], reason: int) -> None:
        """`ports`: what would have been asked, as (IP protocol, port)."""
        self._addresses = addresses
        pairs = list(ports)
        self._protocols = np.array([protocol for protocol, _ in pairs], dtype=np.uint8)
        self._ports = np.array([port for _, port in pairs], dtype=np.uint16)
        self._reason = reason

    @property
    def addresses(self) -> AddressSet:
        """Which."""
        return self._addresses

    @property
    def density(self) -> int:
        """As `OutcomeSource`."""
        return len(self._ports)

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


def in_address_order(sources: Iterable[OutcomeSource]) -> Iterator[Outcomes]:
    """All outcomes by address, protocol and port, a bounded number at a time."""
    listed = list(sources)
    step = max(1, _AT_ONCE // max(1, sum(source.density for source in listed)))
    everything = AddressSet.empty()
    for source in listed:
        everything |= source.addresses
    for offset in range(0, everything.size, step):
        block = everything.chunk(offset, step)
        first, last = int(block[0]), int(block[-1])
        yield Outcomes.concatenate(source.outcomes(first, last) for source in listed).in_order()
