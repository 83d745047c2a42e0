"""NFLOG: what Linux's firewall logged, each packet as a list of attributes.

https://www.tcpdump.org/linktypes/LINKTYPE_NFLOG.html and linux/netfilter/nfnetlink_log.h.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scanner.core.linkfields import (
    IPV4,
    IPV6,
    NEITHER,
    Found,
    Header,
    Layers,
    Places,
    peek,
    translated,
    versions,
)

_HEADER = 4
_ATTRIBUTE = 4
_PAYLOAD = 9
_MOST_ATTRIBUTES = 64
_FAMILIES = {2: IPV4, 10: IPV6}


def _nflog(buffer: NDArray[np.uint8], at: Places, ends: Places) -> Found:
    """Family, version 0, group, then attributes: length, type, value, padding to four bytes.

    Lengths and types are in the byte order of the machine that captured. Every type is below 256: where in
    the first attribute the type has its zero tells which order it is.
    """
    header = peek(buffer, at, ends, _HEADER + _ATTRIBUTE)
    family = np.where(header[:, 1] == 0, translated(header[:, 0], _FAMILIES), NEITHER)
    big = header[:, 6] == 0
    payload = ends.copy()
    place = at + _HEADER
    rows = np.flatnonzero((family != NEITHER) & (big != (header[:, 7] == 0)))
    for _ in range(_MOST_ATTRIBUTES):
        rows = rows[ends[rows] - place[rows] >= _ATTRIBUTE]
        if not len(rows):
            break
        attribute = peek(buffer, place[rows], ends[rows], _ATTRIBUTE)
        length, kind = np.where(big[rows, np.newaxis], attribute.view(">u2"), attribute.view("<u2")).T
        found = kind == _PAYLOAD
        payload[rows[found]] = place[rows[found]] + _ATTRIBUTE
        going = ~found & (length >= _ATTRIBUTE)
        rows = rows[going]
        place[rows] += (length[going].astype(np.int64) + 3) & ~3
    layer: Layers = np.where(versions(buffer, payload, ends) == family, family, NEITHER).astype(np.int32)
    return payload, layer


NFLOG = Header(_HEADER + _ATTRIBUTE, _nflog)
