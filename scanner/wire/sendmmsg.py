"""sendmmsg(2) over NumPy arrays: many datagrams a system call, no Python object for any.

`socket` has no sendmmsg, so libc's is called by ctypes; the message headers, buffer
descriptors and addresses it wants are arrays, filled column by column. The layouts follow
the platform's C ABI by NumPy's `align=True`.

Source: sendmmsg(2), recvmsg(2) (struct msghdr), ip(7) (struct sockaddr_in), ipv6(7) (struct sockaddr_in6).
"""

from __future__ import annotations

import ctypes
import socket

import numpy as np
from numpy.typing import NDArray

_IOVEC = np.dtype([("base", np.uintp), ("length", np.uintp)], align=True)
_MSGHDR = np.dtype(
    [
        ("name", np.uintp),
        ("name_length", np.uint32),
        ("iov", np.uintp),
        ("iov_length", np.uintp),
        ("control", np.uintp),
        ("control_length", np.uintp),
        ("flags", np.int32),
    ],
    align=True,
)
_MMSGHDR = np.dtype([("header", _MSGHDR), ("length", np.uint32)], align=True)
_SOCKADDR_IN = np.dtype(
    [("family", np.uint16), ("port", np.uint16), ("address", np.uint8, 4), ("zero", np.uint8, 8)], align=True
)
_SOCKADDR_IN6 = np.dtype(
    [
        ("family", np.uint16),
        ("port", np.uint16),
        ("flow", np.uint32),
        ("address", np.uint8, 16),
        ("scope", np.uint32),
    ],
    align=True,
)


class DatagramSender:
    """Sends rows of an array through one socket, of IPv4 (AF_INET) or of IPv6 (AF_INET6).

    sock: the socket; it stays the caller's. scope: of link-local IPv6 addresses, the number of the
    interface they are on (RFC 4007, 6); other addresses have none, and the kernel reads it for none.
    """

    def __init__(self, sock: socket.socket, scope: int = 0) -> None:
        """Bind libc's sendmmsg; the arrays grow with the batches."""
        self._socket = sock
        self._layout = _SOCKADDR_IN if sock.family == socket.AF_INET else _SOCKADDR_IN6
        self._scope = scope
        self._sendmmsg = ctypes.CDLL(None, use_errno=True).sendmmsg
        self._sendmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)
        self._sendmmsg.restype = ctypes.c_int
        self._rows: NDArray[np.uint8] | None = None
        self._grow(0)

    def load(self, rows: NDArray[np.uint8], destinations: NDArray[np.uint8]) -> None:
        """Take the datagrams of the next sends.

        rows: `(N, L)` uint8, each row contiguous; it is read when it is sent, so it must stay
        as it is until then. destinations: `(N, 4)` uint8, IPv4 addresses, or `(N, 16)`, IPv6.
        """
        count, length = rows.shape
        if count > len(self._headers):
            self._grow(count)
        self._buffers["base"][:count] = rows.ctypes.data + rows.strides[0] * np.arange(count, dtype=np.uintp)
        self._buffers["length"][:count] = length
        self._addresses["address"][:count] = destinations
        self._rows = rows  # the descriptors point into it

    def send(self, first: int, last: int) -> tuple[int, int]:
        """Send datagrams `first` to `last` of those loaded, without waiting.

        Returns how many were taken, and where that is none, the errno that stopped the
        first one, else 0.
        """
        place = self._headers.ctypes.data + first * _MMSGHDR.itemsize
        taken = self._sendmmsg(self._socket.fileno(), place, last - first, socket.MSG_DONTWAIT)
        return (taken, 0) if taken > 0 else (0, ctypes.get_errno())

    def _grow(self, count: int) -> None:
        self._buffers = np.zeros(count, dtype=_IOVEC)
        self._addresses = np.zeros(count, dtype=self._layout)
        self._addresses["family"] = self._socket.family
        if self._layout is _SOCKADDR_IN6:
            self._addresses["scope"] = self._scope
        self._headers = np.zeros(count, dtype=_MMSGHDR)
        header = self._headers["header"]
        places = np.arange(count, dtype=np.uintp)
        header["name"] = self._addresses.ctypes.data + self._layout.itemsize * places
        header["name_length"] = self._layout.itemsize
        header["iov"] = self._buffers.ctypes.data + _IOVEC.itemsize * places
        header["iov_length"] = 1
