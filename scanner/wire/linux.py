"""The machine's own network: the kernel's routes, neighbours and packet sockets, on Linux."""

from __future__ import annotations

import os
import socket

from scanner.contracts import Clock, Conversation, Hop, Sources, Wire
from scanner.core.addresses import AddressSet
from scanner.core.hosts import Hosts
from scanner.core.ipv6 import Ipv6Set, in_zone, without_zone, zone_number
from scanner.model import UsageError
from scanner.wire.clock import SystemClock
from scanner.wire.ip_command import Runner, run_ip
from scanner.wire.neighbours import parse_neighbours
from scanner.wire.open import open_wire
from scanner.wire.own_addresses import on_link_specials, own_addresses
from scanner.wire.prefixes import Range, address_text
from scanner.wire.receive_ring import RingOptions
from scanner.wire.routes import plan_routes

_LEAST_BLOCKS = 16
_MOST_EXITS = 2
_WORTH_TWO_EXITS = 1 << 15
"""Packets a round."""


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
        self, targets: Hosts, interface: str | None, sources: Sources
    ) -> list[tuple[Hop | None, Hosts]]:
        """As the kernel answers; see `scanner.wire.routes.plan_routes`."""
        found: list[tuple[Hop | None, Hosts]] = []
        if targets.ipv4:
            groups = plan_routes(targets.ipv4.ranges(), 4, interface, sources.ipv4, self._run)
            found += [(hop, Hosts(AddressSet.of(ranges))) for hop, ranges in groups]
        # A link-local address is looked for on its own link alone.
        by_zone: dict[int, list[Range]] = {}
        for first, last in targets.ipv6.ranges:
            by_zone.setdefault(zone_number(first), []).append((without_zone(first), without_zone(last)))
        for zone, ranges in by_zone.items():
            way = self.interface(zone) if zone else interface
            for hop, reached in plan_routes(ranges, 6, way, sources.ipv6, self._run):
                ours = ((in_zone(first, zone), in_zone(last, zone)) for first, last in reached)
                found.append((hop, Hosts(ipv6=Ipv6Set.of(ours))))
        return found

    def zone(self, interface: str) -> int:
        """The kernel's index of an interface. Raises UsageError where there is none of that name."""
        try:
            return socket.if_nametoindex(interface)
        except OSError:
            names = ", ".join(sorted(name for _, name in socket.if_nameindex()))
            msg = f"there is no interface {interface!r}; there are: {names}"
            raise UsageError(msg) from None

    def interface(self, zone: int) -> str:
        """The name of the interface that has an index."""
        return socket.if_indextoname(zone)

    def own_addresses(self, interface: str, version: int) -> list[int]:
        """The addresses of an interface that packets may be sent from, in the kernel's order."""
        return own_addresses(interface, version, self._run)

    def specials(self) -> AddressSet:
        """Network and broadcast addresses of this host's own links."""
        return AddressSet.of(on_link_specials(run=self._run))

    def neighbours(self, interface: str, version: int) -> dict[int, bytes]:
        """Hardware addresses of the kernel's neighbour table, by address."""
        known = parse_neighbours(self._run(["-j", f"-{version}", "neigh", "show"], ""), version)
        return {address: mac for (name, address), mac in known.items() if name == interface}

    def open(self, hop: Hop, packets: int, longest: int) -> Wire:
        """Packet rings on Ethernet, raw IP elsewhere; see `scanner.wire.open.open_wire`.

        A reply that comes alone takes a block of the ring for itself, so there are as many blocks as
        packets; but a ring costs time to make, so a small sweep has a small one, and one way out.
        """
        blocks = min(RingOptions().blocks, max(_LEAST_BLOCKS, packets))
        exits = min(_MOST_EXITS, len(os.sched_getaffinity(0))) if packets >= _WORTH_TWO_EXITS else 1
        return open_wire(hop, RingOptions(blocks=blocks), longest, exits)

    def connect(self, hop: Hop, address: str, port: int, seconds: float) -> Conversation:
        """A TCP socket; see `scanner.wire.conversation.connect`."""
        from scanner.wire.conversation import connect  # noqa: PLC0415 - for those who identify

        return connect(hop, address.partition("%")[0], port, seconds, address_text(hop.source, hop.version))
