"""The plan of a sweep: who is asked what, along which path. Made before anything is sent.

Targets are held against the scope, divided by the kernel's routes, and what can never be one host is
set aside. A dry run ends here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scanner.contracts import Hop, Network, Probe
from scanner.core.addresses import AddressSet, format_address
from scanner.core.scope import Scope
from scanner.core.targets import parse_target
from scanner.model import Protocol, UsageError
from scanner.probes.tcp_syn import TCP_SYN
from scanner.probes.udp import UDP

PROBES: dict[Protocol, Probe] = {Protocol.TCP: TCP_SYN, Protocol.UDP: UDP}
"""The probe that asks for each transport."""

DEFAULT_RATE = 10_000.0
DEFAULT_RETRIES = 2
DEFAULT_WAIT = 1.0
MOST_RETRIES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is wanted.

    rate: packets a second, infinity for as many as the kernel carries. wait: seconds, the longest time
    to wait for a reply to one probe. retries: probes after the first, for targets that stay silent;
    up to twice as many where replies get lost.
    """

    targets: AddressSet
    ports: tuple[int, ...]
    protocols: tuple[Protocol, ...] = (Protocol.TCP, Protocol.UDP)
    excluded: AddressSet
    rate: float = DEFAULT_RATE
    retries: int = DEFAULT_RETRIES
    wait: float = DEFAULT_WAIT
    interface: str | None = None
    source: int | None = None

    def __post_init__(self) -> None:
        """Raises UsageError for what cannot be."""
        if not self.rate > 0:
            msg = f"--rate {self.rate:g}: packets a second must be more than 0, or `max`"
            raise UsageError(msg)
        if not 0 <= self.retries <= MOST_RETRIES:
            msg = f"--retries {self.retries}: from 0 to {MOST_RETRIES}"
            raise UsageError(msg)
        if not (self.wait > 0 and math.isfinite(self.wait)):
            msg = f"--wait {self.wait:g}: seconds must be more than 0"
            raise UsageError(msg)
        if not self.protocols or not self.ports:
            msg = "nothing to ask: name at least one protocol and one port"
            raise UsageError(msg)


@dataclass(frozen=True, slots=True)
class Path:
    """Targets that are reached the same way."""

    hop: Hop
    addresses: AddressSet


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """Who is asked, along which path.

    addresses: all that get a verdict. no_route: those of them that no route leads to.
    skipped: network and broadcast addresses of links this host is on, which are never probed.
    scope: what every packet is held against.
    """

    request: Request
    addresses: AddressSet
    paths: tuple[Path, ...]
    no_route: AddressSet
    skipped: AddressSet
    scope: Scope

    @property
    def probes(self) -> int:
        """Probes of the first round."""
        kinds = len(self.request.ports) * len(self.request.protocols)
        return sum(path.addresses.size for path in self.paths) * kinds

    def hop_to(self, address: str) -> Hop:
        """How an address is reached. Raises UsageError where no path leads there."""
        wanted = parse_target(address)
        for path in self.paths:
            if path.addresses & wanted:
                return path.hop
        raise UsageError(f"no path leads to {address}")

    @property
    def next_hops(self) -> AddressSet:
        """Gateways, which ARP may ask for."""
        return AddressSet.of(
            (path.hop.gateway, path.hop.gateway) for path in self.paths if path.hop.gateway is not None
        )


def make_plan(request: Request, network: Network, scope: Scope) -> SweepPlan:
    """Plan a sweep.

    Raises:
        ScopeRefused: a target may not be probed.
        UsageError: there is nothing to probe, or no route to any of it.
    """
    wanted = request.targets - request.excluded
    if not wanted:
        msg = "no targets: name an address, a CIDR or a range, and do not exclude all of it"
        raise UsageError(msg)
    scope.check(wanted)
    skipped = wanted & network.specials()
    addresses = wanted - skipped
    if not addresses:
        msg = "no targets: network and broadcast addresses of this host's own links are never probed"
        raise UsageError(msg)
    paths = []
    no_route = AddressSet.empty()
    for hop, reached in network.routes(addresses, request.interface, request.source):
        if hop is None:
            no_route |= reached
        else:
            paths.append(Path(hop, reached))
    if not paths:
        first = format_address(addresses.ranges()[0][0])
        rest = "" if addresses.size == 1 else f" or any other of the {addresses.size} targets"
        msg = f"no route to {first}{rest}: see `ip route get {first}{_way(request)}`"
        raise UsageError(msg)
    return SweepPlan(
        request=request,
        addresses=addresses,
        paths=tuple(paths),
        no_route=no_route,
        skipped=skipped,
        scope=scope.without(skipped | request.excluded),
    )


def _way(request: Request) -> str:
    """What was asked of the way, in the words of ip-route(8)."""
    way = "" if request.interface is None else f" oif {request.interface}"
    return way if request.source is None else f"{way} from {format_address(request.source)}"
