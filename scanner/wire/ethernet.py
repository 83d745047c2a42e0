"""Putting Ethernet headers in front of packets, a whole batch at once.

An Ethernet II header (IEEE 802.3, 3.2): destination address (6 bytes), source address (6),
EtherType (2), then the packet. The arrays are reused from batch to batch, so what was
framed is valid until the next batch is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scanner.contracts import Batch
from scanner.model import UsageError

HEADER_LENGTH = 14
_ADDRESS_LENGTH = 6


class Framer:
    """Frames batches for one interface.

    mac: the six bytes frames come from. mtu: the longest packet in bytes. name: for messages.
    header_length: 14, or 0 where packets travel bare.
    """

    def __init__(self, name: str, mac: bytes, mtu: int, header_length: int = HEADER_LENGTH) -> None:
        """Begin with no memory; the first batch makes it."""
        self._name = name
        self._mac = np.frombuffer(mac, dtype=np.uint8)
        self._mtu = mtu
        self._header_length = header_length
        self._memory = np.empty((0, 0), dtype=np.uint8)

    def frame(self, batch: Batch, next_hops: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The batch as `(N, header + L)` uint8, C-contiguous, valid until the next call.

        next_hops: `(6,)` or `(N, 6)` uint8. Raises UsageError where the packets are not
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
        frames = self._room(count, self._header_length + length)
        if self._header_length:
            frames[:, :6] = next_hops
            frames[:, 6:12] = self._mac
            frames[:, 12] = batch.ethertype >> 8
            frames[:, 13] = batch.ethertype & 0xFF
        frames[:, self._header_length :] = packets
        return frames

    def _room(self, count: int, length: int) -> NDArray[np.uint8]:
        held, width = self._memory.shape
        if held < count or width != length:
            self._memory = np.empty((count, length), dtype=np.uint8)
        return self._memory[:count]
