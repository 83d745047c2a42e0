"""What is asked of `ip route get`, and what it answers: text and objects, nothing is run here.

Source: ip-route(8).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from scanner.contracts import Hop
from scanner.model import UsageError
from scanner.wire.ip_command import parse_json_lines
from scanner.wire.links import Link
from scanner.wire.prefixes import address_text, parse_address, route_range

OURS = frozenset({"local", "anycast"})
"""Types of routes that end in this machine; anycast is the subnet-router address of a forwarding one."""


def questions(places: Iterable[int], version: int, interface: str | None, source: int | None) -> str:
    """The lines of an `ip -batch` that ask how each address is reached."""
    tail = _tail(version, interface, source)
    return "".join(f"route get {address_text(place, version)}{tail}\n" for place in places)


def match_questions(places: Iterable[int], version: int, interface: str | None, source: int | None) -> str:
    """The lines of an `ip -batch` that ask for the route itself of each address.

    An entry does not say what address it was asked for, and what fails says nothing; so each
    question comes behind the plain one, whose answer does.
    """
    tail = _tail(version, interface, source)
    texts = (address_text(place, version) for place in places)
    return "".join(f"route get {text}{tail}\nroute get fibmatch {text}{tail}\n" for text in texts)


def _tail(version: int, interface: str | None, source: int | None) -> str:
    tail = f" oif {interface}" if interface is not None else ""
    return tail + (f" from {address_text(source, version)}" if source is not None else "")


def parse_answers(text: str, version: int) -> dict[int, dict[str, Any]]:
    """The answers of a recorded batch by address; what failed gave none, and has none here."""
    answers: dict[int, dict[str, Any]] = {}
    for answer in parse_json_lines(text):
        address = parse_address(answer.get("dst"), version)
        if address is not None:
            answers[address] = answer
    return answers


def parse_matches(text: str, version: int) -> dict[int, dict[str, Any]]:
    """The routes by address of a recorded batch of `match_questions`; none where it failed."""
    matches: dict[int, dict[str, Any]] = {}
    place: int | None = None
    for answer in parse_json_lines(text):
        span = route_range(answer, version)
        if place is not None and span is not None and span[0] <= place <= span[1]:
            matches[place] = answer
            place = None
        else:
            place = parse_address(answer.get("dst"), version)
    return matches


def hop_of(answer: Mapping[str, Any], links: Mapping[str, Link], version: int) -> Hop | None:
    """The hop that one `ip -j route get` answers with, or None where it leads to no single host.

    Its source is the one that was asked from, else the one that the kernel chose.
    Raises UsageError where the interface has no address to send from.
    """
    link = links.get(str(answer.get("dev")))
    if answer.get("type", "unicast") not in {"unicast", *OURS} or link is None:
        return None
    if "via" in answer:
        return None  # an IPv4 route by an IPv6 router (RFC 8950): not spoken
    own = parse_address(answer.get("from"), version) or parse_address(answer.get("prefsrc"), version)
    if not own:
        raise UsageError(
            f"interface {link.name} has no IPv{version} address to send from; name one with --source-ip"
        )
    return make_hop(link, version, own, parse_address(answer.get("gateway"), version), answer)


def make_hop(link: Link, version: int, own: int, gateway: int | None, route: Mapping[str, Any]) -> Hop:
    """A hop over a link; type and MTU are what the `ip -j` object of a route says."""
    metrics: dict[str, Any] = (route.get("metrics") or [{}])[0]
    loopback = route.get("type") in OURS
    return Hop(
        interface=link.name,
        source=own,
        gateway=gateway,
        on_link=gateway is None and not loopback,
        loopback=loopback,
        mac=link.mac,
        mtu=int(metrics.get("mtu", link.mtu)),
        version=version,
    )
