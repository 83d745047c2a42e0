"""Link layers: where in each frame the network layer begins, and what it is.

Nothing is believed of a header that does not lie in its frame whole. Almost every frame there is
has a plain Ethernet header, which is read here; what is rarer is taken off header by header
(`linkheaders.py`), and what a capture's frames begin with is in `linktypes.py`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scanner.core.linkfields import ARP, IPV4, IPV6, typed_or_llc
from scanner.core.linkheaders import unwrapped
from scanner.core.linktypes import first_header

__all__ = ["ARP", "ETHERNET", "IPV4", "IPV6", "RAW", "check_link_type", "network_layer"]

ETHERNET = 1
RAW = 101

_ETHERNET_HEADER = 14
_ETHERTYPE_AT = 12


def network_layer(
    buffer: NDArray[np.uint8], starts: NDArray[np.int64], lengths: NDArray[np.int64], link_type: int
) -> tuple[NDArray[np.int64], NDArray[np.uint16]]:
    """Find the network layer of each frame.

    The frames may as well be those that a tunnel carries: each lies in the buffer at `starts`, and
    is `lengths` bytes long. VLAN tags, LLC/SNAP, PPPoE, PPP and MPLS labels are stepped over.

    Args:
        buffer: `(B,)` uint8.
        starts: `(N,)` int64.
        lengths: `(N,)` int64, bytes captured of each frame.
        link_type: as numbered in https://www.tcpdump.org/linktypes.html.

    Returns:
        `(N,)` int64, where the network layer begins, and `(N,)` uint16, its EtherType: IPV4, IPV6, ARP, or
        something else for what is none of them, 0 where there is no EtherType that could tell.
        Of a frame that ends in its link headers or with them, the place is its end or past it, and the
        EtherType is not to be looked at.

    Raises:
        CaptureError: frames of this link type cannot be read. Nothing in the frames themselves raises.
    """
    if link_type == ETHERNET:
        return _ethernet(buffer, starts, lengths)
    return unwrapped(buffer, starts, starts + lengths, first_header(link_type))


def check_link_type(link_type: int) -> None:
    """See that frames of a link type can be read; raises CaptureError that names it if not."""
    first_header(link_type)


def _ethernet(
    buffer: NDArray[np.uint8], starts: NDArray[np.int64], lengths: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.uint16]]:
    """What `network_layer` does, where most frames are expected to be plain IPv4."""
    network = starts + _ETHERNET_HEADER
    ethertype = _ethertypes(buffer, starts + _ETHERTYPE_AT)
    rows = np.flatnonzero(ethertype != IPV4)
    if len(rows):
        rest = ethertype[rows]
        rows = rows[(rest != IPV6) & (rest != ARP) & (lengths[rows] >= _ETHERNET_HEADER)]
    if len(rows):
        ends = starts[rows] + lengths[rows]
        network[rows], ethertype[rows] = unwrapped(buffer, network[rows], ends, typed_or_llc(ethertype[rows]))
    return network, ethertype


def _ethertypes(buffer: NDArray[np.uint8], at: NDArray[np.int64]) -> NDArray[np.uint16]:
    """The 16 bits at each place; of places past the buffer's end, any."""
    last = len(buffer) - 2
    if last < 0:
        return np.zeros(len(at), dtype=np.uint16)
    # Seen as overlapping numbers, the buffer gives one in one read: half the time that two bytes take.
    words: NDArray[np.uint16] = np.ndarray(
        (last + 1,), dtype=">u2", buffer=np.ascontiguousarray(buffer), strides=(1,)
    )
    if len(at) and int(at.max()) > last:
        at = np.minimum(at, last)
    return words[at].astype(np.uint16)
