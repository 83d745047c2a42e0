"""The ip(8) commands that give a lab's places their addresses and routes. Pure text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address

from scanner.lab.behaviours import Hardware, Route
from scanner.lab.netplan import NetPlan, network_of
from scanner.lab.plan import Plan
from scanner.lab.profile import LINK_LOCAL_ENDS, Kind, Side, Way
from scanner.lab.topology import (
    PASSED_ON,
    cable_ends,
    device_in,
    end_of,
    hardware_of,
    has_twins,
    passes_on,
    twin_of,
)

_TUNNEL_QUEUE = 10_000
"""Packets that may wait for the program at the tunnel's other end."""


def prober_commands(plan: Plan) -> Iterator[str]:
    """Lines for `ip -batch` in the prober's place."""
    yield "link set lo up"
    for way in plan.profile.ways:
        yield from _up(plan, way, Side.PROBER)
    for net in plan.nets:
        yield from _routes_to(net)


def rule_commands(plan: Plan, version: int) -> tuple[str, ...]:
    """Lines for `ip -4 -batch`, or `ip -6 -batch`, in the prober's place: which table leads to a network."""
    return tuple(
        f"rule add to {net.network} lookup {net.net.table}"
        for net in plan.nets
        if net.net.table is not None and net.network.version == version
    )


def router_commands(plan: Plan, side: Side) -> Iterator[str]:
    """Lines for `ip -batch` in a router's place."""
    yield "link set lo up"
    for way in plan.profile.ways:
        yield from _up(plan, way, side)
    if passes_on(plan, side):
        yield f"link set {PASSED_ON} up"
    for net in plan.nets:
        for way in net.ways:
            if way.far is side and side in net.sides:
                yield from _hosts4(net, way) if net.network.version == 4 else _hosts6(net, way)
                yield from _way_back(net, way)


# --- the prober -----------------------------------------------------------------------------------


def _up(plan: Plan, way: Way, side: Side) -> Iterator[str]:
    """A way's own end: its addresses, and up."""
    device = device_in(way, side)
    if device is None or way.kind is Kind.LOOPBACK:
        return
    for address in _own_addresses(way, side):
        yield f"addr add {address} dev {device}{' nodad' if ':' in address else ''}"
    yield from (f"link set {end} up" for end in cable_ends(way, side) if end != device)
    if way.kind is Kind.TUN:
        yield f"link set {device} txqueuelen {_TUNNEL_QUEUE}"
    yield f"link set {device} up"
    if side is Side.PROBER:
        return
    yield from _knows_the_prober(way, device)
    if has_twins(plan, way):
        yield f"link set {twin_of(device)} up"
        yield from _knows_the_prober(way, twin_of(device))


def _knows_the_prober(way: Way, device: str) -> Iterator[str]:
    """Have hosts know the prober's hardware for good.

    Linux answers nobody of whom it cannot keep a note, and all namespaces share one table for that: it is
    full where many hosts are spoken to elsewhere (net/core/neighbour.c, gc_thresh3).
    """
    mac = hardware_of(way, Side.PROBER)
    probers = [end_of(way, version, Side.PROBER) for version in (4, 6)] if mac is not None else []
    yield from (f"neigh add {one} lladdr {mac} dev {device} nud permanent" for one in probers if one)


def _own_addresses(way: Way, side: Side) -> list[str]:
    """The addresses of a way's end, with their prefix lengths."""
    index = 0 if side is Side.PROBER else 1
    links = [(network_of(net.prefix), (net.prober, net.router)[index]) for net in way.nets if net.is_on_link]
    addresses = [f"{end}/{link.prefixlen}" for link, end in links if not link.is_link_local]
    if any(link.version == 6 for link, _ in links):
        # Without one a router cannot ask for hardware addresses on behalf of others (RFC 4861 section 7.2.2).
        addresses.append(f"{LINK_LOCAL_ENDS[index]}/64")
    return addresses


def _routes_to(net: NetPlan) -> Iterator[str]:
    declared, way = net.net, net.way
    if way.kind is Kind.NOWHERE:
        yield f"route add {declared.refused} {net.network}"
    elif way.kind is Kind.LOOPBACK and net.network.is_loopback:
        return
    elif way.kind is Kind.LOOPBACK and net.network.version == 4:
        yield f"route add local {net.network} dev lo"
    elif way.kind is Kind.LOOPBACK:
        yield from _addresses6(net.network, "lo")
    elif not declared.is_on_link:
        hops = [f"via {end_of(hop, net.network.version, hop.far)} dev {hop.device}" for hop in net.ways]
        if way.kind is Kind.TUN:
            hops = [f"dev {way.device}"]
        several = " ".join(f"nexthop {hop}" for hop in hops)
        table = "" if declared.table is None else f" table {declared.table}"
        yield f"route add {net.network} {hops[0] if len(hops) == 1 else several}{table}"


# --- hosts and routers ----------------------------------------------------------------------------


def _hosts4(net: NetPlan, way: Way) -> Iterator[str]:
    """Hosts with IPv4 addresses. A prefix that is local is answered for by ARP as well."""
    if not net.net.is_on_link:
        yield f"route add local {net.network} dev lo"
    for span in net.spans:
        # In table `local`, as the network's own route there would win over any in `main`.
        match span.behaviour.route:
            case Route.FORWARDED:
                back = end_of(way, 4, Side.PROBER)
                yield f"route add {span.prefix} via {back} dev {way.far_device} table local"
            case Route.LOCAL if span.behaviour.hardware is Hardware.TWO:
                yield from (f"addr add {one}/32 dev {twin_of(way.far_device)}" for one in span.prefix)
            case Route.LOCAL if net.net.is_on_link:
                yield f"route add local {span.prefix} dev lo"
            case Route.LOCAL | Route.NONE:
                pass
            case refusing:
                yield f"route add {refusing} {span.prefix} table local"


def _hosts6(net: NetPlan, way: Way) -> Iterator[str]:
    """Hosts with IPv6 addresses."""
    # Not preferred, so that the router speaks from its own (RFC 6724 section 5, rule 3).
    device = f"{way.far_device} preferred_lft 0" if net.net.is_on_link else "lo"
    taken = {offset for span in net.spans for offset in range(span.first, span.last + 1)}
    if net.net.rest.route is Route.LOCAL and not net.net.is_on_link:
        rest = (net.network[offset] for offset in range(net.network.num_addresses) if offset not in taken)
        yield from _addresses6(rest, device)
    for span in net.spans:
        match span.behaviour.route:
            case Route.FORWARDED:
                yield f"route add {span.prefix} dev {PASSED_ON}"
            case Route.LOCAL:
                yield from _addresses6(span.prefix, device)
                if span.behaviour.hardware is Hardware.TWO:
                    yield from _addresses6(span.prefix, twin_of(way.far_device))
            case Route.NONE:
                pass
            case refusing:
                yield f"route add {refusing} {span.prefix}"


def _addresses6(addresses: Iterable[IPv4Address | IPv6Address], device: str) -> Iterator[str]:
    """Each by itself: of one that is only routed here, an ICMPv6 error comes from another (icmp6_send)."""
    name, *options = device.split()
    tail = " ".join([name, "nodad", "noprefixroute", *options])
    return (f"addr add {one}/128 dev {tail}" for one in addresses)


def _way_back(net: NetPlan, way: Way) -> Iterator[str]:
    """Where several ways lead to a network, probes may come by this one with an address of another."""
    for other in net.ways:
        link = other.link(net.network.version)
        if other is not way and link is not None:
            yield f"route add {link.prefix} via {end_of(way, net.network.version, Side.PROBER)}"
