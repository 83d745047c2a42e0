"""An ordinary TCP connection with a deadline and a bound: what an identifier talks over."""

from __future__ import annotations

import contextlib
import socket
import time

from scanner.contracts import Hop

MOST_HEARD = 1 << 16
"""Bytes that a conversation takes in; whoever sends more is not listened to any longer."""

_PIECE = 4096


class SocketConversation:
    """A `scanner.contracts.Conversation` over a socket."""

    def __init__(self, connected: socket.socket, address: str, port: int, deadline: float) -> None:
        """`deadline`: on the monotonic clock."""
        self._socket = connected
        self._address = address
        self._port = port
        self._deadline = deadline
        self._room = MOST_HEARD
        self._rest = b""

    @property
    def address(self) -> str:
        """As `Conversation`."""
        return self._address

    @property
    def port(self) -> int:
        """As `Conversation`."""
        return self._port

    def say(self, data: bytes) -> None:
        """As `Conversation`."""
        # A peer that reads nothing must not hold us any longer than one that says nothing.
        with contextlib.suppress(OSError):
            self._socket.settimeout(self._left())
            self._socket.sendall(data)

    def hear(self, limit: int = 4096, quiet: float = 0.2) -> bytes:
        """As `Conversation`."""
        heard, self._rest = self._rest, b""
        while len(heard) < limit:
            piece = self._receive(min(self._left(), quiet) if heard else self._left())
            if not piece:
                break
            heard += piece
        self._rest = heard[limit:]
        return heard[:limit]

    def line(self, limit: int = 4096) -> bytes:
        """As `Conversation`."""
        heard, self._rest = self._rest, b""
        while b"\n" not in heard and len(heard) < limit:
            piece = self._receive(self._left())
            if not piece:
                break
            heard += piece
        end = min(limit, heard.find(b"\n") + 1 or len(heard))
        self._rest = heard[end:]
        return heard[:end]

    def close(self) -> None:
        """As `Conversation`."""
        self._socket.close()

    def _receive(self, seconds: float) -> bytes:
        try:
            self._socket.settimeout(seconds)
            piece = self._socket.recv(min(_PIECE, self._room)) if self._room else b""
        except OSError:
            return b""
        self._room -= len(piece)
        return piece

    def _left(self) -> float:
        """Seconds until the deadline, or a moment: a time-out of zero would mean something else."""
        return max(1e-3, self._deadline - time.monotonic())


def connect(hop: Hop, address: str, port: int, seconds: float, source: str) -> SocketConversation:
    """Connect from the hop's source address. Raises OSError."""
    deadline = time.monotonic() + seconds
    family = socket.AF_INET6 if hop.version == _IPV6 else socket.AF_INET
    connected = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        if not hop.loopback:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, hop.interface.encode())
        # So that connect(2) chooses the port: for one pair of addresses there are more than for all.
        connected.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
        connected.bind(_place(hop, source, 0))
        connected.settimeout(seconds)
        connected.connect(_place(hop, address, port))
    except BaseException:
        connected.close()
        raise
    return SocketConversation(connected, address, port, deadline)


def _place(hop: Hop, address: str, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
    """As the socket module wants it; a link-local IPv6 address means something on its link alone."""
    if hop.version != _IPV6:
        return address, port
    return address, port, 0, socket.if_nametoindex(hop.interface) if address.startswith("fe80:") else 0


_IPV6 = 6
_IP_BIND_ADDRESS_NO_PORT = 24
"""linux/in.h; the socket module has no name for it before Python 3.13."""
