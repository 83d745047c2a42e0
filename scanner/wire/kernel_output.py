"""The kernel's IP output as a way out: raw sockets of both versions, bound to one interface.

The kernel routes what leaves and finds the neighbours; next hops mean nothing here. IPv6 leaves byte
for byte. Of IPv4, Linux writes some header fields itself (raw(7), IP_HDRINCL): the total length and
the header checksum always, the source address and the identification where they are zero. Packets
that must leave byte for byte therefore carry an identification that is not zero.

A packet the kernel will not let out (EPERM by a firewall rule, EHOSTUNREACH by a route, and
the like) must neither end the sweep nor stand at the head of the queue for ever. It is kept in,
counted, and reported like a packet that was lost on its way: its target stays unanswered, which is
what can truthfully be said of it.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanner.contracts import ETHERTYPE_IPV4, ETHERTYPE_IPV6
from scanner.model import UsageError, WireError
from scanner.wire.interface import ARPHRD_LOOPBACK, Interface, require_up
from scanner.wire.packet_socket import open_raw_socket
from scanner.wire.sendmmsg import DatagramSender

_SLICE = 64  # packets a system call: the stamp of the last one is at most so many sends too early
_SEND_BUFFER = 4 << 20

_IP_RECVERR = 11  # include/uapi/linux/in.h
_IPV6_RECVERR = 25  # include/uapi/linux/in6.h

NEIGHBOUR_PATIENCE = 5.0
"""Seconds in which the kernel gives up neighbours that do not answer, and has room for others."""

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


class KernelOutput:
    """Raw sockets to send IP packets through, on one interface.

    Raises UsageError without CAP_NET_RAW, WireError where the interface is gone or down.
    """

    def __init__(self, interface: Interface) -> None:
        """Open the raw sockets."""
        self._interface = interface
        # Not to loopback: bound to it, the kernel no longer takes the address of another interface of
        # ours for local, and its TCP answers nothing. Local addresses go there anyway. For the same
        # reason link-local ones have no scope there: they belong to the interface they are on.
        self._full_since: float | None = None
        self._bound = interface.hardware_type != ARPHRD_LOOPBACK
        self._sockets: list[socket.socket] = []
        self._senders: dict[int, DatagramSender] = {}
        try:
            for ethertype, version in _VERSIONS.items():
                if _is_known(version.family):
                    self._sockets.append(self._open_socket(version))
                    scope = interface.index if self._bound else 0
                    self._senders[ethertype] = DatagramSender(self._sockets[-1], scope)
        except BaseException:
            self.close()
            raise

    def send(self, packets: NDArray[np.uint8], ethertype: int) -> tuple[NDArray[np.int64], int]:
        """Send the first of some packets, `(N, L)` uint8 with contiguous rows, for which there is room.

        ENOBUFS and EAGAIN make it fewer. Raises WireError where the interface is down or gone,
        UsageError for what is no IP.

        Returns:
            The wall-clock times in ns, `(M,)`, of the M packets that left or were kept in, each taken
            before its packet was handed to the kernel; and how many of them were kept in.
        """
        sender = self._sender(ethertype, packets.shape[1])
        sender.load(packets, packets[:, _VERSIONS[ethertype].destination])
        times = np.empty(len(packets), dtype=np.int64)
        done = kept_in = 0
        while done < len(packets):
            now = time.time_ns()
            taken, number = sender.send(done, min(done + _SLICE, len(packets)))
            if number in _CONGESTION or (number and self._neighbours_are_full(ethertype, number)):
                break
            if number:
                failure = self._failure(number)
                if failure and not done:
                    raise failure
                if failure:
                    break  # the next call raises; what has left is reported first
                kept_in += 1
                taken = 1
            else:
                self._full_since = None
            times[done : done + taken] = now
            done += taken
        return times[:done], kept_in

    def close(self) -> None:
        """Close the sockets; twice is fine."""
        for sock in self._sockets:
            sock.close()

    def _sender(self, ethertype: int, length: int) -> DatagramSender:
        """What sends such packets; UsageError where they are no IP, or fewer bytes than its header has."""
        name = self._interface.name
        if ethertype not in _VERSIONS:
            raise UsageError(f"the wire on {name} carries IP only, not ethertype {ethertype:#06x}")
        version = _VERSIONS[ethertype]
        if ethertype not in self._senders:
            raise UsageError(f"this system has no {version.name}, so none can leave by {name}")
        if length < version.header:
            raise UsageError(f"packets of {length} bytes are no {version.name} packets")
        return self._senders[ethertype]

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

    def _neighbours_are_full(self, ethertype: int, number: int) -> bool:
        """Whether the neighbour table had no room, as far as can be told.

        Of IPv4 the kernel says ENOBUFS, of IPv6 EINVAL (net/ipv6/ip6_output.c, ip6_finish_output2), as
        for a route that is a black hole: where waiting does not help, it was that.
        """
        if ethertype != ETHERTYPE_IPV6 or number != errno.EINVAL:
            return False
        now = time.monotonic()
        if self._full_since is None:
            self._full_since = now
        return now - self._full_since < NEIGHBOUR_PATIENCE

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
