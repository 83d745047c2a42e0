"""Sifting frames: most of a large capture is sound, and of ports nobody asked about, as one look tells."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scanner.core import headers
from scanner.core.columns import columns, gather
from scanner.core.heard import Heard
from scanner.core.link import ETHERNET, IPV4
from scanner.core.packets import TCP, UDP

_PLAIN = np.dtype(
    {
        "names": [
            "ethertype",
            "version",
            "length",
            "fragment",
            "protocol",
            "destination",
            "from_port",
            "to_port",
        ],
        "formats": [">u2", "u1", ">u2", ">u2", "u1", ">u4", ">u2", ">u2"],
        "offsets": [12, 14, 16, 20, 23, 30, 34, 36],
        "itemsize": 38,
    }
)
"""Of the commonest frame there is: an Ethernet header, one of IPv4 without options, and ports."""

_ETHERNET_BYTES = 14
_LEAST_PLAIN = np.full(256, 0xFFFF, dtype=np.uint16)
_LEAST_PLAIN[TCP] = headers.IPV4_BYTES + headers.TCP_BYTES
_LEAST_PLAIN[UDP] = headers.IPV4_BYTES + headers.UDP_BYTES
"""Bytes of a packet that has all of its headers, by protocol; others are not plain."""

_WORTHWHILE = 8
"""One frame in so many must be of other ports for a closer look to pay."""


class Sieve:
    """Tells which frames bear on some ports, as far as one look at each can tell."""

    def __init__(self, ports: NDArray[np.bool_], heard: Heard) -> None:
        """`ports`: `(65536,)` bool, those of note. `heard`: what is told of all others in passing."""
        self._dull = ~ports
        self._heard = heard

    def telling(
        self, buffer: NDArray[np.uint8], starts: NDArray[np.int64], lengths: NDArray[np.int64], link_type: int
    ) -> NDArray[np.int64] | None:
        """Frames that are to be read, `(N,)` int64 of their rows in order; None: all.

        Arguments as in `scanner.contracts.Frames`. The others are noted as heard.
        """
        if link_type != ETHERNET:
            return None
        head = columns(gather(buffer, starts, _PLAIN.itemsize), _PLAIN)
        dull = self._dull[head["from_port"].astype(np.uint16)]
        dull &= self._dull[head["to_port"].astype(np.uint16)]
        if np.count_nonzero(dull) * _WORTHWHILE < len(dull):
            return None
        dull &= head["ethertype"] == IPV4
        dull &= head["version"] == 0x45
        dull &= head["fragment"] & np.uint16(0x3FFF) == 0
        least = _LEAST_PLAIN[head["protocol"]]
        dull &= head["length"] >= least
        dull &= lengths >= least + np.int64(_ETHERNET_BYTES)
        dull &= least != 0xFFFF
        self._heard.add(head["destination"][dull].astype(np.uint64))
        return np.flatnonzero(~dull)
