"""`AddressSet` against Python sets and netaddr, texts against `ipaddress`."""

from __future__ import annotations

import ipaddress
import itertools
import time

import netaddr
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scanner.core.addresses import (
    ADDRESS_COUNT,
    AddressSet,
    format_address,
    format_addresses,
    parse_address,
    parse_cidr,
)
from scanner.model import UsageError

TOP = ADDRESS_COUNT - 1
# Small neighbourhoods where ranges meet: both ends of the address space, and where int32 would turn over.
WINDOWS = (0, (1 << 31) - 32, TOP - 63)


@st.composite
def small_ranges(draw: st.DrawFn) -> list[tuple[int, int]]:
    bounds = st.tuples(st.sampled_from(WINDOWS), st.integers(0, 63), st.integers(0, 63))
    return [(window + min(a, b), window + max(a, b)) for window, a, b in draw(st.lists(bounds, max_size=12))]


def members(pairs: list[tuple[int, int]]) -> set[int]:
    return {address for first, last in pairs for address in range(first, last + 1)}


def as_array(addresses: list[int]) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    return np.array(addresses, dtype=np.uint32)


EVERYWHERE = as_array([window + offset for window in WINDOWS for offset in range(64)])


@given(small_ranges())
@example([(0, 0), (TOP, TOP)])
@example([(5, 9), (10, 12), (0, 20), (22, 22)])
def test_made_canonical(pairs: list[tuple[int, int]]) -> None:
    held, expected = AddressSet.of(pairs), sorted(members(pairs))
    assert held.chunk(0, len(expected) + 5).tolist() == expected
    assert held.size == len(held) == len(expected)
    assert bool(held) == bool(expected)
    ranges = held.ranges()
    assert all(first <= last for first, last in ranges)
    assert all(later[0] > earlier[1] + 1 for earlier, later in itertools.pairwise(ranges))
    assert held == AddressSet.of(reversed(pairs)) == AddressSet.from_addresses(as_array(expected[::-1] * 2))
    assert hash(held) == hash(AddressSet.of(reversed(pairs)))


@given(small_ranges(), small_ranges())
@example([(0, 5)], [(0, 5)])
@example([], [(TOP, TOP)])
@example([(0, 63)], [(63, 63), (0, 0)])
def test_algebra_is_that_of_sets(left: list[tuple[int, int]], right: list[tuple[int, int]]) -> None:
    ours, theirs = AddressSet.of(left), AddressSet.of(right)
    a, b = members(left), members(right)
    for result, expected in ((ours | theirs, a | b), (ours & theirs, a & b), (ours - theirs, a - b)):
        assert result == AddressSet.from_addresses(as_array(sorted(expected)))
        assert result.size == len(expected)


@given(small_ranges())
def test_membership_and_order_round_trip(pairs: list[tuple[int, int]]) -> None:
    held, expected = AddressSet.of(pairs), members(pairs)
    assert held.contains(EVERYWHERE).tolist() == [address in expected for address in EVERYWHERE.tolist()]
    index = held.index_of(EVERYWHERE)
    ordered = sorted(expected)
    wanted = [ordered.index(address) if address in expected else -1 for address in EVERYWHERE.tolist()]
    assert index.tolist() == wanted
    assert index.dtype == np.int64
    present = index >= 0
    assert (held.at(index[present]) == EVERYWHERE[present]).all()
    assert held.at(index[present]).dtype == np.uint32


@given(small_ranges(), st.sampled_from([*EVERYWHERE.tolist(), ADDRESS_COUNT]))
@example([(0, TOP)], ADDRESS_COUNT)
def test_below_counts_the_lower_ones(pairs: list[tuple[int, int]], address: int) -> None:
    lower = AddressSet.of((0, bound) for bound in [address - 1] if bound >= 0)
    assert AddressSet.of(pairs).below(address) == (AddressSet.of(pairs) & lower).size


@given(small_ranges())
@example([(0, TOP)])
def test_cidrs_are_netaddrs_and_read_back(pairs: list[tuple[int, int]]) -> None:
    held = AddressSet.of(pairs)
    whole = netaddr.IPSet(netaddr.IPRange(first, last) for first, last in held.ranges())
    assert held.cidrs() == [str(cidr) for cidr in whole.iter_cidrs()]
    assert AddressSet.from_cidrs(held.cidrs()) == held


def test_the_whole_address_space() -> None:
    everything = AddressSet.from_cidrs(["0.0.0.0/0"])
    assert everything.size == len(everything) == 1 << 32
    assert everything.at(np.array([0, TOP])).tolist() == [0, TOP]
    assert everything.index_of(as_array([0, 1 << 31, TOP])).tolist() == [0, 1 << 31, TOP]
    assert everything.contains(as_array([0, TOP])).all()
    assert everything - everything == AddressSet.empty()
    assert (everything - AddressSet.of([(0, 0), (TOP, TOP)])).ranges() == [(1, TOP - 1)]
    assert AddressSet.of([(0, TOP - 1)]) | AddressSet.of([(TOP, TOP)]) == everything
    assert everything.chunk(TOP - 1, 10).tolist() == [TOP - 1, TOP]


def test_the_empty_set() -> None:
    nothing = AddressSet.empty()
    assert not nothing
    assert nothing == AddressSet.of([])
    assert [*nothing.cidrs(), *nothing.ranges(), *nothing.chunk(0, 5).tolist()] == []
    assert nothing.index_of(as_array([0, TOP])).tolist() == [-1, -1]
    assert nothing.contains(as_array([0, TOP])).tolist() == [False, False]
    assert nothing.at(np.zeros(0, dtype=np.int64)).tolist() == []


@pytest.mark.parametrize("index", [-1, 12, 1 << 40])
@pytest.mark.parametrize("pairs", [[(10, 21)], [(10, 15), (20, 25)]])
def test_an_index_outside_is_refused(pairs: list[tuple[int, int]], index: int) -> None:
    with pytest.raises(IndexError, match=r"outside 0 \.\. 11"):
        AddressSet.of(pairs).at(np.array([0, index]))


def test_a_negative_chunk_is_refused() -> None:
    with pytest.raises(IndexError):
        AddressSet.of([(10, 21)]).chunk(-1, 2)


@pytest.mark.parametrize("pair", [(-1, 5), (0, ADDRESS_COUNT), (0, 1 << 70), (5, 4)])
def test_impossible_ranges_are_refused(pair: tuple[int, int]) -> None:
    with pytest.raises(UsageError):
        AddressSet.of([(1, 2), pair])


@pytest.mark.parametrize(("starts", "ends"), [([5], [4]), ([9, 1], [9, 1]), ([1, 3], [2, 4]), ([1], [2, 3])])
def test_the_constructor_takes_canonical_ranges_only(starts: list[int], ends: list[int]) -> None:
    with pytest.raises(UsageError):
        AddressSet(as_array(starts), as_array(ends))


def test_frozen_through_and_through() -> None:
    starts = as_array([1])
    held = AddressSet(starts, as_array([5]))
    starts[0] = 0
    assert held.ranges() == [(1, 5)]
    with pytest.raises(ValueError, match="read-only"):
        held.starts[0] = 0
    with pytest.raises(AttributeError):
        held.starts = starts  # type: ignore[misc]


def test_repr_is_short_for_many_ranges() -> None:
    text = repr(AddressSet.of((10 * i, 10 * i + 1) for i in range(1000)))
    assert text == "<AddressSet of 2000: 0.0.0.0-0.0.0.1, 0.0.0.10-0.0.0.11, 0.0.0.20-0.0.0.21, …>"


def test_ten_thousand_ranges_take_milliseconds() -> None:
    spaced = AddressSet.of((i * 400_000, i * 400_000 + 250_000) for i in range(10_000))
    shifted = AddressSet.of((i * 400_000 + 100_000, i * 400_000 + 300_000) for i in range(10_000))
    started = time.perf_counter()
    result = spaced - shifted
    # Two hundred times what it takes, so that a busy machine passes and a loop over addresses does not.
    assert time.perf_counter() - started < 0.2
    assert result.size == 10_000 * 100_000


@given(st.lists(st.integers(0, TOP), max_size=50))
@example([0, TOP, 255, 256, 1 << 24])
def test_format_is_that_of_ipaddress(addresses: list[int]) -> None:
    expected = [str(ipaddress.IPv4Address(address)) for address in addresses]
    assert format_addresses(as_array(addresses)) == expected
    assert [format_address(address) for address in addresses] == expected
    assert [parse_address(text) for text in expected] == addresses


@pytest.mark.parametrize("address", [-1, ADDRESS_COUNT])
def test_format_refuses_what_is_no_address(address: int) -> None:
    with pytest.raises(UsageError, match="not an IPv4 address"):
        format_address(address)


@given(st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){0,4}\n?", fullmatch=True))
def test_parse_address_accepts_what_ipaddress_does(text: str) -> None:
    try:
        expected = int(ipaddress.IPv4Address(text))
    except ValueError:
        with pytest.raises(UsageError, match="not an IPv4 address"):
            parse_address(text)
    else:
        assert parse_address(text) == expected


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("010.0.0.1", "leading zeros"),
        ("10", "four decimal octets"),
        ("10.1", "four decimal octets"),
        ("", "four decimal octets"),
        ("10.0.0.1 ", "four decimal octets"),
        ("10.0.0.1\n", "four decimal octets"),
        ("0x0a.0.0.1", "four decimal octets"),
        ("\u0661\u0660.0.0.1", "four decimal octets"),
        ("10.0.0.256", "octets go up to 255"),
        ("10.0.0." + "9" * 9999, "octets go up to 255"),
        ("2001:db8::1", "four decimal octets"),
    ],
)
def test_parse_address_says_what_is_wrong(text: str, fault: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_address(text)
    assert fault in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


@given(st.integers(0, TOP), st.integers(0, 32))
def test_parse_cidr_is_that_of_ipaddress(address: int, length: int) -> None:
    text = f"{format_address(address)}/{length}"
    network = ipaddress.IPv4Network(text, strict=False)
    expected = (int(network.network_address), int(network.broadcast_address))
    assert parse_cidr(text, host_bits=True) == expected
    if expected[0] == address:
        assert parse_cidr(text) == expected
    else:
        with pytest.raises(UsageError, match=f"has host bits set; the network is {network}"):
            parse_cidr(text)


@pytest.mark.parametrize(
    "text",
    [
        "10.0.0.0/33",
        "10.0.0.0/",
        "10.0.0.0/08",
        "10.0.0.0/-1",
        "10.0.0.0/255.0.0.0",
        "10/8",
        "010.0.0.0/8",
        "/8",
        "::/0",
    ],
)
def test_parse_cidr_is_strict(text: str) -> None:
    with pytest.raises(UsageError, match="is not a CIDR"):
        AddressSet.from_cidrs(["10.0.0.0/8", text])
