"""CRC32c, the checksum of SCTP (RFC 9260, appendix A), for batches of packets that differ in few bytes.

A CRC is linear: that of a packet is that of the packet with its varying bytes zero, and for each of those
exclusive-or what the byte adds at its place. So a batch costs one look-up a varying byte.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

_REVERSED = 0x82F6_3B78
"""Castagnoli's polynomial, its bits reversed."""

_ALL = 0xFFFF_FFFF


def _byte_table() -> NDArray[np.uint32]:
    """What one byte makes of an empty register."""
    register = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        register = (register >> np.uint32(1)) ^ (register & np.uint32(1)) * np.uint32(_REVERSED)
    return register


def crc32c(data: bytes) -> int:
    """The CRC of some bytes; sent least significant byte first."""
    table = _byte_table().tolist()
    register = _ALL
    for byte in data:
        register = register >> 8 ^ table[(register ^ byte) & 0xFF]
    return register ^ _ALL


class BatchCrc32c:
    """The CRCs of packets that are one packet, but for some bytes."""

    def __init__(self, packet: bytes, varying: Iterable[int]) -> None:
        """`packet`: what is covered. `varying`: the places of the bytes that differ, which are zero in it."""
        self._constant = np.uint32(crc32c(packet))
        self._tables: dict[int, NDArray[np.uint32]] = {}
        bytes_table = _byte_table()
        wanted = set(varying)
        table = bytes_table.copy()
        # From the last byte backwards: each byte behind moves what was added on by eight bits.
        for place in range(len(packet) - 1, -1, -1):
            if place in wanted:
                self._tables[place] = table.copy()
            table = (table >> np.uint32(8)) ^ bytes_table[table & np.uint32(0xFF)]

    def of(self, rows: NDArray[np.uint8]) -> NDArray[np.uint32]:
        """The CRC of each row: `(N, L)` uint8, what is covered of each packet."""
        crc = np.full(len(rows), self._constant, dtype=np.uint32)
        for place, table in self._tables.items():
            crc ^= table[rows[:, place]]
        return crc
