"""Who answered for which address: hardware addresses out of ARP replies and neighbour advertisements."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanner.core.addresses import AddressSet
from scanner.core.columns import Columns
from scanner.core.outcomes import ABSENT, mac_numbers
from scanner.core.packets import ARP_REPLY, ArpPackets
from scanner.core.runs import Runs, Scratch, cuts

_GROUP_BIT = 1


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class _Told(Columns):
    """Who answered for an address, one element each.

    address: uint32. mac: int64, the first one that did. contested: bool, whether another one did, too.
    """

    address: NDArray[np.uint32]
    mac: NDArray[np.int64]
    contested: NDArray[np.bool_]

    def together(self) -> _Told:
        """One element an address, ascending; the first of several stands."""
        address, first, which = np.unique(self.address, return_index=True, return_inverse=True)
        mac = self.mac[first]
        contested = np.zeros(len(first), dtype=np.bool_)
        contested[which[self.contested | (self.mac != mac[which])]] = True
        return _Told(address, mac, contested)


class Presence:
    """Addresses that were answered for; of several hardware addresses the first one stands."""

    def __init__(self, scratch: Scratch, most: int) -> None:
        """Nobody yet. `scratch`: room for what memory does not hold. `most`: what that is."""
        nobody = _Told(np.empty(0, dtype=np.uint32), np.empty(0, dtype=np.int64), np.empty(0, dtype=np.bool_))
        self._most = most
        self._told = Runs(nobody, scratch, most)
        self._samples: NDArray[np.uint64] | None = None

    def add(self, arp: ArpPackets) -> None:
        """Take in packets, later than those before. Raises CaptureError for want of room."""
        row = np.flatnonzero((arp.operation == ARP_REPLY) & (arp.sender_mac[:, 0] & _GROUP_BIT == 0))
        if not len(row):
            return
        each = _Told(arp.sender[row], mac_numbers(arp.sender_mac[row]), np.zeros(len(row), dtype=np.bool_))
        told = each.together()
        self._told.add(told.address.astype(np.uint64), told)
        self._samples = None

    def addresses(self, among: AddressSet) -> AddressSet:
        """Those of some addresses that were answered for."""
        if not among or not self._told.count:
            return AddressSet.empty()
        span = int(among.starts[0]), int(among.ends[-1])
        found = [told.address[among.contains(told.address)] for told in self._between(*span)]
        return AddressSet.from_addresses(np.concatenate(found))

    def of(self, addresses: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Hardware addresses `(N,)` as numbers, ABSENT where nobody answered; and which are contested."""
        mac = np.full(len(addresses), ABSENT, dtype=np.int64)
        contested = np.zeros(len(addresses), dtype=np.bool_)
        if not self._told.count or not len(addresses):
            return mac, contested
        for told in self._between(int(addresses.min()), int(addresses.max())):
            if len(told):
                place = np.minimum(np.searchsorted(told.address, addresses), len(told) - 1)
                known = told.address[place] == addresses
                mac[known], contested[known] = told.mac[place[known]], told.contested[place[known]]
        return mac, contested

    def _between(self, first: int, last: int) -> Iterator[_Told]:
        """What is known of the addresses from one to another, both included, some at a time."""
        if self._samples is None:
            self._samples = self._told.samples()
        ends = np.array([first, last], dtype=np.uint64)
        begin, end = np.searchsorted(self._samples, ends)
        for lower, upper in cuts(self._samples[begin:end], self._most, 0):
            yield self._told.between(max(lower, first), min(upper, last)).together()
