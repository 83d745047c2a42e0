"""Host discovery: which hosts are up, asked before their ports are (nmap's -PE and -PS).

An ICMP echo request, and a SYN to ports that hosts often have open or refuse. Whoever answers for itself is
up, whatever it says; a router that answers for it says nothing of it. These probes have a key of their own,
so that nobody takes them, or the answers to them, for those of the sweep.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np

from scanner.contracts import Probe, Wire
from scanner.core.addresses import AddressSet
from scanner.core.book import AddressBook
from scanner.core.lane import Lane
from scanner.core.rtt import RoundTrip
from scanner.core.rules import Rank
from scanner.core.siphash import KEY_BYTES
from scanner.engine import Flight
from scanner.flights import Manned, Secrets, flows_of, on_way
from scanner.planning import Path, Request
from scanner.probes.icmp_echo import ICMP_ECHO
from scanner.probes.stock import template_of
from scanner.probes.tcp_syn import TCP_SYN

COMMON_PORTS = (443, 80, 22, 3389, 445, 25, 8080, 21)
"""By how often hosts answer there; the first two that are not swept are asked."""

_ASKED = 2


def ping_flights(
    path: Path, manned: Manned, wire: Wire, request: Request, secrets: Secrets, book: AddressBook
) -> Iterator[Flight]:
    """The flights that find out which hosts of a path are up; none on a link of ours, where ARP has."""
    if path.hop.gateway is None or not manned.addresses:
        return
    ports = tuple(sorted([port for port in COMMON_PORTS if port not in request.ports][:_ASKED]))
    asked: tuple[tuple[Probe, tuple[int, ...]], ...] = ((ICMP_ECHO, (0,)), (TCP_SYN, ports))
    key = hashlib.blake2b(b"ping", key=secrets.key, digest_size=KEY_BYTES).digest()
    round_trip = RoundTrip(request.wait)
    own = Secrets(secrets.seed, key)
    for probe, those in asked:
        template = template_of(probe, those[0], path.hop.version)
        flows = flows_of(path, manned.addresses, probe.protocol, template, those, own, book)
        lane = Lane(flows, seed=secrets.seed, attempts=request.retries + 1, round_trip=round_trip)
        yield on_way(lane, path, manned, wire)


def up(flights: Sequence[Flight], addresses: AddressSet) -> AddressSet:
    """Those of some addresses that answered for themselves, once the flights that ask are over."""
    there = np.zeros(addresses.size, dtype=np.bool_)
    for flight in flights:
        lane = flight.lane
        if isinstance(lane, Lane) and lane.addresses == addresses:
            answered = np.flatnonzero(lane.ledger.state >= Rank.CLOSED)
            there[lane.places(answered)] = True
    return AddressSet.from_addresses(addresses.at(np.flatnonzero(there)))
