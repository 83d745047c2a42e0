"""Is there a way out? A lab with one is refused, as what runs in it may send to anything it can reach.

Pure: it judges what ip(8) shows, as JSON.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

_IPV6_ON_LINK = (IPv6Network("::1/128"), IPv6Network("fe80::/10"), IPv6Network("ff00::/8"))


def way_out(
    links: Iterable[Mapping[str, Any]],
    routes: Iterable[Mapping[str, Any]],
    *,
    interfaces: Collection[str],
    networks: Collection[IPv4Network | IPv6Network],
) -> str | None:
    """The first way out of a namespace, in words; None where there is none.

    links, routes: of `ip -json link` and `ip -json route show table all`.
    interfaces: those that may be up. Others may exist but be down: kernels put a sit0,
        tunl0 and their like into every namespace.
    networks: where unicast routes may lead; IPv6 ones may lead to link-local addresses as well.
    """
    for link in links:
        if link["ifname"] not in interfaces and "UP" in link.get("flags", ()):
            return f"the interface {link['ifname']} is up"
    for route in routes:
        # Local addresses, broadcasts and refusals lead nowhere.
        if route.get("type", "unicast") == "unicast" and not _is_within(route["dst"], networks):
            return f"there is a route to {route['dst']} by {route.get('dev', 'several ways')}"
    return None


def _is_within(destination: str, networks: Collection[IPv4Network | IPv6Network]) -> bool:
    if destination == "default":
        return False
    network = ip_network(destination)
    if isinstance(network, IPv4Network):
        return any(isinstance(own, IPv4Network) and network.subnet_of(own) for own in networks)
    return any(isinstance(own, IPv6Network) and network.subnet_of(own) for own in (*_IPV6_ON_LINK, *networks))
