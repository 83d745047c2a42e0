"""One network of a lab, worked out: which address does what, and what a sweep must say of it. Pure.

Addresses are distances from the network's first one, so that IPv4 and IPv6 are alike.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from scanner.lab.behaviours import CLOSED, ITSELF, TCP_OPEN, UDP_OPEN, Behaviour, Outcome, Responder
from scanner.lab.profile import Kind, Net, Place, Side, Way
from scanner.lab.truth import Columns, Naming, Truth, mac_of, zoned
from scanner.model import Protocol, UsageError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

TWIN_MAC = "02:01:00:00:00:01"
"""Of the host that has addresses which another has as well."""

_OPEN = {Protocol.TCP: TCP_OPEN, Protocol.UDP: UDP_OPEN}
_MOST_ADDRESSES = 1 << 20
_POINT_TO_POINT_BITS = 31  # RFC 3021: a /31 has neither network nor broadcast address


@dataclass(frozen=True, slots=True)
class Span:
    """A place, and where it begins and ends; both ends belong to it."""

    prefix: Network
    first: int
    last: int
    behaviour: Behaviour


class NetPlan:
    """Every address of a network. Raises UsageError for a declaration that contradicts itself.

    ways: the way to it, and others that lead there as well. owner: who declares it, for messages.
    ports: where open addresses listen. ups: an address that listens over TCP beside those drawn by `seed`.
    """

    def __init__(
        self,
        ways: tuple[Way, ...],
        net: Net,
        *,
        owner: str,
        ports: tuple[int, ...],
        seed: int,
        ups: str | None = None,
    ) -> None:
        self.ways, self.way, self.net = ways, ways[0], net
        self.network = network_of(net.prefix)
        self._owner, self._ports = owner, ports
        self._check()
        self.spans = self._spans()
        self._firsts = [span.first for span in self.spans]
        self._prober = None if net.prober is None else self._offset(net.prober)
        self._router = None if net.router is None else self._offset(net.router)
        self._specials = self._not_hosts()
        self.naming = self._naming()
        self.ups = None if ups is None else self._free(ups)
        self._open = self._draw_open(seed)

    def __contains__(self, address: Address) -> bool:
        return address in self.network

    @property
    def has_link_layer(self) -> bool:
        """Whether the prober asks for hardware addresses in it."""
        return self.net.is_on_link and self.way.kind not in {Kind.TUN, Kind.LOOPBACK}

    @property
    def sides(self) -> tuple[Side, ...]:
        """The places that own it."""
        if self.way.kind is Kind.NOWHERE:
            return ()
        return (Side.PROBER,) if self.way.kind is Kind.LOOPBACK else tuple(way.far for way in self.ways)

    def listening(self, protocol: Protocol, side: Side) -> list[str]:
        """Where the lab's own listeners listen in a place: all that is open, but for the UPS server."""
        way = next((way for way in self.ways if way.far is side), self.way)
        zone = way.far_device if self.naming.zone is not None else None
        served = self._open[protocol] - ({self.ups} if protocol is Protocol.TCP else set())
        return [zoned(self.network[offset], zone) for offset in sorted(served)] if side in self.sides else []

    def reached(self) -> str:
        """How the prober reaches it, in words."""
        if self.way.kind is Kind.NOWHERE:
            return f"not at all: {self.net.refused}"
        if self.way.kind is Kind.LOOPBACK:
            return "at the prober itself"
        if self.net.is_on_link:
            return f"by {self.way.device} on-link"
        links = [(way, way.link(self.net.version)) for way in self.ways]
        hops = [
            f"by {way.device}" if way.kind is Kind.TUN else f"by {way.device} through {link.router}"
            for way, link in links
            if link is not None
        ]
        table = "" if self.net.table is None else f", table {self.net.table}"
        return f"{' or '.join(hops)}{table}"

    def open_offsets(self, protocol: Protocol) -> list[int]:
        """All that is open, ascending."""
        return sorted(self._open[protocol])

    def behaviour_at(self, offset: int) -> Behaviour:
        """What an address does."""
        if offset == self._prober:
            return ITSELF
        if offset == self._router:
            return CLOSED
        before = bisect_right(self._firsts, offset) - 1
        if before >= 0 and offset <= self.spans[before].last:
            return self.spans[before].behaviour
        return self.net.rest

    def is_target(self, offset: int) -> bool:
        """Whether an address may be a host's: a link's network and broadcast addresses may not."""
        return offset not in self._specials

    def outcome_at(self, offset: int, protocol: Protocol, port: int) -> Outcome:
        """What a sweep must say of an address."""
        if port in self._ports and offset in self._open[protocol]:
            return _OPEN[protocol]
        return self.behaviour_at(offset).outcome(protocol)

    def truth(self, protocol: Protocol, port: int) -> Truth:
        """The ground truth for every address that may be a host's."""
        size = self.network.num_addresses
        columns = Columns(size)
        columns.fill(slice(None), self.net.rest, self.net.rest.outcome(protocol))
        for span in self.spans:
            rows = slice(span.first, span.last + 1)
            columns.fill(rows, span.behaviour, span.behaviour.outcome(protocol))
        for end in self._ends():
            behaviour = self.behaviour_at(end)
            columns.fill(slice(end, end + 1), behaviour, behaviour.outcome(protocol))
        if port in self._ports:
            columns.open(np.array(self.open_offsets(protocol), dtype=np.int64), _OPEN[protocol])
        offsets = np.setdiff1d(np.arange(size), np.array(sorted(self._specials), dtype=np.int64))
        return columns.truth(self.naming, protocol, port, offsets)

    def _ends(self) -> list[int]:
        return [end for end in (self._prober, self._router) if end is not None]

    # --- how ----------------------------------------------------------------------------------

    def _check(self) -> None:
        net = self.net
        if self.network.num_addresses > _MOST_ADDRESSES:
            raise UsageError(f"{self._owner}: {net.prefix} has more than {_MOST_ADDRESSES} addresses")
        if self.way.link(net.version) is None and self.way.kind not in {Kind.LOOPBACK, Kind.NOWHERE}:
            raise UsageError(
                f"{self._owner}: {self.way.device} has no IPv{net.version} gateway to {net.prefix}"
            )
        told_apart = [place.behaviour for place in net.places if _is_told_by_router(place.behaviour)]
        if net.also_by is not None and told_apart:
            raise UsageError(
                f"{self._owner}: {told_apart[0].name} in {net.prefix}: which router answers is not certain"
            )

    def _spans(self) -> tuple[Span, ...]:
        """The places, ascending."""
        spans = sorted((self._span(place) for place in self.net.places), key=lambda span: span.first)
        for one, other in pairwise(spans):
            if other.first <= one.last:
                raise UsageError(f"{self._owner}: {one.behaviour.name} and {other.behaviour.name} overlap")
        return tuple(spans)

    def _span(self, place: Place) -> Span:
        prefix = network_of(place.prefix)
        if prefix.version != self.network.version or not self._holds(prefix):
            raise UsageError(f"{self._owner}: {prefix} is not within {self.network}")
        first = int(prefix.network_address) - int(self.network.network_address)
        return Span(prefix, first, first + prefix.num_addresses - 1, place.behaviour)

    def _holds(self, prefix: Network) -> bool:
        return prefix.network_address in self.network and prefix.broadcast_address in self.network

    def _offset(self, text: str) -> int:
        address = address_of(text)
        if address not in self.network:
            raise UsageError(f"{self._owner}: {text} is not within {self.network}")
        return int(address) - int(self.network.network_address)

    def _not_hosts(self) -> frozenset[int]:
        """RFC 1122 section 3.2.1.3, of the networks of this link and of the loopback."""
        last = self.network.num_addresses - 1
        on_a_link = self.net.is_on_link and self.network.version == 4
        return frozenset({0, last} if on_a_link and self.network.prefixlen < _POINT_TO_POINT_BITS else ())

    def _naming(self) -> Naming:
        link4, link = self.way.link(4), self.way.link(self.network.version)
        router_mac = None
        if self.has_link_layer and link4 is not None and link4.router is not None:
            router_mac = mac_of(address_of(link4.router))
        return Naming(
            network=self.network,
            zone=self.way.device if self.network.is_link_local else None,
            router=(link.router if link is not None else None) or "",
            router_mac=router_mac,
            twin_mac=TWIN_MAC,
            own_hardware=self.net.own_hardware,
        )

    def _free(self, text: str) -> int:
        if address_of(text) not in self.network or self.behaviour_at(self._offset(text)) != CLOSED:
            raise UsageError(
                f"{self._owner}: its UPS server at {text} must be an address of {self.network} in no place"
            )
        return self._offset(text)

    def _draw_open(self, seed: int) -> dict[Protocol, frozenset[int]]:
        candidates = np.flatnonzero(self._closed()).tolist()
        wanted = {Protocol.TCP: self.net.open_tcp, Protocol.UDP: self.net.open_udp}
        if max(wanted.values()) > len(candidates):
            raise UsageError(
                f"{self._owner}: {self.network} has {len(candidates)} free addresses, "
                "fewer than are to be open"
            )
        listening = self._listening()
        chance = random.Random(seed)  # noqa: S311 - to be the same every time is the point
        drawn = {
            protocol: listening.union(chance.sample(candidates, count)) for protocol, count in wanted.items()
        }
        ups = frozenset[int]() if self.ups is None else frozenset({self.ups})
        return {Protocol.TCP: drawn[Protocol.TCP] | ups, Protocol.UDP: drawn[Protocol.UDP]}

    def _closed(self) -> NDArray[np.bool_]:
        """Which addresses are hosts with closed ports, and nothing else."""
        closed = np.full(self.network.num_addresses, self.net.rest == CLOSED)
        for span in self.spans:
            closed[span.first : span.last + 1] = span.behaviour == CLOSED
        taken = {*self._specials, *self._ends()} | ({self.ups} if self.ups is not None else set())
        closed[sorted(taken)] = False
        return closed

    def _listening(self) -> frozenset[int]:
        spans = (span for span in self.spans if span.behaviour.listening)
        return frozenset(offset for span in spans for offset in range(span.first, span.last + 1))


def address_of(text: str) -> Address:
    """An address that is written in a profile, or UsageError."""
    try:
        return ip_address(text)
    except ValueError:
        raise UsageError(f"{text!r} is not an IP address") from None


def network_of(prefix: str) -> Network:
    """A network that is written in a profile, or UsageError."""
    try:
        return ip_network(prefix)
    except ValueError as error:
        raise UsageError(f"{prefix!r} in a lab profile is not a network: {error}") from None


def _is_told_by_router(behaviour: Behaviour) -> bool:
    return Responder.ROUTER in {behaviour.tcp.responder, behaviour.udp.responder}
