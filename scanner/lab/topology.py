"""The ip(8) commands that set a lab's places up, and their sysctls. Pure text.

    prober namespace                                   target namespace
    gpv0 10.49.0.1/24  ─────────────────────────────  gpv1 10.49.0.2/24, and the hosts on the link
         fd00:49::1/120                                     fd00:49::2/120
    route: networks behind via 10.49.0.2               owns the networks behind, forwards parts of them

So with every way; a second router has a namespace of its own. No default route on any side. The
interfaces are made inside the namespaces.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network
from types import MappingProxyType

from scanner.lab.behaviours import Hardware, Route
from scanner.lab.netplan import TWIN_MAC, address_of
from scanner.lab.plan import Plan
from scanner.lab.profile import PROBER_INTERFACE as PROBER_INTERFACE  # noqa: PLC0414 - told from here
from scanner.lab.profile import TARGET_INTERFACE as TARGET_INTERFACE  # noqa: PLC0414
from scanner.lab.profile import Kind, Side, Way
from scanner.lab.truth import mac_of

ON_LINK = IPv4Network("10.49.0.0/24")
PROBER = IPv4Address("10.49.0.1")
ROUTER = IPv4Address("10.49.0.2")
"""Of the cable that every lab has, but for the `lan` profile's."""

VLAN_ID = 401

_SECOND_HOST = "type macvlan mode bridge bcqueuelen 100000"
"""With so many broadcasts that may wait for it: it would else miss some of a fast sweep's ARP requests."""

PASSED_ON = "gpn0"
"""Where routers send IPv6 packets that they may pass on: a bridge without ports."""

_IPV6_SYSCTLS = {
    # No waiting for duplicate addresses or routers, and no addresses but the lab's own.
    "net.ipv6.conf.all.accept_dad": "0",
    "net.ipv6.conf.default.accept_dad": "0",
    "net.ipv6.conf.default.router_solicitations": "0",
    "net.ipv6.conf.default.accept_ra": "0",
    "net.ipv6.conf.default.addr_gen_mode": "1",
}

_PROBER_SYSCTLS = {
    "net.ipv4.conf.all.rp_filter": "0",
    "net.ipv4.conf.default.rp_filter": "0",
    **_IPV6_SYSCTLS,
}

_ROUTER_SYSCTLS = {
    # First, as it resets others (Documentation/networking/ip-sysctl.rst).
    "net.ipv4.ip_forward": "1",
    # Forwarded prefixes leave by the interface they came in: no redirects, no reverse-path filter.
    "net.ipv4.conf.all.send_redirects": "0",
    "net.ipv4.conf.default.send_redirects": "0",
    "net.ipv4.conf.all.rp_filter": "0",
    "net.ipv4.conf.default.rp_filter": "0",
    # No type is limited, so neither icmp_ratelimit nor icmp_msgs_per_sec applies; before Linux 6.11
    # the latter was one for all namespaces, so the mask is the way that works everywhere.
    "net.ipv4.icmp_ratemask": "0",
    "net.ipv4.tcp_syncookies": "1",
    "net.ipv6.conf.all.forwarding": "1",
    "net.ipv6.conf.default.forwarding": "1",
    # As above, but that there must be a type: one that nobody sends. It also spares the global limit.
    "net.ipv6.icmp.ratemask": "255",
    # An ICMPv6 error has the mark of the packet that it answers: `ruleset` rewrites some by it.
    "net.ipv6.fwmark_reflect": "1",
    **_IPV6_SYSCTLS,
}

# Where a lab has no IPv6 networks there is none at all: its neighbour discovery would stand in captures.
_WITHOUT_IPV6 = {"net.ipv6.conf.default.disable_ipv6": "1"}


def sysctls(plan: Plan, side: Side) -> Mapping[str, str]:
    """What to set in a place before it has interfaces, in this order."""
    chosen = _PROBER_SYSCTLS if side is Side.PROBER else _ROUTER_SYSCTLS
    has_ipv6 = any(net.network.version == 6 for net in plan.nets)
    return MappingProxyType(chosen if has_ipv6 else {**chosen, **_WITHOUT_IPV6})


def interfaces(plan: Plan, side: Side) -> frozenset[str]:
    """All interfaces of a place that may be up."""
    own = {device for way in plan.profile.ways for device in _devices_of(plan, way, side)}
    return frozenset(own | {"lo"})


def cables_of(way: Way) -> tuple[tuple[str, str], ...]:
    """The pairs of ends, near and far, of the cables that a way consists of."""
    if way.kind is Kind.VETH:
        return ((way.device, way.far_device),)
    if way.kind is Kind.BRIDGE:
        return ((f"{way.device}p", way.far_device),)
    if way.kind is Kind.BOND:
        return tuple((f"{way.device}{member}", f"{way.far_device}{member}") for member in "ab")
    return ()


def cable_commands(plan: Plan, namespaces: Mapping[Side, str]) -> Iterator[str]:
    """Lines for `ip -batch` in the prober's place that make all cables; `namespaces` names the places."""
    pairs = [(way, near, far) for way in plan.profile.ways for near, far in cables_of(way)]
    for row, (way, near, far) in enumerate(pairs):
        # Two ends of one number are slow to be found up: net/core/link_watch.c, linkwatch_urgent_event.
        yield (f"link add {near} index {401 + row} type veth peer name {far} netns {namespaces[way.far]}")


def device_commands(plan: Plan, side: Side, played: frozenset[Kind]) -> Iterator[str]:
    """Lines for `ip -batch` that make the other devices of a place; its cables are there.

    played: kinds that this kernel lacks; a program plays them by devices that are there as well.
    """
    for way in plan.profile.ways:
        device = device_in(way, side)
        if device is None or way.kind is Kind.LOOPBACK:
            continue
        ends = cable_ends(way, side)
        if way.kind is Kind.BRIDGE and side is Side.PROBER:
            yield f"link add {device} type bridge"
            yield from (f"link set {end} master {device}" for end in ends)
        elif way.kind is Kind.VLAN and way.kind not in played:
            yield f"link add link {below(plan, way, side)} name {device} type vlan id {VLAN_ID}"
        elif way.kind is Kind.BOND and way.kind not in played:
            yield f"link add {device} type bond mode balance-rr"
            yield from (f"link set {end} master {device}" for end in ends)
        elif way.kind is Kind.BOND:
            # Below the program that plays the bond the kernel itself must not answer.
            yield from (f"link set {end} arp off" for end in ends)
        if (mac := hardware_of(way, side)) is not None:
            yield f"link set {device} address {mac}"
        if side is not Side.PROBER and has_twins(plan, way):
            yield f"link add link {device} name {twin_of(device)} address {TWIN_MAC} {_SECOND_HOST}"
    if side is not Side.PROBER and passes_on(plan, side):
        yield f"link add {PASSED_ON} type bridge"


def device_sysctls(plan: Plan, side: Side) -> Mapping[str, str]:
    """What to set of a place's devices, which are there and not up."""
    values = {}
    for way in plan.profile.ways:
        device = device_in(way, side)
        if device is None or side is Side.PROBER:
            continue
        # What an anycast address says of itself is not put off (RFC 4861 section 7.2.7).
        values[f"net/ipv6/neigh/{device}/proxy_delay"] = "0"
        if has_twins(plan, way):
            # A second host answers for its own addresses alone.
            values[f"net/ipv4/conf/{twin_of(device)}/arp_ignore"] = "1"
    return MappingProxyType(values)


def twin_of(device: str) -> str:
    """The name of the second host's interface beside a router's."""
    return f"{device}t"


def end_of(way: Way, version: int, side: Side) -> str | None:
    """The address that a way has at one end, None where it has none of this version of IP."""
    link = way.link(version)
    if link is None:
        return None
    return link.prober if side is Side.PROBER else link.router


def hardware_of(way: Way, side: Side) -> str | None:
    """The hardware address of a way's end; None without a link layer, or an IPv4 address to make it of."""
    end = end_of(way, 4, side)
    return None if end is None or way.kind is Kind.TUN else mac_of(address_of(end))


def cable_ends(way: Way, side: Side) -> list[str]:
    """The ends of a way's cables on one side of them."""
    return [near if side is Side.PROBER else far for near, far in cables_of(way)]


def device_in(way: Way, side: Side) -> str | None:
    """The end of a way that is in a place."""
    if side is Side.PROBER:
        return way.device or None
    return way.far_device or None if way.far is side else None


def _devices_of(plan: Plan, way: Way, side: Side) -> Iterator[str]:
    device = device_in(way, side)
    if device is not None:
        yield device
        yield from cable_ends(way, side)
        if side is not Side.PROBER:
            yield from (PASSED_ON, twin_of(device))


def below(plan: Plan, way: Way, side: Side) -> str:
    """The interface whose sub-interface a way is."""
    (parent,) = (other for other in plan.profile.ways if other.device == way.over)
    return parent.device if side is Side.PROBER else parent.far_device


def has_twins(plan: Plan, way: Way) -> bool:
    """Whether addresses on a way's link are there twice."""
    return any(
        span.behaviour.hardware is Hardware.TWO for net in plan.nets if net.way is way for span in net.spans
    )


def passes_on(plan: Plan, side: Side) -> bool:
    """Whether a router is made to pass IPv6 packets on."""
    nets = (net for net in plan.nets if net.network.version == 6 and side in net.sides)
    return any(span.behaviour.route is Route.FORWARDED for net in nets for span in net.spans)
