"""No host gets more than its share: packets a second to one address, whoever of the lanes sends them.

The order of a sweep spreads probes as widely as can be (`spread.py`), so that a host's share is the rate
divided by the number of addresses, and most sweeps never meet the limit. Where a few hosts are asked
many ports, or one of them is all that is still silent, it holds their probes back; the lane waits with
them, for a host that has most left to be asked decides when a lane is over anyhow.

This is the generic cell rate algorithm (ITU-T I.371, annex A): a host holds one number, the time at which
its last packet would have left had all kept to the pace, and may run ahead of it by one burst.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_BURST_SECONDS = 0.02
_QUANTUM_SECONDS = 0.005
_HAIR = 1e-9

MANY_PORTS = 100
"""Probes a host, from which on a sweep that adapts its rate keeps a limit without being told to."""

DEFAULT_PER_HOST = 5_000.0
"""Packets a second to one host in such a sweep.

nmap keeps no more than 300 probes in flight (its `max_cwnd`), over a path of 60 ms that is as many; masscan
has no limit a host, and only its low default rate keeps it from harm. At this one, all 65 535 ports
of a host take 13 seconds by TCP, and a slow device gets 2.4 Mbit/s.
"""


def default_per_host(probes: int, *, adaptive: bool) -> float:
    """Packets a second to one host where nobody says: none but for sweeps of many ports at a rate of ours."""
    return DEFAULT_PER_HOST if adaptive and probes > MANY_PORTS else math.inf


class HostPace:
    """What was sent to each address of a path; shared by its lanes."""

    def __init__(self, addresses: int, rate: float) -> None:
        """`rate`: packets a second to one address."""
        self._interval = 1.0 / rate
        self._ahead = max(0.0, _BURST_SECONDS - self._interval)
        self._quantum = min(self._ahead, _QUANTUM_SECONDS)
        self._due: NDArray[np.float64] = np.full(addresses, -math.inf)

    def allowed(self, hosts: NDArray[np.int64], now: float) -> int:
        """How many of the first of some packets, given by address, may leave now."""
        ahead = np.maximum(self._due[hosts] - now, 0.0) + _occurrence(hosts) * self._interval
        late = np.flatnonzero(ahead > self._ahead + _HAIR)
        return int(late[0]) if len(late) else len(hosts)

    def due(self, host: int) -> float:
        """When some packets may leave to an address again."""
        return float(self._due[host]) - self._ahead + self._quantum

    def spend(self, hosts: NDArray[np.int64], now: float) -> None:
        """Packets left."""
        different, counts = np.unique(hosts, return_counts=True)
        self._due[different] = np.maximum(self._due[different], now) + counts * self._interval


def _occurrence(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """How often each value has stood before in the array: 0 for the first of its kind."""
    order = np.argsort(values, kind="stable")
    grouped = values[order]
    rows = np.arange(len(values))
    fresh = np.ones(len(values), dtype=np.bool_)
    fresh[1:] = grouped[1:] != grouped[:-1]
    nth = np.empty(len(values), dtype=np.int64)
    nth[order] = rows - np.maximum.accumulate(np.where(fresh, rows, 0))
    return nth
