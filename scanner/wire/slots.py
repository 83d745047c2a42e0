"""Having the kernel send the filled slots of a transmit ring, a slice of them at each system call.

This file is also the whole program of a process that does it apart from the one that fills the slots, which
is then free to do something else: it needs the standard library alone, so that it is there in some ten
milliseconds, and never waits for another thread's turn at Python.

    python slots.py RING COMMANDS SLOTS SLOT_SIZE

with the descriptors of the ring's socket and of a SOCK_SEQPACKET on which it is told what to send, and
says what came of it. It ends when that is closed.
"""

from __future__ import annotations

import array
import mmap
import socket
import struct
import sys
import time
from typing import NamedTuple

AVAILABLE = 0
SEND_REQUEST = 1
WRONG_FORMAT = 4
"""TP_STATUS_*, include/uapi/linux/if_packet.h."""

SLICE = 256
"""Frames a system call: the stamp of the last one is at most so many sends too early."""

COMMAND = struct.Struct("=II")
"""First slot, and how many from there on, past the end of the ring at its beginning."""

_HEAD = struct.Struct("=ii")
_STAMP = struct.Struct("=Iq")
_LONGEST = 1 << 16


class Departure(NamedTuple):
    """What came of slots that were to be sent.

    stamps: how many left, and when by the wall clock in ns, a slice after the other; each was taken before
        its slice was handed to the kernel.
    error: errno of what stopped it, 0 for nothing.
    """

    stamps: list[tuple[int, int]]
    error: int = 0

    @property
    def left(self) -> int:
        """How many left."""
        return sum(count for count, _ in self.stamps)

    def pack(self) -> bytes:
        """As one message."""
        head = _HEAD.pack(len(self.stamps), self.error)
        return head + b"".join(_STAMP.pack(count, moment) for count, moment in self.stamps)

    @classmethod
    def unpack(cls, message: bytes) -> Departure:
        """What `pack` made. Raises struct.error for anything else."""
        count, error = _HEAD.unpack_from(message)
        return cls([_STAMP.unpack_from(message, _HEAD.size + k * _STAMP.size) for k in range(count)], error)


class Slots:
    """The slots of one ring, by their status words, the first of each slot."""

    def __init__(self, ring: socket.socket, memory: mmap.mmap, slot_size: int) -> None:
        """`memory`: of the ring; `slot_size` in bytes."""
        self._ring = ring
        words = memoryview(memory).cast("I")
        self._status = words[:: slot_size // words.itemsize]
        self._requests = memoryview(array.array("I", [SEND_REQUEST] * SLICE))
        self._available = memoryview(array.array("I", [AVAILABLE] * SLICE))

    def send(self, first: int, count: int) -> Departure:
        """Send so many slots from the first on, or as many as the kernel takes of them."""
        stamps: list[tuple[int, int]] = []
        slots = len(self._status)
        while count:
            size = min(SLICE, count, slots - first)
            status = self._status[first : first + size]
            status[:] = self._requests[:size]
            error = 0
            moment = time.time_ns()
            try:
                self._ring.send(b"", socket.MSG_DONTWAIT)
            except OSError as failure:
                error = failure.errno or -1
            left = size
            if error or status != self._available[:size]:
                left = _leading(status)
                # The kernel stopped at slot `left` and stands there still. Take the rest back, so that a
                # frame reported as refused cannot leave with the next slice.
                status[left:] = self._available[: size - left]
            if left:
                stamps.append((left, moment))
            if error or left < size:
                return Departure(stamps, error)
            first, count = (first + size) % slots, count - size
        return Departure(stamps)

    def close(self) -> None:
        """Let go of the memory."""
        self._status.release()


def _leading(status: memoryview) -> int:
    """How many of the first slots the kernel took."""
    for place, word in enumerate(status):
        if word in {SEND_REQUEST, WRONG_FORMAT}:
            return place
    return len(status)


def main(ring: int, commands: int, slots: int, slot_size: int) -> None:
    """Send what is asked for, until nobody is left to ask."""
    with socket.socket(fileno=ring) as sending, socket.socket(fileno=commands) as asking:
        kept = Slots(sending, mmap.mmap(ring, slots * slot_size, mmap.MAP_SHARED), slot_size)
        while command := asking.recv(_LONGEST):
            asking.send(kept.send(*COMMAND.unpack(command)).pack())


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
