from __future__ import annotations

import itertools
import json
from collections import Counter
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.wire.multipath import NextHop, block_size, deal_out, may_be_multipath, next_hops

# iproute2 6.1: `ip -j route get fibmatch`, `ip -j nexthop show`
INLINE = """{"dst":"10.4.0.0/16","flags":[],"nexthops":[
{"gateway":"192.0.2.9","dev":"d0","weight":2,"flags":[]},
{"gateway":"198.51.100.9","dev":"d1","weight":1,"flags":[]},{"dev":"d1","weight":1,"flags":[]},
{"via":{"family":"inet6","host":"fe80::5"},"dev":"d0","weight":1,"flags":[]},
{"gateway":"192.0.2.10","dev":"d0","weight":1,"flags":["linkdown"]},
{"gateway":"192.0.2.11","dev":"d0","weight":1,"flags":["dead","linkdown"]}]}"""
INLINE_6 = """{"dst":"fd10::/32","metric":1024,"flags":[],"pref":"medium","nexthops":[
{"gateway":"fd00:1::9","dev":"d0","weight":3,"flags":[]},{"gateway":"fe80::9","dev":"d1","weight":1,"flags":[]}]}"""
HIDDEN = """{"dst":"10.1.0.0/16","nhid":11,"flags":[]}"""
OBJECTS = """[{"id":1,"gateway":"192.0.2.7","dev":"d0","scope":"link","flags":[]},
{"id":3,"gateway":"203.0.113.9","dev":"d0","scope":"link","flags":[]},{"id":4,"blackhole":null,"flags":[]},
{"id":11,"group":[{"id":1,"weight":3},{"id":3}],"flags":[]},{"id":12,"group":[{"id":4},{"id":99}],"flags":[]}]"""


def number(text: str) -> int:
    return int(ip_address(text))


def objects() -> dict[int, dict[str, object]]:
    return {entry["id"]: entry for entry in json.loads(OBJECTS)}


def test_next_hops_are_those_alive_that_we_can_speak_to() -> None:
    assert next_hops(json.loads(INLINE), {}, 4) == [
        NextHop("d0", number("192.0.2.9"), 2),
        NextHop("d1", number("198.51.100.9"), 1),
        NextHop("d1", None, 1),
    ]
    assert next_hops(json.loads(INLINE_6), {}, 6) == [
        NextHop("d0", number("fd00:1::9"), 3),
        NextHop("d1", number("fe80::9"), 1),
    ]


def test_what_a_route_leaves_to_nexthop_objects_is_looked_up_there() -> None:
    assert next_hops(json.loads(HIDDEN), objects(), 4) == [
        NextHop("d0", number("192.0.2.7"), 3),
        NextHop("d0", number("203.0.113.9"), 1),
    ]


@pytest.mark.parametrize(
    "route",
    [
        {"dst": "10.0.0.0/8", "gateway": "192.0.2.9", "dev": "d0"},
        {"dst": "10.3.0.0/16", "nhid": 1, "gateway": "192.0.2.7", "dev": "d0"},
        {"dst": "10.3.0.0/16", "nhid": 1},
        {"dst": "10.3.0.0/16", "nhid": 12},
        {"dst": "10.3.0.0/16", "nhid": 98},
    ],
)
def test_other_routes_have_no_several_next_hops(route: dict[str, object]) -> None:
    assert next_hops(route, objects(), 4) == []


def test_which_routes_are_worth_asking_about() -> None:
    assert may_be_multipath(json.loads(INLINE))
    assert may_be_multipath(json.loads(HIDDEN))
    assert not may_be_multipath({"dst": "10.3.0.0/16", "nhid": 1, "gateway": "192.0.2.7", "dev": "d0"})
    assert not may_be_multipath({"dst": "10.3.0.0/16", "dev": "d0"})


@given(st.integers(1, 2**128))
def test_a_block_is_the_smallest_power_of_two_of_which_256_are_enough(addresses: int) -> None:
    size = block_size(addresses)
    assert size & (size - 1) == 0
    assert -(-addresses // size) <= 256
    assert size == 1 or -(-addresses // (size // 2)) > 256


ranges = st.tuples(st.integers(0, 2**128 - 1), st.integers(0, 2**20)).map(
    lambda pair: (pair[0], min(pair[0] + pair[1], 2**128 - 1))
)
shares = st.lists(st.integers(1, 256), min_size=1, max_size=5)


@given(ranges, shares)
def test_every_address_goes_one_way_and_ranges_do_not_touch(
    span: tuple[int, int], weights: list[int]
) -> None:
    parts = list(deal_out(span, block_size(span[1] - span[0] + 1), weights))
    assert len(parts) <= 257
    assert parts[0][1][0] == span[0]
    assert parts[-1][1][1] == span[1]
    for (way, (first, last)), (other, (start, _)) in itertools.pairwise(parts):
        assert first <= last
        assert start == last + 1
        assert way != other


@given(ranges, shares, st.sampled_from([1, 4, 256, 4096]), st.data())
def test_an_address_goes_the_same_way_whatever_is_swept_with_it(
    span: tuple[int, int], weights: list[int], size: int, data
) -> None:
    size = max(size, block_size(span[1] - span[0] + 1))
    address = data.draw(st.integers(*span))
    [(alone, _)] = deal_out((address, address), size, weights)
    [among] = [way for way, (first, last) in deal_out(span, size, weights) if first <= address <= last]
    assert alone == among


@pytest.mark.parametrize("weights", [[1, 1], [2, 1], [1, 1, 1, 1], [10, 1], [0.5, 0.25, 0.25]])
@pytest.mark.parametrize("first", [0x0A000000, 0xC6336400, 0xFD00 << 112])
@pytest.mark.parametrize("addresses", [64, 256, 2**16, 2**24])
def test_shares_are_as_the_weights(weights: list[float], first: int, addresses: int) -> None:
    taken: Counter[int] = Counter()
    for way, (start, end) in deal_out((first, first + addresses - 1), block_size(addresses), weights):
        taken[way] += end - start + 1
    for way, weight in enumerate(weights):
        assert taken[way] / addresses == pytest.approx(weight / sum(weights), abs=0.04)


@pytest.mark.parametrize("step", [2, 7, 256, 2**16, 2**64])
def test_single_targets_are_shared_out_too(step: int) -> None:
    ways = [way for n in range(200) for way, _ in deal_out((5 + n * step, 5 + n * step), 1, [1, 1])]
    assert 80 <= sum(ways) <= 120
