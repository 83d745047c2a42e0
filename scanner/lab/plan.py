"""A profile worked out: which address does what, and what a sweep must say of it. Pure.

The law: a plan is a function of its profile alone. The same profile gives the same open
addresses in every process, so that the truth needs no lab to be asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from itertools import combinations

from scanner.core.ports import MAX_PORT
from scanner.lab.behaviours import Behaviour
from scanner.lab.netplan import Address, NetPlan, Network
from scanner.lab.profile import Profile, Side, Way
from scanner.lab.truth import Truth
from scanner.model import Protocol, Reason, State, UsageError


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a sweep must say of one address, protocol and port.

    responder: the address that sends the deciding reply, None where none does.
    certain: as in `Behaviour`.
    macs: the hardware addresses that answer for it, where it is on a link of the prober's.
    """

    state: State
    reason: Reason
    responder: str | None
    certain: bool
    macs: tuple[str, ...] = ()


class Plan:
    """Every address of a lab. Raises UsageError for a profile that contradicts itself."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._named = f"the lab profile {profile.name!r}"
        if wrong := [port for port in profile.ports if not 1 <= port <= MAX_PORT]:
            raise UsageError(f"{self._named}: port {wrong[0]} does not exist; ports are 1 to {MAX_PORT}")
        self.nets = tuple(self._net_plans())
        self._by_prefix = {net.network: net for net in self.nets}
        for one, other in combinations(self.networks, 2):
            if one.overlaps(other):
                raise UsageError(f"{self._named}: its networks {one} and {other} overlap")

    def _net_plans(self) -> Iterator[NetPlan]:
        profile, ups = self.profile, self.profile.ups
        for way, net in profile.nets:
            also = tuple(other for other in profile.ways if other.device == net.also_by)
            if net.also_by is not None and not also:
                raise UsageError(
                    f"{self._named}: {net.prefix} is also by {net.also_by}, which is no way of it"
                )
            yield NetPlan(
                (way, *also), net, owner=self._named, ports=profile.ports, seed=profile.seed, ups=ups
            )
            ups = None  # it is of the first network

    @property
    def networks(self) -> tuple[Network, ...]:
        """All networks; the first is the one that the lab is about."""
        return tuple(net.network for net in self.nets)

    @property
    def ups(self) -> Address | None:
        """Where the UPS server is."""
        main = self.nets[0]
        return None if main.ups is None else main.network[main.ups]

    def net(self, prefix: str | Network | None = None) -> NetPlan:
        """One of the networks, by its prefix, else the first; a UsageError where it is none."""
        if prefix is None:
            return self.nets[0]
        try:
            return self._by_prefix[ip_network(prefix)]
        except (KeyError, ValueError):
            names = ", ".join(map(str, self.networks))
            raise UsageError(f"{prefix} is no network of the lab; those are {names}") from None

    def open_addresses(self, protocol: Protocol, network: str | None = None) -> tuple[int, ...]:
        """The addresses of a network, the first's unless said otherwise, with open ports, ascending."""
        net = self.net(network)
        return tuple(int(net.network[offset]) for offset in net.open_offsets(protocol))

    def listening(self, protocol: Protocol, side: Side = Side.TARGET) -> tuple[tuple[str, int], ...]:
        """Where the lab's own listeners listen in a place: all that is open, but for the UPS server."""
        return tuple(
            (address, port)
            for net in self.nets
            for address in net.listening(protocol, side)
            for port in self.profile.ports
        )

    def expected(self, address: str | int, protocol: Protocol, port: int) -> Expectation:
        """What a sweep must say of one address; a UsageError where it is none of the lab's targets."""
        net, offset = self._found(address)
        behaviour = net.behaviour_at(offset)
        outcome = net.outcome_at(offset, protocol, port)
        return Expectation(
            outcome.state,
            outcome.reason,
            net.naming.responder(outcome.responder, offset),
            behaviour.certain,
            net.naming.macs(behaviour.hardware, offset),
        )

    def behaviour(self, address: str | int) -> Behaviour:
        """What an address does; a UsageError where it is none of the lab's targets."""
        net, offset = self._found(address)
        return net.behaviour_at(offset)

    def way(self, address: str | int) -> Way:
        """The way to an address; a UsageError where it is none of the lab's targets."""
        return self._found(address)[0].way

    def truth(self, protocol: Protocol, port: int, network: str | Network | None = None) -> Truth:
        """The ground truth for every address of a network, of the first unless said otherwise."""
        return self.net(network).truth(protocol, port)

    def _found(self, address: str | int) -> tuple[NetPlan, int]:
        try:
            number = ip_address(address)
        except ValueError:
            raise UsageError(f"{address!r} is not an IP address") from None
        if isinstance(number, IPv6Address) and number.scope_id is not None:
            number = IPv6Address(int(number))
        for net in self.nets:
            offset = int(number) - int(net.network.network_address)
            if number in net and net.is_target(offset):
                return net, offset
        names = ", ".join(map(str, self.networks))
        raise UsageError(f"{number} is not a target of the lab; those are the hosts of {names}")
