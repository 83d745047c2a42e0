"""Routes as Scapy reads them: of a made-up machine, and of a lab where Linux knows them as well."""

from __future__ import annotations

import pytest

from scanner import sweep
from scanner.contracts import Hop, Network, Sources
from scanner.core.addresses import format_address, parse_address
from scanner.core.hosts import Hosts
from scanner.core.ipv6 import format_ipv6, parse_ipv6
from scanner.core.scope import Scope
from scanner.core.targets import parse_targets
from scanner.lab import namespaces
from scanner.model import Reason, State, UsageError
from scanner.wire.linux import LinuxNetwork
from scanner.wire.scapy_network import ScapyNetwork
from scanner.wire.scapy_tables import Device, Tables, routes6_of, routes_of

NOWHERE = "0.0.0.0"  # noqa: S104 - how Scapy says that there is none
MAC = b"\2\0\0\0\0\1"


def ip(text: str) -> int:
    return parse_ipv6(text) if ":" in text else parse_address(text)


def device(name: str, index: int, mac: bytes | None, *addresses: str) -> Device:
    own = {
        4: tuple(map(ip, (text for text in addresses if ":" not in text))),
        6: tuple(map(ip, (text for text in addresses if ":" in text))),
    }
    return Device(name, index, mac, loopback=name == "lo0", addresses=own)


MAC_BOOK = Tables(
    devices=(
        device("lo0", 1, None, "127.0.0.1", "::1"),
        device("en0", 4, MAC, "192.168.1.9", "fe80::9", "fd00::9"),
        device("utun3", 7, None, "10.8.0.2"),
        device("en5", 9, MAC),
    ),
    routes=(
        *routes_of(
            [
                (0, 0, "192.168.1.1", "en0", NOWHERE, 2),
                (0, 0, "10.8.0.1", "utun3", NOWHERE, 1),
                (ip("192.168.1.0"), 0xFFFFFF00, NOWHERE, "en0", "192.168.1.9", 1),
                (ip("10.9.0.0"), 0xFFFF0000, "192.168.1.7", "en0", NOWHERE, 1),
                (ip("172.16.0.0"), 0xFFFF0000, NOWHERE, "en5", NOWHERE, 1),
                (ip("127.0.0.0"), 0xFF000000, NOWHERE, "lo0", "127.0.0.1", 1),
            ]
        ),
        *routes6_of(
            [
                ("fd00::", 64, "::", "en0", ["fd00::9"], 1),
                ("fd05::", 16, "fe80::1", "en0", ["fd00::9"], 1),
                ("fe80::", 64, "::", "en0", ["fe80::9"], 1),
            ]
        ),
    ),
)


@pytest.fixture
def network() -> ScapyNetwork:
    return ScapyNetwork(lambda: MAC_BOOK)


def told(network: Network, *targets: str, interface: str | None = None) -> dict[str, str]:
    """By target, the way in words."""
    words: dict[str, str] = {}
    for hop, hosts in network.routes(parse_targets(targets, network.zone), interface, Sources()):
        for first, last in hosts.ipv4.ranges():
            words[f"{format_address(first)}-{format_address(last)}"] = way(hop)
        for first, last in hosts.ipv6.ranges:
            words[f"{format_ipv6(first)}-{format_ipv6(last)}"] = way(hop)
    return words


def way(hop: Hop | None) -> str:
    if hop is None:
        return "no route"
    text = format_address if hop.version == 4 else format_ipv6
    through = "itself" if hop.loopback else "on-link" if hop.gateway is None else text(hop.gateway)
    return f"{hop.interface} from {text(hop.source)}: {through}"


def test_the_longest_prefix_leads_and_then_the_least_metric(network: ScapyNetwork) -> None:
    assert told(network, "192.168.1.0/30", "192.168.1.9", "10.8.255.255-10.9.0.0", "172.16.0.1") == {
        "192.168.1.0-192.168.1.3": "en0 from 192.168.1.9: on-link",
        "192.168.1.9-192.168.1.9": "lo0 from 192.168.1.9: itself",
        "10.8.255.255-10.8.255.255": "utun3 from 10.8.0.2: 10.8.0.1",
        "10.9.0.0-10.9.0.0": "en0 from 192.168.1.9: 192.168.1.7",
        "172.16.0.1-172.16.0.1": "no route",  # its interface has no address
    }


def test_of_ipv6_likewise_and_link_local_ones_by_their_zone(network: ScapyNetwork) -> None:
    targets = ("fd00::/126", "fd05::1", "fd99::1", "::1", "fe80::1%en0", "fe80::9%en0", "fd00::9")
    found = told(network, *targets)
    zoned = {key: found.pop(key) for key in list(found) if key.startswith("fe80")}
    assert found == {
        "fd00::-fd00::3": "en0 from fd00::9: on-link",
        "fd00::9-fd00::9": "lo0 from fd00::9: itself",
        "fd05::1-fd05::1": "en0 from fd00::9: fe80::1",
        "fd99::1-fd99::1": "no route",
        "::1-::1": "lo0 from ::1: itself",
    }
    assert sorted(zoned.values()) == ["en0 from fe80::9: on-link", "lo0 from fe80::9: itself"]


def test_a_link_local_target_needs_its_interface(network: ScapyNetwork) -> None:
    with pytest.raises(UsageError, match="fe80::5 is link-local: name the interface"):
        told(network, "fe80::5")


def test_an_interface_is_all_that_is_used(network: ScapyNetwork) -> None:
    assert told(network, "1.1.1.1", "127.0.0.1", interface="en0") == {
        "1.1.1.1-1.1.1.1": "en0 from 192.168.1.9: 192.168.1.1",
        "127.0.0.1-127.0.0.1": "lo0 from 127.0.0.1: itself",
    }
    assert told(network, "10.9.0.1", interface="utun3") == {
        "10.9.0.1-10.9.0.1": "utun3 from 10.8.0.2: 10.8.0.1"
    }
    with pytest.raises(UsageError, match="there is no interface 'eth0'; there are: en0, en5, lo0, utun3"):
        told(network, "10.9.0.1", interface="eth0")


def test_a_source_is_used_where_it_is_ours(network: ScapyNetwork) -> None:
    [(hop, _)] = network.routes(parse_targets(["192.168.1.5"]), None, Sources(ipv4=ip("10.8.0.2")))
    assert hop is not None
    assert hop.source == ip("10.8.0.2")
    [(hop, _)] = network.routes(parse_targets(["fd00::5"]), None, Sources(ipv6=ip("fe80::9")))
    assert hop is not None
    assert hop.source == ip("fe80::9")
    with pytest.raises(
        UsageError, match=r"10\.8\.0\.3 is not an address of this machine; it has: 10\.8\.0\.2"
    ):
        network.routes(Hosts(), None, Sources(ipv4=ip("10.8.0.3")))


def test_hops_have_what_a_wire_needs(network: ScapyNetwork) -> None:
    ways = dict(network.routes(parse_targets(["192.168.1.5", "8.8.8.8", "127.0.0.1"]), None, Sources()))
    assert {(hop.interface, hop.mac, hop.mtu, hop.on_link, hop.loopback) for hop in ways if hop} == {
        ("en0", MAC, 1500, True, False),
        ("utun3", None, 1280, False, False),
        ("lo0", None, 1280, False, True),
    }


def test_ends_of_own_links_are_special(network: ScapyNetwork) -> None:
    assert (
        network.specials()
        == parse_targets(
            ["127.0.0.0", "127.255.255.255", "192.168.1.0", "192.168.1.255", "172.16.0.0", "172.16.255.255"]
        ).ipv4
    )


def test_it_is_a_network_and_reads_when_it_is_asked() -> None:
    asked: list[int] = []

    def read() -> Tables:
        asked.append(1)
        return MAC_BOOK

    network: Network = ScapyNetwork(read)
    assert network.clock.wall() > 0
    assert asked == []
    assert (network.zone("en0"), network.interface(4), network.neighbours("en0", 4)) == (4, "en0", {})
    assert asked == [1]


TARGETS = [
    "10.77.0.0/29",
    "10.5.6.0-10.5.8.255",
    "127.0.0.1",
    "10.99.0.1",
    "2001:db8:77::/125",
    "fd05::1",
    "::1",
]


@pytest.mark.lab
def test_linux_says_the_same(veth6) -> None:
    namespaces.ip_batch(
        veth6.near,
        [
            "route add 10.5.0.0/16 via 10.77.0.9",
            "route add 10.5.7.0/24 via 10.77.0.8",
            "route add fd05::/64 via 2001:db8:77::9",
        ],
    )
    with namespaces.entered(veth6.near):
        seen, known = ScapyNetwork(), LinuxNetwork()
        assert told(seen, *TARGETS, "fe80::77:2%near") == told(known, *TARGETS, "fe80::77:2%near")
        assert seen.specials() == known.specials()
        assert seen.zone("near") == known.zone("near")
        macs = [
            {hop.interface: hop.mac for hop, _ in each.routes(parse_targets(TARGETS), None, Sources()) if hop}
            for each in (seen, known)
        ]
        assert macs[0] == macs[1]


@pytest.mark.lab
def test_a_whole_sweep_by_scapy_alone(veth6) -> None:
    with namespaces.entered(veth6.near):
        found = sweep(
            ["10.77.0.1-3", "2001:db8:77::1-2001:db8:77::3", "fe80::77:2%near", "127.0.0.1"],
            protocols=["tcp"],
            network=(network := ScapyNetwork()),
            wire="scapy",
            scope=Scope(parse_targets(["0.0.0.0/0", "::/0"], network.zone)),
        ).result()
    down = {("10.77.0.3", Reason.NO_ARP_RESPONSE), ("2001:db8:77::3", Reason.NO_ND_RESPONSE)}
    assert {(verdict.ip, verdict.reason) for verdict in found if verdict.state is State.DOWN} == down
    assert {verdict.ip for verdict in found if verdict.state is State.CLOSED} == {
        "10.77.0.1", "10.77.0.2", "2001:db8:77::1", "2001:db8:77::2", "fe80::77:2%near", "127.0.0.1",
    }  # fmt: skip
