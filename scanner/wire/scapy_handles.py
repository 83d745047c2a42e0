"""Scapy's layer-2 sockets, made alike: what they differ in, and nothing above it.

Scapy picks the socket: packet sockets on Linux, /dev/bpf on macOS and the BSDs, Npcap on Windows, and
libpcap where `conf.use_pcap` says so. Bytes are given to it, and bytes taken from it, so nothing in it
looks up a route, asks for a neighbour or makes an object of a packet.

Scapy's layers are imported without its routing table, which takes seconds where there are many routes.
A program that wants it as well imports them before, or calls `conf.route.resync()`.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import logging
import os
import socket
import struct
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from scanner.model import UsageError
from scanner.wire.packet_socket import (
    HOW_TO_GET_NET_RAW,
    PACKET_IGNORE_OUTGOING,
    PACKET_STATISTICS,
    SOL_PACKET,
)
from scanner.wire.pcap_filter import replies_expression

if TYPE_CHECKING:
    from scapy.config import Conf
    from scapy.supersocket import SuperSocket

RESOLUTION = 1000
"""Nanoseconds: how exactly all of these sockets tell when a frame came in."""

_PER_SECOND = 1_000_000_000 // RESOLUTION
_LONGEST_FRAME = 0xFFFF
_RECEIVE_BUFFER = 4 << 20
_SO_RCVBUFFORCE = 33  # include/uapi/asm-generic/socket.h

_LACKING = frozenset({errno.EPERM, errno.EACCES})

_HINTS = {
    "linux": "its filter needs libpcap, on Debian the package libpcap0.8",
    "win32": "it needs Npcap, from https://npcap.com, and an administrator's prompt",
}
_HINT_ELSEWHERE = "it needs /dev/bpf, which is root's: run with sudo"


class Handle:
    """One of Scapy's sockets, open on an interface.

    The methods raise OSError, as the socket does; where libpcap is behind it, with its words.
    """

    def __init__(self, sock: SuperSocket) -> None:
        """Take over an open socket; from now on it is never waited in."""
        # What is used of it are attributes of its kind; Scapy declares them for all kinds or none.
        self._socket: Any = sock

    def send(self, frame: bytes) -> None:
        """Send a frame; BlockingIOError or ENOBUFS where there is no room."""
        self._socket.send(frame)

    def read(self) -> tuple[bytes, int] | None:
        """The next frame that has come in, and when, in ns since the epoch; None where there is none."""
        try:
            _, data, moment = self._socket.recv_raw(_LONGEST_FRAME)
        except BlockingIOError:
            return None
        if data is None:
            return None
        seconds = time.time() if moment is None else moment
        return data, round(seconds * _PER_SECOND) * RESOLUTION

    def wait(self, seconds: float) -> bool:
        """Wait until there may be something to read; whether there may be."""
        return bool(self._socket.select([self._socket], seconds))

    def dropped(self) -> int:
        """Frames dropped so far because nobody read them in time, where that is counted."""
        return 0

    def link_number(self) -> int:
        """The system's own number for the link type (DLT_ of its net/bpf.h)."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the socket; twice is fine."""
        self._socket.close()


class PacketHandle(Handle):
    """A packet socket of Linux."""

    def __init__(self, sock: SuperSocket) -> None:
        """Widen its buffer and leave out what this host sends."""
        super().__init__(sock)
        self._dropped = 0
        packets: socket.socket = self._socket.ins
        packets.setblocking(False)
        with contextlib.suppress(OSError):  # Linux before 4.20; then Scapy leaves it out, one by one
            packets.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        try:
            packets.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
        except OSError:
            packets.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)

    def dropped(self) -> int:
        """As PACKET_STATISTICS has it."""
        # struct tpacket_stats: tp_packets, tp_drops; reading resets them.
        _, drops = struct.unpack("II", self._socket.ins.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        self._dropped += drops
        return self._dropped


class BpfHandle(Handle):
    """A descriptor of /dev/bpf: macOS and the BSDs."""

    def __init__(self, sock: SuperSocket) -> None:
        """Let reading never wait."""
        super().__init__(sock)
        self._socket.set_nonblock(True)

    def dropped(self) -> int:
        """As BIOCGSTATS has it."""
        _, drops = self._socket.get_stats()
        return drops or 0

    def link_number(self) -> int:
        """As BIOCGDLT has it."""
        import fcntl  # noqa: PLC0415 - POSIX only

        from scapy.arch.bpf.consts import BIOCGDLT  # noqa: PLC0415 - macOS and the BSDs only

        number: int = struct.unpack("I", fcntl.ioctl(self._socket.fileno(), BIOCGDLT, bytes(4)))[0]
        return number


class PcapHandle(Handle):
    """A handle of libpcap, or of Npcap."""

    def __init__(self, sock: SuperSocket) -> None:
        """Let reading never wait."""
        super().__init__(sock)
        self._socket.pcap_fd.setnonblock(True)

    def send(self, frame: bytes) -> None:
        """As `Handle.send`; libpcap says in words what went wrong."""
        if self._socket.send(frame) >= 0:
            return
        from scapy.libs.winpcapy import pcap_geterr  # noqa: PLC0415

        said = bytes(pcap_geterr(self._socket.pcap_fd.pcap)).decode(errors="replace")
        full = any(os.strerror(number) in said for number in (errno.ENOBUFS, errno.EAGAIN))
        raise OSError(errno.ENOBUFS if full else errno.EIO, said)

    def dropped(self) -> int:
        """As pcap_stats(3PCAP) has it."""
        from scapy.libs.winpcapy import pcap_stat, pcap_stats  # noqa: PLC0415

        counters = pcap_stat()
        if pcap_stats(self._socket.pcap_fd.pcap, ctypes.byref(counters)) < 0:
            return 0
        drops: int = counters.ps_drop
        return drops

    def link_number(self) -> int:
        """As pcap_datalink(3PCAP) has it."""
        number: int = self._socket.pcap_fd.datalink()
        return number


def open_handle(interface: str) -> Handle:
    """Open Scapy's socket on an interface; only what may be a reply to a probe comes in.

    Raises UsageError, with the way to mend it, without the privilege, or without what Scapy needs here.
    """
    try:
        with quiet():
            sock = load_scapy().L2socket(iface=interface, promisc=False, filter=replies_expression())
            kind = (
                PcapHandle
                if hasattr(sock, "pcap_fd")
                else BpfHandle
                if hasattr(sock, "bpf_fd")
                else PacketHandle
            )
            return kind(sock)
    # Scapy raises what it likes: its own exceptions, those of sockets, RuntimeError, ValueError.
    except Exception as error:
        raise _unusable(interface, error) from None


def load_scapy() -> Conf:
    """Scapy's configuration, all loaded that its sockets need, and what it knows of interfaces up to date."""
    from scapy.config import conf  # noqa: PLC0415 - half a second, for this wire alone

    before = conf.route_autoload, conf.route6_autoload
    conf.route_autoload = conf.route6_autoload = False
    try:
        import scapy.arch  # noqa: PLC0415
        import scapy.layers.l2  # noqa: F401, PLC0415 - without it, Scapy's sockets trip over what they meet
    finally:
        conf.route_autoload, conf.route6_autoload = before
    conf.ifaces.reload()
    return conf


def _unusable(interface: str, error: Exception) -> UsageError:
    if isinstance(error, OSError) and error.errno in _LACKING and sys.platform == "linux":
        return UsageError(HOW_TO_GET_NET_RAW)
    said = " ".join(str(error).split())
    hint = _HINTS.get(sys.platform, _HINT_ELSEWHERE)
    return UsageError(f"Scapy cannot open {interface}: {said}; {hint}")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Scapy warns of interfaces without addresses and the like, which is none of our business."""
    logger = logging.getLogger("scapy")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
