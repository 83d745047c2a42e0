"""The way out: a PACKET_TX_RING in memory shared with the kernel, version 2.

Frames are written into slots by NumPy, and one system call after the other tells the kernel to go through a
slice of them (`slots.py`), here or in a process apart. A slot tells afterwards what became of it, and that,
not what was asked for, is what is reported.

PACKET_LOSS stays off on purpose: with it the kernel skips a frame it does not like and
marks its slot as if the frame had left.

Layout of a slot (struct tpacket2_hdr, include/uapi/linux/if_packet.h), byte offsets:

     0  u32 tp_status
     4  u32 tp_len
    ..  (unused on the way out)
    32  the frame: TPACKET2_HDRLEN less struct sockaddr_ll
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import struct

import numpy as np
from numpy.typing import NDArray

from scanner.model import WireError
from scanner.wire.apart import SendingProcess
from scanner.wire.interface import describe_interface, require_up
from scanner.wire.letting_go import let_go
from scanner.wire.packet_socket import (
    PACKET_QDISC_BYPASS,
    PACKET_TX_RING,
    PACKET_VERSION,
    SOL_PACKET,
    TPACKET_V2,
    open_packet_socket,
)
from scanner.wire.slots import AVAILABLE, Departure, Slots

_FRAME_PLACE = 32
_MOST_SLOTS = 1 << 15
_MOST_BYTES = 1 << 24
_LEAST_SLOTS = 256
_LEAST_BLOCK = 1 << 16

SHORT_SLOT = 128
"""Bytes of the smallest slot in use: it holds frames of up to 96 bytes."""

WORTH_A_PROCESS = 512
"""Frames; fewer have left before another process has woken up."""

_REFUSALS = frozenset({errno.ENOBUFS, errno.EAGAIN})


def slot_size_for(frame_length: int) -> int:
    """Bytes of the slot that holds a frame of that length: a power of two, at least 128."""
    return max(SHORT_SLOT, 1 << (_FRAME_PLACE + frame_length - 1).bit_length())


class TransmitRing:
    """Slots of one size on one interface: loaded, sent, and waited for, in turns.

    While what was loaded is on its way, more can be loaded behind it; what is loaded twice, the second time
    takes the place of the first.

    Raises UsageError without CAP_NET_RAW, WireError where the interface is gone or down or
    the kernel has no memory for the ring.
    """

    def __init__(self, interface: str, slot_size: int, *, apart: bool = False) -> None:
        """Make a ring of `slot_size` bytes a slot; see `slot_size_for`.

        `apart`: have many frames sent by a process of its own, where one can be had.
        """
        self._name = interface
        self._count = max(_LEAST_SLOTS, min(_MOST_SLOTS, _MOST_BYTES // slot_size))
        self._head = 0
        self._frames = self._next = np.empty((0, 0), dtype=np.uint8)
        self._laid = 0
        self._laid_at = -1
        self._flying = 0
        self._departure: Departure | None = None
        self._process: SendingProcess | None = None
        self._socket = open_packet_socket()
        try:
            describe_interface(self._socket, interface)
            self._map = self._set_up(slot_size)
        except BaseException:
            self._socket.close()
            raise
        octets = np.frombuffer(self._map, dtype=np.uint8).reshape(self._count, slot_size)
        words = octets.view(np.uint32)
        self._status: NDArray[np.uint32] = words[:, 0]
        self._lengths: NDArray[np.uint32] = words[:, 1]
        self._room: NDArray[np.uint8] = octets[:, _FRAME_PLACE:]
        self._slots = Slots(self._socket, self._map, slot_size)
        if apart and SendingProcess.possible():
            with contextlib.suppress(OSError):
                self._process = SendingProcess(self._socket, self._count, slot_size)

    def load(self, frames: NDArray[np.uint8]) -> None:
        """Write frames, `(N, L)`, into slots, as far as there is room. Until their end, they must stay."""
        self._next = frames
        self._laid_at = (self._head + self._flying) % self._count
        self._laid = self._lay_in(frames)

    def begin(self) -> None:
        """Begin to send what was loaded last; nothing may be on its way. Raises WireError."""
        # The batch before may have left in part, or have taken more slots when they came free.
        count = self._laid if self._laid_at == self._head else self._lay_in(self._next)
        self._frames, self._next, self._laid_at, self._flying = self._next, self._frames[:0], -1, count
        if self._process is not None and count >= WORTH_A_PROCESS and self._process.ready():
            self._process.begin(self._head, count)
            self._departure = None
        else:
            self._departure = self._slots.send(self._head, count)

    def end(self) -> NDArray[np.int64]:
        """Wait until what was begun has left, as far as it will.

        Returns the wall-clock times in ns, `(M,)`, of the M frames that left, each taken
        before its slice was handed to the kernel. Raises WireError where the interface is
        down or gone, or the kernel calls a frame malformed; where frames had already left by
        then they are returned, and the next call raises.
        """
        departure = self._departure
        if departure is None:
            departure = self._process.outcome() if self._process else Departure([])
        stamps = self._landed(departure)
        while departure.left == self._flying and (rest := self._frames[_left(stamps) :]).size:
            # There were more than fit; nothing is on its way now.
            self._flying, self._laid_at = 0, -1
            self._flying = self._lay_in(rest)
            if not self._flying:
                break
            departure = self._slots.send(self._head, self._flying)
            stamps += self._landed(departure)
        self._flying = 0
        if not stamps and len(self._frames):
            self._explain(departure.error)
        counts = [count for count, _ in stamps]
        return np.repeat(np.array([moment for _, moment in stamps], dtype=np.int64), counts)

    def close(self) -> None:
        """Give the ring back, when what was begun has left."""
        del self._status, self._lengths, self._room
        ended = () if self._process is None else (self._process.close,)
        let_go(*ended, self._slots.close, self._map.close, self._socket.close)

    def _lay_in(self, frames: NDArray[np.uint8]) -> int:
        """Write the first frames into slots behind those on their way, as far as they are free. How many."""
        first = (self._head + self._flying) % self._count
        # Slots on their way look free until their slice is asked for.
        frames = frames[: self._count - self._flying]
        before_end = min(len(frames), self._count - first)
        laid = self._lay_row(first, frames[:before_end])
        if laid == before_end < len(frames):
            laid += self._lay_row(0, frames[before_end:])
        return laid

    def _lay_row(self, first: int, frames: NDArray[np.uint8]) -> int:
        room = _leading(self._status[first : first + len(frames)] == AVAILABLE)
        self._room[first : first + room, : frames.shape[1]] = frames[:room]
        self._lengths[first : first + room] = frames.shape[1]
        return room

    def _landed(self, departure: Departure) -> list[tuple[int, int]]:
        self._head = (self._head + departure.left) % self._count
        return departure.stamps

    def _explain(self, error: int) -> None:
        """Raise WireError where nothing left and nothing will; return where it was congestion."""
        require_up(self._socket, self._name)
        if not error or error in _REFUSALS:
            return
        reason = os.strerror(error)
        raise WireError(f"sending {self._frames.shape[1]} byte frames on {self._name} failed: {reason}")

    def _set_up(self, slot_size: int) -> mmap.mmap:
        block = max(_LEAST_BLOCK, slot_size)
        size = self._count * slot_size
        # struct tpacket_req: tp_block_size, tp_block_nr, tp_frame_size, tp_frame_nr
        request = struct.pack("IIII", block, size // block, slot_size, self._count)
        try:
            self._socket.setsockopt(SOL_PACKET, PACKET_VERSION, TPACKET_V2)
            self._socket.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
            self._socket.setsockopt(SOL_PACKET, PACKET_TX_RING, request)
            memory = mmap.mmap(self._socket.fileno(), size, mmap.MAP_SHARED)
            self._socket.bind((self._name, 0))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise WireError(f"no transmit ring on {self._name}: {reason}") from None
        return memory


def _left(stamps: list[tuple[int, int]]) -> int:
    return sum(count for count, _ in stamps)


def _leading(true: NDArray[np.bool_]) -> int:
    """How many of the first values are True, in a row."""
    return len(true) if true.all() else int(true.argmin())
