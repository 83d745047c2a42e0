"""The way out: a PACKET_TX_RING in memory shared with the kernel, version 2.

Frames are written into slots by NumPy, one slice of slots at a time, and one `send` tells
the kernel to go through them. A slot tells afterwards what became of it, and that, not
what was asked for, is what is reported.

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
import socket
import struct
import time

import numpy as np
from numpy.typing import NDArray

from scanner.model import WireError
from scanner.wire.interface import describe_interface, require_up
from scanner.wire.packet_socket import (
    PACKET_QDISC_BYPASS,
    PACKET_TX_RING,
    PACKET_VERSION,
    SOL_PACKET,
    TPACKET_V2,
    open_packet_socket,
)

_TP_STATUS_AVAILABLE = 0
_TP_STATUS_SEND_REQUEST = 1
_TP_STATUS_WRONG_FORMAT = 4

_FRAME_PLACE = 32
_RING_BYTES = 1 << 21  # 16 384 slots of 128 bytes
_LEAST_SLOTS = 256
_LEAST_BLOCK = 1 << 16

SHORT_SLOT = 128
"""Bytes of the smallest slot in use: it holds frames of up to 96 bytes."""

SLICE = 256
"""Frames a system call: the stamp of the last one is at most so many sends too early."""

_REFUSALS = frozenset({errno.ENOBUFS, errno.EAGAIN})


def slot_size_for(frame_length: int) -> int:
    """Bytes of the slot that holds a frame of that length: a power of two, at least 128."""
    return max(SHORT_SLOT, 1 << (_FRAME_PLACE + frame_length - 1).bit_length())


class TransmitRing:
    """Slots of one size on one interface.

    Raises UsageError without CAP_NET_RAW, WireError where the interface is gone or down or
    the kernel has no memory for the ring.
    """

    def __init__(self, interface: str, slot_size: int) -> None:
        """Make a ring of `slot_size` bytes a slot; see `slot_size_for`."""
        self._name = interface
        self._slots = max(_LEAST_SLOTS, _RING_BYTES // slot_size)
        self._head = 0
        self._socket = open_packet_socket()
        try:
            describe_interface(self._socket, interface)
            self._map = self._set_up(slot_size)
        except BaseException:
            self._socket.close()
            raise
        octets = np.frombuffer(self._map, dtype=np.uint8).reshape(self._slots, slot_size)
        words = octets.view(np.uint32)
        self._status: NDArray[np.uint32] = words[:, 0]
        self._lengths: NDArray[np.uint32] = words[:, 1]
        self._frames: NDArray[np.uint8] = octets[:, _FRAME_PLACE:]

    def send(self, frames: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Send the first frames of `(N, L)` for which there is room, in slices.

        Returns the wall-clock times in ns, `(M,)`, of the M frames that left, each taken
        before its slice was handed to the kernel. Raises WireError where the interface is
        down or gone, or the kernel calls a frame malformed; where frames had already left by
        then they are returned, and the next call raises.
        """
        times = np.empty(len(frames), dtype=np.int64)
        done = 0
        failure: OSError | None = None
        while done < len(frames) and failure is None:
            first = self._head
            wanted = min(SLICE, len(frames) - done, self._slots - first)
            room = _leading(self._status[first : first + wanted] == _TP_STATUS_AVAILABLE)
            if not room:
                break
            now = time.time_ns()
            left, failure = self._send_slice(frames[done : done + room])
            times[done : done + left] = now
            done += left
        if done == 0 and len(frames):
            self._explain(failure, frames.shape[1])
        return times[:done]

    def close(self) -> None:
        """Give the ring back."""
        del self._status, self._lengths, self._frames
        with contextlib.suppress(BufferError):
            self._map.close()
        self._socket.close()

    def _send_slice(self, frames: NDArray[np.uint8]) -> tuple[int, OSError | None]:
        first, last = self._head, self._head + len(frames)
        self._frames[first:last, : frames.shape[1]] = frames
        self._lengths[first:last] = frames.shape[1]
        status = self._status[first:last]
        status[:] = _TP_STATUS_SEND_REQUEST
        failure: OSError | None = None
        try:
            self._socket.send(b"", socket.MSG_DONTWAIT)
        except OSError as error:
            failure = error
        left = _leading((status != _TP_STATUS_SEND_REQUEST) & (status != _TP_STATUS_WRONG_FORMAT))
        # The kernel stopped at slot `left` and stands there still. Take the rest back, so that a
        # frame reported as refused cannot leave with the next slice.
        status[left:] = _TP_STATUS_AVAILABLE
        self._head = (first + left) % self._slots
        return left, failure

    def _explain(self, failure: OSError | None, frame_length: int) -> None:
        """Raise WireError where nothing left and nothing will; return where it was congestion."""
        require_up(self._socket, self._name)
        if failure is None or failure.errno in _REFUSALS:
            return
        raise WireError(f"sending {frame_length} byte frames on {self._name} failed: {failure.strerror}")

    def _set_up(self, slot_size: int) -> mmap.mmap:
        block = max(_LEAST_BLOCK, slot_size)
        size = self._slots * slot_size
        # struct tpacket_req: tp_block_size, tp_block_nr, tp_frame_size, tp_frame_nr
        request = struct.pack("IIII", block, size // block, slot_size, self._slots)
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


def _leading(true: NDArray[np.bool_]) -> int:
    """How many of the first values are True, in a row."""
    return len(true) if true.all() else int(true.argmin())
