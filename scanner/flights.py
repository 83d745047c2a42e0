"""Flights for a plan: probes compiled, lanes laid, each on its wire.

First who is there (ARP or neighbour solicitations on links of our own, and for gateways that the kernel does
not know), then the ports.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from scanner.contracts import ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Wire
from scanner.core.addresses import AddressSet
from scanner.core.book import AddressBook
from scanner.core.hostpace import HostPace
from scanner.core.ipv6 import in_zone
from scanner.core.lane import Lane
from scanner.core.neighbourlane import NeighbourLane
from scanner.core.outcomes import IP_PROTOCOLS
from scanner.core.rate import RateController
from scanner.core.rtt import RoundTrip
from scanner.core.stragglers import Stragglers
from scanner.core.template import Template
from scanner.core.transport import TransportFlows
from scanner.core.witness import Witness, Words
from scanner.engine import BATCH, Flight
from scanner.model import Protocol, Reason, UsageError
from scanner.planning import Path, Request, SweepPlan
from scanner.probes.stock import neighbour_template, template_of

LONGEST_NEIGHBOUR_WAIT = 0.3
"""Seconds: a neighbour on the same link is near, or asleep, and then the next try wakes it."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """What is drawn anew for every sweep. seed: of the order. key: 16 bytes, of the cookies."""

    seed: int
    key: bytes


@dataclass(frozen=True, slots=True)
class Reached:
    """A path, and what it still takes to know the hardware addresses on it.

    flight: asks for them; None where they are known, or there are none.
    known: `(6,)` uint8, the gateway's.
    """

    path: Path
    flight: Flight | None = None
    known: NDArray[np.uint8] | None = None


@dataclass(frozen=True, slots=True)
class Manned:
    """The addresses of a path that can be probed, and where frames to them go.

    next_hops: as in `Flight`. absent: the others, and why. neighbours: where the addresses answered.
    """

    addresses: AddressSet
    next_hops: NDArray[np.uint8] | None
    absent: AddressSet
    why: Reason = Reason.NO_ROUTE
    neighbours: NeighbourLane | None = None


def reach(
    path: Path,
    wire: Wire,
    neighbours: Mapping[int, bytes],
    request: Request,
    secrets: Secrets,
    book: AddressBook,
    rate: RateController | None = None,
) -> Reached:
    """What has to be asked for before the ports of a path can be. `rate`: told of what gets lost."""
    hop = path.hop
    if hop.mac is None:
        return Reached(path)
    if hop.gateway is not None and hop.gateway in neighbours:
        return Reached(path, known=np.frombuffer(neighbours[hop.gateway], dtype=np.uint8))
    wanted = path.addresses
    if hop.gateway is not None:
        gateway = book.number(
            hop.version, in_zone(hop.gateway, path.zone) if hop.version == 6 else hop.gateway
        )
        wanted = AddressSet.of([(gateway, gateway)])
    lane = NeighbourLane(
        neighbour_template(hop.version),
        own=(path.source, hop.mac),
        addresses=wanted,
        seed=secrets.seed,
        attempts=request.retries + 1,
        round_trip=RoundTrip(min(request.wait, LONGEST_NEIGHBOUR_WAIT)),
        capacity=min(BATCH, wanted.size),
        book=book if hop.version == 6 else None,
        witness=Witness(rate),
    )
    ethertype = ETHERTYPE_ARP if hop.version == 4 else ETHERTYPE_IPV6
    return Reached(path, flight=Flight(lane, wire, ethertype, lane.groups(), path.zone))


def man(reached: Reached) -> Manned:
    """Who is there, once the flight that asks is over."""
    path = reached.path
    nobody = AddressSet.empty()
    if reached.flight is None or not isinstance(reached.flight.lane, NeighbourLane):
        return Manned(path.addresses, reached.known, nobody)
    lane = reached.flight.lane
    there = lane.conclude()
    if path.hop.gateway is None:
        why = Reason.NO_ARP_RESPONSE if path.hop.version == 4 else Reason.NO_ND_RESPONSE
        return Manned(there, lane.mac_of(there), path.addresses - there, why, lane)
    if not there:
        return Manned(nobody, None, path.addresses)
    return Manned(path.addresses, lane.mac_of(there)[0], nobody)


def longest_packet(plan: SweepPlan) -> int:
    """Bytes of the longest packet that a sweep will send."""
    versions = {path.hop.version for path in plan.paths}
    return max(
        len(template.packet)
        for version in versions
        for template in (
            neighbour_template(version),
            *(template for _, template, _ in _kinds(plan.request, version)),
        )
    )


def require_room(plan: SweepPlan) -> None:
    """Raise UsageError where a probe is longer than a path carries."""
    longest = longest_packet(plan)
    for path in plan.paths:
        hop = path.hop
        if longest > hop.mtu:
            msg = (
                f"probes of {longest} bytes are too long for {hop.interface} (MTU {hop.mtu}): "
                "shorten the payload, or raise the MTU"
            )
            raise UsageError(msg)


def _kinds(request: Request, version: int) -> Iterator[tuple[Protocol, Template, tuple[int, ...]]]:
    """What is asked with one template: for each protocol, the ports that want the same payload."""
    for protocol, asked in request.kinds.items():
        probe = request.probe(protocol)
        by_payload: dict[bytes, list[int]] = {}
        for port in asked:
            by_payload.setdefault(probe.payload(port), []).append(port)
        for ports in by_payload.values():
            yield protocol, template_of(probe, ports[0], version), tuple(ports)


def port_flights(
    path: Path,
    manned: Manned,
    wire: Wire,
    request: Request,
    secrets: Secrets,
    book: AddressBook,
    rate: RateController | None = None,
) -> Iterator[Flight]:
    """The flights that ask the ports: one for each protocol, and each payload that some ports want.

    rate: told of what gets lost.
    """
    round_trip = RoundTrip(request.wait)
    version = path.hop.version
    per_host = request.per_host
    hosts = None if math.isinf(per_host) else HostPace(manned.addresses.size, per_host)
    words = Words(manned.addresses.size) if len(request.ports) > 1 else None
    for protocol, template, ports in _kinds(request, version) if manned.addresses else ():
        lane = Lane(
            flows_of(path, manned.addresses, protocol, template, ports, secrets, book),
            seed=secrets.seed,
            attempts=request.retries + 1,
            round_trip=round_trip,
            neighbours=manned.neighbours,
            witness=Witness(rate, words if protocol is Protocol.UDP else None),
            hosts=hosts,
            ways=len(wire.exits),
        )
        yield on_way(lane, path, manned, wire)


def flows_of(
    path: Path,
    addresses: AddressSet,
    protocol: Protocol,
    template: Template,
    ports: tuple[int, ...],
    secrets: Secrets,
    book: AddressBook,
) -> TransportFlows:
    """Probes of one template to some addresses of a path."""
    return TransportFlows(
        template=template,
        protocol=IP_PROTOCOLS[protocol],
        source=path.source,
        addresses=addresses,
        ports=ports,
        key=secrets.key,
        capacity=min(BATCH, addresses.size * len(ports)),
        book=book if path.hop.version == 6 else None,
    )


def on_way(lane: Lane, path: Path, manned: Manned, wire: Wire) -> Flight:
    """A lane on a path."""
    ethertype = ETHERTYPE_IPV4 if path.hop.version == 4 else ETHERTYPE_IPV6
    return Flight(lane, wire, ethertype, manned.next_hops, path.zone)


def _straggler_wait(lanes: Sequence[Lane], per_host: float) -> float:
    return max(1.0 / per_host, *(lane.timeout() for lane in lanes))


def follow_up(flights: Sequence[Flight], request: Request, secrets: Secrets) -> bool:
    """Have the UDP lanes ask once more where a limit on ICMP errors may be why a port is silent.

    For flights that are over. Returns whether there is anything to ask.
    """
    lanes = [flight.lane for flight in flights if isinstance(flight.lane, Lane)]
    by_path: dict[int, list[Lane]] = {}
    for lane in lanes:
        if lane.flows.protocol == IP_PROTOCOLS[Protocol.UDP] and len(request.ports) > 1:
            by_path.setdefault(id(lane.addresses), []).append(lane)
    found = False
    for some in by_path.values():
        stragglers = Stragglers(
            [lane.ledger for lane in some],
            [len(lane.flows.ports) for lane in some],
            secrets.seed,
            partial(_straggler_wait, some, request.per_host),
        )
        if len(stragglers):
            found = True
            for number, lane in enumerate(some):
                lane.follow_up(stragglers, number)
    return found
