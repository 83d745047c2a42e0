"""What the kernel says of one interface, asked through a socket that is already open.

The questions go through the caller's own socket and not through a fresh one, so the
answers come from the network namespace that socket was opened in, whatever namespace the
asking thread is in by then.
"""

from __future__ import annotations

import errno
import socket
import struct
from dataclasses import dataclass

from scanner.model import WireError

# include/uapi/linux/sockios.h
_SIOCGIFFLAGS = 0x8913
_SIOCGIFMTU = 0x8921
_SIOCGIFHWADDR = 0x8927
_SIOCGIFINDEX = 0x8933

# include/uapi/linux/if.h
_IFNAMSIZ = 16
_IFF_UP = 0x1
_IFF_RUNNING = 0x40

# include/uapi/linux/if_arp.h
ARPHRD_ETHER = 1
ARPHRD_LOOPBACK = 772
_ARPHRD_WITHOUT_HEADER = frozenset({512, 519, 768, 769, 776, 65534})
"""PPP, RAWIP, TUNNEL (IPIP), TUNNEL6, SIT, NONE (tun, WireGuard): frames begin at the IP header."""

# https://www.tcpdump.org/linktypes.html
LINKTYPE_NULL = 0
LINKTYPE_ETHERNET = 1
LINKTYPE_RAW = 101
LINKTYPE_LOOP = 108

HEADER_LENGTHS = {LINKTYPE_NULL: 4, LINKTYPE_ETHERNET: 14, LINKTYPE_RAW: 0, LINKTYPE_LOOP: 4}
"""Bytes of link header in front of each packet, by the link types that wires send."""

_GONE = frozenset({errno.ENODEV, errno.ENXIO})


@dataclass(frozen=True, slots=True)
class Interface:
    """One interface as it was when it was asked about.

    index: the kernel's number for it.
    hardware_type: ARPHRD_ value of linux/if_arp.h.
    mac: its own six-byte hardware address; zeros where it has none.
    mtu: the longest network-layer packet, in bytes.
    """

    name: str
    index: int
    hardware_type: int
    mac: bytes
    mtu: int

    @property
    def link_type(self) -> int:
        """LINKTYPE_ value of what a packet socket reads here.

        Raises WireError where the link layer is one we do not speak.
        """
        if self.hardware_type in {ARPHRD_ETHER, ARPHRD_LOOPBACK}:
            return LINKTYPE_ETHERNET
        if self.hardware_type in _ARPHRD_WITHOUT_HEADER:
            return LINKTYPE_RAW
        raise WireError(
            f"{self.name} has link layer type {self.hardware_type} (ARPHRD_ in linux/if_arp.h); "
            "only Ethernet, loopback, and tunnels without a link header can be used"
        )

    @property
    def header_length(self) -> int:
        """Bytes of link header in front of each network-layer packet."""
        return HEADER_LENGTHS[self.link_type]


def describe_interface(sock: socket.socket, name: str) -> Interface:
    """What the namespace of `sock` knows of the interface `name`.

    Raises WireError where there is none of that name, or where it is down.
    """
    require_up(sock, name)
    (index,) = struct.unpack_from("i", _ask(sock, _SIOCGIFINDEX, name), _IFNAMSIZ)
    (mtu,) = struct.unpack_from("i", _ask(sock, _SIOCGIFMTU, name), _IFNAMSIZ)
    # struct sockaddr: u16 sa_family (holds the ARPHRD_ value), then the address.
    hardware = _ask(sock, _SIOCGIFHWADDR, name)
    (hardware_type,) = struct.unpack_from("H", hardware, _IFNAMSIZ)
    mac = hardware[_IFNAMSIZ + 2 : _IFNAMSIZ + 8]
    return Interface(name=name, index=index, hardware_type=hardware_type, mac=mac, mtu=mtu)


def require_up(sock: socket.socket, name: str) -> None:
    """Raise WireError where the interface is gone, down, or has no carrier."""
    (flags,) = struct.unpack_from("H", _ask(sock, _SIOCGIFFLAGS, name), _IFNAMSIZ)
    if not flags & _IFF_UP:
        raise WireError(f"interface {name} is down; bring it up with: ip link set {name} up")
    if not flags & _IFF_RUNNING:
        raise WireError(f"interface {name} has no carrier: the other end of the link is down")


def _ask(sock: socket.socket, request: int, name: str) -> bytes:
    import fcntl  # noqa: PLC0415 - POSIX only, and this module is imported on every system

    encoded = name.encode(errors="surrogateescape")
    if not 0 < len(encoded) < _IFNAMSIZ:
        raise WireError(f"{name!r} cannot be an interface: names have 1 to 15 bytes")
    try:
        return fcntl.ioctl(sock, request, encoded.ljust(40, b"\0"))
    except OSError as error:
        if error.errno in _GONE:
            raise WireError(f"there is no interface {name} (any more)") from None
        raise WireError(f"interface {name} cannot be asked: {error.strerror}") from None
