"""The kernel, asked for the ways of single addresses: route, source and every next hop of each.

A route with several next hops is answered with one of them; which others there are, its entry says
("fibmatch").

Source: ip-route(8), ip-rule(8), ip-nexthop(8).
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from scanner.contracts import Hop
from scanner.wire.ip_command import Runner, parse_json_list
from scanner.wire.links import Link
from scanner.wire.multipath import NextHop, may_be_multipath, next_hops
from scanner.wire.prefixes import Range, parse_address, route_range, rule_range
from scanner.wire.route_answers import (
    OURS,
    hop_of,
    make_hop,
    match_questions,
    parse_answers,
    parse_matches,
    questions,
)

Ways: TypeAlias = tuple[tuple[Hop, float], ...]
"""How an address is reached: hops and the share of each, in any unit; none for no route."""

_BATCH = ("-j", "-force", "-batch", "-")


@dataclass(frozen=True, slots=True)
class Kernel:
    """The routing of one version of IP: its tables as they were, and the kernel itself to ask.

    interface: what every packet must leave by, or None. links: by name. routes, rules: the
    objects of `ip -j route show table all` and `ip -j rule show`.
    """

    version: int
    interface: str | None
    run: Runner
    links: Mapping[str, Link]
    routes: Sequence[dict[str, Any]]
    rules: Sequence[dict[str, Any]]

    def ways(self, places: Sequence[int], source: int | None) -> dict[int, Ways]:
        """How each address is reached, from this source or from the one that the kernel chooses.

        Where routing depends on the source, the kernel routes twice: once to choose the source,
        and again from it. So do we.
        """
        found = self._ways(places, source)
        if source is not None:
            return found
        for candidate in self._candidates():
            found |= self._ways([place for place in places if place not in found], candidate)
        wanted: dict[int, list[int]] = {}
        for place, ways in found.items():
            for chosen in {hop.source for hop, _ in ways}:
                wanted.setdefault(chosen, []).append(place)
        again = {
            chosen: self._ways(asked, chosen)
            for chosen, asked in wanted.items()
            if depends_on_source(chosen, self.routes, self.rules, self.version)
        }
        if not again:
            return found
        cache: dict[tuple[int, ...], Ways] = {}  # by id: equal ones are mostly the same, and hashing is slow
        final: dict[int, Ways] = {}
        for place, ways in found.items():
            others = [again[hop.source].get(place, ()) if hop.source in again else None for hop, _ in ways]
            key = (id(ways), *map(id, others))
            if key not in cache:
                cache[key] = _replaced(ways, others)
            final[place] = cache[key]
        return final

    def _candidates(self) -> list[int]:
        """Own addresses that have IPv6 routes of their own: one is tried where no other route leads.

        The kernel does so for a socket, but not for who asks it without a source.
        """
        wanted = [
            route_range({"dst": route["from"]}, self.version) for route in self.routes if "from" in route
        ]
        own = [route_range(route, self.version) for route in self.routes if route.get("type") == "local"]
        return [
            first
            for first, last in filter(None, own)
            if first == last and any(span[0] <= first <= span[1] for span in filter(None, wanted))
        ]

    def _ways(self, places: Sequence[int], source: int | None) -> dict[int, Ways]:
        asked = questions(places, self.version, self.interface, source)
        answers = parse_answers(self.run(_BATCH, asked), self.version)
        if self.interface is not None:
            # From a named source, IPv6 takes the interface for a wish only.
            answers = {
                place: answer
                for place, answer in answers.items()
                if answer.get("dev") == self.interface or answer.get("type") in OURS
            }
        several = self._several(answers)
        guessed = {place for place, answer in answers.items() if self._is_guess(answer)}
        asked = match_questions(sorted(guessed | several), self.version, self.interface, source)
        matches = parse_matches(self.run(_BATCH, asked) if asked else "", self.version)
        for place in guessed - matches.keys():
            answers.pop(place)
        # Answers are few but for the address asked about.
        cache: dict[tuple[Any, ...], Ways] = {}
        found: dict[int, Ways] = {}
        for place, answer in answers.items():
            key = (
                answer.get("dev"),
                answer.get("gateway"),
                answer.get("prefsrc"),
                answer.get("type"),
                "via" in answer,
                *map(str, answer.get("metrics", ())),
            )
            if key not in cache:
                hop = hop_of(answer, self.links, self.version)
                cache[key] = () if hop is None else ((hop, 1.0),)
            found[place] = cache[key]
        if several:
            found |= self._divided({place: matches[place] for place in several if place in matches}, source)
        return found

    def _is_guess(self, answer: Mapping[str, Any]) -> bool:
        """Asked for an interface, the kernel takes every address it has no route for to be on-link there.

        We would look for it by ARP; the table itself knows better. Through a tunnel anything may be
        reached, over loopback only ourselves.
        """
        link = self.links.get(str(answer.get("dev")))
        if self.interface is None or link is None or "gateway" in answer or answer.get("type") in OURS:
            return False
        return link.mac is not None or link.kind == "loopback"

    def _several(self, answers: Mapping[int, Mapping[str, Any]]) -> set[int]:
        """Those of the addresses that a route with several next hops covers, if not the best one."""
        spans: list[Range] = []
        covering = (route_range(route, self.version) for route in self.routes if may_be_multipath(route))
        for span in sorted(span for span in covering if span is not None):
            if not spans or span[0] > spans[-1][1]:  # prefixes either nest or are apart
                spans.append(span)
        ends = [end for _, end in spans]
        found = set()
        for place, answer in answers.items() if spans else ():
            at = bisect.bisect_left(ends, place)
            if at < len(spans) and spans[at][0] <= place and answer.get("type") not in OURS:
                found.add(place)
        return found

    def _divided(self, matches: Mapping[int, Mapping[str, Any]], source: int | None) -> dict[int, Ways]:
        """The ways of those addresses whose route has several next hops.

        From a named source, next hops whose own it is come first: as Linux 6.16 does, and because
        another provider may drop what does not come from its addresses (BCP 38).
        """
        objects: dict[int, Mapping[str, Any]] = {}
        if any("nexthops" not in match and may_be_multipath(match) for match in matches.values()):
            objects = {
                entry["id"]: entry for entry in parse_json_list(self.run(["-j", "nexthop", "show"], ""))
            }
        alive: dict[int, list[NextHop]] = {}
        for place, match in matches.items():
            hops = next_hops(match, objects, self.version)
            alive[place] = [hop for hop in hops if self.interface in {None, hop.interface}]
        sources = self._sources({(place, hop) for place, hops in alive.items() for hop in hops})
        cache: dict[tuple[Any, ...], Ways] = {}
        found: dict[int, Ways] = {}
        for place, hops in alive.items():
            match = matches[place]
            fixed = parse_address(match.get("prefsrc"), self.version)
            owned = [(hop, fixed or sources.get(self._source_question(place, hop))) for hop in hops]
            if source is not None:
                preferred = [(hop, own) for hop, own in owned if own == source] or owned
                owned = [(hop, source) for hop, _ in preferred]
            key = (*owned, *map(str, match.get("metrics", ())))
            if key not in cache:
                cache[key] = tuple(
                    (make_hop(self.links[hop.interface], self.version, own, hop.gateway, match), hop.weight)
                    for hop, own in owned
                    if own and hop.interface in self.links
                )
            if cache[key]:
                found[place] = cache[key]
        return found

    def _sources(self, wanted: set[tuple[int, NextHop]]) -> dict[tuple[int, str], int | None]:
        """The address that the kernel sends from, for each question of `_source_question`."""
        asked = sorted({self._source_question(place, hop) for place, hop in wanted})
        sources: dict[tuple[int, str], int | None] = {}
        for interface in sorted({name for _, name in asked}):
            places = [place for place, name in asked if name == interface]
            text = self.run(_BATCH, questions(places, self.version, interface, None))
            for place, answer in parse_answers(text, self.version).items():
                sources[place, interface] = parse_address(answer.get("prefsrc"), self.version)
        return sources

    def _source_question(self, place: int, hop: NextHop) -> tuple[int, str]:
        # IPv4 chooses by the router's network, IPv6 by the target (RFC 6724).
        router = hop.gateway if self.version == 4 else None
        return (place if router is None else router), hop.interface


def depends_on_source(
    source: int, routes: Iterable[Mapping[str, Any]], rules: Iterable[dict[str, Any]], version: int
) -> bool:
    """Whether a rule asks for packets from this source ("from"), or an IPv6 route does."""
    for rule in rules:
        span = rule_range(rule, "src", version)
        if span is not None and ("not" in rule or span[0] <= source <= span[1]):
            return True
    return any("from" in route for route in routes)


def _replaced(ways: Ways, others: Sequence[Ways | None]) -> Ways:
    """Each way's share divided among the ways that stand in its place.

    None: it stands. What nothing stands in for is left out.
    """
    shares: dict[Hop, float] = {}
    for way, other in zip(ways, others, strict=True):
        instead = (way,) if other is None else other
        whole = sum(weight for _, weight in instead)
        for hop, weight in instead:
            shares[hop] = shares.get(hop, 0.0) + way[1] * weight / whole
    return tuple(shares.items())
