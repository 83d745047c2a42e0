"""Sets of IPv6 addresses and their texts, against Python's ipaddress and sets of numbers."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.core.ipv6 import (
    Ipv6Set,
    format_ipv6,
    format_ipv6_range,
    halves_of,
    high_in_zone,
    in_zone,
    parse_ipv6,
    parse_ipv6_range,
    without_zone,
    zone_number,
)
from scanner.model import UsageError

LAST = (1 << 128) - 1
ZONES = {"eth0": 2, "wg-a": 7}
EDGES = (0, 1 << 64, (1 << 64) - 2, LAST - 40, 0xFD << 120)
NEAR = st.sampled_from(EDGES).flatmap(lambda edge: st.integers(edge, edge + 40))
RANGES = st.lists(
    st.tuples(NEAR, st.integers(0, 30)).map(lambda pair: (pair[0], min(LAST, sum(pair)))), max_size=12
)


def number(text: str) -> int:
    return int(IPv6Address(text))


def zone_of(name: str) -> int:
    if name not in ZONES:
        raise UsageError(f"there is no interface {name!r}")
    return ZONES[name]


def members(ranges: Ipv6Set) -> list[int]:
    return [address for first, last in ranges.ranges for address in range(first, last + 1)]


@given(RANGES, RANGES)
def test_algebra(one: list[tuple[int, int]], two: list[tuple[int, int]]) -> None:
    left, right = Ipv6Set.of(one), Ipv6Set.of(two)
    a, b = set(members(left)), set(members(right))
    assert a == {address for first, last in one for address in range(first, last + 1)}
    assert left.size == len(a)
    assert set(members(left | right)) == a | b
    assert set(members(left & right)) == a & b
    assert set(members(left - right)) == a - b
    for made in (left, left | right, left & right, left - right):
        ends = [bound for span in made.ranges for bound in span]
        assert ends == sorted(ends)
        assert all(after > before + 1 for before, after in zip(ends[1::2], ends[2::2], strict=False)), (
            "canonical"
        )


@given(RANGES.filter(bool), st.lists(NEAR, max_size=20))
def test_index_and_membership(ranges: list[tuple[int, int]], asked: list[int]) -> None:
    held = Ipv6Set.of(ranges)
    listed = members(held)
    high, low = held.at(np.arange(held.size))
    assert [one << 64 | two for one, two in zip(high.tolist(), low.tolist(), strict=True)] == listed
    expected = [listed.index(address) if address in listed else -1 for address in asked]
    assert held.index_of(*halves_of(asked)).tolist() == expected
    assert held.contains(*halves_of(asked)).tolist() == [place >= 0 for place in expected]
    begin, end = len(listed) // 3, len(listed) - 1
    within = held.within(begin, end)
    assert [address for first, last in within for address in range(first, last + 1)] == listed[
        begin : end + 1
    ]


def test_many_ranges_are_searched_as_few_are() -> None:
    many = Ipv6Set.of((base << 8, (base << 8) + 3) for base in range(1000))
    asked = halves_of([0, 3, 4, 999 << 8, (999 << 8) + 4, LAST])
    assert many.contains(*asked).tolist() == [True, True, False, True, False, False]


def test_what_is_too_large_for_an_index_still_knows_its_members() -> None:
    wide = Ipv6Set.of([(number("fc00::"), number("fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"))])
    assert wide.size == 1 << 121
    assert wide.contains(*halves_of([number("fd00::1"), number("fe00::")])).tolist() == [True, False]


@given(st.integers(0, LAST), st.integers(0, 128), st.integers(-3, 3), st.booleans())
def test_the_borders_of_a_prefix(address: int, length: int, off: int, upper: bool) -> None:
    network = IPv6Network((address, length), strict=False)
    edge = int(network.broadcast_address if upper else network.network_address)
    asked = IPv6Address((edge + off) % (1 << 128))
    held = Ipv6Set.of([parse_ipv6_range(str(network))])
    assert held.contains(*halves_of([int(asked)])).tolist() == [asked in network]


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("fd00::1", "fd00::1", "fd00::1"),
        ("[fd00::1]", "fd00::1", "fd00::1"),
        ("fd00::/120", "fd00::", "fd00::ff"),
        ("fd00::7/120", "fd00::", "fd00::ff"),
        ("fd00::1-fd00::20", "fd00::1", "fd00::20"),
        ("[fd00::1]-[fd00::20]", "fd00::1", "fd00::20"),
        ("::/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.1", "::ffff:192.0.2.1"),
    ],
)
def test_accepted_forms(text: str, first: str, last: str) -> None:
    assert parse_ipv6_range(text) == (number(first), number(last))


@pytest.mark.parametrize(
    ("text", "zone", "count"),
    [
        ("fe80::1%eth0", 2, 1),
        ("[fe80::1%eth0]", 2, 1),
        ("fe80::1%wg-a", 7, 1),
        ("fe80::%eth0/120", 2, 256),
        ("fe80::/120%wg-a", 7, 256),
    ],
)
def test_zones(text: str, zone: int, count: int) -> None:
    first, last = parse_ipv6_range(text, zone_of)
    assert (zone_number(first), last - first + 1) == (zone, count)
    assert str(IPv6Address(without_zone(first))).startswith("fe80::")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("fd00:::1", "is not an IPv6 address"),
        ("fd00::1/129", "from 0 to 128"),
        ("fd00::1/x", "from 0 to 128"),
        ("fd00::9-fd00::1", "ends before it starts"),
        ("fd00::1%eth0", "only link-local addresses"),
        ("fe80::1%nowhere", "there is no interface 'nowhere'"),
        ("fe80:0:1::1%eth0", "zeros in its bits 33 to 64"),
        ("fe80::%eth0/20", "64 bits or more"),
        ("[fd00::1]:401", "is not an IPv6 address"),
        ("fd00::1]", "is not an IPv6 address"),
    ],
)
def test_refused_in_one_line_that_shows_a_way(text: str, fault: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_ipv6_range(text, zone_of)
    assert fault in str(caught.value)
    assert "\n" not in str(caught.value)


def test_where_there_are_no_zones_none_is_taken() -> None:
    with pytest.raises(UsageError, match="leave out what is behind the %"):
        parse_ipv6("fe80::1%eth0")
    with pytest.raises(UsageError, match="more than one IPv6 address"):
        parse_ipv6("fd00::/127")


@given(st.integers(0, LAST), st.integers(1, 0xFFFF_FFFF))
def test_a_zone_comes_and_goes(address: int, zone: int) -> None:
    link_local = address >> 118 == 0x3FA
    zoned = in_zone(address, zone)
    assert zone_number(zoned) == (zone if link_local else 0)
    assert (zoned == address) or link_local
    high, _ = halves_of([zoned])
    assert high_in_zone(high, 0).tolist() == [without_zone(zoned) >> 64]
    assert high_in_zone(halves_of([without_zone(zoned)])[0], zone).tolist() == [zoned >> 64]


@given(NEAR, st.integers(0, 7), st.integers(-1, 1))
def test_ranges_are_read_as_they_are_written(first: int, bits: int, more: int) -> None:
    last = min(LAST, max(first, first + (1 << bits) - 1 + more))
    assert parse_ipv6_range(format_ipv6_range(first, last)) == (first, last)


def test_texts() -> None:
    assert format_ipv6(number("2001:db8:0:1:1:1:1:1")) == "2001:db8:0:1:1:1:1:1"
    assert format_ipv6(number("::ffff:192.0.2.1")) == "::ffff:192.0.2.1"
    assert format_ipv6(in_zone(number("fe80::1"), 2), {2: "eth0"}) == "fe80::1%eth0"
    assert format_ipv6(in_zone(number("fe80::1"), 3), {2: "eth0"}) == "fe80::1"
    assert format_ipv6_range(number("fd00::"), number("fd00::ff")) == "fd00::/120"
    assert format_ipv6_range(number("fd00::1"), number("fd00::4")) == "fd00::1-fd00::4"
