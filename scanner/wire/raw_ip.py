"""The wire for loopback and for devices without Ethernet: a raw IP socket out, a ring in.

The kernel routes what leaves, so next hops mean nothing here; the socket is bound to its
interface all the same, loopback excepted. Linux writes some header fields itself (raw(7), IP_HDRINCL): the
total length and the header checksum always, the source address and the identification
where they are zero. Packets that must leave byte for byte therefore carry an
identification that is not zero.

A packet the kernel will not let out (EPERM by a firewall rule, EHOSTUNREACH by a route, and
the like) must neither end the sweep nor stand at the head of the queue for ever. It is
counted in `send_refused` and reported in `Sent` like a packet that was lost on its way: its
target stays unanswered, which is what can truthfully be said of it.
"""

from __future__ import annotations

import errno
import os
import socket
import time

import numpy as np

from scanner.contracts import ETHERTYPE_IPV4, Batch, Sent
from scanner.model import UsageError, WireError
from scanner.wire.ethernet import Framer
from scanner.wire.interface import ARPHRD_LOOPBACK, require_up
from scanner.wire.packet_socket import open_raw_socket
from scanner.wire.receive_ring import RingOptions
from scanner.wire.ring_wire import RingWire
from scanner.wire.sendmmsg import DatagramSender

_SLICE = 64  # packets a system call: the stamp of the last one is at most so many sends too early
_SHORTEST_IPV4 = 20
_SEND_BUFFER = 4 << 20

_IP_RECVERR = 11  # include/uapi/linux/in.h
_NO_ADDRESS = b"\0" * 6

_CONGESTION = frozenset({errno.ENOBUFS, errno.EAGAIN, errno.EINTR})
_BROKEN = frozenset({errno.ENETDOWN, errno.ENODEV, errno.ENXIO, errno.EBADF})


class RawIP(RingWire):
    """A `scanner.contracts.Wire` over the kernel's IPv4 output on one interface.

    Raises UsageError without CAP_NET_RAW, WireError where the interface is gone or down.
    """

    def __init__(self, interface: str, options: RingOptions | None = None) -> None:
        """Open the raw socket and the receive ring."""
        super().__init__(interface, options)
        self._closed = False
        self._framer = Framer(
            interface, _NO_ADDRESS, self._interface.mtu, header_length=self._interface.header_length
        )
        self._no_hops = np.zeros(6, dtype=np.uint8)
        try:
            self._socket = self._open_socket()
        except BaseException:
            self._receive_ring.close()
            raise
        self._sender = DatagramSender(self._socket)

    def send(self, batch: Batch) -> Sent:
        """Send the first packets of the batch for which there is room.

        ENOBUFS and EAGAIN make it fewer; what is left over counts as refused. See the law
        above for packets the kernel will not let out. Raises WireError where the interface
        is down or gone, UsageError for what is not IPv4 or longer than the MTU.
        """
        if self._closed:
            raise WireError(f"the wire on {self._interface.name} is closed")
        if batch.ethertype != ETHERTYPE_IPV4:
            raise UsageError(
                f"the wire on {self._interface.name} carries IPv4 only, not ethertype {batch.ethertype:#06x}"
            )
        frames = self._framer.frame(batch, self._no_hops)
        if len(frames) and batch.packets.shape[1] < _SHORTEST_IPV4:
            raise UsageError(f"packets of {batch.packets.shape[1]} bytes are no IPv4 packets")
        packets = frames[:, self._interface.header_length :]
        self._sender.load(packets, packets[:, 16:20])
        times = np.empty(len(frames), dtype=np.int64)
        done = kept_in = 0
        while done < len(frames):
            now = time.time_ns()
            taken, number = self._sender.send(done, min(done + _SLICE, len(frames)))
            if number in _CONGESTION:
                break
            if number:
                failure = self._failure(number)
                if failure and not done:
                    raise failure
                if failure:
                    break  # the next call raises; what has left is reported first
                kept_in += 1
                taken = 1
            times[done : done + taken] = now
            done += taken
        self._sent += done - kept_in
        self._refused += len(frames) - done + kept_in
        return Sent(frames=frames[:done], times=times[:done])

    def close(self) -> None:
        """Close both sockets; twice is fine."""
        self._closed = True
        self._receive_ring.close()
        self._socket.close()

    def _open_socket(self) -> socket.socket:
        sock = open_raw_socket(socket.AF_INET, socket.IPPROTO_RAW)
        try:
            # Not to loopback: bound to it, the kernel no longer takes the address of another interface of
            # ours for local, and its TCP answers nothing. Local addresses go there anyway.
            if self._interface.hardware_type != ARPHRD_LOOPBACK:
                name = self._interface.name.encode() + b"\0"
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
            # Without it the kernel swallows ENOBUFS, and packets with it (net/ipv4/raw.c).
            sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
        except OSError as error:
            sock.close()
            raise WireError(f"no raw IP socket on {self._interface.name}: {error.strerror}") from None
        return sock

    def _failure(self, number: int) -> WireError | None:
        """The error to raise where the interface is what failed, and not this one packet."""
        try:
            require_up(self._socket, self._interface.name)
        except WireError as error:
            return error
        if number in _BROKEN:
            return WireError(f"sending on {self._interface.name} failed: {os.strerror(number)}")
        return None
