"""Flights for a plan: probes compiled, lanes laid, each on its wire.

First who is there (ARP on links of our own, and for gateways that the kernel does not know), then the ports.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanner.contracts import ETHERTYPE_ARP, Hop, Wire
from scanner.core.addresses import AddressSet
from scanner.core.arplane import ArpLane
from scanner.core.lane import Lane
from scanner.core.outcomes import IP_PROTOCOLS
from scanner.core.rtt import RoundTrip
from scanner.core.template import Template
from scanner.core.transport import TransportFlows
from scanner.engine import BATCH, Flight
from scanner.model import Protocol, Reason
from scanner.planning import Path, Request
from scanner.probes.stock import arp_template, template_of

LONGEST_ARP_WAIT = 0.3
"""Seconds: a neighbour on the same link is near, or asleep, and then the next try wakes it."""

_BROADCAST: NDArray[np.uint8] = np.full(6, 0xFF, dtype=np.uint8)


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

    next_hops: as in `Flight`. absent: the others, and why.
    """

    addresses: AddressSet
    next_hops: NDArray[np.uint8] | None
    absent: AddressSet
    why: Reason = Reason.NO_ROUTE


def reach(
    path: Path, wire: Wire, neighbours: Mapping[int, bytes], request: Request, secrets: Secrets
) -> Reached:
    """What has to be asked for before the ports of a path can be."""
    hop = path.hop
    if hop.mac is None:
        return Reached(path)
    if hop.gateway is not None and hop.gateway in neighbours:
        return Reached(path, known=np.frombuffer(neighbours[hop.gateway], dtype=np.uint8))
    wanted = path.addresses if hop.gateway is None else AddressSet.of([(hop.gateway, hop.gateway)])
    lane = ArpLane(
        arp_template(),
        source=hop.source,
        source_mac=hop.mac,
        addresses=wanted,
        seed=secrets.seed,
        attempts=request.retries + 1,
        round_trip=RoundTrip(min(request.wait, LONGEST_ARP_WAIT)),
        capacity=min(BATCH, wanted.size),
    )
    return Reached(path, flight=Flight(lane, wire, ETHERTYPE_ARP, _BROADCAST))


def man(reached: Reached) -> Manned:
    """Who is there, once the flight that asks is over."""
    path = reached.path
    nobody = AddressSet.empty()
    if reached.flight is None or not isinstance(reached.flight.lane, ArpLane):
        return Manned(path.addresses, reached.known, nobody)
    lane = reached.flight.lane
    there = lane.answered()
    if path.hop.gateway is None:
        return Manned(there, lane.mac_of(there), path.addresses - there, Reason.NO_ARP_RESPONSE)
    if not there:
        return Manned(nobody, None, path.addresses)
    return Manned(path.addresses, lane.mac_of(there)[0], nobody)


def longest_packet(request: Request) -> int:
    """Bytes of the longest packet that a sweep will send."""
    templates = (template for _, template, _ in _kinds(request))
    return max(len(arp_template().packet), *(len(template.packet) for template in templates))


def _kinds(request: Request) -> Iterator[tuple[Protocol, Template, tuple[int, ...]]]:
    """What is asked with one template: for each protocol, the ports that want the same payload."""
    for protocol in request.protocols:
        probe = request.probes[protocol]
        by_payload: dict[bytes, list[int]] = {}
        for port in request.ports:
            by_payload.setdefault(probe.payload(port), []).append(port)
        for ports in by_payload.values():
            yield protocol, template_of(probe, ports[0]), tuple(ports)


def port_flights(
    hop: Hop, manned: Manned, wire: Wire, request: Request, secrets: Secrets
) -> Iterator[Flight]:
    """The flights that ask the ports: one for each protocol, and each payload that some ports want."""
    round_trip = RoundTrip(request.wait)
    for protocol, template, ports in _kinds(request) if manned.addresses else ():
        flows = TransportFlows(
            template=template,
            protocol=IP_PROTOCOLS[protocol],
            source=hop.source,
            addresses=manned.addresses,
            ports=ports,
            key=secrets.key,
            capacity=min(BATCH, manned.addresses.size * len(ports)),
        )
        lane = Lane(flows, seed=secrets.seed, attempts=request.retries + 1, round_trip=round_trip)
        yield Flight(lane, wire, next_hops=manned.next_hops)
