"""IPv6 networks of a cable: 4 096 addresses behind the router, 256 on the link, and its link-local ones."""

from __future__ import annotations

from scanner.lab.behaviours import (
    ABSENT6,
    ANYCAST,
    CLOSED,
    OPEN,
    RESET_BY_FIREWALL,
    SILENT,
    SILENT_ROUTER,
    TIME_EXCEEDED6,
    UDP_ONLY_SILENT,
    Behaviour,
    Route,
    lossy,
    rate_limited,
    refused_by_router,
    refused_by_target,
    routed_nowhere,
)
from scanner.lab.profile import LINK_LOCAL_ENDS, Net, Place
from scanner.model import Reason

# What a firewall says, in nftables' words but for two; RFC 4443 section 3.1 codes 0 to 6, section 3.4 code 1.
_CODES = (
    ("no-route", Reason.NO_ROUTE),
    ("admin-prohibited", Reason.ADMIN_PROHIBITED),
    ("beyond-scope", Reason.BEYOND_SCOPE),
    ("addr-unreachable", Reason.ADDR_UNREACH),
    ("port-unreachable", Reason.PORT_UNREACH),
    ("policy-fail", Reason.POLICY),
    ("reject-route", Reason.REJECT_ROUTE),
    ("unknown-next-header", Reason.PROTO_UNREACH),
)
REFUSED_BY_TARGET = tuple(refused_by_target(f"target-{code}", code, why, "icmpv6") for code, why in _CODES)
REFUSED_BY_ROUTER = tuple(refused_by_router(f"router-{code}", code, why, "icmpv6") for code, why in _CODES)

_UNREACHABLE = routed_nowhere("route-unreachable", Route.UNREACHABLE, Reason.NO_ROUTE, certain=True)
_PROHIBIT = routed_nowhere("route-prohibit", Route.PROHIBIT, Reason.ADMIN_PROHIBITED, certain=True)

_BEHIND: tuple[Behaviour, ...] = (
    SILENT,
    UDP_ONLY_SILENT,
    RESET_BY_FIREWALL,
    *REFUSED_BY_TARGET,
    *REFUSED_BY_ROUTER,
    TIME_EXCEEDED6,
    SILENT_ROUTER,
    _UNREACHABLE,
    _PROHIBIT,
    lossy(10),
    rate_limited(per_second=20, burst=4),
)

IPV6_BEHIND = Net(
    prefix="fd00:50::/116",
    places=tuple(
        Place(f"fd00:50::{0xC00 + 16 * row:x}/124", behaviour) for row, behaviour in enumerate(_BEHIND)
    ),
    open_tcp=50,
    open_udp=50,
)

IPV6_ON_LINK = Net(
    prefix="fd00:49::/120",
    prober="fd00:49::1",
    router="fd00:49::2",
    places=(
        Place("fd00:49::/128", ANYCAST),
        Place("fd00:49::a/128", OPEN),
        Place("fd00:49::10/124", CLOSED),
        Place("fd00:49::20/125", OPEN),
        Place("fd00:49::28/125", SILENT),
        Place("fd00:49::30/125", UDP_ONLY_SILENT),
        Place("fd00:49::38/125", RESET_BY_FIREWALL),
        *(
            Place(f"fd00:49::{0x40 + 4 * row:x}/126", behaviour)
            for row, behaviour in enumerate(REFUSED_BY_TARGET)
        ),
    ),
    rest=ABSENT6,
)

LINK_LOCAL = Net(
    prefix="fe80::/124",
    prober=LINK_LOCAL_ENDS[0],
    router=LINK_LOCAL_ENDS[1],
    places=(Place("fe80::/128", ANYCAST), Place("fe80::3/128", OPEN), Place("fe80::4/126", CLOSED)),
    rest=ABSENT6,
)
