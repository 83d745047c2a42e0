"""The neighbour lane: which on-link addresses are there, and at which hardware address (RFC 826, RFC 4861).

Scheduled like any other lane, for ARP and for neighbour solicitations alike. A reply counts where it is
addressed to us and names an address that was asked; the first answer stands, a second one with another
hardware address is counted as a conflict. A group address is nobody's own (RFC 1812, 3.3.2): sent there, one
probe would reach every host of the link.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scanner.core.addresses import AddressSet
from scanner.core.book import AddressBook
from scanner.core.ipv6 import solicited_node
from scanner.core.ledger import Ledger, Replies
from scanner.core.packets import ARP_REPLY, ArpPackets
from scanner.core.rtt import RoundTrip
from scanner.core.rules import Claims, Rank
from scanner.core.schedule import Schedule, Selection
from scanner.core.template import Field, Stamper, Template, Value
from scanner.core.transport import on_wire
from scanner.core.witness import Witness

_GROUP_BIT = 1


class NeighbourLane:
    """Questions for the hardware addresses of addresses; a task is an address.

    macs: `(n, 6)` uint8, meaningful where the ledger's state is not unanswered. contested: `(n,)` bool,
    addresses that two hardware addresses answered for. conflicts: how many such answers there were.
    """

    def __init__(  # noqa: PLR0913 - keywords
        self,
        template: Template,
        *,
        own: tuple[int, bytes],
        addresses: AddressSet,
        seed: int,
        attempts: int,
        round_trip: RoundTrip,
        capacity: int,
        book: AddressBook | None = None,
        witness: Witness | None = None,
    ) -> None:
        """`template` is the question, `own` its SOURCE and SOURCE_MAC. `witness`: is told of what gets lost.

        `book`: that is a neighbour solicitation, and `source` and `addresses` are its numbers.
        """
        self._stamper = Stamper(template, capacity)
        self._source, source_mac = own
        self._book = book
        self._own: NDArray[np.uint32] = np.array([self._source], dtype=np.uint32)
        self._source_mac: NDArray[np.uint8] = np.frombuffer(source_mac, dtype=np.uint8)
        self.addresses = addresses
        self.ledger = Ledger(addresses.size)
        self.schedule = Schedule(self.ledger, seed, attempts, round_trip.timeout)
        self.macs: NDArray[np.uint8] = np.zeros((addresses.size, 6), dtype=np.uint8)
        self.contested: NDArray[np.bool_] = np.zeros(addresses.size, dtype=np.bool_)
        self._round_trip = round_trip
        self._witness = witness or Witness()
        self._over = False
        self.replies = 0
        self.forged = 0
        self.conflicts = 0

    def places(self, tasks: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which of its addresses each task asks for: they are the same."""
        return tasks

    def stamp(self, selection: Selection) -> NDArray[np.uint8]:
        """The questions of a selection: `(N, L)` uint8, valid until the next call."""
        asked = self.addresses.at(selection.tasks)
        values: dict[Field, Value] = {Field.SOURCE_MAC: self._source_mac.tobytes()}
        if self._book is None:
            values |= {Field.SOURCE: self._source, Field.DESTINATION: asked}
        else:
            solicited = on_wire(self._book, asked)
            group = np.empty_like(solicited)
            group[:, 0], group[:, 1] = solicited_node(solicited[:, 1])
            values |= {
                Field.SOURCE: on_wire(self._book, self._own),
                Field.DESTINATION: group,
                Field.SOLICITED: solicited,
            }
        return self._stamper.stamp(len(selection), values)

    def groups(self) -> NDArray[np.uint8]:
        """Where questions go: `(6,)` uint8, everybody; in IPv6 `(n, 6)`, the group of each (RFC 2464, 7)."""
        if self._book is None:
            return np.full(6, 0xFF, dtype=np.uint8)
        low = self._book.halves(self.addresses.chunk(0, self.addresses.size))[2]
        groups = np.full((len(low), 6), 0x33, dtype=np.uint8)
        groups[:, 2] = 0xFF
        groups[:, 3:] = low.astype(">u8").view(np.uint8).reshape(-1, 8)[:, 5:]
        return groups

    def hear(self, _claims: Claims, arp: ArpPackets) -> tuple[NDArray[np.int64], Replies]:
        """Take in answers; returns as `Lane.hear`."""
        task = self.addresses.index_of(arp.sender)
        to_us = arp.target == self._source
        if self._book is None:
            to_us &= (arp.target_mac == self._source_mac).all(axis=1)
        own = arp.sender_mac[:, 0] & _GROUP_BIT == 0
        row = np.flatnonzero((task >= 0) & to_us & own & (arp.operation == ARP_REPLY))
        row = row[self.ledger.tries[task[row]] > 0]
        if self._over:
            row = row[self.ledger.state[task[row]] != Rank.UNANSWERED]
        task = task[row]
        count = len(row)
        known = self.ledger.state[task] != Rank.UNANSWERED
        # Requests carry no mark of their try: only a reply to the first measures the path (Karn).
        first_try = self.ledger.tries[task] == 1
        rtt = arp.times[row] - self.schedule.sent_at(task, np.zeros(count, dtype=np.int64))
        self._round_trip.observe(rtt[first_try & ~known])
        # A neighbour is so near that what comes, comes to the last try.
        fresh, attempt = task[~known], self.ledger.tries[task[~known]].astype(np.int64) - 1
        rank = np.full(len(fresh), Rank.OPEN, dtype=np.uint8)
        self._witness.tell(self.schedule, fresh, attempt, rank, self._round_trip.timeout(0))
        changed = self.ledger.apply(
            Replies(
                task=task,
                rank=np.full(count, Rank.OPEN, dtype=np.uint8),
                reason=np.zeros(count, dtype=np.uint8),
                ttl=np.zeros(count, dtype=np.uint8),
                responder=arp.sender[row],
                times=arp.times[row],
                rtt=rtt,
            )
        )
        # Reversed, so that of two answers in one batch the first is what stays.
        fresh = np.flatnonzero(~known)[::-1]
        self.macs[task[fresh]] = arp.sender_mac[row[fresh]]
        contested = (self.macs[task] != arp.sender_mac[row]).any(axis=1)
        self.contested[task[contested]] = True
        self.conflicts += int(np.count_nonzero(contested))
        self.replies += count
        return arp.frame[row], changed

    def conclude(self) -> AddressSet:
        """The addresses that are there. Other answers come too late from now on; second ones do not."""
        self._over = True
        return AddressSet.from_addresses(self.addresses.at(np.flatnonzero(self.ledger.state)))

    def mac_of(self, addresses: AddressSet) -> NDArray[np.uint8]:
        """Hardware addresses `(N, 6)` of addresses that answered, in order."""
        return self.heard_of(addresses.chunk(0, addresses.size))[0]

    def heard_of(self, addresses: NDArray[np.uint32]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Hardware addresses `(N, 6)` of addresses that answered, and which of them are contested."""
        task = self.addresses.index_of(addresses)
        return self.macs[task], self.contested[task]
