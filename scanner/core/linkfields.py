"""What readers of link headers are made of: layers, and fields of many frames at once.

A layer is a number: an EtherType, or for what has none, one of those defined here that are greater.
Bytes past a frame's end read as zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanner.core.columns import gather

IPV4 = 0x0800
IPV6 = 0x86DD
ARP = 0x0806

NEITHER = 0
VLAN_TAGS = (0x8100, 0x88A8, 0x9100, 0x9200)
PROVIDER_BRIDGE = 0x88E7
PORT_TAG = 0x8926
EXTENSION_TAG = 0x893F
CISCO_METADATA = 0x8909
REDUNDANCY_TAG = 0xF1C1
MACSEC = 0x88E5
JUMBO_LLC = 0x8870
PPPOE_SESSION = 0x8864
MPLS = 0x8847
MPLS_UPSTREAM = 0x8848
TRANSPARENT_ETHERNET = 0x6558

NO_ETHERTYPE = 0x10000
IP = NO_ETHERTYPE + 1
"""IPv4 or IPv6; its first four bits tell."""
FRAME = NO_ETHERTYPE + 2
"""An Ethernet frame."""
LLC = NO_ETHERTYPE + 3
"""IEEE 802.2."""
PPP = NO_ETHERTYPE + 4
"""PPP from its protocol field on."""
PPP_HDLC = NO_ETHERTYPE + 5
"""PPP, perhaps in HDLC-like framing; or Cisco's HDLC."""
CISCO_HDLC = NO_ETHERTYPE + 6
FRAME_RELAY = NO_ETHERTYPE + 7
FRAME_RELAY_BODY = NO_ETHERTYPE + 8
"""What is behind a Frame Relay address."""
LABELLED = NO_ETHERTYPE + 9
"""What is behind the last MPLS label."""

_LEAST_LLC = 3
_MOST_802_3_LENGTH = 1500
_LEAST_ETHERTYPE = 0x0600

Places = NDArray[np.int64]
Layers = NDArray[np.int32]
Found = tuple[Places, Layers]


@dataclass(frozen=True, slots=True)
class Header:
    """A kind of header: the least bytes it takes, and how it is read.

    `read(buffer, at, ends)` is given frames that have those bytes, and returns where what follows begins
    (the frame's end if the header turns out to be cut off), and its layer.
    """

    least: int
    read: Callable[[NDArray[np.uint8], Places, Places], Found]


def peek(buffer: NDArray[np.uint8], at: Places, ends: Places, width: int) -> NDArray[np.uint8]:
    """Copy `width` bytes of each frame, zeros past its end.

    Returns:
        `(N, width)` uint8, contiguous.
    """
    room = ends - at
    if not len(at) or int(room.min()) >= width:
        return gather(buffer, at, width)
    rows = np.zeros((len(at), width), dtype=np.uint8)
    some = np.flatnonzero(room > 0)
    rows[some] = gather(buffer, at[some], width)
    rows[np.arange(width) >= room[:, np.newaxis]] = 0
    return rows


def number(buffer: NDArray[np.uint8], at: Places, ends: Places, layout: str = ">u2") -> Places:
    """An unsigned number of each frame, as int64; bytes past the frame's end are zeros."""
    rows = peek(buffer, at, ends, np.dtype(layout).itemsize)
    numbers: Places = rows.view(layout)[:, 0].astype(np.int64)
    return numbers


def typed(ethertype: NDArray[np.integer]) -> Layers:
    """Layers of numbers that are EtherTypes; what is too small for one is none."""
    return np.where(ethertype >= _LEAST_ETHERTYPE, ethertype, NEITHER).astype(np.int32)


def typed_or_llc(ethertype: NDArray[np.integer]) -> Layers:
    """Layers of numbers that are EtherTypes or lengths (IEEE 802.3, 3.2.6)."""
    is_length = (ethertype >= _LEAST_LLC) & (ethertype <= _MOST_802_3_LENGTH)
    return np.where(is_length, LLC, typed(ethertype)).astype(np.int32)


def translated(numbers: NDArray[np.integer], layers: Mapping[int, int]) -> Layers:
    """Layers of numbers that another list has; NEITHER for those not listed."""
    found = np.full(len(numbers), NEITHER, dtype=np.int32)
    for one, layer in layers.items():
        found[numbers == one] = layer
    return found


def versions(buffer: NDArray[np.uint8], at: Places, ends: Places) -> Layers:
    """IPV4 or IPV6, as the first four bits of each frame say, or NEITHER."""
    return translated(peek(buffer, at, ends, 1)[:, 0] >> 4, {4: IPV4, 6: IPV6})


def ended(cut: NDArray[np.bool_], ends: Places, at: Places, layer: Layers) -> Found:
    """What a reader returns where some of its headers are cut off."""
    return np.where(cut, ends, at), np.where(cut, NEITHER, layer).astype(np.int32)
