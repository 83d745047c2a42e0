"""The machine's own network: the kernel's routes, neighbours and packet sockets, on Linux."""

from __future__ import annotations

from scanner.contracts import Clock, Conversation, Hop, Wire
from scanner.core.addresses import AddressSet, format_address
from scanner.wire.clock import SystemClock
from scanner.wire.ip_command import Runner, run_ip
from scanner.wire.neighbours import parse_neighbours
from scanner.wire.open import open_wire
from scanner.wire.receive_ring import RingOptions
from scanner.wire.routes import on_link_specials, plan_routes

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
        groups = plan_routes(targets.ranges(), interface, source, self._run)
        return [(hop, AddressSet.of(ranges)) for hop, ranges in groups]

    def specials(self) -> AddressSet:
        """Network and broadcast addresses of this host's own links."""
        return AddressSet.of(on_link_specials(self._run))

    def neighbours(self, interface: str) -> dict[int, bytes]:
        """Hardware addresses of the kernel's neighbour table, by IPv4 address."""
        known = parse_neighbours(self._run(["-j", "-4", "neigh", "show"], ""))
        return {address: mac for (name, address), mac in known.items() if name == interface}

    def open(self, hop: Hop, packets: int, longest: int) -> Wire:
        """Packet rings on Ethernet, raw IP elsewhere; see `scanner.wire.open.open_wire`.

        A reply that comes alone takes a block of the ring for itself, so there are as many blocks as
        packets; but a ring costs time to make, so a small sweep has a small one.
        """
        blocks = min(RingOptions().blocks, max(_LEAST_BLOCKS, packets))
        return open_wire(hop, RingOptions(blocks=blocks), longest)

    def connect(self, hop: Hop, address: str, port: int, seconds: float) -> Conversation:
        """A TCP socket; see `scanner.wire.conversation.connect`."""
        from scanner.wire.conversation import connect  # noqa: PLC0415 - for those who identify

        return connect(hop, address, port, seconds, format_address(hop.source))
