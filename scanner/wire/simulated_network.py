"""A network in memory: hosts that answer as they are told to, and a road that loses packets.

Everything random comes from seeds, and each kind of chance has a generator of its own, so a
network meets the same probes with the same luck however they were cut into batches. Probes
to addresses where nobody is placed cost no Python per packet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanner.contracts import ETHERTYPE_ARP, ETHERTYPE_IPV4, Hop, Sources
from scanner.core.addresses import AddressSet, parse_address
from scanner.core.hosts import Hosts
from scanner.core.targets import parse_targets
from scanner.model import UsageError
from scanner.wire.arp import ARP_BODY_LENGTH, REQUEST, arp_reply, parse_arp_untrusted
from scanner.wire.behaviours import Behaviour, parse_probe_untrusted, silent
from scanner.wire.clock import NANOSECONDS, SimulatedClock
from scanner.wire.memory_service import MemoryConversation, Service
from scanner.wire.memory_wire import OWN_MAC, Arrival, MemoryWire

INTERFACE = "memory"
"""The name of a simulated network's only interface."""

_SHORTEST_IPV4 = 20
_MTU = 1500


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the road does to packets.

    probe_loss, reply_loss: the chance that a packet is lost on its way out, or back.
    duplication: the chance that a reply arrives twice. delay: the round trip in seconds.
    jitter: up to so many seconds more, evenly spread. reordering: the chance that a reply
    takes a detour of one to three further round trips (delay + jitter), so that later ones
    overtake it.
    """

    probe_loss: float = 0.0
    reply_loss: float = 0.0
    duplication: float = 0.0
    delay: float = 0.001
    jitter: float = 0.0
    reordering: float = 0.0


@dataclass(frozen=True, slots=True)
class _Host:
    behaviour: Behaviour
    answers_arp: bool


class SimulatedNetwork:
    """A `scanner.contracts.Network` in virtual time; where nobody is placed, nobody answers.

    seed: of all chances. clock: the time, a fresh one where None. source: our own address.
    gateway: the router that every target is behind; without one, all are on-link, and only
    those that are placed answer ARP. room: see `MemoryWire`.
    """

    def __init__(
        self,
        seed: int = 0,
        conditions: Conditions | None = None,
        clock: SimulatedClock | None = None,
        source: str = "192.0.2.1",
        gateway: str | None = None,
        room: int | None = None,
    ) -> None:
        """A network with nobody on it, but for the gateway."""
        self._conditions = conditions or Conditions()
        self._clock = clock or SimulatedClock()
        self._source = parse_address(source)
        self._gateway = None if gateway is None else parse_address(gateway)
        self._room = room
        streams = np.random.SeedSequence(seed).spawn(5)
        self._out, self._back, self._twice, self._jitter, self._detour = map(np.random.default_rng, streams)
        self._hosts: list[tuple[AddressSet, _Host]] = []
        self._cuts = np.empty(0, dtype=np.int64)
        self._owners = np.empty(0, dtype=np.int64)
        self._drawn = False
        self._received: Counter[int] = Counter()
        self._services: dict[tuple[str, int], Service] = {}
        if gateway is not None:
            self.place(gateway, silent())

    @property
    def clock(self) -> SimulatedClock:
        """Virtual time."""
        return self._clock

    def place(self, target: str | AddressSet, behaviour: Behaviour, *, answers_arp: bool = True) -> None:
        """Put hosts at addresses; over others, they take their place.

        target: in a form that targets are written in. answers_arp: whether the hosts are up on
        the link; their MAC is `host_mac`. Raises UsageError where `target` is none.
        """
        addresses = parse_targets([target]).ipv4 if isinstance(target, str) else target
        self._hosts.append((addresses, _Host(behaviour, answers_arp)))
        self._drawn = False

    def received(self, address: str) -> int:
        """How many IPv4 packets have reached the host at an address."""
        return self._received[parse_address(address)]

    def routes(
        self, targets: Hosts, interface: str | None, sources: Sources
    ) -> list[tuple[Hop | None, Hosts]]:
        """All targets by the one interface there is. Raises UsageError for any other."""
        if interface not in {None, INTERFACE}:
            raise UsageError(f"there is no interface {interface!r}; there are: {INTERFACE}")
        hop = Hop(
            interface=INTERFACE,
            source=self._source if sources.ipv4 is None else sources.ipv4,
            gateway=self._gateway,
            on_link=self._gateway is None,
            loopback=False,
            mac=OWN_MAC,
            mtu=_MTU,
        )
        return [(hop, targets)]

    def specials(self) -> AddressSet:
        """None: every address may be a host."""
        return AddressSet.empty()

    def zone(self, interface: str) -> int:
        """That of the one interface there is."""
        if interface != INTERFACE:
            raise UsageError(f"there is no interface {interface!r}; there are: {INTERFACE}")
        return 1

    def interface(self, zone: int) -> str:
        """That of the one interface there is."""
        return INTERFACE

    def neighbours(self, interface: str, version: int) -> dict[int, bytes]:
        """None is known: ARP is asked."""
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
        lost = self._out.random(len(packets)) < self._conditions.probe_loss
        if not self._drawn:
            self._draw_map()
        arrivals: list[Arrival] = []
        if ethertype == ETHERTYPE_IPV4 and packets.shape[1] >= _SHORTEST_IPV4:
            for row, host in self._reached(packets[:, 16:20], lost):
                arrivals += self._meet(packets[row].tobytes(), host, moment)
        elif ethertype == ETHERTYPE_ARP and packets.shape[1] >= ARP_BODY_LENGTH:
            for row, host in self._reached(packets[:, 24:28], lost):
                if host.answers_arp:
                    arrivals += self._answer_arp(packets[row].tobytes(), moment)
        return arrivals

    def _draw_map(self) -> None:
        """Cut the address space at the hosts' ends; of each interval, the last placed is owner."""
        firsts = [addresses.starts.astype(np.int64) for addresses, _ in self._hosts]
        behind = [addresses.ends.astype(np.int64) + 1 for addresses, _ in self._hosts]
        # Nobody owns what lies before the first cut, nor behind the last.
        self._cuts = np.unique(np.concatenate(([0], *firsts, *behind)).astype(np.int64))
        self._owners = np.full(len(self._cuts), -1, dtype=np.int64)
        for number, (starts, ends) in enumerate(zip(firsts, behind, strict=True)):
            lows, highs = np.searchsorted(self._cuts, starts), np.searchsorted(self._cuts, ends)
            for low, high in zip(lows.tolist(), highs.tolist(), strict=True):
                self._owners[low:high] = number
        self._drawn = True

    def _reached(self, addresses: NDArray[np.uint8], lost: NDArray[np.bool_]) -> Iterator[tuple[int, _Host]]:
        numbers = np.ascontiguousarray(addresses).view(">u4").ravel().astype(np.int64)
        owners = self._owners[np.searchsorted(self._cuts, numbers, side="right") - 1]
        for row in np.flatnonzero((owners >= 0) & ~lost).tolist():
            yield row, self._hosts[int(owners[row])][1]

    def _meet(self, packet: bytes, host: _Host, moment: int) -> Iterator[Arrival]:
        address = int.from_bytes(packet[16:20], "big")
        self._received[address] += 1
        probe = parse_probe_untrusted(packet, self._received[address])
        if probe is None:
            return
        for reply in host.behaviour(probe):
            sender = int.from_bytes(reply.packet[12:16], "big")
            mac = host_mac(sender if self._gateway is None else self._gateway)
            yield from self._return(
                ETHERTYPE_IPV4, mac, reply.packet, moment + round(reply.delay * NANOSECONDS)
            )

    def _answer_arp(self, body: bytes, moment: int) -> Iterator[Arrival]:
        request = parse_arp_untrusted(body)
        if request is None or request.operation != REQUEST:
            return
        mac = host_mac(request.target)
        yield from self._return(ETHERTYPE_ARP, mac, arp_reply(request, mac).pack(), moment)

    def _return(self, ethertype: int, mac: bytes, packet: bytes, moment: int) -> Iterator[Arrival]:
        road = self._conditions
        copies = 2 if self._twice.random() < road.duplication else 1
        for _ in range(copies):
            wait = road.delay + road.jitter * self._jitter.random()
            if self._detour.random() < road.reordering:
                wait += (1 + 2 * self._detour.random()) * (road.delay + road.jitter)
            if self._back.random() >= road.reply_loss:
                yield Arrival(moment + round(wait * NANOSECONDS), ethertype, mac, packet)


def host_mac(address: int) -> bytes:
    """The MAC of the simulated host at an address: locally administered, 02:00 and the address."""
    return b"\x02\x00" + address.to_bytes(4, "big")
