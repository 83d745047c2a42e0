"""Routes of every kind, in namespaces: what is planned is what the kernel says of each address.

Nothing is sent here. Namespaces are named after this process.
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_address, ip_network

import pytest

from scanner.contracts import Hop
from scanner.lab import namespaces
from scanner.model import UsageError
from scanner.wire.ip_command import Runner, run_ip
from scanner.wire.linux import LinuxNetwork
from scanner.wire.own_addresses import own_addresses
from scanner.wire.prefixes import Range, address_text
from scanner.wire.routes import plan_routes

pytestmark = pytest.mark.lab

LINKS = [
    "link set lo up",
    *(
        line
        for near in ("d0", "d1")
        for line in (
            f"link add {near} type veth peer name {near}p",
            f"link set {near} addrgenmode none",
            f"link set {near}p addrgenmode none",
            f"link set {near}p up",
            f"link set {near} up",
        )
    ),
    "addr add 192.0.2.1/24 dev d0",
    "addr add 203.0.113.1/24 dev d0",
    "addr add 198.51.100.1/24 dev d1",
    "addr add fd00:1::1/64 dev d0 nodad",
    "addr add fe80::1/64 dev d0 nodad",
    "addr add fd00:2::1/64 dev d1 nodad",
    "addr add fe80::2/64 dev d1 nodad",
]


class Host:
    """A host with two interfaces and no way out; its own network is at hand."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.run: Runner = lambda arguments, text: run_ip(["-n", name, *arguments], text)
        self.network = LinuxNetwork(self.run)

    def ip(self, *lines: str) -> None:
        """Tell it commands of iproute2; those about IPv6 begin with -6."""
        namespaces.ip_batch(self.name, [line for line in lines if not line.startswith("-6 ")])
        told6 = [line.removeprefix("-6 ") for line in lines if line.startswith("-6 ")]
        run_ip(["-n", self.name, "-6", "-batch", "-"], "\n".join([*told6, ""]))

    def paths(
        self, *targets: str, interface: str | None = None, source: str | None = None
    ) -> list[tuple[Hop | None, list[Range]]]:
        version = ip_network(targets[0]).version
        ranges = [(int(ip_network(text)[0]), int(ip_network(text)[-1])) for text in targets]
        own = None if source is None else int(ip_address(source))
        return plan_routes(ranges, version, interface, own, self.run)

    def hop(self, target: str, interface: str | None = None, source: str | None = None) -> Hop | None:
        [(hop, _)] = self.paths(target, interface=interface, source=source)
        return hop

    def way(self, target: str, interface: str | None = None, source: str | None = None) -> str:
        """Interface, router and source in words."""
        return words(self.hop(target, interface, source))


def words(hop: Hop | None) -> str:
    if hop is None:
        return "no route"
    router = "" if hop.gateway is None else f" via {address_text(hop.gateway, hop.version)}"
    return f"{hop.interface}{router} from {address_text(hop.source, hop.version)}"


def sizes(groups: Iterable[tuple[Hop | None, list[Range]]]) -> dict[str, int]:
    """How many addresses go which way."""
    return {words(hop): sum(last - first + 1 for first, last in ranges) for hop, ranges in groups}


@pytest.fixture
def make_host() -> Iterator[Callable[[], Host]]:
    name = f"ghostport-routes-{os.getpid()}"

    def make() -> Host:
        namespaces.add(name)
        namespaces.ip_batch(name, LINKS)
        return Host(name)

    yield make
    namespaces.delete(name)


@pytest.fixture
def host(make_host: Callable[[], Host]) -> Host:
    return make_host()


def test_no_route_is_an_answer_and_not_an_error(host: Host) -> None:
    host.ip(
        "route add 10.0.0.0/8 via 192.0.2.9",
        "route add blackhole 10.1.0.0/16",
        "route add unreachable 10.2.0.0/16",
        "route add prohibit 10.3.0.0/16",
        "route add throw 10.4.0.0/16",
        "-6 route add fd10::/16 via fe80::9 dev d0",
        "-6 route add blackhole fd10:1::/32",
        "-6 route add unreachable fd10:2::/32",
        "-6 route add prohibit fd10:3::/32",
        "-6 route add throw fd10:4::/32",
    )
    assert sizes(host.paths("10.0.0.0/8", "11.0.0.0/30", "192.0.2.255/32")) == {
        "d0 via 192.0.2.9 from 192.0.2.1": 2**24 - 4 * 2**16,
        "no route": 4 * 2**16 + 4 + 1,
    }
    assert sizes(host.paths("fd10::/16", "2001:db8::/126", "ff02::/16")) == {
        "d0 via fe80::9 from fd00:1::1": 2**112 - 4 * 2**96,
        "no route": 4 * 2**96 + 4 + 2**112,
    }


def test_one_plan_spans_routers_links_and_the_host_itself(host: Host) -> None:
    host.ip(
        "route add 10.1.0.0/16 via 192.0.2.9",
        "route add 10.2.0.0/16 via 198.51.100.9",
        "route add local 10.3.0.0/16 dev lo",
        "-6 route add fd11::/16 via fe80::9 dev d0",
        "-6 route add fd12::/16 via fd00:2::9",
        "-6 route add local fd13::/16 dev lo",
    )
    assert sizes(
        host.paths("127.0.0.1", "10.1.0.0/24", "10.2.0.0/24", "10.3.0.0/24", "192.0.2.0/29", "198.51.100.9")
    ) == {
        "lo from 127.0.0.1": 1,
        "d0 via 192.0.2.9 from 192.0.2.1": 256,
        "d1 via 198.51.100.9 from 198.51.100.1": 256,
        "lo from 10.3.0.0": 256,
        "d0 from 192.0.2.1": 7,
        "lo from 192.0.2.1": 1,
        "d1 from 198.51.100.1": 1,
    }
    groups = host.paths("::1", "fd11::/120", "fd12::/120", "fd00:1::/125", "fd00:2::9")
    assert sizes(groups) == {
        "lo from ::1": 1,
        "d0 via fe80::9 from fd00:1::1": 256,
        "d1 via fd00:2::9 from fd00:2::1": 256,
        "d0 from fd00:1::1": 7,
        "lo from fd00:1::1": 1,
        "d1 from fd00:2::1": 1,
    }
    own = host.hop("fd13::7")
    assert own is not None
    assert (own.interface, own.loopback, own.on_link, own.mac) == ("lo", True, False, None)


def test_hops_of_ipv6_know_how_to_send(host: Host) -> None:
    [link] = namespaces.ip_json(host.name, "link", "show", "d0")
    hop = host.hop("fd00:1::77")
    assert hop == Hop(
        interface="d0",
        source=int(ip_address("fd00:1::1")),
        gateway=None,
        on_link=True,
        loopback=False,
        mac=bytes.fromhex(link["address"].replace(":", "")),
        mtu=1500,
        version=6,
    )


def test_link_local_targets_are_of_the_interface_that_is_named(host: Host) -> None:
    assert host.way("fe80::77", interface="d0") == "d0 from fe80::1"
    assert host.way("fe80::77", interface="d1") == "d1 from fe80::2"
    assert host.way("fe80::1", interface="d0") == "lo from fe80::1"
    assert host.way("fe80:5::1", interface="d0") == "no route"
    assert own_addresses("d1", 6, host.run) == [int(ip_address(text)) for text in ("fd00:2::1", "fe80::2")]
    assert own_addresses("d0", 4, host.run) == [int(ip_address(t)) for t in ("192.0.2.1", "203.0.113.1")]
    with pytest.raises(UsageError, match=r"fe80::5 is link-local: name the interface, as in fe80::5%eth0"):
        host.paths("fe80::5")


def test_a_named_interface_carries_only_what_is_routed_by_it(host: Host) -> None:
    host.ip(
        "route add 10.1.0.0/16 via 192.0.2.9",
        "route add 10.2.0.0/16 via 198.51.100.9",
        "-6 route add fd11::/16 via fe80::9 dev d0",
        "-6 route add fd12::/16 via fe80::9 dev d1",
    )
    assert host.way("10.1.0.1", interface="d0") == "d0 via 192.0.2.9 from 192.0.2.1"
    assert host.way("10.2.0.1", interface="d0") == "no route"
    assert host.way("99.0.0.1", interface="d0") == "no route"
    assert host.way("192.0.2.9", interface="d0") == "d0 from 192.0.2.1"
    assert host.way("fd11::1", interface="d0") == "d0 via fe80::9 from fd00:1::1"
    for target in ("fd12::1", "fd00:2::9", "2001:db8::1"):
        assert host.way(target, interface="d0") == "no route"
        # From a named source, the kernel would take another interface than the one named.
        assert host.way(target, interface="d0", source="fd00:1::1") == "no route"


def test_the_source_may_be_named(host: Host) -> None:
    host.ip("route add 10.1.0.0/16 via 192.0.2.9", "-6 route add fd11::/16 via fe80::9 dev d0")
    assert host.way("10.1.0.1", source="203.0.113.1") == "d0 via 192.0.2.9 from 203.0.113.1"
    assert host.way("fd11::1", source="fd00:2::1") == "d0 via fe80::9 from fd00:2::1"
    with pytest.raises(UsageError, match=r"fd00:9::9 is not an address of this machine; it has: .*fd00:1::1"):
        host.paths("fd11::1", source="fd00:9::9")


def test_the_source_that_a_route_names(host: Host) -> None:
    host.ip(
        "route add 10.1.0.0/16 via 192.0.2.9 src 203.0.113.1",
        "-6 route add fd11::/16 via fe80::9 dev d0 src fd00:2::1",
    )
    assert host.way("10.1.0.1") == "d0 via 192.0.2.9 from 203.0.113.1"
    assert host.way("fd11::1") == "d0 via fe80::9 from fd00:2::1"


def test_the_subnet_router_address_is_ours_where_we_forward(host: Host) -> None:
    assert host.way("fd00:1::") == "d0 from fd00:1::1"
    namespaces.set_sysctls(host.name, {"net.ipv6.conf.all.forwarding": "1"})
    assert host.way("fd00:1::") == "lo from fd00:1::1"


def test_rules_and_tables(host: Host) -> None:
    host.ip(
        "route add default via 192.0.2.9",
        "route add 10.1.0.0/16 via 198.51.100.7 table 77",
        "route add throw 10.1.5.0/24 table 77",
        "route add blackhole 10.1.6.0/24 table 77",
        "rule add to 10.1.0.0/20 lookup 77",
        "rule add to 10.9.9.0/24 prohibit",
        "rule add fwmark 7 lookup 77",
        "-6 route add default via fe80::9 dev d0",
        "-6 route add fd10::/16 via fe80::7 dev d1 table 77",
        "-6 rule add to fd10:1::/32 lookup 77",
    )
    main, other = "d0 via 192.0.2.9 from 192.0.2.1", "d1 via 198.51.100.7 from 198.51.100.1"
    assert sizes(host.paths("10.1.0.0/16")) == {
        other: 14 * 256,
        main: 241 * 256,
        "no route": 256,
    }
    assert host.way("10.9.9.9") == "no route"
    assert host.way("10.9.8.9") == main
    assert host.way("fd10:1::5") == "d1 via fe80::7 from fd00:2::1"
    assert host.way("fd10:2::5") == "d0 via fe80::9 from fd00:1::1"


def test_a_suppressed_default_route(host: Host) -> None:
    """As wg-quick(8) has it: what main knows better than by its default goes there, all else elsewhere."""
    host.ip(
        "route add default via 192.0.2.9",
        "route add 10.1.0.0/16 via 192.0.2.8",
        "route add default via 198.51.100.7 table 77",
        "rule add not fwmark 0xca6c lookup 77 priority 200",
        "rule add lookup main suppress_prefixlength 0 priority 100",
    )
    assert host.way("10.1.0.1") == "d0 via 192.0.2.8 from 192.0.2.1"
    assert host.way("10.2.0.1") == "d1 via 198.51.100.7 from 198.51.100.1"


def test_the_router_is_that_of_the_source(host: Host) -> None:
    """Two providers: each source has a table of its own, and main says which source it is to be."""
    host.ip(
        "route add default via 192.0.2.9",
        "route add 10.2.0.0/16 via 198.51.100.9",
        "route add default via 192.0.2.8 table 10",
        "route add blackhole 10.5.0.0/16 table 10",
        "route add default via 198.51.100.8 table 20",
        "rule add from 192.0.2.0/24 lookup 10",
        "rule add from 198.51.100.1 lookup 20",
        "-6 route add fd11::/16 via fe80::9 dev d0",
        "-6 route add default via fe80::8 dev d0 table 10",
        "-6 rule add from fd00:1::1 lookup 10",
    )
    assert host.way("10.1.0.1") == "d0 via 192.0.2.8 from 192.0.2.1"
    assert host.way("10.2.0.1") == "d1 via 198.51.100.8 from 198.51.100.1"
    assert host.way("10.5.0.1") == "no route"
    assert host.way("10.1.0.1", source="198.51.100.1") == "d1 via 198.51.100.8 from 198.51.100.1"
    assert host.way("10.1.0.1", source="203.0.113.1") == "d0 via 192.0.2.9 from 203.0.113.1"
    assert host.way("fd11::1") == "d0 via fe80::8 from fd00:1::1"
    assert host.way("fd11::1", source="fd00:2::1") == "d0 via fe80::9 from fd00:2::1"


def test_ipv6_routes_for_some_sources(host: Host) -> None:
    host.ip(
        "-6 route add fd11::/16 via fe80::9 dev d0",
        "-6 route add fd11::/16 from fd00:1::/64 via fe80::8 dev d0 metric 5",
    )
    assert host.way("fd11::1") == "d0 via fe80::8 from fd00:1::1"
    assert host.way("fd11::1", source="fd00:2::1") == "no route"  # the kernel looks no further
    host.ip("-6 route add default via fe80::9 dev d0")
    assert host.way("fd12::1") == "d0 via fe80::9 from fd00:1::1"


def test_the_mtu_is_that_of_the_route_or_the_device(host: Host) -> None:
    host.ip(
        "link set d1 mtu 1400",
        "route add 10.1.0.0/16 via 192.0.2.9",
        "route add 10.2.0.0/16 via 192.0.2.9 mtu 1300",
        "route add 10.3.0.0/16 via 192.0.2.9 mtu lock 1200",
        "route add 10.4.0.0/16 via 198.51.100.9",
        "route add 10.5.0.0/16 mtu 1250 nexthop via 192.0.2.9 nexthop via 198.51.100.9",
        "-6 route add fd11::/16 via fe80::9 dev d0 mtu 1280",
        "-6 route add fd12::/16 via fe80::9 dev d1",
    )

    def mtus(target: str) -> set[int]:
        return {hop.mtu for hop, _ in host.paths(target) if hop is not None}

    assert [mtus(f"10.{n}.0.0/24") for n in range(1, 6)] == [{1500}, {1300}, {1200}, {1400}, {1250}]
    assert [mtus(target) for target in ("fd11::1", "fd12::1", "127.0.0.1", "::1")] == [
        {1280},
        {1400},
        {65536},
        {65536},
    ]


ECMP = [
    "route add 10.1.0.0/16 nexthop via 192.0.2.9 weight 3 nexthop via 198.51.100.9",
    "-6 route add fd11::/112 nexthop via fd00:1::9 weight 3 nexthop via fe80::9 dev d1",
]
BY_D0, BY_D1 = "d0 via 192.0.2.9 from 192.0.2.1", "d1 via 198.51.100.9 from 198.51.100.1"
BY6_D0, BY6_D1 = "d0 via fd00:1::9 from fd00:1::1", "d1 via fe80::9 from fd00:2::1"


def test_several_next_hops_share_targets_by_weight(host: Host) -> None:
    host.ip(*ECMP)
    for target, first, second in (("10.1.0.0/16", BY_D0, BY_D1), ("fd11::/112", BY6_D0, BY6_D1)):
        shared = sizes(host.paths(target))
        assert set(shared) == {first, second}
        assert sum(shared.values()) == 2**16
        assert shared[first] == pytest.approx(2**16 * 3 / 4, rel=0.04)
        assert sum(len(ranges) for _, ranges in host.paths(target)) <= 256
        assert host.paths(target) == host.paths(target)


def test_single_targets_are_shared_too(host: Host) -> None:
    host.ip(*ECMP)
    shared = sizes(host.paths(*(f"10.1.{n}.1/32" for n in range(200))))
    assert shared[BY_D0] == pytest.approx(150, abs=15)
    assert shared[BY_D0] + shared[BY_D1] == 200


def test_better_routes_and_other_targets_are_not_shared(host: Host) -> None:
    host.ip(
        "route add default nexthop via 192.0.2.9 nexthop via 198.51.100.9",
        "route add 10.1.0.0/16 via 192.0.2.5",
        "route add blackhole 10.2.0.0/16",
        "-6 route add default nexthop via fe80::9 dev d0 nexthop via fe80::9 dev d1",
        "-6 route add fd11::/16 via fe80::5 dev d0",
    )
    assert sizes(host.paths("10.1.0.0/16", "10.2.0.0/16", "192.0.2.64/26", "127.0.0.8/29")) == {
        "d0 via 192.0.2.5 from 192.0.2.1": 2**16,
        "no route": 2**16,
        "d0 from 192.0.2.1": 64,
        "lo from 127.0.0.1": 8,
    }
    assert len(host.paths("10.3.0.0/16")) == 2
    assert sizes(host.paths("fd11::/64", "fd00:1::8/125")) == {
        "d0 via fe80::5 from fd00:1::1": 2**64,
        "d0 from fd00:1::1": 8,
    }
    assert set(sizes(host.paths("fd12::/64"))) == {
        "d0 via fe80::9 from fd00:1::1",
        "d1 via fe80::9 from fd00:2::1",
    }


def test_next_hops_that_are_down_get_nothing(host: Host) -> None:
    host.ip(*ECMP, "link set d1p down")
    assert sizes(host.paths("10.1.0.0/16")) == {BY_D0: 2**16}
    assert sizes(host.paths("fd11::/112")) == {BY6_D0: 2**16}


def test_of_several_next_hops_a_named_interface_or_source_takes_its_own(host: Host) -> None:
    host.ip(*ECMP)
    assert sizes(host.paths("10.1.0.0/16", interface="d1")) == {BY_D1: 2**16}
    assert sizes(host.paths("fd11::/112", interface="d1")) == {BY6_D1: 2**16}
    assert sizes(host.paths("10.1.0.0/16", source="198.51.100.1")) == {BY_D1: 2**16}
    assert sizes(host.paths("fd11::/112", source="fd00:2::1")) == {BY6_D1: 2**16}
    assert set(sizes(host.paths("10.1.0.0/16", source="203.0.113.1"))) == {
        "d0 via 192.0.2.9 from 203.0.113.1",
        "d1 via 198.51.100.9 from 203.0.113.1",
    }


def test_two_routers_on_one_link_may_want_two_sources(host: Host) -> None:
    host.ip("route add 10.1.0.0/16 nexthop via 192.0.2.9 nexthop via 203.0.113.9 nexthop dev d1")
    assert set(sizes(host.paths("10.1.0.0/16"))) == {
        "d0 via 192.0.2.9 from 192.0.2.1",
        "d0 via 203.0.113.9 from 203.0.113.1",
        "d1 from 198.51.100.1",
    }


def test_two_providers_share_targets_and_each_source_keeps_its_router(host: Host) -> None:
    host.ip(
        "route add default nexthop via 192.0.2.9 nexthop via 198.51.100.9",
        "route add default via 192.0.2.8 table 10",
        "route add default via 198.51.100.8 table 20",
        "rule add from 192.0.2.1 lookup 10",
        "rule add from 198.51.100.1 lookup 20",
    )
    shared = sizes(host.paths("10.0.0.0/8"))
    assert set(shared) == {"d0 via 192.0.2.8 from 192.0.2.1", "d1 via 198.51.100.8 from 198.51.100.1"}
    assert max(shared.values()) == pytest.approx(2**23, rel=0.04)


@pytest.mark.parametrize("compatible", ["1", "0"])
def test_nexthop_objects(host: Host, compatible: str) -> None:
    host.ip(
        "nexthop add id 1 via 192.0.2.9 dev d0",
        "nexthop add id 2 via 198.51.100.9 dev d1",
        "nexthop add id 10 group 1,3/2",
        "nexthop add id 21 via fd00:1::9 dev d0",
        "nexthop add id 22 via fe80::9 dev d1",
        "nexthop add id 30 group 21/22,3",
        "route add 10.1.0.0/16 nhid 10",
        "route add 10.2.0.0/16 nhid 1",
        "-6 route add fd11::/112 nhid 30",
        "-6 route add fd12::/112 nhid 22",
    )
    namespaces.set_sysctls(host.name, {"net.ipv4.nexthop_compat_mode": compatible})
    shared = sizes(host.paths("10.1.0.0/16"))
    assert set(shared) == {BY_D0, BY_D1}
    assert shared[BY_D0] == pytest.approx(2**16 * 3 / 4, rel=0.04)
    shared = sizes(host.paths("fd11::/112"))
    # With nexthop objects, the kernel chooses IPv6 sources whatever the interface, now this one, now that.
    seconds = {BY6_D1, BY6_D1.replace("from fd00:2::1", "from fd00:1::1")}
    second = next(iter(shared.keys() & seconds))
    assert set(shared) == {BY6_D0, second}
    assert shared[second] == pytest.approx(2**16 * 3 / 4, rel=0.04)
    assert sizes(host.paths("10.2.0.0/16")) == {BY_D0: 2**16}
    assert sizes(host.paths("fd12::/112")) in [{each: 2**16} for each in seconds]


def test_neighbours_of_both_versions(host: Host) -> None:
    host.ip(
        "neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev d0 nud permanent",
        "neigh add fe80::9 lladdr 02:00:00:00:00:0a dev d0 nud permanent",
        "neigh add fe80::9 lladdr 02:00:00:00:00:0b dev d1 nud permanent",
    )
    router = int(ip_address("fe80::9"))
    assert host.network.neighbours("d0", 4) == {int(ip_address("192.0.2.9")): bytes.fromhex("020000000009")}
    assert host.network.neighbours("d0", 6) == {router: bytes.fromhex("02000000000a")}
    assert host.network.neighbours("d1", 6) == {router: bytes.fromhex("02000000000b")}


def many_routes(count: int, version: int, chance: random.Random) -> list[str]:
    """Prefixes of all lengths in and around 10.0.0.0/8 or fd10::/16, and rules with a table of their own."""
    width, (top, bits) = (32, (10, 8)) if version == 4 else (128, (0xFD10, 16))
    routers = [("192.0.2.{}", "d0"), ("198.51.100.{}", "d1")] if version == 4 else [("fe80::{}", "d0")] * 2
    lines: list[str] = []
    known: set[tuple[int, int]] = set()
    while len(known) < count:
        length = chance.choice([bits + 4, *range(bits + 8, bits + 25), width])
        address = (top + chance.choice([0, 0, 0, 1])) << (width - bits) | chance.getrandbits(24) << (
            width - bits - 24
        )
        address &= -1 << (width - length)
        if (address, length) in known:
            continue
        known.add((address, length))
        prefix = f"{address_text(address, version)}/{length}"
        (first, d0), (second, d1) = routers
        kind = chance.choice(["first"] * 10 + ["second"] * 10 + ["blackhole", "throw", "several", "table"])
        pair = (chance.randrange(2, 99), chance.randrange(100, 199))
        lines.append(
            {
                "first": f"route add {prefix} via {first.format(pair[0])} dev {d0}",
                "second": f"route add {prefix} via {second.format(pair[1])} dev {d1}",
                "blackhole": f"route add blackhole {prefix}",
                "throw": f"route add throw {prefix} table 77",
                "several": f"route add {prefix} nexthop via {first.format(pair[0])} dev {d0} "
                f"nexthop via {second.format(pair[1])} dev {d1}",
                "table": f"route add {prefix} via {first.format(pair[0])} dev {d0} table 77",
            }[kind]
        )
        if kind == "table" and chance.random() < 0.05:
            lines.append(f"rule add to {prefix} lookup 77")
    return lines


@pytest.mark.parametrize(("version", "target"), [(4, "10.0.0.0/8"), (6, "fd10::/16")])
def test_ten_thousand_routes(host: Host, version: int, target: str) -> None:
    chance = random.Random(f"routes {version}")
    batch = "\n".join([*many_routes(10_000, version, chance), ""])
    run_ip(["-n", host.name, f"-{version}", "-batch", "-"], batch)
    shown = run_ip(["-n", host.name, f"-{version}", "route", "show", "table", "all"])
    assert len(shown.splitlines()) >= 10_000

    groups = host.paths(target)

    first, last = int(ip_network(target)[0]), int(ip_network(target)[-1])
    parts = sorted((*span, hop) for hop, ranges in groups for span in ranges)
    assert (parts[0][0], parts[-1][1]) == (first, last)
    assert all(one[1] + 1 == two[0] for one, two in itertools.pairwise(parts))
    # Where mistakes would be: the ends of ranges.
    sample = [place for part in chance.sample(parts, 1000) for place in part[:2]]
    planned = {place: words(hop) for place, hop in lookup(parts, sample)}
    assert planned.keys() == set(sample)
    told = {place: kernel_says(host, version, place) for place in sample[:400]}
    for place, ways in told.items():
        assert planned[place] in ways, address_text(place, version)
    assert {"no route"} < set(planned.values())


def lookup(
    parts: list[tuple[int, int, Hop | None]], places: Iterable[int]
) -> Iterator[tuple[int, Hop | None]]:
    for place in places:
        yield from ((place, hop) for first, last, hop in parts if first <= place <= last)


def kernel_says(host: Host, version: int, place: int) -> set[str]:
    """All ways that the kernel may take: one, or those of the route's several next hops."""
    text = address_text(place, version)
    entries = []
    for question in ([text], ["fibmatch", text]):
        try:
            entries += namespaces.ip_json(host.name, "route", "get", *question)
        except UsageError:
            return {"no route"}
    answer, match = entries
    sources = {"d0": "192.0.2.1", "d1": "198.51.100.1"} if version == 4 else {"d0": "fd00:1::1"}
    hops = match.get("nexthops", [answer])
    return {f"{hop['dev']} via {hop['gateway']} from {sources[hop['dev']]}" for hop in hops}
