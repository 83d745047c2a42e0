"""A kernel that is made up of a few words: what is asked of it, and what is made of its answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

import pytest

from scanner.wire.kernel_routes import Kernel, Ways, depends_on_source
from scanner.wire.links import Link
from scanner.wire.prefixes import address_text

LINKS = {name: Link(name, "ether", bytes(5) + bytes([at]), 1500) for at, name in enumerate(("d0", "d1"), 1)}
SHARED = {
    "dst": "default",
    "nexthops": [
        {"gateway": "192.0.2.9", "dev": "d0", "weight": 3, "flags": []},
        {"gateway": "198.51.100.9", "dev": "d1", "weight": 1, "flags": []},
    ],
}
A, B = "192.0.2.1", "198.51.100.1"


def by(dev: str, gateway: str | None, **more: object) -> dict[str, Any]:
    return {"dev": dev, **({} if gateway is None else {"gateway": gateway}), **more}


class Script:
    """Answers by question, the words behind `route get`."""

    def __init__(self, answers: dict[str, dict[str, Any]]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def __call__(self, arguments: Sequence[str], text: str) -> str:
        said = []
        for line in text.splitlines():
            question = line.removeprefix("route get ")
            self.asked.append(question)
            if question in self.answers:
                address = question.removeprefix("fibmatch ").split()[0]
                said.append(json.dumps([{"dst": address, **self.answers[question]}]))
        return "\n".join(said)


def number(text: str) -> int:
    return int(ip_address(text))


def kernel(script: Script, routes: list[dict[str, Any]], rules: list[dict[str, Any]], **more: Any) -> Kernel:
    plain: dict[str, Any] = {"version": 4, "interface": None, "run": script, "links": LINKS}
    return Kernel(**(plain | {"routes": routes, "rules": rules} | more))


def words(ways: Ways) -> dict[str, float]:
    return {
        f"{hop.interface} via {address_text(hop.gateway or 0, 4)} from {address_text(hop.source, 4)}": share
        for hop, share in ways
    }


SOURCES = {
    "192.0.2.9 oif d0": by("d0", None, prefsrc=A),
    "198.51.100.9 oif d1": by("d1", None, prefsrc=B),
}


def test_without_several_next_hops_one_question_is_enough() -> None:
    script = Script({"10.0.0.1": by("d0", "192.0.2.9", prefsrc=A)})
    ways = kernel(script, [{"dst": "default", "gateway": "192.0.2.9", "dev": "d0"}], []).ways(
        [number("10.0.0.1"), number("10.0.0.2")], None
    )
    assert {place: words(way) for place, way in ways.items()} == {
        number("10.0.0.1"): {"d0 via 192.0.2.9 from 192.0.2.1": 1}
    }
    assert script.asked == ["10.0.0.1", "10.0.0.2"]


def test_next_hops_come_with_the_source_of_their_router() -> None:
    script = Script({"10.0.0.1": by("d0", "192.0.2.9", prefsrc=A), "fibmatch 10.0.0.1": SHARED, **SOURCES})
    [way] = kernel(script, [SHARED], []).ways([number("10.0.0.1")], None).values()
    assert words(way) == {
        "d0 via 192.0.2.9 from 192.0.2.1": 3,
        "d1 via 198.51.100.9 from 198.51.100.1": 1,
    }


def test_an_answer_stands_where_the_route_has_changed_meanwhile() -> None:
    script = Script({"10.0.0.1": by("d0", "192.0.2.9", prefsrc=A)})
    [way] = kernel(script, [SHARED], []).ways([number("10.0.0.1")], None).values()
    assert words(way) == {"d0 via 192.0.2.9 from 192.0.2.1": 1}


def test_each_source_is_routed_again_and_keeps_its_share() -> None:
    script = Script(
        {
            "10.0.0.1": by("d0", "192.0.2.9", prefsrc=A),
            "fibmatch 10.0.0.1": SHARED,
            **SOURCES,
            f"10.0.0.1 from {A}": by("d0", "192.0.2.8", **{"from": A}),
            f"fibmatch 10.0.0.1 from {A}": {"dst": "default", **by("d0", "192.0.2.8")},
        }
    )
    rules = [{"priority": 5, "src": "192.0.2.0", "srclen": 24, "table": "10"}]
    [way] = kernel(script, [SHARED], rules).ways([number("10.0.0.1")], None).values()
    assert words(way) == {
        "d0 via 192.0.2.8 from 192.0.2.1": 3,
        "d1 via 198.51.100.9 from 198.51.100.1": 1,
    }
    assert not any(question.endswith(f"from {B}") for question in script.asked)


def test_what_cannot_be_reached_from_the_chosen_source_has_no_route() -> None:
    script = Script({"10.0.0.1": by("d0", "192.0.2.9", prefsrc=A)})
    rules = [{"priority": 5, "src": A, "table": "10"}]
    ways = kernel(script, [], rules).ways([number("10.0.0.1")], None)
    assert ways == {number("10.0.0.1"): ()}


def test_another_interface_than_the_one_named_is_no_route() -> None:
    script = Script({"10.0.0.1 oif d1 from 192.0.2.1": by("d0", "192.0.2.9", **{"from": A})})
    asked = kernel(script, [], [], interface="d1")
    assert asked.ways([number("10.0.0.1")], number(A)) == {}


@pytest.mark.parametrize(
    ("rules", "routes", "expected"),
    [
        ([{"priority": 0, "src": "all", "table": "local"}], [], False),
        ([{"src": "all", "dst": "10.0.0.0", "dstlen": 8, "table": "7"}], [], False),
        ([{"src": "192.0.2.1", "table": "7"}], [], True),
        ([{"src": "192.0.2.0", "srclen": 25, "table": "7"}], [], True),
        ([{"src": "192.0.2.128", "srclen": 25, "table": "7"}], [], False),
        ([{"not": None, "src": "192.0.2.128", "srclen": 25, "table": "7"}], [], True),
        ([{"not": None, "src": "all", "fwmark": "0xca6c", "table": "7"}], [], False),
        ([], [{"dst": "default", "from": "fd00::/64"}], True),
    ],
)
def test_when_routing_depends_on_the_source(
    rules: list[dict[str, Any]], routes: list[dict[str, Any]], expected: bool
) -> None:
    assert depends_on_source(number(A), routes, rules, 4) is expected
