"""Link layers: where in each frame the network layer begins, and what it is.

Link types are numbered as in https://www.tcpdump.org/linktypes.html.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanner.core.columns import gather
from scanner.model import CaptureError

IPV4 = 0x0800
ARP = 0x0806
ETHERNET = 1
RAW = 101

_VLAN_TAGS = (0x8100, 0x88A8, 0x9100)
_MOST_TAGS = 3
_TAG_BYTES = 4
_IPV4_VERSION = 4


@dataclass(frozen=True, slots=True)
class LinkLayer:
    """A link header: its length, and where in it the 16-bit EtherType sits (None: the IP version tells)."""

    length: int
    ethertype: int | None


LINK_LAYERS: dict[int, LinkLayer] = {
    ETHERNET: LinkLayer(length=14, ethertype=12),
    RAW: LinkLayer(length=0, ethertype=None),
    228: LinkLayer(length=0, ethertype=None),  # LINKTYPE_IPV4
    0: LinkLayer(length=4, ethertype=None),  # LINKTYPE_NULL: host-endian address family
    108: LinkLayer(length=4, ethertype=None),  # LINKTYPE_LOOP: OpenBSD's, network-endian
    113: LinkLayer(length=16, ethertype=14),  # LINKTYPE_LINUX_SLL
    276: LinkLayer(length=20, ethertype=0),  # LINKTYPE_LINUX_SLL2
}


def network_layer(
    buffer: NDArray[np.uint8], starts: NDArray[np.int64], link_type: int
) -> tuple[NDArray[np.int64], NDArray[np.uint16]]:
    """Find the network layer of each frame; VLAN tags (802.1Q, 802.1ad) are stepped over.

    Returns:
        `(N,)` int64, where it begins (perhaps past the frame's end), and `(N,)` uint16, its EtherType.

    Raises:
        CaptureError: the link type is not one of LINK_LAYERS.
    """
    link = LINK_LAYERS.get(link_type)
    if link is None:
        known = ", ".join(map(str, sorted(LINK_LAYERS)))
        msg = f"link type {link_type} is not supported; supported are {known}"
        raise CaptureError(msg)
    network = starts + link.length
    if link.ethertype is None:
        version = gather(buffer, network, 1)[:, 0] >> 4
        return network, np.where(version == _IPV4_VERSION, IPV4, 0).astype(np.uint16)
    ethertype = _ethertypes(buffer, starts + link.ethertype)
    for _ in range(_MOST_TAGS):
        tagged = np.isin(ethertype, _VLAN_TAGS)
        if not tagged.any():
            break
        # A tag is two bytes of control information, then the next EtherType.
        ethertype[tagged] = _ethertypes(buffer, network[tagged] + 2)
        network[tagged] += _TAG_BYTES
    return network, ethertype


def _ethertypes(buffer: NDArray[np.uint8], at: NDArray[np.int64]) -> NDArray[np.uint16]:
    return gather(buffer, at, 2).view(">u2")[:, 0].astype(np.uint16)
