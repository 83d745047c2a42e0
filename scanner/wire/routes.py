"""Where the kernel would send each target: asked of its tables, not worked out from them.

Policy rules, metrics and route types are the kernel's business. We only need to ask often
enough: between two neighbouring prefix boundaries of all its routes and rules the answer
cannot change, so the targets are cut at those boundaries and one address of each piece is
asked for. (Routes with several next hops are answered with one of them for the whole piece.)

Parsing and running are separate: what `ip` printed goes through pure functions.

Source: ip-route(8), ip-rule(8), ip-address(8).
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address
from typing import Any, TypeAlias

from scanner.contracts import Hop
from scanner.model import UsageError
from scanner.wire.ip_command import Runner, parse_json_lines, parse_json_list, run_ip

Range: TypeAlias = tuple[int, int]
"""First and last address, both included."""

_ADDRESS_BITS = 32
_LAST_ADDRESS = (1 << _ADDRESS_BITS) - 1
_POINT_TO_POINT_BITS = 31  # RFC 3021: a /31 has neither network nor broadcast address
_LOOPBACK_ENDS = (0x7F000000, 0x7FFFFFFF)
_MAC_LENGTH = 6


@dataclass(frozen=True, slots=True)
class Link:
    """One interface as `ip -j link` shows it: name, ARPHRD name, own MAC (or None), MTU."""

    name: str
    kind: str
    mac: bytes | None
    mtu: int


def plan_routes(
    targets: Sequence[Range],
    interface: str | None = None,
    source: int | None = None,
    run: Runner = run_ip,
) -> list[tuple[Hop | None, list[Range]]]:
    """The targets, grouped by how they are reached; None for those with no route.

    targets: address ranges. interface, source: what every packet must leave by, or from;
    None leaves it to the kernel. Groups come in the order of their first target, ranges in
    the order of the targets.

    Raises UsageError where there is no such interface or source address here, where an
    interface has no address to send from, or where `ip` is missing.
    """
    links = parse_links(run(["-j", "link", "show"], ""))
    routes = parse_json_list(run(["-j", "-4", "route", "show", "table", "all"], ""))
    rules = parse_json_list(run(["-j", "-4", "rule", "show"], ""))
    if interface is not None:
        require_interface(interface, links)
    if source is not None:
        require_source(source, routes)
    pieces = cut_ranges(targets, prefix_boundaries(routes, rules))
    places = sorted({first for first, _ in pieces})
    answers = parse_answers(run(["-j", "-force", "-batch", "-"], questions(places, interface, source)))
    hops = {place: hop_of(answers[place], links, source) for place in places if place in answers}
    if interface is not None:
        # Through a tunnel anything may be reached, over loopback only ourselves.
        guessed = [
            place
            for place, hop in hops.items()
            if hop and hop.on_link and (hop.mac or links[hop.interface].kind == "loopback")
        ]
        for place in without_route(guessed, interface, run):
            hops.pop(place)
    groups: dict[Hop | None, list[Range]] = {}
    for first, last in pieces:
        ranges = groups.setdefault(hops.get(first), [])
        if ranges and ranges[-1][1] + 1 == first:
            ranges[-1] = (ranges[-1][0], last)
        else:
            ranges.append((first, last))
    return list(groups.items())


def on_link_specials(run: Runner = run_ip) -> list[Range]:
    """Addresses that are never a host: network and broadcast addresses of our own networks.

    Sorted, one range each; 127.0.0.0 and 127.255.255.255 are always among them. Networks of
    two addresses or one (prefixes 31 and 32) have none.
    """
    return parse_specials(run(["-j", "-4", "addr", "show"], ""))


def parse_specials(text: str) -> list[Range]:
    """`on_link_specials` of a recorded `ip -j -4 addr show`."""
    specials = set(_LOOPBACK_ENDS)
    for link in parse_json_list(text):
        for entry in link.get("addr_info", []):
            bits = int(entry.get("prefixlen", _ADDRESS_BITS))
            # On a point-to-point link the network is the peer's ("address"), not our own.
            address = _address(entry.get("address", entry.get("local")))
            if address is not None and bits < _POINT_TO_POINT_BITS:
                specials.update(_prefix(address, bits))
    return [(address, address) for address in sorted(specials)]


def parse_links(text: str) -> dict[str, Link]:
    """The interfaces of a recorded `ip -j link show`, by name."""
    links: dict[str, Link] = {}
    for entry in parse_json_list(text):
        name, kind = str(entry.get("ifname", "")), str(entry.get("link_type", ""))
        mac = _mac(entry.get("address")) if kind == "ether" else None
        links[name] = Link(name=name, kind=kind, mac=mac, mtu=int(entry.get("mtu", 0)))
    return links


def require_interface(interface: str, links: dict[str, Link]) -> None:
    """Raise UsageError, naming the interfaces there are, where `interface` is none of them."""
    if interface not in links:
        raise UsageError(f"there is no interface {interface!r}; there are: {', '.join(sorted(links))}")


def require_source(source: int, routes: Iterable[dict[str, Any]]) -> None:
    """Raise UsageError, naming our addresses, where `source` is none of them."""
    own = [route for route in routes if route.get("type") == "local"]
    for route in own:
        span = _route_range(route)
        if span and span[0] <= source <= span[1]:
            return
    known = ", ".join(sorted({str(route.get("dst")) for route in own}))
    raise UsageError(f"{IPv4Address(source)} is not an address of this machine; it has: {known}")


def prefix_boundaries(routes: Iterable[dict[str, Any]], rules: Iterable[dict[str, Any]] = ()) -> list[int]:
    """Where the answer may change: first address of, and first behind, every prefix; sorted."""
    boundaries: set[int] = set()
    spans = [_route_range(route) for route in routes]
    spans += [_rule_range(rule) for rule in rules]
    for span in spans:
        if span is not None:
            boundaries.update((span[0], span[1] + 1))
    return sorted(boundaries)


def cut_ranges(targets: Iterable[Range], boundaries: Sequence[int]) -> list[Range]:
    """The targets, cut wherever a boundary lies inside of a range."""
    pieces: list[Range] = []
    for first, last in targets:
        cuts = boundaries[bisect.bisect_right(boundaries, first) : bisect.bisect_right(boundaries, last)]
        starts = [first, *cuts]
        ends = [*(cut - 1 for cut in cuts), last]
        pieces.extend(zip(starts, ends, strict=True))
    return pieces


def questions(places: Iterable[int], interface: str | None, source: int | None) -> str:
    """The lines of an `ip -batch` that ask how each address is reached."""
    tail = f" oif {interface}" if interface is not None else ""
    tail += f" from {IPv4Address(source)}" if source is not None else ""
    return "".join(f"route get {IPv4Address(place)}{tail}\n" for place in places)


def parse_answers(text: str) -> dict[int, dict[str, Any]]:
    """The answers of a recorded batch by address; what failed gave none, and has none here."""
    answers: dict[int, dict[str, Any]] = {}
    for answer in parse_json_lines(text):
        address = _address(answer.get("dst"))
        if address is not None:
            answers[address] = answer
    return answers


def hop_of(answer: dict[str, Any], links: dict[str, Link], source: int | None) -> Hop | None:
    """The hop that one `ip -j route get` answers with, or None where it leads to no single host.

    Raises UsageError where the interface has no address to send from.
    """
    kind = answer.get("type", "unicast")
    link = links.get(str(answer.get("dev")))
    if kind not in {"unicast", "local"} or link is None:
        return None
    if "via" in answer:
        return None  # an IPv4 route by an IPv6 router (RFC 8950): not spoken
    own = source if source is not None else _address(answer.get("prefsrc"))
    if not own:
        raise UsageError(f"interface {link.name} has no IPv4 address to send from; name one with --source-ip")
    gateway = _address(answer.get("gateway"))
    metrics: dict[str, Any] = (answer.get("metrics") or [{}])[0]
    return Hop(
        interface=link.name,
        source=own,
        gateway=gateway,
        on_link=gateway is None and kind == "unicast",
        loopback=kind == "local",
        mac=link.mac,
        mtu=int(metrics.get("mtu", link.mtu)),
    )


def without_route(places: Sequence[int], interface: str, run: Runner = run_ip) -> list[int]:
    """Those of the addresses that no route leads to by this interface.

    Asked for an interface, the kernel takes every address it has no route for to be on-link
    there, and we would look for it by ARP. The table itself ("fibmatch") knows better.
    """
    if not places:
        return []
    lines = "".join(f"route get fibmatch {IPv4Address(place)} oif {interface}\n" for place in places)
    matches = parse_json_lines(run(["-j", "-force", "-batch", "-"], lines))
    spans = sorted({span for span in map(_route_range, matches) if span is not None})
    return [place for place in places if not any(first <= place <= last for first, last in spans)]


def _route_range(route: dict[str, Any]) -> Range | None:
    text = str(route.get("dst", ""))
    if text == "default":
        return 0, _LAST_ADDRESS
    address, _, bits = text.partition("/")
    return _span(address, bits or _ADDRESS_BITS)


def _rule_range(rule: dict[str, Any]) -> Range | None:
    return _span(rule.get("dst"), rule.get("dstlen", _ADDRESS_BITS))


def _span(address: object, bits: object) -> Range | None:
    number = _address(address)
    return None if number is None else _prefix(number, int(str(bits)))


def _prefix(address: int, bits: int) -> Range:
    hosts = _LAST_ADDRESS >> bits
    return address & ~hosts, address | hosts


def _address(text: object) -> int | None:
    try:
        return int(IPv4Address(text)) if isinstance(text, str) else None
    except AddressValueError:
        return None


def _mac(text: object) -> bytes | None:
    try:
        mac = bytes.fromhex(str(text).replace(":", ""))
    except ValueError:
        return None
    return mac if len(mac) == _MAC_LENGTH else None
