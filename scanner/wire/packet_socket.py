"""AF_PACKET sockets: opening one, and the few options that `socket` has no name for.

Names and numbers are those of include/uapi/linux/if_packet.h and asm-generic/socket.h.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
from collections.abc import Sequence

from scanner.model import UsageError, WireError
from scanner.wire.bpf import Instruction

SOL_PACKET = 263
PACKET_RX_RING = 5
PACKET_STATISTICS = 6
PACKET_VERSION = 10
PACKET_TX_RING = 13
PACKET_QDISC_BYPASS = 20
PACKET_IGNORE_OUTGOING = 23

TPACKET_V2 = 1
TPACKET_V3 = 2

ETH_P_ALL = 0x0003

_SO_ATTACH_FILTER = 26

_LACKING = frozenset({errno.EPERM, errno.EACCES})

HOW_TO_GET_NET_RAW = (
    "raw packets need CAP_NET_RAW: run with sudo, or with "
    "`sudo setpriv --reuid $USER --regid $(id -g) --init-groups "
    "--inh-caps +net_raw --ambient-caps +net_raw ghostport ...`, "
    "or give it to the interpreter with `setcap cap_net_raw+ep`"
)


def open_raw_socket(family: int, protocol: int) -> socket.socket:
    """A SOCK_RAW socket.

    Raises UsageError, with the way to mend it, without CAP_NET_RAW or on a system that
    has no such sockets.
    """
    try:
        return socket.socket(family, socket.SOCK_RAW, protocol)
    except OSError as error:
        if error.errno in _LACKING:
            raise UsageError(HOW_TO_GET_NET_RAW) from None
        raise UsageError(f"this system gives no raw sockets: {error.strerror}") from None


def open_packet_socket() -> socket.socket:
    """An AF_PACKET socket of protocol 0: it receives nothing until it is bound to a protocol.

    Raises UsageError as `open_raw_socket` does, and where the system is not Linux.
    """
    family: int | None = getattr(socket, "AF_PACKET", None)
    if family is None:
        raise UsageError("rings need Linux (AF_PACKET sockets); on other systems take --wire scapy")
    return open_raw_socket(family, 0)


def attach_filter(sock: socket.socket, program: Sequence[Instruction]) -> None:
    """Let only what `program` accepts into the socket (SO_ATTACH_FILTER).

    Raises WireError where the kernel refuses the program.
    """
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    memory = ctypes.create_string_buffer(code, len(code))
    # struct sock_fprog: u16 len, struct sock_filter *filter
    descriptor = struct.pack("HP", len(program), ctypes.addressof(memory))
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, descriptor)
    except OSError as error:
        raise WireError(f"the kernel refuses the receive filter: {error.strerror}") from None
