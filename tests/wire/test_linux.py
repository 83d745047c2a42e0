"""The kernel itself is asked, in scratch namespaces: recordings must not be all that the tests know."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from scanner.contracts import Network, Sources
from scanner.core.addresses import AddressSet, parse_address
from scanner.core.targets import parse_targets
from scanner.lab import namespaces
from scanner.model import UsageError
from scanner.wire.ip_command import Runner, run_ip
from scanner.wire.linux import LinuxNetwork
from scanner.wire.packet_ring import PacketRing
from scanner.wire.raw_ip import RawIP

pytestmark = pytest.mark.lab

ROUTES = [
    "route add 10.5.0.0/16 via 10.77.0.9",
    "route add 10.5.7.0/24 via 10.77.0.8",
    "route add blackhole 10.6.0.0/16",
    "route add unreachable 10.7.0.0/16",
    "route add prohibit 10.8.0.0/16",
    "route add throw 10.9.0.0/16",
    "route add local 10.50.0.0/16 dev lo",
    "route add 10.12.0.0/16 via 10.77.0.7 table 77",
    "rule add to 10.12.3.0/24 lookup 77",
    "addr add 10.3.0.1 peer 10.3.0.2/32 dev near",
    "addr add 10.2.0.1/31 dev near",
]


def inside(namespace: str) -> Runner:
    def run(arguments: Sequence[str], text: str) -> str:
        return run_ip(["-n", namespace, *arguments], text)

    return run


@pytest.fixture
def network(veth) -> Network:
    namespaces.ip_batch(veth.near, ROUTES)
    return LinuxNetwork(inside(veth.near))


def told(network: Network, targets: str, interface: str | None = None) -> dict[str, str]:
    """Interface and gateway by target, in words."""
    words = {}
    for hop, addresses in network.routes(parse_targets(targets.split()), interface, Sources()):
        way = "no route"
        if hop is not None:
            gateway = "" if hop.gateway is None else f" via {AddressSet.of([(hop.gateway,) * 2]).cidrs()[0]}"
            way = f"{hop.interface}{gateway}"
        for cidr in addresses.ipv4.cidrs():
            words[cidr] = way
    return words


def test_targets_go_where_the_kernel_sends_them(network: Network) -> None:
    assert told(
        network, "10.5.6.0-10.5.8.255 10.6.0.0/24 10.7.0.1 10.8.0.1 10.9.0.1 10.12.2.0-10.12.4.255"
    ) == {
        "10.5.6.0/24": "near via 10.77.0.9/32",
        "10.5.7.0/24": "near via 10.77.0.8/32",
        "10.5.8.0/24": "near via 10.77.0.9/32",
        "10.6.0.0/24": "no route",
        "10.7.0.1/32": "no route",
        "10.8.0.1/32": "no route",
        "10.9.0.1/32": "no route",
        "10.12.2.0/24": "no route",
        "10.12.3.0/24": "near via 10.77.0.7/32",
        "10.12.4.0/24": "no route",
    }


def test_our_own_addresses_are_reached_by_loopback(network: Network) -> None:
    ways = told(network, "127.0.0.1 10.77.0.0/30 10.50.1.0/24 10.3.0.2")
    assert ways == {
        "127.0.0.1/32": "lo",
        "10.77.0.0/32": "near",
        "10.77.0.1/32": "lo",
        "10.77.0.2/31": "near",
        "10.50.1.0/24": "lo",
        "10.3.0.2/32": "near",
    }


def test_a_hop_knows_how_to_send(network: Network, veth) -> None:
    [(hop, _)] = network.routes(parse_targets(["10.77.0.2"]), None, Sources())
    assert hop is not None
    assert (hop.source, hop.mac, hop.mtu) == (0x0A4D0001, veth.near_mac, 1500)
    assert (hop.on_link, hop.loopback) == (True, False)


def test_a_named_interface_carries_only_what_is_routed_by_it(network: Network) -> None:
    assert told(network, "10.5.0.0/24 10.77.0.4/31 99.0.0.0/24", "near") == {
        "10.5.0.0/24": "near via 10.77.0.9/32",
        "10.77.0.4/31": "near",
        "99.0.0.0/24": "no route",
    }


def test_a_source_is_any_address_of_ours(network: Network) -> None:
    source = parse_address("10.3.0.1")
    [(hop, _)] = network.routes(parse_targets(["10.5.0.0/24"]), None, Sources(source))
    assert hop is not None
    assert hop.source == source
    with pytest.raises(
        UsageError, match=r"10\.9\.9\.9 is not an address of this machine; it has: .*10\.77\.0\.1"
    ):
        network.routes(parse_targets(["10.5.0.0/24"]), None, Sources(parse_address("10.9.9.9")))
    with pytest.raises(UsageError, match="no interface 'eth9'; there are: lo, near"):
        network.routes(parse_targets(["10.5.0.0/24"]), "eth9", Sources())


def test_specials_are_the_ends_of_our_networks(network: Network) -> None:
    expected = ["10.77.0.0", "10.77.0.255", "127.0.0.0", "127.255.255.255"]
    assert network.specials() == parse_targets(expected).ipv4


def test_known_neighbours(network: Network, veth) -> None:
    assert network.neighbours("near", 4) == {0x0A4D0002: veth.far_mac}
    assert network.neighbours("lo", 4) == {}


@pytest.mark.parametrize(("target", "kind"), [("10.77.0.2", PacketRing), ("127.0.0.1", RawIP)])
def test_a_wire_for_each_hop(network: Network, veth, target: str, kind: Callable[..., object]) -> None:
    [(hop, _)] = network.routes(parse_targets([target]), None, Sources())
    assert hop is not None
    with namespaces.entered(veth.near):
        wire = network.open(hop, packets=100, longest=60)
    assert type(wire) is kind
    wire.close()


@pytest.mark.parametrize(("packets", "processors", "exits"), [(100, 2, 1), (1 << 16, 8, 2), (1 << 16, 1, 1)])
def test_a_large_sweep_has_an_exit_for_each_of_two_processors(
    network: Network, veth, monkeypatch: pytest.MonkeyPatch, packets: int, processors: int, exits: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _process: set(range(processors)))
    [(hop, _)] = network.routes(parse_targets(["10.77.0.2"]), None, Sources())
    assert hop is not None
    with namespaces.entered(veth.near):
        wire = network.open(hop, packets=packets, longest=60)
    assert len(wire.exits) == exits
    wire.close()
