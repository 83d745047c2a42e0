"""The labs there are: which behaviour is where. Declared values, nothing computed from the system."""

from __future__ import annotations

from types import MappingProxyType

from scanner.lab.behaviours import (
    ABSENT,
    CLOSED,
    OPEN,
    RESET_BY_FIREWALL,
    SILENT,
    SILENT_ROUTER,
    TIME_EXCEEDED,
    UDP_ONLY_SILENT,
    Behaviour,
    Route,
    lossy,
    rate_limited,
    refused_by_router,
    refused_by_target,
    routed_nowhere,
)
from scanner.lab.ipv6_nets import IPV6_BEHIND, IPV6_ON_LINK, LINK_LOCAL
from scanner.lab.lan import LAN
from scanner.lab.links import LINKS
from scanner.lab.profile import PROBER_INTERFACE, TARGET_INTERFACE, Net, Place, Profile, Way
from scanner.model import Reason, UsageError

# What a firewall says, in nftables' words.
_CODES = (
    ("net-unreachable", Reason.NET_UNREACH),
    ("host-unreachable", Reason.HOST_UNREACH),
    ("prot-unreachable", Reason.PROTO_UNREACH),
    ("port-unreachable", Reason.PORT_UNREACH),
    ("net-prohibited", Reason.NET_PROHIBITED),
    ("host-prohibited", Reason.HOST_PROHIBITED),
    ("admin-prohibited", Reason.ADMIN_PROHIBITED),
)
_IN_A_ROW: tuple[Behaviour, ...] = (
    *(refused_by_target(f"target-{reason}", code, reason) for code, reason in _CODES),
    RESET_BY_FIREWALL,
    *(refused_by_router(f"router-{reason}", code, reason) for code, reason in _CODES),
    TIME_EXCEEDED,
    SILENT_ROUTER,
)

# behaviour, prefix in a /16, prefix in a /22
_TABLE: tuple[tuple[Behaviour, str, str], ...] = (
    (SILENT, "10.50.200.0/24", "10.50.2.0/28"),
    (UDP_ONLY_SILENT, "10.50.202.0/23", "10.50.2.16/28"),
    *(
        (behaviour, f"10.50.{202 + row}.0/24", f"10.50.{2 + row // 16}.{row % 16 * 16}/28")
        for row, behaviour in enumerate(_IN_A_ROW, start=2)
    ),
    (
        routed_nowhere("route-unreachable", Route.UNREACHABLE, Reason.HOST_UNREACH),
        "10.50.221.1/32", "10.50.3.49/32",
    ),
    (
        routed_nowhere("route-prohibit", Route.PROHIBIT, Reason.ADMIN_PROHIBITED),
        "10.50.221.2/32", "10.50.3.50/32",
    ),
    (
        routed_nowhere("route-throw", Route.THROW, Reason.NET_UNREACH),
        "10.50.221.3/32", "10.50.3.51/32",
    ),
)  # fmt: skip

ON_LINK = Net(
    prefix="10.49.0.0/24",
    prober="10.49.0.1",
    router="10.49.0.2",
    places=(
        Place("10.49.0.10/32", OPEN),
        *(Place(prefix, CLOSED) for prefix in ("10.49.0.11/32", "10.49.0.12/30", "10.49.0.16/30")),
    ),
    rest=ABSENT,
)


def _one_way(behind: Net) -> tuple[Way, ...]:
    """A single cable, with hosts on it and behind the router at its other end."""
    nets = (behind, ON_LINK, IPV6_BEHIND, IPV6_ON_LINK, LINK_LOCAL)
    return (Way(device=PROBER_INTERFACE, far_device=TARGET_INTERFACE, nets=nets),)


def _a_22(open_tcp: int, open_udp: int) -> Net:
    places = (
        *(Place(prefix, behaviour) for behaviour, _, prefix in _TABLE),
        Place("10.50.3.64/28", lossy(10)),
        Place("10.50.3.80/28", rate_limited(per_second=20, burst=4)),
    )
    return Net(prefix="10.50.0.0/22", places=places, open_tcp=open_tcp, open_udp=open_udp)


def _a_16(open_tcp: int, open_udp: int) -> Net:
    places = (
        *(Place(prefix, behaviour) for behaviour, prefix, _ in _TABLE),
        Place("10.50.222.0/24", lossy(10)),
        # What Linux allows itself by default: net.ipv4.icmp_msgs_per_sec and icmp_msgs_burst.
        Place("10.50.223.0/24", rate_limited(per_second=1000, burst=50)),
    )
    return Net(prefix="10.50.0.0/16", places=places, open_tcp=open_tcp, open_udp=open_udp)


SMALL = Profile(name="small", ways=_one_way(_a_22(open_tcp=50, open_udp=50)))
"""For tests that must be quick: 1 024 addresses behind a router."""

FULL = Profile(name="full", ways=_one_way(_a_16(open_tcp=500, open_udp=500)))
"""For benchmarks: 65 536 addresses behind a router."""

DEMO = Profile(name="demo", ways=_one_way(_a_16(open_tcp=9, open_udp=5)), ups="10.50.4.1")
"""The full lab with few enough open ports to read, one of them a real UPS server on the port meant for it."""

PROFILES = MappingProxyType({profile.name: profile for profile in (SMALL, FULL, DEMO, LAN, LINKS)})


def profile_named(name: str) -> Profile:
    """The profile of this name, or UsageError."""
    try:
        return PROFILES[name]
    except KeyError:
        raise UsageError(f"there is no lab profile {name!r}; choose one of {', '.join(PROFILES)}") from None
