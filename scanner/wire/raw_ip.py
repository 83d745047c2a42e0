"""The wire for loopback and for devices without Ethernet: raw IP sockets out, a ring in.

The kernel routes what leaves, so next hops mean nothing here; the sockets are bound to their
interface all the same, loopback excepted. IPv6 leaves byte for byte. Of IPv4, Linux writes some
header fields itself (raw(7), IP_HDRINCL): the total length and the header checksum always, the
source address and the identification where they are zero. Packets that must leave byte for byte
therefore carry an identification that is not zero.

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
from dataclasses import dataclass

import numpy as np

from scanner.contracts import ETHERTYPE_IPV4, ETHERTYPE_IPV6, Batch, Sent
from scanner.model import UsageError, WireError
from scanner.wire.ethernet import Framer
from scanner.wire.interface import ARPHRD_LOOPBACK, require_up
from scanner.wire.packet_socket import open_raw_socket
from scanner.wire.receive_ring import RingOptions
from scanner.wire.ring_wire import RingWire
from scanner.wire.sendmmsg import DatagramSender

_SLICE = 64  # packets a system call: the stamp of the last one is at most so many sends too early
_SEND_BUFFER = 4 << 20

_IP_RECVERR = 11  # include/uapi/linux/in.h
_IPV6_RECVERR = 25  # include/uapi/linux/in6.h
_NO_ADDRESS = b"\0" * 6

_CONGESTION = frozenset({errno.ENOBUFS, errno.EAGAIN, errno.EINTR})
_BROKEN = frozenset({errno.ENETDOWN, errno.ENODEV, errno.ENXIO, errno.EBADF})


@dataclass(frozen=True, slots=True)
class _Version:
    """What it takes to send one version of IP.

    header: bytes of its shortest header. destination: where in that the destination stands.
    report_errors: level, option; without it the kernel swallows ENOBUFS, and packets with it
        (net/ipv4/raw.c, net/ipv6/raw.c).
    """

    name: str
    family: int
    header: int
    destination: slice
    report_errors: tuple[int, int]


_VERSIONS = {
    ETHERTYPE_IPV4: _Version("IPv4", socket.AF_INET, 20, slice(16, 20), (socket.IPPROTO_IP, _IP_RECVERR)),
    ETHERTYPE_IPV6: _Version(
        "IPv6", socket.AF_INET6, 40, slice(24, 40), (socket.IPPROTO_IPV6, _IPV6_RECVERR)
    ),
}


class RawIP(RingWire):
    """A `scanner.contracts.Wire` over the kernel's IP output on one interface, both versions.

    Raises UsageError without CAP_NET_RAW, WireError where the interface is gone or down.
    """

    def __init__(self, interface: str, options: RingOptions | None = None) -> None:
        """Open the raw sockets and the receive ring."""
        super().__init__(interface, options)
        self._closed = False
        self._framer = Framer(
            interface, _NO_ADDRESS, self._interface.mtu, header_length=self._interface.header_length
        )
        self._no_hops = np.zeros(6, dtype=np.uint8)
        # Not to loopback: bound to it, the kernel no longer takes the address of another interface of
        # ours for local, and its TCP answers nothing. Local addresses go there anyway. For the same
        # reason link-local ones have no scope there: they belong to the interface they are on.
        self._bound = self._interface.hardware_type != ARPHRD_LOOPBACK
        self._sockets: list[socket.socket] = []
        self._senders: dict[int, DatagramSender] = {}
        try:
            for ethertype, version in _VERSIONS.items():
                if _is_known(version.family):
                    self._sockets.append(self._open_socket(version))
                    scope = self._interface.index if self._bound else 0
                    self._senders[ethertype] = DatagramSender(self._sockets[-1], scope)
        except BaseException:
            self.close()
            raise

    def send(self, batch: Batch) -> Sent:
        """Send the first packets of the batch for which there is room.

        ENOBUFS and EAGAIN make it fewer; what is left over counts as refused. See the law
        above for packets the kernel will not let out. Raises WireError where the interface
        is down or gone, UsageError for what is not IP or longer than the MTU.
        """
        if self._closed:
            raise WireError(f"the wire on {self._interface.name} is closed")
        sender = self._sender(batch.ethertype)
        version = _VERSIONS[batch.ethertype]
        frames = self._framer.frame(batch, self._no_hops)
        if len(frames) and batch.packets.shape[1] < version.header:
            raise UsageError(f"packets of {batch.packets.shape[1]} bytes are no {version.name} packets")
        packets = frames[:, self._interface.header_length :]
        sender.load(packets, packets[:, version.destination])
        times = np.empty(len(frames), dtype=np.int64)
        done = kept_in = 0
        while done < len(frames):
            now = time.time_ns()
            taken, number = sender.send(done, min(done + _SLICE, len(frames)))
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
        """Close all sockets; twice is fine."""
        self._closed = True
        self._receive_ring.close()
        for sock in self._sockets:
            sock.close()

    def _sender(self, ethertype: int) -> DatagramSender:
        if ethertype in self._senders:
            return self._senders[ethertype]
        name = self._interface.name
        if ethertype in _VERSIONS:
            raise UsageError(f"this system has no {_VERSIONS[ethertype].name}, so none can leave by {name}")
        raise UsageError(f"the wire on {name} carries IP only, not ethertype {ethertype:#06x}")

    def _open_socket(self, version: _Version) -> socket.socket:
        sock = open_raw_socket(version.family, socket.IPPROTO_RAW)
        try:
            if self._bound:
                name = self._interface.name.encode() + b"\0"
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
            sock.setsockopt(*version.report_errors, 1)
        except OSError as error:
            sock.close()
            raise WireError(f"no raw IP socket on {self._interface.name}: {error.strerror}") from None
        return sock

    def _failure(self, number: int) -> WireError | None:
        """The error to raise where the interface is what failed, and not this one packet."""
        try:
            require_up(self._sockets[0], self._interface.name)
        except WireError as error:
            return error
        if number in _BROKEN:
            return WireError(f"sending on {self._interface.name} failed: {os.strerror(number)}")
        return None


def _is_known(family: int) -> bool:
    """Whether the kernel was built, or started, with this address family."""
    try:
        socket.socket(family, socket.SOCK_DGRAM).close()
    except OSError as error:
        return error.errno != errno.EAFNOSUPPORT
    return True
