"""The way in: a TPACKET_V3 receive ring in memory shared with the kernel.

The kernel fills a block with frames and hands it over when it is full or when
`retire_after` has passed; we read it where it lies, and hand it back at the next
`receive`. The socket belongs to no protocol until its filter and its ring stand, so
nothing unfiltered ever enters.

Checksums are not looked at: frames that never touched a cable (veth, loopback) carry
unfinished ones, which the kernel marks TP_STATUS_CSUMNOTREADY.

Needs Linux 4.20 or newer, for PACKET_IGNORE_OUTGOING.

Source: Documentation/networking/packet_mmap.rst, include/uapi/linux/if_packet.h.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import select
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scanner.contracts import Frames
from scanner.model import WireError
from scanner.wire.bpf import REJECT_ALL, Instruction, replies_filter
from scanner.wire.interface import Interface, describe_interface
from scanner.wire.letting_go import let_go
from scanner.wire.packet_socket import (
    ETH_P_ALL,
    PACKET_IGNORE_OUTGOING,
    PACKET_RX_RING,
    PACKET_STATISTICS,
    PACKET_VERSION,
    SOL_PACKET,
    TPACKET_V3,
    attach_filter,
    open_packet_socket,
)
from scanner.wire.tpacket_v3 import BLOCK_STATUS_WORD, RingMemory, no_frames

_TP_STATUS_KERNEL = 0
_TP_STATUS_USER = 1


@dataclass(frozen=True, slots=True)
class RingOptions:
    """The receive ring's measures; `block_size * blocks` bytes of kernel memory are used.

    block_size: `tp_block_size` of struct tpacket_req3, bytes; a power of two, at least a page.
        Larger blocks are handed over less often under load; a frame longer than a block
        would be cut.
    blocks: `tp_block_nr`. A block with a single frame in it is as taken as a full one, so
        `blocks * retire_after` is how long the reader may stay away while little comes in.
    retire_after: `tp_retire_blk_tov`, milliseconds: the longest a reply waits in a block
        that is not full. Kernels without high-resolution timers here round it up to a tick.
    """

    block_size: int = 1 << 17
    blocks: int = 256
    retire_after: int = 1


class ReceiveRing:
    """Frames that come in on one interface and pass a filter.

    Not a wire by itself: the wires of this package receive through one. Raises UsageError
    without CAP_NET_RAW, WireError where the interface is gone or down or the kernel has no
    memory for the ring.
    """

    def __init__(
        self,
        interface: str,
        program: Sequence[Instruction] | None = None,
        options: RingOptions | None = None,
    ) -> None:
        """Open the ring on `interface`.

        program: classic BPF of what may enter; None for what may be a reply to a probe.
        """
        self._options = options or RingOptions()
        self._closed = False
        self._received = 0
        self._dropped = 0
        self._next = 0
        self._held: list[int] = []
        self._socket = open_packet_socket()
        try:
            self._interface = describe_interface(self._socket, interface)
            self._map = self._set_up(program)
        except BaseException:
            self._socket.close()
            raise
        self._memory: RingMemory | None = RingMemory(np.frombuffer(self._map, dtype=np.uint8))
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)

    @property
    def interface(self) -> Interface:
        """The interface as it was when the ring was opened."""
        return self._interface

    @property
    def link_type(self) -> int:
        """LINKTYPE_ value of the frames."""
        return self._interface.link_type

    def receive(self, timeout: float) -> Frames:
        """All frames the kernel has handed over; where there are none, wait up to `timeout` s.

        The frames' buffer is the ring itself, valid until the next call. Raises WireError
        where the interface went down or away.
        """
        memory = self._open_memory()
        self._give_back(memory)
        blocks = self._take(memory)
        if not blocks:
            self._wait(timeout)
            blocks = self._take(memory)
        if not blocks:
            return no_frames(self.link_type)
        frames = memory.frames((block * self._options.block_size for block in blocks), self.link_type)
        self._received += len(frames)
        return frames

    def counts(self) -> tuple[int, int]:
        """Frames received, and frames the kernel had no room for (PACKET_STATISTICS)."""
        self._open_memory()
        # struct tpacket_stats_v3: tp_packets, tp_drops, tp_freeze_q_cnt; reading resets them.
        _, drops, _ = struct.unpack("III", self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 12))
        self._dropped += drops
        return self._received, self._dropped

    def fileno(self) -> int:
        """For select(2).

        Readable when `receive` has something, and also while blocks of the last `receive`
        wait to be handed back: then the next `receive` may return nothing, once.
        """
        self._open_memory()
        return self._socket.fileno()

    def close(self) -> None:
        """Give the ring back. Frames still held stay readable; twice is fine."""
        if self._closed:
            return
        self._closed = True
        # As long as someone holds frames, the mapping keeps the socket alive in the kernel:
        # let it take nothing more in.
        with contextlib.suppress(WireError):
            attach_filter(self._socket, REJECT_ALL)
        self._memory = None
        let_go(self._map.close, self._socket.close)  # with frames held, the mapping goes with the last

    def _set_up(self, program: Sequence[Instruction] | None) -> mmap.mmap:
        interface, options = self._interface, self._options
        attach_filter(self._socket, program or replies_filter(interface.header_length))
        # struct tpacket_req3; tp_frame_size has no meaning in V3 but must divide the block.
        request = struct.pack(
            "IIIIIII",
            options.block_size,
            options.blocks,
            2048,
            options.block_size // 2048 * options.blocks,
            options.retire_after,
            0,
            0,
        )
        try:
            self._socket.setsockopt(SOL_PACKET, PACKET_VERSION, TPACKET_V3)
            self._socket.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
            self._socket.setsockopt(SOL_PACKET, PACKET_RX_RING, request)
            memory = mmap.mmap(self._socket.fileno(), options.block_size * options.blocks, mmap.MAP_SHARED)
            self._socket.bind((interface.name, ETH_P_ALL))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise WireError(f"no receive ring on {interface.name}: {reason}") from None
        return memory

    def _open_memory(self) -> RingMemory:
        if self._memory is None:
            raise WireError(f"the wire on {self._interface.name} is closed")
        return self._memory

    def _give_back(self, memory: RingMemory) -> None:
        for block in self._held:
            memory.words[self._status_word(block)] = _TP_STATUS_KERNEL
        self._held = []

    def _take(self, memory: RingMemory) -> list[int]:
        """Blocks that are ours now, in the order in which the kernel filled them."""
        taken: list[int] = []
        while len(taken) < self._options.blocks:
            if not memory.scalars[self._status_word(self._next)] & _TP_STATUS_USER:
                break
            taken.append(self._next)
            self._next = (self._next + 1) % self._options.blocks
        self._held = taken
        return taken

    def _status_word(self, block: int) -> int:
        return (block * self._options.block_size >> 2) + BLOCK_STATUS_WORD

    def _wait(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while True:
            remaining = max(0.0, deadline - time.monotonic())
            events = self._poll.poll(remaining * 1000)
            if any(event & select.POLLERR for _, event in events):
                self._raise_socket_error()
            if events or remaining == 0.0:
                return

    def _raise_socket_error(self) -> None:
        number = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        name = self._interface.name
        if number in {errno.ENETDOWN, errno.ENODEV, errno.ENXIO}:
            raise WireError(f"interface {name} went down or away")
        if number:
            raise WireError(f"receiving on {name} failed: {errno.errorcode.get(number, number)}")
