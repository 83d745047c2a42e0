"""A host with many ways out: two gateways, a bridge, a VLAN, a bond, a tunnel, and a table that refuses."""

from __future__ import annotations

import dataclasses

from scanner.lab.behaviours import (
    ABSENT,
    ABSENT6,
    ANYCAST,
    CLOSED,
    DUPLICATE,
    OPEN,
    PROXIED,
    SILENT,
    TIME_EXCEEDED,
    TIME_EXCEEDED6,
    UNROUTED,
    Behaviour,
    Route,
    refused_by_router,
    refused_by_target,
)
from scanner.lab.ipv6_nets import IPV6_ON_LINK, LINK_LOCAL
from scanner.lab.profile import (
    PROBER_INTERFACE,
    TARGET_INTERFACE,
    Kind,
    Net,
    Place,
    Profile,
    Side,
    Way,
)
from scanner.model import Reason

_SECOND = "gpw0"
_TABLE = 401
"""The routing table that a rule has for one network."""

_BEHIND: tuple[Behaviour, ...] = (
    SILENT,
    refused_by_target("target-host-unreach", "host-unreachable", Reason.HOST_UNREACH),
    refused_by_router("router-admin-prohibited", "admin-prohibited", Reason.ADMIN_PROHIBITED),
    TIME_EXCEEDED,
)
_BEHIND6: tuple[Behaviour, ...] = (
    SILENT,
    refused_by_target("target-addr-unreachable", "addr-unreachable", Reason.ADDR_UNREACH, "icmpv6"),
    refused_by_router("router-admin-prohibited", "admin-prohibited", Reason.ADMIN_PROHIBITED, "icmpv6"),
    TIME_EXCEEDED6,
)


def _segment(prefix: str) -> Net:
    """16 addresses on a link, by the first three numbers of them."""
    return Net(
        prefix=f"{prefix}.0/28",
        prober=f"{prefix}.1",
        router=f"{prefix}.2",
        places=(
            Place(f"{prefix}.3/32", OPEN),
            Place(f"{prefix}.4/31", CLOSED),
            Place(f"{prefix}.6/32", SILENT),
        ),
        rest=ABSENT,
    )


def _segment6(prefix: str) -> Net:
    """The same over IPv6, by all but the last number."""
    return Net(
        prefix=f"{prefix}::/124",
        prober=f"{prefix}::1",
        router=f"{prefix}::2",
        places=(
            Place(f"{prefix}::/128", ANYCAST),
            Place(f"{prefix}::3/128", OPEN),
            Place(f"{prefix}::4/127", CLOSED),
            Place(f"{prefix}::6/128", SILENT),
        ),
        rest=ABSENT6,
    )


def _behind(prefix: str, behaviours: tuple[Behaviour, ...] = _BEHIND, table: int | None = None) -> Net:
    """64 addresses behind a router, the last of them not like the rest."""
    places = tuple(Place(f"{prefix}.{32 + 4 * row}/30", what) for row, what in enumerate(behaviours))
    return Net(prefix=f"{prefix}.0/26", places=places, open_tcp=6, open_udp=6, table=table)


def _behind6(prefix: str, behaviours: tuple[Behaviour, ...] = _BEHIND6, table: int | None = None) -> Net:
    """The same over IPv6."""
    places = tuple(Place(f"{prefix}::{32 + 4 * row:x}/126", what) for row, what in enumerate(behaviours))
    return Net(prefix=f"{prefix}::/122", places=places, open_tcp=6, open_udp=6, table=table)


def _by_both(net: Net) -> Net:
    return dataclasses.replace(net, also_by=_SECOND)


_CABLE = Way(
    device=PROBER_INTERFACE,
    far_device=TARGET_INTERFACE,
    nets=(
        _behind("10.50.0"),
        Net(
            prefix="10.49.0.0/24",
            prober="10.49.0.1",
            router="10.49.0.2",
            places=(
                Place("10.49.0.10/32", OPEN),
                Place("10.49.0.12/30", CLOSED),
                Place("10.49.0.16/30", DUPLICATE),
                Place("10.49.0.32/28", PROXIED),
                Place("10.49.0.64/29", SILENT),
            ),
            rest=ABSENT,
            own_hardware=True,
        ),
        _behind6("fd00:50"),
        dataclasses.replace(IPV6_ON_LINK, places=(*IPV6_ON_LINK.places, Place("fd00:49::80/126", DUPLICATE))),
        LINK_LOCAL,
        # Whichever gateway is taken, hosts themselves answer alike.
        _by_both(_behind("10.62.0", _BEHIND[:2])),
        _by_both(_behind6("fd00:62", _BEHIND6[:2])),
    ),
)
_SECOND_CABLE = Way(
    device=_SECOND,
    far_device="gpw1",
    far=Side.OTHER,
    nets=(
        _segment("10.48.0"),
        _segment6("fd00:48"),
        _behind("10.60.0"),
        _behind6("fd00:60"),
        _behind("10.61.0", table=_TABLE),
        _behind6("fd00:61", table=_TABLE),
    ),
)
_TUNNEL = Way(
    device="gpt0",
    far_device="gpt1",
    kind=Kind.TUN,
    nets=(
        Net(prefix="10.56.0.0/30", prober="10.56.0.1", router="10.56.0.2"),
        # RFC 6164: between two ends. A router passes back what is neither, until it expires.
        Net(prefix="fd00:56::2/127", prober="fd00:56::2", router="fd00:56::3"),
        _behind("10.57.0"),
        _behind6("fd00:57"),
    ),
)
_ITSELF = Way(
    device="lo",
    kind=Kind.LOOPBACK,
    nets=(
        Net(prefix="127.4.1.0/28", places=(Place("127.4.1.3/32", OPEN),)),
        Net(prefix="10.59.0.0/29", places=(Place("10.59.0.3/32", OPEN),)),
        Net(prefix="::1/128", places=(Place("::1/128", OPEN),)),
        Net(prefix="fd00:59::/125", places=(Place("fd00:59::3/128", OPEN),)),
    ),
)
_NOWHERE = Way(
    device="",
    kind=Kind.NOWHERE,
    nets=tuple(
        Net(prefix=prefix.format(index), rest=UNROUTED, refused=route)
        for index, route in enumerate((Route.BLACKHOLE, Route.UNREACHABLE, Route.PROHIBIT, Route.THROW))
        for prefix in ("10.58.{}.0/29", "fd00:58:{}::/125")
    ),
)

LINKS = Profile(
    name="links",
    ways=(
        _CABLE,
        _SECOND_CABLE,
        Way(
            device="gpv0.401",
            far_device="gpv1.401",
            kind=Kind.VLAN,
            over=PROBER_INTERFACE,
            nets=(_segment("10.53.0"), _segment6("fd00:53")),
        ),
        Way(
            device="gpb0",
            far_device="gpb1",
            kind=Kind.BRIDGE,
            nets=(_segment("10.54.0"), _segment6("fd00:54")),
        ),
        Way(
            device="gpo0",
            far_device="gpo1",
            kind=Kind.BOND,
            nets=(_segment("10.55.0"), _segment6("fd00:55")),
        ),
        _TUNNEL,
        _ITSELF,
        _NOWHERE,
    ),
)
"""For sweeps by several interfaces at once: every kind of way out of a Linux machine."""
