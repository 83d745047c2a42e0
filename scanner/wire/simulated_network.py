"""A network in memory: hosts that answer as they are told to, at the end of a road that loses packets.

Probes to addresses where nobody is placed cost no Python per packet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanner.contracts import ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Hop, Sources
from scanner.core.addresses import AddressSet, parse_address
from scanner.core.hosts import Hosts
from scanner.core.ipv6 import Ipv6Set, is_link_local, looks_like_ipv6, parse_ipv6, without_zone
from scanner.core.targets import parse_targets
from scanner.model import UsageError
from scanner.wire.address_map import NOBODY, AddressMap
from scanner.wire.arp import ARP_BODY_LENGTH, REQUEST, arp_reply, parse_arp_untrusted
from scanner.wire.behaviours import Behaviour, silent
from scanner.wire.clock import NANOSECONDS, SimulatedClock
from scanner.wire.memory_service import MemoryConversation, Service
from scanner.wire.memory_wire import OWN_MAC, Arrival, MemoryWire
from scanner.wire.road import Conditions, Road
from scanner.wire.simulated_packets import (
    Datagram,
    echo_reply,
    parse_datagram_untrusted,
    parse_probe_untrusted,
)
from scanner.wire.solicitation import advertisement, parse_solicitation_untrusted

INTERFACE = "memory"
"""The name of a simulated network's only interface."""

OWN_LINK_LOCAL = 0xFE80 << 112 | 1
"""Our own address towards link-local ones, fe80::1."""

ZONE = 1
"""The number of the interface."""

_HEADERS = {ETHERTYPE_IPV4: (4, 20, slice(16, 20)), ETHERTYPE_IPV6: (6, 40, slice(24, 40))}
"""IP version, bytes of the header, and where the destination stands in it."""

_ALL_NODES = 0xFF02 << 112 | 1  # RFC 4291, 2.7.1
_MOST_CALLED = 1 << 12
_MTU = 1500


@dataclass(frozen=True, slots=True)
class _Host:
    behaviour: Behaviour
    answers_arp: bool
    answers_ping: bool


class SimulatedNetwork:
    """A `scanner.contracts.Network` in virtual time; where nobody is placed, nobody answers.

    seed: of all chances. clock: the time, a fresh one where None. source, source6: our own
    addresses. gateway, gateway6: the routers that every target is behind; without one, all are
    on-link, and only those that are placed answer ARP, or neighbour solicitations. Link-local
    addresses are on-link always. room: see `MemoryWire`.
    """

    def __init__(
        self,
        seed: int = 0,
        conditions: Conditions | None = None,
        clock: SimulatedClock | None = None,
        source: str = "192.0.2.1",
        gateway: str | None = None,
        room: int | None = None,
        *,
        source6: str = "2001:db8::1",
        gateway6: str | None = None,
    ) -> None:
        """A network with nobody on it, but for the gateways."""
        self._road = Road(seed, conditions or Conditions())
        self._clock = clock or SimulatedClock()
        self._sources = {4: parse_address(source), 6: parse_ipv6(source6)}
        self._gateways = {
            4: None if gateway is None else parse_address(gateway),
            6: None if gateway6 is None else without_zone(parse_ipv6(gateway6, self.zone)),
        }
        self._room = room
        self._maps: dict[int, AddressMap[_Host]] = {4: AddressMap(4), 6: AddressMap(16)}
        self._received: Counter[tuple[int, int]] = Counter()
        self._services: dict[tuple[str, int], Service] = {}
        for router in (gateway, gateway6):
            if router is not None:
                self.place(router, silent())

    @property
    def clock(self) -> SimulatedClock:
        """Virtual time."""
        return self._clock

    def place(
        self,
        target: str | AddressSet | Hosts,
        behaviour: Behaviour,
        *,
        answers_arp: bool = True,
        answers_ping: bool = True,
    ) -> None:
        """Put hosts at addresses; over others, they take their place.

        target: in a form that targets are written in. answers_arp: whether the hosts are up on
        the link, for IPv6 too; their MAC is `host_mac`. answers_ping: whether they answer ICMP echo
        requests. Raises UsageError where `target` is none.
        """
        if isinstance(target, str):
            target = parse_targets([target], self.zone)
        hosts = Hosts(target) if isinstance(target, AddressSet) else target
        host = _Host(behaviour, answers_arp, answers_ping)
        self._maps[4].lay(hosts.ipv4.ranges(), host)
        self._maps[6].lay(
            ((without_zone(first), without_zone(last)) for first, last in hosts.ipv6.ranges), host
        )

    def received(self, address: str) -> int:
        """How many IP packets have reached the host at an address, echo requests left aside."""
        if looks_like_ipv6(address):
            return self._received[6, without_zone(parse_ipv6(address, self.zone))]
        return self._received[4, parse_address(address)]

    def routes(
        self, targets: Hosts, interface: str | None, sources: Sources
    ) -> list[tuple[Hop | None, Hosts]]:
        """All targets by the one interface there is. Raises UsageError for any other."""
        if interface is not None:
            self.zone(interface)
        link_local = targets.ipv6 & Ipv6Set.of([(0xFE80 << 112, (0xFEC0 << 112) - 1)])
        ways = [
            (4, self._gateways[4], sources.ipv4, Hosts(targets.ipv4)),
            (6, self._gateways[6], sources.ipv6, Hosts(ipv6=targets.ipv6 - link_local)),
            (6, None, OWN_LINK_LOCAL if sources.ipv6 is None else sources.ipv6, Hosts(ipv6=link_local)),
        ]
        return [
            (
                Hop(
                    interface=INTERFACE,
                    source=self._sources[version] if source is None else source,
                    gateway=gateway,
                    on_link=gateway is None,
                    loopback=False,
                    mac=OWN_MAC,
                    mtu=_MTU,
                    version=version,
                ),
                reached,
            )
            for version, gateway, source, reached in ways
            if reached
        ]

    def specials(self) -> AddressSet:
        """None: every address may be a host."""
        return AddressSet.empty()

    def zone(self, interface: str) -> int:
        """That of the one interface there is. Raises UsageError for any other."""
        if interface != INTERFACE:
            raise UsageError(f"there is no interface {interface!r}; there are: {INTERFACE}")
        return ZONE

    def interface(self, zone: int) -> str:
        """That of the one interface there is."""
        return INTERFACE

    def own_addresses(self, interface: str, version: int) -> list[int]:
        """The one there is of each version."""
        return [self._sources[version]]

    def neighbours(self, interface: str, version: int) -> dict[int, bytes]:
        """None is known: they are asked for."""
        return {}

    def open(self, hop: Hop, packets: int = 0, longest: int = 0) -> MemoryWire:
        """A wire onto this network; it has room for any number of packets of any length."""
        return MemoryWire(self._clock, self, room=self._room, mtu=hop.mtu)

    def serve(self, address: str, port: int, service: Service) -> None:
        """Put a TCP service at an address and port, for `connect`; see `scanner.wire.memory_service`."""
        self._services[address, port] = service

    def connect(self, hop: Hop, address: str, port: int, seconds: float) -> MemoryConversation:
        """A conversation with the service there. Raises ConnectionRefusedError where there is none."""
        if (address, port) not in self._services:
            raise ConnectionRefusedError(f"nobody serves {address} {port}")
        return MemoryConversation(self._services[address, port], address, port)

    def carry(self, packets: NDArray[np.uint8], ethertype: int, moment: int) -> list[Arrival]:
        """The replies to `(N, L)` packets that left at `moment` (ns since the epoch)."""
        lost = self._road.lost(len(packets))
        arrivals: list[Arrival] = []
        if ethertype == ETHERTYPE_ARP and packets.shape[1] >= ARP_BODY_LENGTH:
            for row, host in self._reached(4, packets[:, 24:28], lost):
                if host.answers_arp:
                    arrivals += self._answer_arp(packets[row].tobytes(), moment)
            return arrivals
        version, header, destination = _HEADERS.get(ethertype, (0, 0, slice(0)))
        if not version or packets.shape[1] < header:
            return arrivals
        if version == 6:
            for row in np.flatnonzero((packets[:, 24] == 0xFF) & ~lost).tolist():
                arrivals += self._call(packets[row].tobytes(), moment)
        for row, host in self._reached(version, packets[:, destination], lost):
            arrivals += self._meet(packets[row].tobytes(), host, moment)
        return arrivals

    def _reached(
        self, version: int, addresses: NDArray[np.uint8], lost: NDArray[np.bool_]
    ) -> Iterator[tuple[int, _Host]]:
        hosts = self._maps[version]
        found = hosts.find(addresses)
        for row in np.flatnonzero((found != NOBODY) & ~lost).tolist():
            yield row, hosts.tenant(int(found[row]))

    def _meet(self, packet: bytes, host: _Host, moment: int) -> Iterator[Arrival]:
        """A packet has come to a host of its own."""
        datagram = parse_datagram_untrusted(packet)
        if datagram is None:
            return
        if parse_solicitation_untrusted(packet) is not None:
            yield from self._call(packet, moment)
            return
        echo = echo_reply(datagram)
        if echo is not None:
            if host.answers_ping:
                yield from self._return(datagram, datagram.destination, echo, moment)
            return
        key = datagram.version, datagram.destination
        self._received[key] += 1
        probe = parse_probe_untrusted(packet, self._received[key])
        if probe is None:
            return
        for reply in host.behaviour(probe):
            answer = parse_datagram_untrusted(reply.packet)
            sender = datagram.destination if answer is None else answer.source
            yield from self._return(datagram, sender, reply.packet, moment + round(reply.delay * NANOSECONDS))

    def _call(self, packet: bytes, moment: int) -> Iterator[Arrival]:
        """A packet of IPv6 has come to a group, or it asks for a neighbour."""
        asked = parse_solicitation_untrusted(packet)
        datagram = parse_datagram_untrusted(packet)
        if asked is not None:
            row = np.frombuffer(asked.target.to_bytes(16, "big"), dtype=np.uint8)[None]
            for _, host in self._reached(6, row, np.zeros(1, dtype=np.bool_)):
                if host.answers_arp:
                    mac = host_mac(asked.target, 6)
                    yield from self._road.arrivals(ETHERTYPE_IPV6, mac, advertisement(asked, mac), moment)
        elif datagram is not None and datagram.destination == _ALL_NODES:
            for address in self._on_the_link(link_local=is_link_local(datagram.source)):
                if (echo := echo_reply(datagram, sender=address)) is not None:
                    yield from self._road.arrivals(ETHERTYPE_IPV6, host_mac(address, 6), echo, moment)

    def _on_the_link(self, *, link_local: bool) -> Iterator[int]:
        """Addresses of hosts on the link that answer when all are called, link-local ones or the others."""
        hosts = self._maps[6]
        for first, last, number in hosts.pieces():
            host = hosts.tenant(number)
            if host.answers_arp and host.answers_ping and is_link_local(first) == link_local:
                yield from range(first, min(last + 1, first + _MOST_CALLED))

    def _answer_arp(self, body: bytes, moment: int) -> Iterator[Arrival]:
        request = parse_arp_untrusted(body)
        if request is None or request.operation != REQUEST:
            return
        mac = host_mac(request.target)
        yield from self._road.arrivals(ETHERTYPE_ARP, mac, arp_reply(request, mac).pack(), moment)

    def _return(self, asked: Datagram, sender: int, packet: bytes, moment: int) -> Iterator[Arrival]:
        """A reply comes in by the gateway, or straight from who sent it."""
        gateway = self._gateways[asked.version]
        if gateway is None or (asked.version == 6 and is_link_local(asked.destination)):
            gateway = sender
        ethertype = ETHERTYPE_IPV4 if asked.version == 4 else ETHERTYPE_IPV6
        yield from self._road.arrivals(ethertype, host_mac(gateway, asked.version), packet, moment)


def host_mac(address: int, version: int = 4) -> bytes:
    """The MAC of the simulated host at an address: 02:00 (of IPv6 02:06) and its last four bytes."""
    return bytes((2, 0 if version == 4 else version)) + (address & 0xFFFF_FFFF).to_bytes(4, "big")
