"""The ARP lane: which on-link addresses are there, and at which hardware address (RFC 826).

Scheduled like any other lane. A reply counts where it is addressed to us and names an address that was
asked; the first answer stands, a second one with another hardware address is counted as a conflict.
A group address is nobody's own (RFC 1812, 3.3.2): sent there, one probe would reach every host of the link.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scanner.core.addresses import AddressSet
from scanner.core.ledger import Ledger, Replies
from scanner.core.packets import ARP_REPLY, ArpPackets
from scanner.core.rtt import RoundTrip
from scanner.core.rules import Claims, Rank
from scanner.core.schedule import Schedule, Selection
from scanner.core.template import Field, Stamper, Template

_GROUP_BIT = 1


class ArpLane:
    """ARP requests to addresses; a task is an address.

    macs: `(n, 6)` uint8, meaningful where the ledger's state is not unanswered.
    """

    def __init__(
        self,
        template: Template,
        *,
        source: int,
        source_mac: bytes,
        addresses: AddressSet,
        seed: int,
        attempts: int,
        round_trip: RoundTrip,
        capacity: int,
    ) -> None:
        """`template` is the request's body, with SOURCE and SOURCE_MAC ours, DESTINATION asked for."""
        self._stamper = Stamper(template, capacity)
        self._source = source
        self._source_mac: NDArray[np.uint8] = np.frombuffer(source_mac, dtype=np.uint8)
        self.addresses = addresses
        self.ledger = Ledger(addresses.size)
        self.schedule = Schedule(self.ledger, seed, attempts, round_trip.timeout)
        self.macs: NDArray[np.uint8] = np.zeros((addresses.size, 6), dtype=np.uint8)
        self._round_trip = round_trip
        self.replies = 0
        self.forged = 0
        self.conflicts = 0

    def stamp(self, selection: Selection) -> NDArray[np.uint8]:
        """The requests of a selection: `(N, 28)` uint8, valid until the next call."""
        values: dict[Field, NDArray[np.unsignedinteger] | int | bytes] = {
            Field.SOURCE: self._source,
            Field.SOURCE_MAC: self._source_mac.tobytes(),
            Field.DESTINATION: self.addresses.at(selection.tasks),
        }
        return self._stamper.stamp(len(selection), values)

    def hear(self, _claims: Claims, arp: ArpPackets) -> tuple[NDArray[np.int64], Replies]:
        """Take in ARP packets; returns as `Lane.hear`."""
        task = self.addresses.index_of(arp.sender)
        to_us = (arp.target == self._source) & (arp.target_mac == self._source_mac).all(axis=1)
        own = arp.sender_mac[:, 0] & _GROUP_BIT == 0
        row = np.flatnonzero((task >= 0) & to_us & own & (arp.operation == ARP_REPLY))
        row = row[self.ledger.tries[task[row]] > 0]
        task = task[row]
        count = len(row)
        known = self.ledger.state[task] != Rank.UNANSWERED
        # Requests carry no mark of their try: only a reply to the first measures the path (Karn).
        first_try = self.ledger.tries[task] == 1
        rtt = arp.times[row] - self.schedule.sent_at(task, np.zeros(count, dtype=np.int64))
        self._round_trip.observe(rtt[first_try & ~known])
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
        self.conflicts += int(np.count_nonzero((self.macs[task] != arp.sender_mac[row]).any(axis=1)))
        self.replies += count
        return arp.frame[row], changed

    def answered(self) -> AddressSet:
        """The addresses that are there."""
        return AddressSet.from_addresses(self.addresses.at(np.flatnonzero(self.ledger.state)))

    def mac_of(self, addresses: AddressSet) -> NDArray[np.uint8]:
        """Hardware addresses `(N, 6)` of addresses that answered, in order."""
        return self.macs[self.addresses.index_of(addresses.chunk(0, addresses.size))]
