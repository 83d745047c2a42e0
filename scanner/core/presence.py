"""Who answered for which address: hardware addresses out of ARP replies and neighbour advertisements."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scanner.core.addresses import AddressSet
from scanner.core.outcomes import ABSENT, mac_numbers
from scanner.core.packets import ARP_REPLY, ArpPackets

_GROUP_BIT = 1


class Presence:
    """Addresses that were answered for; of several hardware addresses the first one stands."""

    def __init__(self) -> None:
        """Nobody yet."""
        self._address: NDArray[np.uint32] = np.empty(0, dtype=np.uint32)
        self._mac: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._contested: NDArray[np.bool_] = np.empty(0, dtype=np.bool_)

    def add(self, arp: ArpPackets) -> None:
        """Take in packets, later than those before."""
        row = np.flatnonzero((arp.operation == ARP_REPLY) & (arp.sender_mac[:, 0] & _GROUP_BIT == 0))
        if not len(row):
            return
        address = np.concatenate([self._address, arp.sender[row]])
        mac = np.concatenate([self._mac, mac_numbers(arp.sender_mac[row])])
        contested = np.concatenate([self._contested, np.zeros(len(row), dtype=np.bool_)])
        self._address, first, which = np.unique(address, return_index=True, return_inverse=True)
        self._mac = mac[first]
        self._contested = np.zeros(len(first), dtype=np.bool_)
        self._contested[which[contested | (mac != self._mac[which])]] = True

    def addresses(self) -> AddressSet:
        """Those that were answered for."""
        return AddressSet.from_addresses(self._address)

    def of(self, addresses: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Hardware addresses `(N,)` as numbers, ABSENT where nobody answered; and which are contested."""
        if not len(self._address):
            return np.full(len(addresses), ABSENT, dtype=np.int64), np.zeros(len(addresses), dtype=np.bool_)
        place = np.minimum(np.searchsorted(self._address, addresses), len(self._address) - 1)
        known = self._address[place] == addresses
        return np.where(known, self._mac[place], ABSENT), known & self._contested[place]
