"""The portable wire: Scapy's layer-2 sockets, for macOS, the BSDs and Windows; on Linux for who asks for it.

Slower than the rings by an order of magnitude: a system call and some Python for each packet. On
Linux, what has no Ethernet header is sent through the kernel's IP output: frames that are put on
loopback are dropped there as martians.
"""

from __future__ import annotations

import errno
import socket
import sys
import time

import numpy as np
from numpy.typing import NDArray

from scanner.contracts import Batch, Frames, Sent, WireStatistics
from scanner.model import UsageError, WireError
from scanner.wire.at_once import SendsAtOnce
from scanner.wire.framer import Framer
from scanner.wire.interface import (
    LINKTYPE_ETHERNET,
    LINKTYPE_LOOP,
    LINKTYPE_NULL,
    LINKTYPE_RAW,
    Interface,
    describe_interface,
)
from scanner.wire.kernel_output import KernelOutput
from scanner.wire.scapy_handles import RESOLUTION, Handle, open_handle
from scanner.wire.tpacket_v3 import no_frames

_SLICE = 64
"""Frames sent before what came in meanwhile is fetched: the kernel's buffers for these sockets are small."""

_MOST_HELD = 1 << 16
_CONGESTION = frozenset({errno.ENOBUFS, errno.EAGAIN})

# https://www.tcpdump.org/linktypes.html says which number is whose.
_LINK_TYPES = {
    0: LINKTYPE_NULL,
    1: LINKTYPE_ETHERNET,
    12: LINKTYPE_RAW,
    14: LINKTYPE_RAW,
    101: LINKTYPE_RAW,
    108: LINKTYPE_LOOP,
}
_OPENBSD_LOOP = 12


class ScapySocket(SendsAtOnce):
    """A `scanner.contracts.Wire` over one of Scapy's sockets.

    interface: as Scapy names it. mac: our hardware address, None where there is no Ethernet header.
    mtu: the longest packet in bytes. Raises UsageError without the privilege or without what Scapy
    needs here, WireError where the interface is gone, down or of a kind that is not spoken.
    """

    def __init__(self, interface: str, mac: bytes | None, mtu: int) -> None:
        """Open the socket."""
        self._name = interface
        self._mac = mac
        self._pending: list[tuple[bytes, int]] = []
        self._sent = self._refused = self._received = 0
        self._kernel: KernelOutput | None = None
        # Opened here and kept: what it is asked later is answered from this network namespace.
        self._asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._handle: Handle | None = None
        try:
            described = self._describe()
            self._handle = open_handle(interface)
            self._link_type = described.link_type if described else link_type_of(self._handle, interface)
            if described is not None and mac is None:
                self._kernel = KernelOutput(described)
        except BaseException:
            self.close()
            raise
        self._framer = Framer(interface, mac or bytes(6), mtu, self._link_type)

    @property
    def link_type(self) -> int:
        """LINKTYPE_ value of the frames: Ethernet, or what this system has on loopback and tunnels."""
        return self._link_type

    def send(self, batch: Batch) -> Sent:
        """Send the first frames of the batch for which there is room; the rest counts as refused.

        Raises WireError where the interface is down or gone, UsageError for a batch without next
        hops, where they are needed, or longer than the MTU.
        """
        handle = self._open_handle()
        hops = batch.next_hops
        if hops is None:
            if self._mac is not None:
                raise UsageError(f"packets on {self._name} need next hops (hardware addresses)")
            hops = np.zeros(6, dtype=np.uint8)
        frames = self._framer.frame(batch, hops)
        kept_in = 0
        if self._kernel is None:
            times = self._write(handle, frames)
        else:
            times, kept_in = self._kernel.send(frames[:, self._framer.header_length :], batch.ethertype)
            times -= times % RESOLUTION
        self._sent += len(times) - kept_in
        self._refused += len(frames) - len(times) + kept_in
        return Sent(frames=frames[: len(times)], times=times)

    def receive(self, timeout: float) -> Frames:
        """All frames that have come in; where there are none, wait up to `timeout` seconds.

        Raises WireError where the interface went down or away.
        """
        handle = self._open_handle()
        self._fetch(handle)
        deadline = time.monotonic() + timeout
        while not self._pending and (remaining := deadline - time.monotonic()) > 0:
            if handle.wait(remaining):
                self._fetch(handle)
        arrived, self._pending = self._pending, []
        self._received += len(arrived)
        return self._frames(arrived) if arrived else no_frames(self._link_type)

    def statistics(self) -> WireStatistics:
        """Counters so far; drops are known where the system counts them."""
        handle = self._open_handle()
        return WireStatistics(
            sent=self._sent,
            send_refused=self._refused,
            received=self._received,
            receive_dropped=handle.dropped(),
        )

    def fileno(self) -> int:
        """-1: frames wait in this wire and in Scapy as well, where select(2) does not see them."""
        self._open_handle()
        return -1

    def close(self) -> None:
        """Close the sockets; twice is fine."""
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.close()
        if self._kernel is not None:
            self._kernel.close()
        self._asking.close()

    def _open_handle(self) -> Handle:
        if self._handle is None:
            raise WireError(f"the wire on {self._name} is closed")
        return self._handle

    def _describe(self) -> Interface | None:
        """What the kernel says of the interface, None on other systems than Linux; WireError as it says."""
        return describe_interface(self._asking, self._name) if sys.platform == "linux" else None

    def _write(self, handle: Handle, frames: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Send the first of `(N, L)` frames for which there is room; their times."""
        times = np.empty(len(frames), dtype=np.int64)
        for number, row in enumerate(frames):
            if number and number % _SLICE == 0:
                self._fetch(handle)
            # As coarse as the times of what comes in, so that no reply can seem older than its probe.
            times[number] = time.time_ns() // RESOLUTION * RESOLUTION
            try:
                handle.send(row.tobytes())
            except OSError as error:
                if not number:
                    self._explain(error)
                return times[:number]  # what stopped it is told by the next call
        return times

    def _explain(self, failure: OSError) -> None:
        """Raise WireError where nothing left and nothing will; return where it was congestion."""
        self._describe()
        if failure.errno not in _CONGESTION:
            raise WireError(f"sending on {self._name} failed: {failure.strerror}")

    def _fetch(self, handle: Handle) -> None:
        """Take in what has come, without waiting."""
        try:
            while len(self._pending) < _MOST_HELD and (found := handle.read()) is not None:
                # Other systems than Linux show what this host sends as well.
                if self._mac is None or found[0][6:12] != self._mac:
                    self._pending.append(found)
        except OSError as error:
            self._describe()
            raise WireError(f"receiving on {self._name} failed: {error.strerror}") from None

    def _frames(self, arrived: list[tuple[bytes, int]]) -> Frames:
        lengths = np.array([len(data) for data, _ in arrived], dtype=np.int64)
        return Frames(
            buffer=np.frombuffer(b"".join(data for data, _ in arrived), dtype=np.uint8),
            starts=np.cumsum(lengths) - lengths,
            lengths=lengths,
            original_lengths=lengths.copy(),
            times=np.array([moment for _, moment in arrived], dtype=np.int64),
            link_type=self._link_type,
        )


def link_type_of(handle: Handle, interface: str) -> int:
    """LINKTYPE_ value of the frames of a handle. Raises WireError where we do not speak them."""
    number = handle.link_number()
    if number == _OPENBSD_LOOP and sys.platform.startswith("openbsd"):
        return LINKTYPE_LOOP
    if number not in _LINK_TYPES:
        raise WireError(
            f"{interface} has link layer type {number} (DLT_ in net/bpf.h); "
            "only Ethernet, loopback, and tunnels without a link header can be used"
        )
    return _LINK_TYPES[number]
