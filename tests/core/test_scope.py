"""What may be probed, and how the rest is refused."""

from __future__ import annotations

import ipaddress

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scanner.core.addresses import AddressSet, parse_address
from scanner.core.hosts import Hosts
from scanner.core.ipv6 import Ipv6Set, halves_of
from scanner.core.scope import NEVER_NETWORKS, PRIVATE_NETWORKS, Scope
from scanner.core.targets import parse_targets
from scanner.model import ScopeRefused

EVERYTHING = Hosts(AddressSet.of([(0, (1 << 32) - 1)]), Ipv6Set.of([(0, (1 << 128) - 1)]))
EDGES = sorted(
    edge
    for cidr, _ in PRIVATE_NETWORKS + NEVER_NETWORKS
    if ":" not in cidr
    for network in [ipaddress.IPv4Network(cidr)]
    for bound in (int(network[0]), int(network[-1]))
    for edge in (bound - 1, bound, bound + 1)
    if 0 <= edge < 1 << 32
)


def permitted(scope: Scope, address: str) -> bool:
    return bool(scope.permits(np.array([parse_address(address)], dtype=np.uint32))[0])


@given(st.lists(st.integers(0, (1 << 32) - 1)))
@example(EDGES)
def test_private_is_rfc_1918_loopback_and_link_local(addresses: list[int]) -> None:
    networks = [
        ipaddress.IPv4Network(cidr)
        for cidr in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16")
    ]
    expected = [any(ipaddress.IPv4Address(a) in network for network in networks) for a in addresses]
    assert Scope.private().permits(np.array(addresses, dtype=np.uint32)).tolist() == expected


@given(st.lists(st.integers(0, (1 << 32) - 1)))
@example(EDGES)
def test_no_scope_permits_what_is_never_one_host(addresses: list[int]) -> None:
    expected = [1 << 24 <= address < 224 << 24 for address in addresses]
    assert Scope(EVERYTHING).permits(np.array(addresses, dtype=np.uint32)).tolist() == expected


@given(st.integers(0, (1 << 32) - 1), st.integers(0, 1 << 20))
@example(0x0A000000, 0)
@example(0x09FFFFFF, 1)
def test_check_and_permits_agree(first: int, count: int) -> None:
    targets = Hosts(AddressSet.of([(first, min(first + count, (1 << 32) - 1))]))
    scope = Scope.private().without(parse_targets(["10.0.0.255"]))
    addresses = targets.ipv4.chunk(0, targets.size)
    try:
        scope.check(targets)
    except ScopeRefused as error:
        refused = int((~scope.permits(addresses)).sum()) or None
        assert f"({refused} address" in str(error)  # noqa: PT017
    else:
        assert scope.permits(addresses).all()


def test_never_is_honoured_and_grows() -> None:
    scope = Scope(parse_targets(["10.0.0.0/24"]), never=parse_targets(["10.0.0.9"]))
    assert permitted(scope, "10.0.0.0")
    narrower = scope.without(parse_targets(["10.0.0.0", "10.0.0.255"]))
    for address in ("10.0.0.0", "10.0.0.9", "10.0.0.255", "10.0.1.1"):
        assert not permitted(narrower, address)
    assert permitted(narrower, "10.0.0.8")
    assert permitted(scope, "10.0.0.255"), "the scope it came from is as it was"
    assert narrower.permitted.size == 253
    with pytest.raises(
        ScopeRefused, match=r"10\.0\.0\.9 \(1 address in all\): set apart as never to be probed$"
    ):
        narrower.check(parse_targets(["10.0.0.9"]))


def test_nothing_to_refuse() -> None:
    Scope.private().check(Hosts())
    Scope.private().check(parse_targets(["10.0.0.0/8", "127.0.0.1"]))
    Scope(parse_targets(["198.51.100.0/24"])).check(parse_targets(["198.51.100.7"]))


def test_an_empty_scope_permits_nothing() -> None:
    assert not permitted(Scope(Hosts()), "127.0.0.1")


@pytest.mark.parametrize(
    ("cidrs", "message"),
    [
        (
            ["10.0.0.0/8", "198.51.100.0/24"],
            "outside the scope: 198.51.100.0/24 (256 addresses in all): not private, loopback or link-local",
        ),
        (
            ["198.51.100.7"],
            "outside the scope: 198.51.100.7 (1 address in all): not private, loopback or link-local",
        ),
        (
            [
                "198.51.100.1",
                "198.51.100.2/31",
                "203.0.113.0/24",
                "203.0.114.8",
                "203.0.114.10",
                "203.0.114.12",
            ],
            "outside the scope: 198.51.100.1-198.51.100.3, 203.0.113.0/24, 203.0.114.8 and 2 more ranges"
            " (262 addresses in all): not private, loopback or link-local",
        ),
        (
            ["fd00::/64", "2001:db8::/127", "ff02::1"],
            "outside the scope: 2001:db8::/127, ff02::1 (3 addresses in all): "
            "multicast (RFC 4291 section 2.7); not private, loopback or link-local",
        ),
        (
            ["::ffff:10.0.0.1", "::"],
            "outside the scope: ::, ::ffff:10.0.0.1 (2 addresses in all): the unspecified address "
            "(RFC 4291 section 2.5.2); IPv4-mapped, never on the wire (RFC 4291 section 2.5.5.2)",
        ),
        (
            ["224.0.0.1", "10.0.0.1"],
            "outside the scope: 224.0.0.1 (1 address in all): multicast (RFC 5771)",
        ),
        (
            ["0.0.0.3", "198.51.100.7"],
            "outside the scope: 0.0.0.3, 198.51.100.7 (2 addresses in all): "
            "'this network' (RFC 1122 section 3.2.1.3); not private, loopback or link-local",
        ),
    ],
)
def test_the_refusal_names_what_how_many_and_why(cidrs: list[str], message: str) -> None:
    with pytest.raises(ScopeRefused) as caught:
        Scope.private().check(parse_targets(cidrs))
    assert str(caught.value) == message
    assert caught.value.exit_code == 3


def test_a_given_scope_speaks_of_itself() -> None:
    with pytest.raises(ScopeRefused, match=r"not in the authorised scope$"):
        Scope(parse_targets(["10.0.0.0/24"])).check(parse_targets(["10.0.1.1"]))


def test_what_is_set_apart_and_outside_is_said_to_be_both() -> None:
    scope = Scope(parse_targets(["10.0.0.0/24"])).without(parse_targets(["10.0.1.1"]))
    with pytest.raises(
        ScopeRefused, match=r": set apart as never to be probed; not in the authorised scope$"
    ):
        scope.check(parse_targets(["10.0.1.1"]))


@pytest.mark.parametrize(
    ("address", "private", "possible"),
    [
        ("::1", True, True),
        ("fc00::", True, True),
        ("fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", True, True),
        ("fe00::", False, True),
        ("fe80::1", True, True),
        ("febf::1", True, True),
        ("fec0::1", False, True),
        ("2001:db8::1", False, True),
        ("::", False, False),
        ("::2", False, True),
        ("::ffff:192.168.0.1", False, False),
        ("ff02::1", False, False),
        ("ff0e::1", False, False),
    ],
)
def test_ipv6(address: str, private: bool, possible: bool) -> None:
    halves = halves_of([int(ipaddress.IPv6Address(address))])
    assert Scope.private().permits_ipv6(*halves).tolist() == [private]
    assert Scope(EVERYTHING).permits_ipv6(*halves).tolist() == [possible]
