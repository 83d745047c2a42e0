"""What holds at which address: ranges laid over each other, looked up many at a time.

For one version of IP. Laying costs time per range, looking up none per range.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

NOBODY = -1

_Tenant = TypeVar("_Tenant")


class AddressMap(Generic[_Tenant]):
    """Tenants of ranges of addresses of `width` bytes; where ranges meet, the one laid last holds."""

    def __init__(self, width: int) -> None:
        """Nobody is anywhere: 4 bytes for IPv4, 16 for IPv6."""
        self._width = width
        self._laid: list[tuple[list[tuple[int, int]], _Tenant]] = []
        self._edges: list[int] = []
        self._cuts: NDArray[Any] | None = None
        self._owners: NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def lay(self, ranges: Iterable[tuple[int, int]], tenant: _Tenant) -> None:
        """Let somebody have ranges of addresses, first and last included, over whoever has them now."""
        self._laid.append((list(ranges), tenant))
        self._cuts = None

    def tenant(self, number: int) -> _Tenant:
        """Somebody by the number that `find` gives."""
        return self._laid[number][1]

    def find(self, addresses: NDArray[np.uint8]) -> NDArray[np.int64]:
        """The numbers of who is at the addresses, `(N, width)` uint8 as on the wire; NOBODY for nobody."""
        cuts = self._drawn()
        keys = self._keys(np.ascontiguousarray(addresses))
        found: NDArray[np.int64] = self._owners[np.searchsorted(cuts, keys, side="right") - 1]
        return found

    def pieces(self) -> Iterator[tuple[int, int, int]]:
        """First and last address of every range that somebody has, and whose it is, ascending."""
        self._drawn()
        ends = [*self._edges[1:], 1 << 8 * self._width]
        for first, end, owner in zip(self._edges, ends, self._owners.tolist(), strict=True):
            if owner != NOBODY:
                yield first, end - 1, owner

    def _drawn(self) -> NDArray[Any]:
        if self._cuts is None:
            self._cuts = self._draw()
        return self._cuts

    def _draw(self) -> NDArray[Any]:
        """Cut the address space at the ends of all ranges; each piece has one owner, or none."""
        firsts = {first for ranges, _ in self._laid for first, _ in ranges}
        behind = {last + 1 for ranges, _ in self._laid for _, last in ranges}
        cuts = self._edges = sorted({0} | firsts | behind - {1 << 8 * self._width})
        self._owners = np.full(len(cuts), NOBODY, dtype=np.int64)
        for number, (ranges, _) in enumerate(self._laid):
            for first, last in ranges:
                self._owners[bisect_left(cuts, first) : bisect_left(cuts, last + 1)] = number
        octets = b"".join(cut.to_bytes(self._width, "big") for cut in cuts)
        return self._keys(np.frombuffer(octets, dtype=np.uint8).reshape(-1, self._width))

    def _keys(self, addresses: NDArray[np.uint8]) -> NDArray[Any]:
        """Values that sort as the addresses do: numbers where there are such wide ones, else bytes."""
        if self._width == np.dtype(np.uint32).itemsize:
            return addresses.view(">u4")[:, 0].astype(np.int64)
        return addresses.view(f"S{self._width}")[:, 0]
