"""The machine's own network: the kernel's routes, neighbours and packet sockets, on Linux."""

from __future__ import annotations

from collections.abc import Sequence

from scanner.contracts import Clock, Hop, Wire
from scanner.core.addresses import AddressSet
from scanner.wire.clock import SystemClock
from scanner.wire.ip_command import Runner, run_ip
from scanner.wire.neighbours import parse_neighbours
from scanner.wire.open import open_wire
from scanner.wire.own_addresses import on_link_specials, own_addresses
from scanner.wire.prefixes import Range
from scanner.wire.receive_ring import RingOptions
from scanner.wire.routes import plan_routes

_LEAST_BLOCKS = 16


class LinuxNetwork:
    """A `scanner.contracts.Network` of the network namespace that the process is in."""

    def __init__(self, run: Runner = run_ip) -> None:
        """`run` asks iproute2."""
        self._run = run
        self._clock = SystemClock()

    @property
    def clock(self) -> Clock:
        """The machine's."""
        return self._clock

    def routes(
        self, targets: AddressSet, interface: str | None, source: int | None
    ) -> list[tuple[Hop | None, AddressSet]]:
        """As the kernel answers; see `scanner.wire.routes.plan_routes`."""
        groups = self.paths(4, targets.ranges(), interface, source)
        return [(hop, AddressSet.of(ranges)) for hop, ranges in groups]

    def paths(
        self, version: int, targets: Sequence[Range], interface: str | None, source: int | None
    ) -> list[tuple[Hop | None, list[Range]]]:
        """Ranges of either version of IP, divided by how they are reached; None: no route.

        Link-local IPv6 targets need the interface that is their zone. See
        `scanner.wire.routes.plan_routes`, also for what it raises.
        """
        return plan_routes(targets, version, interface, source, self._run)

    def specials(self) -> AddressSet:
        """Network and broadcast addresses of this host's own links."""
        return AddressSet.of(on_link_specials(run=self._run))

    def neighbours(self, interface: str) -> dict[int, bytes]:
        """Hardware addresses of the kernel's neighbour table, by IPv4 address."""
        return self._neighbours(interface, 4)

    def neighbours6(self, interface: str) -> dict[int, bytes]:
        """Hardware addresses of the kernel's neighbour table, by IPv6 address."""
        return self._neighbours(interface, 6)

    def own_addresses(self, interface: str, version: int) -> list[int]:
        """The addresses of an interface that packets may be sent from, in the kernel's order."""
        return own_addresses(interface, version, self._run)

    def open(self, hop: Hop, packets: int, longest: int) -> Wire:
        """Packet rings on Ethernet, raw IP elsewhere; see `scanner.wire.open.open_wire`.

        A reply that comes alone takes a block of the ring for itself, so there are as many blocks as
        packets; but a ring costs time to make, so a small sweep has a small one.
        """
        blocks = min(RingOptions().blocks, max(_LEAST_BLOCKS, packets))
        return open_wire(hop, RingOptions(blocks=blocks), longest)

    def _neighbours(self, interface: str, version: int) -> dict[int, bytes]:
        known = parse_neighbours(self._run(["-j", f"-{version}", "neigh", "show"], ""), version)
        return {address: mac for (name, address), mac in known.items() if name == interface}
