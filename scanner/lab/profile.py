"""What a lab is declared as: ways out of the prober's place, networks at their other ends, what addresses do.

Prefixes and addresses are text, so that a profile can be written to a file and read back
as it is (`Lab` keeps the profile of a running lab so).
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from scanner.lab.behaviours import CLOSED, Behaviour, Route

PROBER_INTERFACE = "gpv0"
TARGET_INTERFACE = "gpv1"
"""The ends of the cable that every lab has."""

LINK_LOCAL_ENDS = ("fe80::1", "fe80::2")
"""The link-local addresses of every way's ends, the prober's first."""


class Side(enum.StrEnum):
    """The places of a lab, each a network namespace."""

    PROBER = "prober"
    TARGET = "target"
    OTHER = "other"
    """A second router, with hosts of its own."""


class Kind(enum.StrEnum):
    """What the prober's end of a way is, in ip-link(8)'s words."""

    VETH = "veth"
    BRIDGE = "bridge"
    """A bridge, of which the cable's end is a port."""
    VLAN = "vlan"
    """An 802.1Q sub-interface of another way."""
    BOND = "bond"
    """Two cables as one, used in turn."""
    TUN = "tun"
    """A tunnel without a link layer."""
    LOOPBACK = "loopback"
    """The prober itself."""
    NOWHERE = "nowhere"
    """None: the prober's own routing table refuses, and no probe leaves."""


@dataclass(frozen=True, slots=True)
class Place:
    """A prefix of a network, and what its addresses do."""

    prefix: str
    behaviour: Behaviour


@dataclass(frozen=True, slots=True, kw_only=True)
class Net:
    """A network of IPv4 or IPv6 addresses, and what they do.

    rest: what addresses in no place do. But the `prober` and the `router`: those are closed.
    open_tcp, open_udp: how many addresses listen; which, is drawn among those that are `CLOSED`.
    prober, router: the addresses that both ends of the way have in it: then it is on-link. Without them it is
        behind the router.
    own_hardware: whether on-link IPv4 hosts have hardware addresses of their own; else all have the router's.
    also_by: another way by which it can be reached as well (ECMP).
    table: the routing table, chosen by a rule, that leads to it; None for the main one.
    refused: how the prober's table refuses it, on a way to nowhere.
    """

    prefix: str
    places: tuple[Place, ...] = ()
    rest: Behaviour = CLOSED
    open_tcp: int = 0
    open_udp: int = 0
    prober: str | None = None
    router: str | None = None
    own_hardware: bool = False
    also_by: str | None = None
    table: int | None = None
    refused: Route | None = None

    @property
    def is_on_link(self) -> bool:
        """Whether the prober has an address in it."""
        return self.prober is not None

    @property
    def version(self) -> int:
        """Of IP."""
        return 6 if ":" in self.prefix else 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A way out of the prober's place.

    device: the prober's end; its sub-interfaces are named after it. far_device: the other end.
    far: where that is.
    over: the device of the way whose sub-interface this is.
    """

    device: str
    far_device: str = ""
    far: Side = Side.TARGET
    kind: Kind = Kind.VETH
    nets: tuple[Net, ...] = ()
    over: str = ""

    def link(self, version: int) -> Net | None:
        """Its on-link network of a version of IP."""
        return next((net for net in self.nets if net.is_on_link and net.version == version), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A whole lab. The first network of the first way is the one that it is about.

    ports: where open hosts listen.
    seed: by which open addresses are drawn.
    ups: the address of the first network at which NUT's upsd listens on `ports`, over TCP; None for a lab
        without.
    """

    name: str
    ways: tuple[Way, ...]
    ports: tuple[int, ...] = (401,)
    seed: int = 401
    ups: str | None = None

    @property
    def network(self) -> str:
        """The network that it is about."""
        return self.ways[0].nets[0].prefix

    @property
    def places(self) -> tuple[Place, ...]:
        """The places of that network."""
        return self.ways[0].nets[0].places

    @property
    def nets(self) -> Iterator[tuple[Way, Net]]:
        """All networks, each with the way to it."""
        return ((way, net) for way in self.ways for net in way.nets)

    def with_network(self, **changes: Any) -> Profile:  # noqa: ANN401 - `Net`'s fields
        """The same, but for the network that it is about."""
        first, *others = self.ways[0].nets
        nets = (dataclasses.replace(first, **changes), *others)
        return dataclasses.replace(self, ways=(dataclasses.replace(self.ways[0], nets=nets), *self.ways[1:]))

    def without_ipv6(self) -> Profile:
        """The same, but for its IPv6 networks."""
        ways = (
            dataclasses.replace(way, nets=tuple(net for net in way.nets if net.version != 6))
            for way in self.ways
        )
        return dataclasses.replace(self, ways=tuple(ways))

    def sides(self) -> tuple[Side, ...]:
        """The places that there are."""
        used = {Side.PROBER, *(way.far for way in self.ways)}
        return tuple(side for side in Side if side in used)
