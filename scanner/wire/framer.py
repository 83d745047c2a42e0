"""Putting link headers in front of packets, a whole batch at once.

    Ethernet II (IEEE 802.3, 3.2)       destination address (6 bytes), source address (6), EtherType (2)
    LINKTYPE_NULL, LINKTYPE_LOOP        address family (4), in the host's order and in the network's
    LINKTYPE_RAW                        nothing

The arrays are reused from batch to batch, so what was framed is valid until the next batch is.
"""

from __future__ import annotations

import socket
import sys

import numpy as np
from numpy.typing import NDArray

from scanner.contracts import ETHERTYPE_IPV6, Batch
from scanner.model import UsageError
from scanner.wire.interface import (
    HEADER_LENGTHS,
    LINKTYPE_ETHERNET,
    LINKTYPE_LOOP,
    LINKTYPE_NULL,
)

_ADDRESS_LENGTH = 6
_NO_ADDRESS = bytes(_ADDRESS_LENGTH)

_AF_INET = 2
_NPCAP_AF_INET6 = 24


class Framer:
    """Frames batches for one interface.

    name: for messages. mac: the six bytes frames come from, where they say so. mtu: the longest
    packet in bytes. link_type: LINKTYPE_ value of the frames, one of `HEADER_LENGTHS`.
    """

    def __init__(
        self, name: str, mac: bytes = _NO_ADDRESS, mtu: int = 1500, link_type: int = LINKTYPE_ETHERNET
    ) -> None:
        """Begin with no memory; the first batch makes it."""
        self._name = name
        self._mac = np.frombuffer(mac, dtype=np.uint8)
        self._mtu = mtu
        self._link_type = link_type
        self._memory = np.empty((0, 0), dtype=np.uint8)

    @property
    def header_length(self) -> int:
        """Bytes in front of each packet."""
        return HEADER_LENGTHS[self._link_type]

    def frame(self, batch: Batch, next_hops: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The batch as `(N, header + L)` uint8, C-contiguous, valid until the next call.

        next_hops: `(6,)` or `(N, 6)` uint8, for Ethernet. Raises UsageError where the packets are not
        `(N, L)` bytes, are longer than the MTU, or the next hops do not match them.
        """
        packets = batch.packets
        if packets.ndim != 2 or packets.dtype != np.uint8:
            raise UsageError(f"a batch is (N, L) uint8, not {packets.shape} {packets.dtype}")
        count, length = packets.shape
        if length > self._mtu:
            raise UsageError(f"packets of {length} bytes do not fit interface {self._name} (MTU {self._mtu})")
        if next_hops.shape not in {(_ADDRESS_LENGTH,), (count, _ADDRESS_LENGTH)}:
            raise UsageError(f"next hops are (6,) or ({count}, 6) uint8, not {next_hops.shape}")
        frames = self._room(count, self.header_length + length)
        if self._link_type == LINKTYPE_ETHERNET:
            frames[:, :6] = next_hops
            frames[:, 6:12] = self._mac
            frames[:, 12] = batch.ethertype >> 8
            frames[:, 13] = batch.ethertype & 0xFF
        elif self._link_type in {LINKTYPE_NULL, LINKTYPE_LOOP}:
            order = ">u4" if self._link_type == LINKTYPE_LOOP else "=u4"
            frames[:, :4] = np.array([_family(batch.ethertype)], dtype=order).view(np.uint8)
        frames[:, self.header_length :] = packets
        return frames

    def _room(self, count: int, length: int) -> NDArray[np.uint8]:
        held, width = self._memory.shape
        if held < count or width != length:
            self._memory = np.empty((count, length), dtype=np.uint8)
        return self._memory[:count]


def _family(ethertype: int) -> int:
    """The number that this system has for the address family; Npcap's is not that of Windows."""
    if ethertype != ETHERTYPE_IPV6:
        return _AF_INET
    return _NPCAP_AF_INET6 if sys.platform == "win32" else int(socket.AF_INET6)
