"""Link types: what the frames of a capture begin with.

Numbered and described at https://www.tcpdump.org/linktypes.html. Where only the machine that captured
knows its byte order or its numbers of address families, the IP header itself must agree with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanner.core.linkfields import (
    CISCO_HDLC,
    FRAME,
    FRAME_RELAY,
    IP,
    IPV4,
    IPV6,
    LLC,
    NEITHER,
    PPP,
    PPP_HDLC,
    PPPOE_SESSION,
    TRANSPARENT_ETHERNET,
    Found,
    Header,
    Layers,
    Places,
    ended,
    number,
    peek,
    translated,
    typed,
    versions,
)
from scanner.core.linknflog import NFLOG
from scanner.model import CaptureError

# The numbers of the address families of every BSD, of macOS and, for IPv6, of Linux.
_FAMILIES = {2: IPV4, 10: IPV6, 24: IPV6, 28: IPV6, 30: IPV6}
_SOLARIS_FAMILIES = {2: IPV4, 26: IPV6}

# linux/if_arp.h
_ARPHRD_FRAME_RELAY = 770
_ARPHRD_GRE = (778, 823)
# Those of which the protocol field says nothing: netlink, and IEEE 802.11 with and without its headers.
_ARPHRD_OTHER = (801, 802, 803, 824)
# linux/if_ether.h
_ETH_P_802_2 = 4
_ETH_P_WAN_PPP = 7

_LEAST_PFLOG = 45
_LEAST_PKTAP = 108


@dataclass(frozen=True, slots=True)
class _Plain:
    """A header of which nothing but its length matters."""

    length: int
    layer: int

    def __call__(self, _buffer: NDArray[np.uint8], at: Places, _ends: Places) -> Found:
        return at + self.length, np.full(len(at), self.layer, dtype=np.int32)


@dataclass(frozen=True, slots=True)
class _Typed:
    """A header with an EtherType in it."""

    length: int
    ethertype_at: int

    def __call__(self, buffer: NDArray[np.uint8], at: Places, ends: Places) -> Found:
        return at + self.length, typed(number(buffer, at + self.ethertype_at, ends))


@dataclass(frozen=True, slots=True)
class _Family:
    """A header with an address family in it; of families of four bytes the order may be either."""

    length: int
    families: Mapping[int, int]
    layouts: tuple[str, ...]
    family_at: int = 0

    def __call__(self, buffer: NDArray[np.uint8], at: Places, ends: Places) -> Found:
        payload = at + self.length
        layer = np.zeros(len(at), dtype=np.int32)
        for layout in self.layouts:
            layer |= translated(number(buffer, at + self.family_at, ends, layout), self.families)
        return payload, np.where(versions(buffer, payload, ends) == layer, layer, NEITHER)


@dataclass(frozen=True, slots=True)
class _Version:
    """Nothing but one version of IP."""

    version: int

    def __call__(self, buffer: NDArray[np.uint8], at: Places, ends: Places) -> Found:
        layer = versions(buffer, at, ends)
        return at, np.where(layer == self.version, layer, NEITHER).astype(np.int32)


_LOOPBACK = _Family(4, _FAMILIES, (">u4", "<u4"))


@dataclass(frozen=True, slots=True)
class _Cooked:
    """Linux's cooked capture: what the protocol field means depends on the kind of device."""

    length: int
    device_at: int
    protocol_at: int

    def __call__(self, buffer: NDArray[np.uint8], at: Places, ends: Places) -> Found:
        device = number(buffer, at + self.device_at, ends)
        protocol = number(buffer, at + self.protocol_at, ends)
        layer: Layers = typed(protocol) | translated(protocol, {_ETH_P_802_2: LLC, _ETH_P_WAN_PPP: PPP_HDLC})
        for gre in _ARPHRD_GRE:
            layer[(device == gre) & (protocol == TRANSPARENT_ETHERNET)] = FRAME
        for other in _ARPHRD_OTHER:
            layer[device == other] = NEITHER
        layer[device == _ARPHRD_FRAME_RELAY] = FRAME_RELAY
        return at + self.length, layer


def _token_ring(buffer: NDArray[np.uint8], at: Places, ends: Places) -> Found:
    """IEEE 802.5: the source address says whether a route follows, and this how long it is."""
    header = peek(buffer, at, ends, 15)
    route = np.where(header[:, 8] & 0x80, header[:, 14] & 0x1F, 0).astype(np.int64)
    data = (header[:, 1] & 0xC0 == 0x40) & (route % 2 == 0)
    return at + 14 + route, np.where(data, LLC, NEITHER).astype(np.int32)


def _fddi(buffer: NDArray[np.uint8], at: Places, ends: Places) -> Found:
    """Frame control (of which some bits say that LLC follows), two addresses."""
    data = peek(buffer, at, ends, 1)[:, 0] & 0xF0 == 0x50
    return at + 13, np.where(data, LLC, NEITHER).astype(np.int32)


def _pflog(buffer: NDArray[np.uint8], at: Places, ends: Places) -> Found:
    """Each system has its own header; all begin with its length, without the padding, and the family."""
    header = peek(buffer, at, ends, 2)
    payload = at + ((header[:, 0].astype(np.int64) + 3) & ~3)
    layer = translated(header[:, 1], _FAMILIES)
    sound = (header[:, 0] >= _LEAST_PFLOG) & (versions(buffer, payload, ends) == layer)
    return ended(payload > ends, ends, payload, np.where(sound, layer, NEITHER).astype(np.int32))


def _pktap(buffer: NDArray[np.uint8], at: Places, ends: Places) -> Found:
    """Version 1: its length, what kind of record this is, and the link type of the frame behind it."""
    length = number(buffer, at, ends, "<u4")
    is_packet = number(buffer, at + 4, ends, "<u4") == 1
    kind = number(buffer, at + 8, ends, "<u4")
    second_version = number(buffer, at + 36, ends, "<u4") & 0x00080000 != 0
    sound = is_packet & ~second_version & (length >= _LEAST_PKTAP)
    frame = np.where(sound, np.minimum(at + length, ends), ends)
    after, layer = frame.copy(), translated(kind, {1: FRAME, 12: IP, 101: IP})
    loopback = np.flatnonzero(sound & (kind == 0) & (ends - frame >= 4))
    after[loopback], layer[loopback] = _LOOPBACK(buffer, frame[loopback], ends[loopback])
    return after, np.where(sound, layer, NEITHER).astype(np.int32)


LINK_TYPES: dict[int, Header] = {
    0: Header(4, _LOOPBACK),
    1: Header(0, _Plain(0, FRAME)),
    6: Header(14, _token_ring),
    8: Header(16, _Plain(16, IP)),
    9: Header(0, _Plain(0, PPP_HDLC)),
    10: Header(13, _fddi),
    12: Header(0, _Plain(0, IP)),
    14: Header(0, _Plain(0, IP)),
    50: Header(0, _Plain(0, PPP_HDLC)),
    51: Header(0, _Plain(0, PPPOE_SESSION)),
    100: Header(0, _Plain(0, LLC)),
    101: Header(0, _Plain(0, IP)),
    104: Header(0, _Plain(0, CISCO_HDLC)),
    107: Header(0, _Plain(0, FRAME_RELAY)),
    108: Header(4, _Family(4, _FAMILIES, (">u4",))),
    109: Header(12, _Family(12, _FAMILIES, (">u4", "<u4"))),
    113: Header(16, _Cooked(length=16, device_at=2, protocol_at=14)),
    117: Header(2, _pflog),
    122: Header(16, _Plain(16, LLC)),
    138: Header(18, _Typed(length=18, ethertype_at=16)),
    166: Header(2, _Plain(2, PPP)),
    204: Header(1, _Plain(1, PPP_HDLC)),
    205: Header(1, _Plain(1, CISCO_HDLC)),
    206: Header(1, _Plain(1, FRAME_RELAY)),
    226: Header(24, _Family(24, _SOLARIS_FAMILIES, ("u1",), family_at=1)),
    228: Header(1, _Version(IPV4)),
    229: Header(1, _Version(IPV6)),
    239: NFLOG,
    258: Header(40, _pktap),
    276: Header(20, _Cooked(length=20, device_at=8, protocol_at=0)),
}

_SUPPORTED = (
    "Ethernet, Linux cooked v1 and v2, raw IP, BSD loopback, PPP, PPPoE, Cisco HDLC, Frame Relay, NFLOG, "
    "PFLOG, ENC, PKTAP, ipnet, SLIP, FDDI, Token Ring, ATM, IP over Fibre Channel and over FireWire"
)

_UNSUPPORTED = {
    3: "AX25",
    7: "ARCNET_BSD",
    105: "IEEE802_11",
    114: "LTALK",
    119: "IEEE802_11_PRISM",
    123: "SUNATM",
    127: "IEEE802_11_RADIOTAP",
    129: "ARCNET_LINUX",
    143: "DOCSIS",
    **{147 + n: f"USER{n}" for n in range(16)},
    163: "IEEE802_11_AVS",
    182: "MFR",
    187: "BLUETOOTH_HCI_H4",
    189: "USB_LINUX",
    192: "PPI",
    195: "IEEE802_15_4_WITHFCS",
    197: "ERF",
    201: "BLUETOOTH_HCI_H4_WITH_PHDR",
    220: "USB_LINUX_MMAPPED",
    227: "CAN_SOCKETCAN",
    230: "IEEE802_15_4_NOFCS",
    240: "NETANALYZER",
    242: "IPOIB",
    249: "USBPCAP",
    251: "BLUETOOTH_LE_LL",
    253: "NETLINK",
    254: "BLUETOOTH_LINUX_MONITOR",
    256: "BLUETOOTH_LE_LL_WITH_PHDR",
    266: "USB_DARWIN",
    271: "VSOCK",
}


def first_header(link_type: int) -> Header:
    """What frames of a link type begin with.

    Raises:
        CaptureError: frames of this link type cannot be read.
    """
    header = LINK_TYPES.get(link_type)
    if header is None:
        name = f" ({_UNSUPPORTED[link_type]})" if link_type in _UNSUPPORTED else ""
        raise CaptureError(f"link type {link_type}{name} is not supported; supported are {_SUPPORTED}")
    return header
