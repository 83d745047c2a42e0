"""The order in which addresses × ports are visited: all addresses once, then all of them once more.

A pass visits every address in the same keyed order, each at another of its ports, so that two probes to
one address are always a whole pass apart: no order spreads them wider. Within a pass, neighbours are
asked different ports. With a single port it is the keyed order itself.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scanner.core.permutation import Permutation


class SpreadOrder:
    """A bijection of the positions 0 … addresses · ports − 1 onto the tasks `address · ports + port`."""

    def __init__(self, addresses: int, ports: int, seed: int) -> None:
        """Both orders, of the addresses and of the ports, are the seed's. Raises as `Permutation`."""
        self._addresses = Permutation(addresses, seed)
        self._ports = ports
        order = Permutation(ports, seed)
        self._port_at: NDArray[np.int64] = order.forward(np.arange(ports))
        self._place_of: NDArray[np.int64] = order.inverse(np.arange(ports))

    def forward(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The tasks visited at these positions: `(N,)` int64 each. Raises IndexError for one outside."""
        if self._ports == 1:
            return self._addresses.forward(positions)
        turn, place = np.divmod(positions, max(1, self._addresses.n))
        port = self._port_at[(turn + place) % self._ports]
        tasks: NDArray[np.int64] = self._addresses.forward(place) * self._ports + port
        return tasks

    def inverse(self, tasks: NDArray[np.int64]) -> NDArray[np.int64]:
        """The positions at which these tasks are visited; as `forward`, the other way round."""
        if self._ports == 1:
            return self._addresses.inverse(tasks)
        address, port = np.divmod(tasks, self._ports)
        place = self._addresses.inverse(address)
        turn = (self._place_of[port] - place) % self._ports
        positions: NDArray[np.int64] = turn * self._addresses.n + place
        return positions
