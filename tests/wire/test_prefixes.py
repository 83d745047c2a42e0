from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.wire.prefixes import (
    Range,
    address_text,
    cut_ranges,
    parse_address,
    prefix_boundaries,
    prefix_range,
    route_range,
    rule_range,
)


def span(text: str) -> Range:
    network = ip_network(text)
    return int(network[0]), int(network[-1])


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_addresses_are_read_and_written_as_python_does(address) -> None:
    if address.version == 4:
        assert address_text(int(address), 4) == str(address)
    assert int(ip_address(address_text(int(address), address.version))) == int(address)
    assert parse_address(str(address), address.version) == int(address)
    assert parse_address(str(address), 10 - address.version) is None


@pytest.mark.parametrize("text", [None, "", "all", "010.0.0.1", "1.2.3", "10.0.0.1/8", "fe80::1%e0", "::1\0"])
def test_what_is_no_address_is_none(text: object) -> None:
    assert parse_address(text, 4) is None
    assert parse_address(text, 6) is None


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)), st.data())
def test_a_prefix_is_its_first_and_last_address(address, data) -> None:
    bits = data.draw(st.integers(0, address.max_prefixlen))
    kind = IPv4Network if address.version == 4 else IPv6Network
    network = kind((int(address), bits), strict=False)
    assert prefix_range(int(address), bits, address.version) == (int(network[0]), int(network[-1]))


@pytest.mark.parametrize(
    ("version", "dst", "whole"),
    [
        (4, "default", "0.0.0.0/0"),
        (6, "default", "::/0"),
        (4, "10.3.0.2", "10.3.0.2/32"),
        (6, "fd00::1", "fd00::1/128"),
        (4, "10.0.0.0/8", "10.0.0.0/8"),
        (6, "fe80::/64", "fe80::/64"),
    ],
)
def test_a_route_covers_its_prefix(version: int, dst: str, whole: str) -> None:
    assert route_range({"dst": dst}, version) == span(whole)
    if dst != "default":
        assert route_range({"dst": dst}, 10 - version) is None


def test_rules_ask_for_either_end_of_a_packet() -> None:
    rule = {"priority": 5, "src": "fd00::", "srclen": 64, "dst": "fd01::7", "table": "77"}
    assert rule_range(rule, "src", 6) == span("fd00::/64")
    assert rule_range(rule, "dst", 6) == span("fd01::7/128")
    assert rule_range({"priority": 0, "src": "all", "table": "local"}, "src", 6) is None
    assert rule_range({"priority": 0, "src": "all", "table": "local"}, "dst", 6) is None


@pytest.mark.parametrize(
    ("version", "routes", "destination"),
    [(4, ["10.1.0.0/24", "10.2.0.0/31", "10.3.0.2"], "10.12.0.0"), (6, ["fd00::/64", "::1"], "fd12::")],
)
def test_boundaries_are_the_ends_of_all_prefixes_of_routes_and_rules(
    version: int, routes: list[str], destination: str
) -> None:
    rules: list[dict[str, Any]] = [
        {"src": "all", "table": "main"},
        {"src": "all", "dst": destination, "dstlen": 24, "table": "77"},
    ]
    spans = [span(text) for text in (*routes, f"{destination}/24")]
    expected = {end for first, last in spans for end in (first, last + 1)}
    assert prefix_boundaries([{"dst": text} for text in routes], rules, version) == sorted(expected)


def test_the_default_route_ends_with_the_address_space() -> None:
    assert prefix_boundaries([{"dst": "default"}], [], 4) == [0, 2**32]
    assert prefix_boundaries([{"dst": "default"}], [], 6) == [0, 2**128]


small = st.integers(0, 40)


@given(st.lists(st.tuples(small, small).map(sorted), max_size=4), st.sets(small))
def test_cutting_keeps_every_address_and_leaves_no_boundary_inside(
    targets: list[list[int]], boundaries: set[int]
) -> None:
    pieces = cut_ranges([(first, last) for first, last in targets], sorted(boundaries))
    whole = [address for first, last in targets for address in range(first, last + 1)]
    assert [address for first, last in pieces for address in range(first, last + 1)] == whole
    assert not any(first < boundary <= last for first, last in pieces for boundary in boundaries)
