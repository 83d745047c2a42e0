"""Flights for a plan: probes compiled, lanes laid, each on its wire.

First who is there (ARP or neighbour solicitations on links of our own, and for gateways that the kernel does
not know), then the ports.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanner.contracts import ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Wire
from scanner.core.addresses import AddressSet
from scanner.core.book import AddressBook
from scanner.core.ipv6 import in_zone
from scanner.core.lane import Lane, Links
from scanner.core.neighbourlane import NeighbourLane
from scanner.core.outcomes import IP_PROTOCOLS
from scanner.core.rtt import RoundTrip
from scanner.core.template import Template
from scanner.core.transport import TransportFlows
from scanner.engine import BATCH, Flight
from scanner.model import Protocol, Reason
from scanner.planning import PROBES, Path, Request, SweepPlan
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

    next_hops: as in `Flight`. absent: the others, and why. contested: those of the addresses, in order, that
    several hardware addresses answered for.
    """

    addresses: AddressSet
    next_hops: NDArray[np.uint8] | None
    absent: AddressSet
    why: Reason = Reason.NO_ROUTE
    contested: NDArray[np.bool_] | None = None


def reach(
    path: Path,
    wire: Wire,
    neighbours: Mapping[int, bytes],
    request: Request,
    secrets: Secrets,
    book: AddressBook,
) -> Reached:
    """What has to be asked for before the ports of a path can be."""
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
    there = lane.answered()
    if path.hop.gateway is None:
        why = Reason.NO_ARP_RESPONSE if path.hop.version == 4 else Reason.NO_ND_RESPONSE
        contested = lane.contested[lane.ledger.state > 0]
        return Manned(there, lane.mac_of(there), path.addresses - there, why, contested)
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


def _kinds(request: Request, version: int) -> Iterator[tuple[Protocol, Template, tuple[int, ...]]]:
    """What is asked with one template: for each protocol, the ports that want the same payload."""
    for protocol in request.protocols:
        probe = PROBES[protocol]
        by_payload: dict[bytes, list[int]] = {}
        for port in request.ports:
            by_payload.setdefault(probe.payload(port), []).append(port)
        for ports in by_payload.values():
            yield protocol, template_of(probe, ports[0], version), tuple(ports)


def port_flights(
    path: Path, manned: Manned, wire: Wire, request: Request, secrets: Secrets, book: AddressBook
) -> Iterator[Flight]:
    """The flights that ask the ports: one for each protocol, and each payload that some ports want."""
    round_trip = RoundTrip(request.wait)
    version = path.hop.version
    for protocol, template, ports in _kinds(request, version) if manned.addresses else ():
        flows = TransportFlows(
            template=template,
            protocol=IP_PROTOCOLS[protocol],
            source=path.source,
            addresses=manned.addresses,
            ports=ports,
            key=secrets.key,
            capacity=min(BATCH, manned.addresses.size * len(ports)),
            book=book if version == 6 else None,
        )
        lane = Lane(
            flows,
            seed=secrets.seed,
            attempts=request.retries + 1,
            round_trip=round_trip,
            links=Links(manned.next_hops, manned.contested) if path.hop.gateway is None else None,
        )
        ethertype = ETHERTYPE_IPV4 if version == 4 else ETHERTYPE_IPV6
        yield Flight(lane, wire, ethertype, manned.next_hops, path.zone)
