"""Two hosts and one cable: addresses, and the ip(8) commands and sysctls that set them up. Pure text.

    prober namespace                                   target namespace
    gpv0 10.49.0.1/24  ─────────────────────────────  gpv1 10.49.0.2/24, and 10.49.0.10–19
    route: the lab's network via 10.49.0.2             owns the lab's network, forwards parts of it

No default route on either side. The interfaces are made inside the namespaces.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from types import MappingProxyType

from scanner.lab.behaviours import Route
from scanner.lab.profiles import Profile

PROBER_INTERFACE = "gpv0"
TARGET_INTERFACE = "gpv1"

ON_LINK = IPv4Network("10.49.0.0/24")
PROBER = IPv4Address("10.49.0.1")
ROUTER = IPv4Address("10.49.0.2")
ON_LINK_OPEN = IPv4Address("10.49.0.10")
"""Listens on TCP and UDP."""
ON_LINK_CLOSED = (ROUTER, *(IPv4Address(f"10.49.0.{last}") for last in range(11, 20)))

# No IPv6 on the cable: its neighbour discovery would stand in captures.
PROBER_SYSCTLS = MappingProxyType({"net.ipv6.conf.default.disable_ipv6": "1"})

TARGET_SYSCTLS = MappingProxyType(
    {
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
        "net.ipv6.conf.default.disable_ipv6": "1",
    }
)


def cable_command(target: str) -> str:
    """The line for `ip -batch` in the prober namespace that makes both ends; `target` names the other."""
    return f"link add {PROBER_INTERFACE} type veth peer name {TARGET_INTERFACE} netns {target}"


def prober_commands(profile: Profile) -> tuple[str, ...]:
    """Lines for `ip -batch` in the prober namespace; the cable is there."""
    return (
        "link set lo up",
        f"addr add {PROBER}/{ON_LINK.prefixlen} dev {PROBER_INTERFACE}",
        f"link set {PROBER_INTERFACE} up",
        f"route add {profile.network} via {ROUTER}",
    )


def target_commands(profile: Profile) -> tuple[str, ...]:
    """Lines for `ip -batch` in the target namespace; the cable is there."""
    return (
        "link set lo up",
        f"addr add {ROUTER}/{ON_LINK.prefixlen} dev {TARGET_INTERFACE}",
        *(
            f"addr add {address}/32 dev {TARGET_INTERFACE}"
            for address in (ON_LINK_OPEN, *ON_LINK_CLOSED)
            if address != ROUTER
        ),
        f"link set {TARGET_INTERFACE} up",
        f"route add local {profile.network} dev lo",
        *(
            _route(place.prefix, place.behaviour.route)
            for place in profile.places
            if place.behaviour.route is not Route.LOCAL
        ),
    )


def _route(prefix: str, route: Route) -> str:
    # In table `local`, as the network's own route there would win over any in `main`.
    if route is Route.FORWARDED:
        return f"route add {prefix} via {PROBER} dev {TARGET_INTERFACE} table local"
    return f"route add {route} {prefix} table local"
