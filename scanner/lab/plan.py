"""A profile worked out: which address does what, and what a sweep must say of it. Pure.

The law: a plan is a function of its profile alone. The same profile gives the same open
addresses in every process, so that the truth needs no lab to be asked.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError
from itertools import pairwise

import numpy as np

from scanner.core.ports import MAX_PORT
from scanner.lab import topology
from scanner.lab.behaviours import ABSENT, CLOSED, TCP_OPEN, UDP_OPEN, Behaviour, Outcome
from scanner.lab.profiles import Profile
from scanner.lab.truth import Columns, Truth, responder_of
from scanner.model import Protocol, Reason, State, UsageError

_OPEN = {Protocol.TCP: TCP_OPEN, Protocol.UDP: UDP_OPEN}

_NOT_TARGETS = frozenset(
    {topology.PROBER, topology.ON_LINK.network_address, topology.ON_LINK.broadcast_address}
)


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a sweep must say of one address, protocol and port.

    responder: the address that sends the deciding reply, None where none does.
    certain: as in `Behaviour`.
    """

    state: State
    reason: Reason
    responder: str | None
    certain: bool


@dataclass(frozen=True, slots=True)
class _Span:
    """A place as integers; both ends belong to it."""

    first: int
    last: int
    behaviour: Behaviour


class Plan:
    """Every address of a lab. Raises UsageError for a profile that contradicts itself."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.network = _network(profile.network)
        self._check()
        self._spans = _spans(profile, self.network)
        self._firsts = [span.first for span in self._spans]
        self.ups = None if profile.ups is None else self._free_address(profile.ups)
        drawn = self._draw_open()
        ups = {self.ups} if self.ups is not None else set[int]()
        self._open = {Protocol.TCP: drawn[Protocol.TCP] | ups, Protocol.UDP: drawn[Protocol.UDP]}

    def open_addresses(self, protocol: Protocol) -> tuple[int, ...]:
        """The addresses of the network with open ports, ascending, the UPS server's among them."""
        return tuple(sorted(self._open[protocol]))

    def listening(self, protocol: Protocol) -> tuple[tuple[str, int], ...]:
        """Where the lab's own listeners listen: all that is open, on link too, but for the UPS server."""
        served = self._open[protocol] - {self.ups} if protocol is Protocol.TCP else self._open[protocol]
        addresses = [int(topology.ON_LINK_OPEN), *sorted(served)]
        return tuple((str(IPv4Address(number)), port) for number in addresses for port in self.profile.ports)

    def expected(self, address: str | int, protocol: Protocol, port: int) -> Expectation:
        """What a sweep must say of one address; a UsageError where it is none of the lab's targets."""
        number = _number(address)
        behaviour, outcome = self._fate(number, protocol, port)
        responder = responder_of(outcome, number)
        return Expectation(
            outcome.state,
            outcome.reason,
            str(IPv4Address(responder)) if responder else None,
            behaviour.certain,
        )

    def truth(self, protocol: Protocol, port: int) -> Truth:
        """The ground truth for every address of the network."""
        first = int(self.network.network_address)
        size = self.network.num_addresses
        column = Columns(np.arange(first, first + size, dtype=np.uint32))
        column.fill(slice(None), CLOSED.outcome(protocol), certain=True)
        for span in self._spans:
            rows = slice(span.first - first, span.last - first + 1)
            column.fill(rows, span.behaviour.outcome(protocol), certain=span.behaviour.certain)
        if port in self.profile.ports:
            rows_open = np.array(self.open_addresses(protocol), dtype=np.int64) - first
            column.fill(rows_open, _OPEN[protocol], certain=True)
        return column.truth(protocol, port)

    def truth_on_link(self, protocol: Protocol, port: int) -> Truth:
        """The ground truth for the hosts of the cable's own network, the prober left out."""
        addresses = [int(host) for host in topology.ON_LINK.hosts() if host != topology.PROBER]
        column = Columns(np.array(addresses, dtype=np.uint32))
        for row, address in enumerate(addresses):
            behaviour, outcome = self._fate(address, protocol, port)
            column.fill(slice(row, row + 1), outcome, certain=behaviour.certain)
        return column.truth(protocol, port)

    def _fate(self, address: int, protocol: Protocol, port: int) -> tuple[Behaviour, Outcome]:
        """The behaviour at an address, and its outcome for a probe."""
        listening = port in self.profile.ports
        if IPv4Address(address) in self.network:
            behaviour = self._behaviour_at(address)
            is_open = listening and address in self._open[protocol]
            return behaviour, _OPEN[protocol] if is_open else behaviour.outcome(protocol)
        host = IPv4Address(address)
        if host not in topology.ON_LINK or host in _NOT_TARGETS:
            raise UsageError(
                f"{host} is not a target of the lab; those are {self.network} and {topology.ON_LINK} "
                f"without {topology.PROBER}"
            )
        if host == topology.ON_LINK_OPEN and listening:
            return CLOSED, _OPEN[protocol]
        if host == topology.ON_LINK_OPEN or host in topology.ON_LINK_CLOSED:
            return CLOSED, CLOSED.outcome(protocol)
        return CLOSED, ABSENT

    def _behaviour_at(self, address: int) -> Behaviour:
        before = bisect_right(self._firsts, address) - 1
        if before >= 0 and address <= self._spans[before].last:
            return self._spans[before].behaviour
        return CLOSED

    def _free_address(self, text: str) -> int:
        address = _number(text)
        if IPv4Address(address) not in self.network or self._behaviour_at(address) is not CLOSED:
            raise UsageError(
                f"{self._named}: its UPS server at {text} must be an address of {self.network} in no place"
            )
        return address

    def _check(self) -> None:
        if self.network.overlaps(topology.ON_LINK):
            raise UsageError(
                f"{self._named}: its network {self.network} overlaps the cable's {topology.ON_LINK}"
            )
        if wrong := [port for port in self.profile.ports if not 1 <= port <= MAX_PORT]:
            raise UsageError(f"{self._named}: port {wrong[0]} does not exist; ports are 1 to {MAX_PORT}")

    def _draw_open(self) -> dict[Protocol, frozenset[int]]:
        first = int(self.network.network_address)
        free = np.ones(self.network.num_addresses, dtype=np.bool_)
        for span in self._spans:
            free[span.first - first : span.last - first + 1] = False
        if self.ups is not None:
            free[self.ups - first] = False
        candidates: list[int] = (np.flatnonzero(free) + first).tolist()
        wanted = {Protocol.TCP: self.profile.open_tcp, Protocol.UDP: self.profile.open_udp}
        if max(wanted.values()) > len(candidates):
            raise UsageError(f"{self._named} has {len(candidates)} free addresses, fewer than are to be open")
        chance = random.Random(self.profile.seed)  # noqa: S311 - to be the same every time is the point
        return {protocol: frozenset(chance.sample(candidates, count)) for protocol, count in wanted.items()}

    @property
    def _named(self) -> str:
        return f"the lab profile {self.profile.name!r}"


def _number(address: str | int) -> int:
    try:
        return int(IPv4Address(address))
    except AddressValueError:
        raise UsageError(f"{address!r} is not an IPv4 address") from None


def _network(prefix: str) -> IPv4Network:
    try:
        return IPv4Network(prefix)
    except (AddressValueError, NetmaskValueError, ValueError) as error:
        raise UsageError(f"{prefix!r} in a lab profile is not an IPv4 network: {error}") from None


def _spans(profile: Profile, network: IPv4Network) -> tuple[_Span, ...]:
    """The places, ascending. Raises UsageError where they overlap or leave the network."""
    spans = []
    for place in profile.places:
        prefix = _network(place.prefix)
        if not prefix.subnet_of(network):
            raise UsageError(f"the lab profile {profile.name!r}: {prefix} is not within {network}")
        spans.append(_Span(int(prefix.network_address), int(prefix.broadcast_address), place.behaviour))
    spans.sort(key=lambda span: span.first)
    for one, other in pairwise(spans):
        if other.first <= one.last:
            raise UsageError(
                f"the lab profile {profile.name!r}: {one.behaviour.name} and {other.behaviour.name} overlap"
            )
    return tuple(spans)
