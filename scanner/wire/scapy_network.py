"""The machine's own network on systems other than Linux: routes and interfaces as Scapy reads them.

The longest prefix leads, and of several the least metric. Neighbours are not known beforehand; they are
asked for.
"""

from __future__ import annotations

from collections.abc import Callable

from scanner.contracts import Clock, Conversation, Hop, Sources, Wire
from scanner.core.addresses import AddressSet
from scanner.core.hosts import Hosts
from scanner.core.ipv6 import Ipv6Set, in_zone, is_link_local, without_zone, zone_number
from scanner.model import UsageError
from scanner.wire.address_map import AddressMap
from scanner.wire.clock import SystemClock
from scanner.wire.open import open_wire
from scanner.wire.prefixes import ADDRESS_BITS, Range, address_text, prefix_range
from scanner.wire.routes import refuse_link_local
from scanner.wire.scapy_tables import Device, Tables, read_tables

_MTU = 1500
_LEAST_MTU = 1280  # RFC 8200, 5: Scapy does not tell; a tunnel carries that much at least
_LOOPBACK = {4: prefix_range(0x7F << 24, 8, 4), 6: (1, 1)}
_POINT_TO_POINT_BITS = 31  # RFC 3021


class ScapyNetwork:
    """A `scanner.contracts.Network` of this machine, by Scapy's eyes."""

    def __init__(self, read: Callable[[], Tables] = read_tables) -> None:
        """`read` tells of interfaces and routes; it is asked once, when they are needed."""
        self._clock = SystemClock()
        self._read = read
        self._known: Tables | None = None

    @property
    def clock(self) -> Clock:
        """The machine's."""
        return self._clock

    def routes(
        self, targets: Hosts, interface: str | None, sources: Sources
    ) -> list[tuple[Hop | None, Hosts]]:
        """Divide targets by how they are reached; None: no route.

        Raises UsageError where there is no such interface, where a source is not an address of
        ours, or a link-local target comes without an interface.
        """
        if interface is not None:
            self.zone(interface)
        found = []
        left = targets
        for version, source in ((4, sources.ipv4), (6, sources.ipv6)):
            if source is not None:
                self._require_source(source, version)
            for hop, reached in self._link_local(targets.ipv6, source) if version == 6 else ():
                found.append((hop, reached))
                left -= reached
            if version == 6:
                refuse_link_local(left.ipv6.ranges if interface is None else ())
            for hop, ranges in self._by_hop(version, interface, source):
                reached = left & (
                    Hosts(AddressSet.of(ranges)) if version == 4 else Hosts(ipv6=Ipv6Set.of(ranges))
                )
                if reached:
                    found.append((hop, reached))
                    left -= reached
        return [*found, (None, left)] if left else [*found]

    def zone(self, interface: str) -> int:
        """The index of an interface. Raises UsageError where there is none of that name."""
        if interface not in self._devices:
            names = ", ".join(sorted(self._devices))
            raise UsageError(f"there is no interface {interface!r}; there are: {names}")
        return self._devices[interface].index

    def interface(self, zone: int) -> str:
        """The name of the interface that has an index."""
        return self._by_index[zone].name

    def own_addresses(self, interface: str, version: int) -> list[int]:
        """The addresses of an interface."""
        device = self._devices.get(interface)
        return [] if device is None else list(device.addresses.get(version, ()))

    def specials(self) -> AddressSet:
        """Network and broadcast addresses of this host's own links."""
        ends = [*_LOOPBACK[4]]
        devices = self._devices
        for route in self._tables.routes:
            on_link = route.gateway is None and not devices[route.interface].loopback
            if route.version == 4 and on_link and 0 < route.bits < _POINT_TO_POINT_BITS:
                ends += route.covers
        return AddressSet.of((end, end) for end in ends)

    def neighbours(self, interface: str, version: int) -> dict[int, bytes]:
        """None are known: they are asked for."""
        return {}

    def open(self, hop: Hop, packets: int, longest: int) -> Wire:
        """See `scanner.wire.open.open_wire`."""
        return open_wire(hop, longest=longest)

    def connect(self, hop: Hop, address: str, port: int, seconds: float) -> Conversation:
        """A TCP socket; see `scanner.wire.conversation.connect`."""
        from scanner.wire.conversation import connect  # noqa: PLC0415 - for those who identify

        return connect(hop, address.partition("%")[0], port, seconds, address_text(hop.source, hop.version))

    @property
    def _tables(self) -> Tables:
        if self._known is None:
            self._known = self._read()
        return self._known

    @property
    def _devices(self) -> dict[str, Device]:
        return {device.name: device for device in self._tables.devices}

    @property
    def _by_index(self) -> dict[int, Device]:
        return {device.index: device for device in self._tables.devices}

    def _by_hop(
        self, version: int, interface: str | None, source: int | None
    ) -> list[tuple[Hop, list[Range]]]:
        """Hops, each with the addresses that they lead to."""
        ways: AddressMap[Hop | None] = AddressMap(ADDRESS_BITS[version] // 8)
        devices = self._devices
        routes = [route for route in self._tables.routes if route.version == version]
        for route in sorted(routes, key=lambda route: (route.bits, -route.metric)):
            device = devices[route.interface]
            if interface in {None, device.name} and not device.loopback:
                ways.lay([route.covers], self._hop(device, version, route.gateway, source or route.source))
        for device in self._tables.devices:
            if device.loopback:
                ways.lay([_LOOPBACK[version]], self._hop(device, version, None, source))
        for device in self._tables.devices:
            for own in device.addresses[version]:
                ways.lay([(own, own)], self._to_ourselves(own, version, source))
        found: dict[Hop, list[Range]] = {}
        for first, last, number in ways.pieces():
            hop = ways.tenant(number)
            if hop is not None:
                found.setdefault(hop, []).append((first, last))
        return list(found.items())

    def _link_local(self, targets: Ipv6Set, source: int | None) -> list[tuple[Hop | None, Hosts]]:
        """Link-local targets with a zone, each zone by its own interface."""
        by_zone: dict[int, list[Range]] = {}
        for first, last in targets.ranges:
            if zone_number(first):
                by_zone.setdefault(zone_number(first), []).append((first, last))
        found: list[tuple[Hop | None, Hosts]] = []
        for zone, ranges in by_zone.items():
            device = self._by_index[zone]
            reached = Ipv6Set.of(ranges)
            for own in device.addresses[6]:
                itself = Ipv6Set.of([(in_zone(own, zone),) * 2]) & reached if is_link_local(own) else None
                if itself:
                    found.append((self._to_ourselves(own, 6, source), Hosts(ipv6=itself)))
                    reached -= itself
            ours = next((own for own in device.addresses[6] if is_link_local(own)), None)
            if reached:
                found.append((self._hop(device, 6, None, source or ours), Hosts(ipv6=reached)))
        return found

    def _to_ourselves(self, own: int, version: int, source: int | None) -> Hop | None:
        for device in self._tables.devices:
            if device.loopback:
                return self._hop(device, version, None, source or own)
        return None

    def _hop(self, device: Device, version: int, gateway: int | None, source: int | None) -> Hop | None:
        """The way out by a device; None where it has no address to send from."""
        if source is None:
            source = next(iter(device.addresses[version]), None)
        if source is None:
            return None
        mac = None if device.loopback else device.mac
        return Hop(
            interface=device.name,
            source=source,
            gateway=gateway,
            on_link=gateway is None and not device.loopback,
            loopback=device.loopback,
            mac=mac,
            mtu=_LEAST_MTU if mac is None else _MTU,
            version=version,
        )

    def _require_source(self, source: int, version: int) -> None:
        own = [address for device in self._tables.devices for address in device.addresses[version]]
        if without_zone(source) in own if version == 6 else source in own:
            return
        known = ", ".join(address_text(address, version) for address in sorted(own))
        raise UsageError(
            f"{address_text(source, version)} is not an address of this machine; "
            f"it has: {known or f'no IPv{version} address'}"
        )
