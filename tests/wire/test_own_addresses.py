from __future__ import annotations

from ipaddress import IPv4Address, ip_address

import pytest

from scanner.model import UsageError
from scanner.wire.own_addresses import (
    on_link_specials,
    own_addresses,
    parse_own_addresses,
    parse_specials,
    require_source,
)

# iproute2 6.1, shortened
ADDRESSES = """[{"ifindex":1,"ifname":"lo","addr_info":[{"family":"inet","local":"127.0.0.1","prefixlen":8,
"scope":"host","label":"lo"}]},{"ifindex":2,"ifname":"e1","addr_info":[{"family":"inet","local":"10.2.0.1",
"prefixlen":31,"scope":"global"}]},{"ifindex":3,"ifname":"e0","addr_info":[{"family":"inet",
"local":"10.1.0.1","prefixlen":24,"scope":"global"},{"family":"inet","local":"10.3.0.1","address":"10.3.0.2",
"prefixlen":32,"scope":"global"},{"family":"inet","local":"10.8.0.1","address":"10.9.0.2","prefixlen":30}]}]"""

ADDRESSES_6 = """[{"ifindex":3,"ifname":"e0","addr_info":[
{"family":"inet6","local":"fd00:1::1","prefixlen":64,"scope":"global","nodad":true},
{"family":"inet6","local":"fd00:1::2","prefixlen":64,"scope":"global","tentative":true},
{"family":"inet6","local":"fd00:1::3","prefixlen":64,"scope":"global","dadfailed":true,"tentative":true},
{"family":"inet6","local":"fe80::c0f2:78ff:fee4:fa3f","prefixlen":64,"scope":"link"}]},
{"ifindex":2,"ifname":"e1","addr_info":[{"family":"inet6","local":"fe80::7","prefixlen":64}]}]"""

LOCAL = [
    {"type": "local", "dst": "10.1.0.1", "dev": "e0", "table": "local"},
    {"type": "local", "dst": "127.0.0.0/8", "dev": "lo", "table": "local"},
    {"dst": "8.8.0.0/16", "gateway": "10.1.0.9", "dev": "e0"},
]
LOCAL_6 = [
    {"type": "local", "dst": "::1", "dev": "lo", "table": "local"},
    {"type": "local", "dst": "fe80::7", "dev": "e1", "table": "local"},
    {"type": "anycast", "dst": "fd00:1::", "dev": "e0", "table": "local"},
]


def number(text: str) -> int:
    return int(ip_address(text))


def test_specials_are_the_ends_of_our_own_networks() -> None:
    expected = ["10.1.0.0", "10.1.0.255", "10.9.0.0", "10.9.0.3", "127.0.0.0", "127.255.255.255"]
    assert parse_specials(ADDRESSES) == [(number(text), number(text)) for text in expected]
    assert on_link_specials(run=lambda *_: ADDRESSES) == parse_specials(ADDRESSES)


def test_loopback_ends_are_special_whatever_the_kernel_says() -> None:
    assert parse_specials("[]") == [(0x7F000000, 0x7F000000), (0x7FFFFFFF, 0x7FFFFFFF)]


def test_ipv6_has_no_special_addresses() -> None:
    assert on_link_specials(6, lambda *_: ADDRESSES_6) == []


def test_addresses_to_send_from_are_those_that_duplicate_detection_let_through() -> None:
    assert parse_own_addresses(ADDRESSES_6, "e0", 6) == [
        number("fd00:1::1"),
        number("fe80::c0f2:78ff:fee4:fa3f"),
    ]
    assert parse_own_addresses(ADDRESSES_6, "e0", 4) == []
    assert parse_own_addresses(ADDRESSES, "e0", 4) == [
        number(text) for text in ("10.1.0.1", "10.3.0.1", "10.8.0.1")
    ]
    assert parse_own_addresses(ADDRESSES, "e9", 4) == []


def test_the_version_is_asked_for() -> None:
    asked = []

    def run(arguments, text):
        asked.append(list(arguments))
        return ADDRESSES_6

    assert own_addresses("e1", 6, run) == [number("fe80::7")]
    assert asked == [["-j", "-6", "addr", "show"]]


@pytest.mark.parametrize(
    ("address", "routes", "version"),
    [("10.1.0.1", LOCAL, 4), ("127.9.9.9", LOCAL, 4), ("::1", LOCAL_6, 6), ("fe80::7", LOCAL_6, 6)],
)
def test_a_source_is_any_address_with_a_local_route(address: str, routes, version: int) -> None:
    require_source(number(address), routes, version)


@pytest.mark.parametrize(
    ("address", "routes", "known"),
    [
        ("10.1.0.2", LOCAL, "10.1.0.1, 127.0.0.0/8"),
        ("8.8.8.8", LOCAL, "10.1.0.1, 127.0.0.0/8"),
        ("fd00:1::", LOCAL_6, "::1, fe80::7"),
        ("fd00:1::", [], "no IPv6 address"),
    ],
)
def test_a_source_that_is_not_ours_is_refused_with_those_that_are(address: str, routes, known: str) -> None:
    version = 4 if isinstance(ip_address(address), IPv4Address) else 6
    with pytest.raises(UsageError) as caught:
        require_source(number(address), routes, version)
    assert str(caught.value) == f"{address} is not an address of this machine; it has: {known}"
