"""The plan of a sweep: who is asked what, along which path. Made before anything is sent.

Targets are held against the scope, divided by the kernel's routes, and what can never be one host is
set aside. A dry run ends here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from scanner.contracts import Hop, Network, Probe, Sources
from scanner.core.addresses import AddressSet, format_address
from scanner.core.book import AddressBook
from scanner.core.hostpace import default_per_host
from scanner.core.hosts import Hosts
from scanner.core.ipv6 import Ipv6Set, format_ipv6, in_zone, is_link_local, zone_number
from scanner.core.packets import NO_PORT
from scanner.core.rules import ReplyRules
from scanner.core.scope import Scope
from scanner.core.targets import parse_targets
from scanner.model import TRANSPORTS, Protocol, UsageError, WireKind
from scanner.probes.tcp_syn import TCP_SYN
from scanner.probes.udp import UDP

PROBES: dict[Protocol, Probe] = {Protocol.TCP: TCP_SYN, Protocol.UDP: UDP}
"""The probe that asks for each transport, unless another is wanted."""

DEFAULT_RETRIES = 2
DEFAULT_WAIT = 1.0
MOST_RETRIES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is wanted.

    probes: others than the usual ones; they ask for their protocols besides `protocols`.
    rate: packets a second, infinity for as many as the kernel carries, None for as many as get through.
    max_rate: packets a second that are never exceeded. max_per_host: likewise to one address; None for a
    limit where many ports are asked at a rate of ours (`core.hostpace`). wait: seconds, the longest time
    to wait for a reply to one probe. retries: probes after the first, for targets that stay silent;
    up to twice as many where replies get lost. wire: by which way out. no_arp: leave it to the kernel to
    find the neighbours. ping: ask first who is up behind routers.
    """

    targets: Hosts
    ports: tuple[int, ...]
    protocols: tuple[Protocol, ...] = TRANSPORTS
    probes: Mapping[Protocol, Probe] = field(default_factory=dict)
    excluded: Hosts = field(default_factory=Hosts)
    rate: float | None = None
    max_rate: float = math.inf
    max_per_host: float | None = None
    retries: int = DEFAULT_RETRIES
    wait: float = DEFAULT_WAIT
    interface: str | None = None
    sources: Sources = field(default_factory=Sources)
    wire: WireKind = WireKind.AUTO
    no_arp: bool = False
    ping: bool = False

    def __post_init__(self) -> None:
        """Raises UsageError for what cannot be."""
        if self.rate is not None and not self.rate > 0:
            msg = f"--rate {self.rate:g}: packets a second must be more than 0, or `auto` or `max`"
            raise UsageError(msg)
        for option, value in (("--max-rate", self.max_rate), ("--max-per-host", self.max_per_host)):
            if value is not None and not value > 0:
                msg = f"{option} {value:g}: packets a second must be more than 0"
                raise UsageError(msg)
        if not 0 <= self.retries <= MOST_RETRIES:
            msg = f"--retries {self.retries}: from 0 to {MOST_RETRIES}"
            raise UsageError(msg)
        if not (self.wait > 0 and math.isfinite(self.wait)):
            msg = f"--wait {self.wait:g}: seconds must be more than 0"
            raise UsageError(msg)
        if not self.kinds or not self.ports:
            msg = "nothing to ask: name at least one protocol and one port"
            raise UsageError(msg)
        if self.no_arp and self.wire not in {WireKind.AUTO, WireKind.RAW}:
            msg = f"--no-arp sends through the kernel, and --wire {self.wire} goes past it: leave one out"
            raise UsageError(msg)

    @property
    def kinds(self) -> dict[Protocol, tuple[int, ...]]:
        """The ports that are asked, by protocol; of ICMP, which has none, NO_PORT."""
        wanted = {*self.protocols, *self.probes}
        return {
            protocol: (NO_PORT,) if protocol is Protocol.ICMP else self.ports
            for protocol in Protocol
            if protocol in wanted
        }

    @property
    def questions(self) -> int:
        """Verdicts an address gets."""
        return sum(map(len, self.kinds.values()))

    @property
    def rules(self) -> dict[Protocol, ReplyRules]:
        """Rules of probes that have some of their own."""
        return {protocol: probe.rules for protocol, probe in self.probes.items() if probe.rules is not None}

    def probe(self, protocol: Protocol) -> Probe:
        """What asks for a protocol."""
        return self.probes.get(protocol) or PROBES[protocol]

    @property
    def highest_rate(self) -> float:
        """Packets a second that are never exceeded."""
        return self.max_rate if self.rate is None else min(self.rate, self.max_rate)

    @property
    def per_host(self) -> float:
        """Packets a second to one address that are never exceeded."""
        if self.max_per_host is not None:
            return self.max_per_host
        return default_per_host(self.questions, adaptive=self.rate is None)


@dataclass(frozen=True, slots=True)
class Path:
    """Targets that are reached the same way.

    addresses, source: numbers of the plan's book. zone: number of the interface.
    """

    hop: Hop
    addresses: AddressSet
    source: int
    zone: int


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """Who is asked, along which path.

    book: gives IPv6 addresses the numbers that sets of addresses have here.
    addresses: all that get a verdict. no_route: those of them that no route leads to.
    skipped: network and broadcast addresses of links this host is on, which are never probed.
    scope: what every packet is held against. zones: interfaces by number.
    """

    request: Request
    book: AddressBook
    addresses: AddressSet
    paths: tuple[Path, ...]
    no_route: AddressSet
    skipped: AddressSet
    scope: Scope
    zones: dict[int, str] = field(default_factory=dict)

    @property
    def has_ipv6(self) -> bool:
        """Whether any target is one of IPv6."""
        return bool(self.book.known)

    @property
    def probes(self) -> int:
        """Probes of the first round."""
        return sum(path.addresses.size for path in self.paths) * self.request.questions

    def hop_to(self, address: str) -> Hop:
        """How an address is reached. Raises UsageError where no path leads there."""
        zones = {name: zone for zone, name in self.zones.items()}
        wanted = self.book.numbers(parse_targets([address], zones.__getitem__))
        for path in self.paths:
            if path.addresses & wanted:
                return path.hop
        raise UsageError(f"no path leads to {address}")

    @property
    def next_hops(self) -> Hosts:
        """Gateways, which ARP and neighbour solicitations may ask for."""
        gateways = [path for path in self.paths if path.hop.gateway is not None]
        ipv4 = [path.hop.gateway or 0 for path in gateways if path.hop.version == 4]
        ipv6 = [in_zone(path.hop.gateway or 0, path.zone) for path in gateways if path.hop.version == 6]
        return Hosts(AddressSet.of(zip(ipv4, ipv4, strict=True)), Ipv6Set.of(zip(ipv6, ipv6, strict=True)))


def make_plan(request: Request, network: Network, scope: Scope) -> SweepPlan:
    """Plan a sweep.

    Raises:
        ScopeRefused: a target may not be probed.
        UsageError: there is nothing to probe, or no route to any of it.
    """
    wanted = _on_their_links(request.targets, request, network) - request.excluded
    if not wanted:
        msg = "no targets: name an address, a CIDR or a range, and do not exclude all of it"
        raise UsageError(msg)
    scope.check(wanted)
    skipped = wanted.ipv4 & network.specials()
    hosts = wanted - Hosts(skipped)
    if not hosts:
        msg = "no targets: network and broadcast addresses of this host's own links are never probed"
        raise UsageError(msg)
    # Before routes are asked for: more targets than can have a number have too many of those as well.
    AddressBook(hosts.ipv6)
    routes = network.routes(hosts, request.interface, request.sources)
    zones = _zones(routes, network)
    book = AddressBook(hosts.ipv6, zones, forgetful=True)
    paths = []
    no_route = AddressSet.empty()
    for hop, reached in routes:
        if hop is None:
            no_route |= book.numbers(reached)
            continue
        zone = _zone(hop, reached, network)
        source = in_zone(hop.source, zone) if hop.version == 6 else hop.source
        paths.append(
            Path(_by_wire(hop, request), book.numbers(reached), book.number(hop.version, source), zone)
        )
    if not paths:
        raise _no_route(hosts, request)
    return SweepPlan(
        request=request,
        book=book,
        addresses=book.numbers(hosts),
        paths=tuple(paths),
        no_route=no_route,
        skipped=skipped,
        scope=scope.without(Hosts(skipped) | request.excluded),
        zones=zones,
    )


def _by_wire(hop: Hop, request: Request) -> Hop:
    """A hop by the wire that was asked for; through the kernel, there are no next hops to find."""
    if request.wire is WireKind.RING and hop.mac is None:
        msg = (
            f"--wire ring: {hop.interface} has no Ethernet header; --wire auto takes what fits each interface"
        )
        raise UsageError(msg)
    if request.no_arp or request.wire is WireKind.RAW:
        hop = replace(hop, mac=None)
    return replace(hop, wire=request.wire)


def _zone(hop: Hop, targets: Hosts, network: Network) -> int:
    """The zone of a path: its interface; for link-local addresses of our own, seen on loopback, their own."""
    return max((zone_number(first) for first, _ in targets.ipv6.ranges), default=0) or network.zone(
        hop.interface
    )


def _zones(routes: Iterable[tuple[Hop | None, Hosts]], network: Network) -> dict[int, str]:
    """Names of the interfaces that are zones."""
    numbers = {_zone(hop, reached, network) for hop, reached in routes if hop is not None}
    return {number: network.interface(number) for number in sorted(numbers)}


def _on_their_links(targets: Hosts, request: Request, network: Network) -> Hosts:
    """The targets, where those that are link-local are all on a link: `--interface`'s, if they name none."""
    astray = [span for span in targets.ipv6.ranges if is_link_local(span[0]) and not zone_number(span[0])]
    if not astray:
        return targets
    if request.interface is None:
        address = format_ipv6(astray[0][0])
        msg = f"{address} is link-local: say on which link, as {address}%eth0, or by --interface"
        raise UsageError(msg)
    zone = network.zone(request.interface)
    moved = Ipv6Set.of((in_zone(first, zone), in_zone(last, zone)) for first, last in astray)
    return Hosts(targets.ipv4, targets.ipv6 - Ipv6Set.of(astray) | moved)


def _no_route(hosts: Hosts, request: Request) -> UsageError:
    if hosts.ipv4:
        first, own = format_address(hosts.ipv4.ranges()[0][0]), request.sources.ipv4
        source = None if own is None else format_address(own)
    else:
        first, own = format_ipv6(hosts.ipv6.ranges[0][0]), request.sources.ipv6
        source = None if own is None else format_ipv6(own)
    rest = "" if hosts.size == 1 else f" or any other of the {hosts.size} targets"
    way = "" if request.interface is None else f" oif {request.interface}"
    way += "" if source is None else f" from {source}"
    return UsageError(f"no route to {first}{rest}: see `ip route get {first}{way}`")


def by_protocol(probes: Sequence[Probe]) -> dict[Protocol, Probe]:
    """Probes by what they ask for. Raises UsageError where two ask for the same."""
    found: dict[Protocol, Probe] = {}
    for probe in probes:
        other = found.setdefault(probe.protocol, probe)
        if other is not probe:
            msg = f"--probe {probe.name} and {other.name} both ask over {probe.protocol}: sweep once for each"
            raise UsageError(msg)
    return found
