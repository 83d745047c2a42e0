"""Who is asked, along which path; and who is not, and why."""

from __future__ import annotations

import dataclasses
import math

import pytest

from scanner.contracts import Clock, Hop, Sources, Wire
from scanner.core.addresses import AddressSet, parse_address
from scanner.core.hosts import Hosts
from scanner.core.scope import Scope
from scanner.core.targets import parse_targets
from scanner.model import TRANSPORTS, Protocol, ScopeRefused, UsageError, WireKind
from scanner.planning import MOST_RETRIES, PROBES, Request, SweepPlan, make_plan
from scanner.wire.clock import SimulatedClock

ETHERNET = Hop(
    interface="eth0", source=parse_address("192.168.1.9"), gateway=parse_address("192.168.1.1"),
    on_link=False, loopback=False, mac=b"\x02\0\0\0\0\1", mtu=1500,
)  # fmt: skip
ON_LINK = dataclasses.replace(ETHERNET, gateway=None, on_link=True)
LOOPBACK = Hop("lo", parse_address("127.0.0.1"), None, on_link=False, loopback=True, mac=None, mtu=65536)


class Routed:
    """A network of fixed routes: the first that holds a target leads there."""

    def __init__(self, *routes: tuple[str, Hop | None], specials: str | None = None) -> None:
        self._routes = routes
        self._specials = AddressSet.empty() if specials is None else parse_targets([specials]).ipv4
        self.asked: list[tuple[Hosts, str | None, Sources]] = []

    @property
    def clock(self) -> Clock:
        return SimulatedClock()

    def routes(
        self, targets: Hosts, interface: str | None, sources: Sources
    ) -> list[tuple[Hop | None, Hosts]]:
        self.asked.append((targets, interface, sources))
        found: list[tuple[Hop | None, Hosts]] = []
        for prefix, hop in self._routes:
            reached = targets & parse_targets([prefix])
            if reached:
                found.append((hop, reached))
                targets -= reached
        return [*found, (None, targets)] if targets else found

    def specials(self) -> AddressSet:
        return self._specials

    def zone(self, interface: str) -> int:
        return {"lo": 1, "eth0": 2, "eth1": 3}[interface]

    def interface(self, zone: int) -> str:
        return {1: "lo", 2: "eth0", 3: "eth1"}[zone]

    def own_addresses(self, interface: str, version: int) -> list[int]:
        raise AssertionError("a plan asks routes")

    def neighbours(self, interface: str, version: int) -> dict[int, bytes]:
        return {}

    def open(self, hop: Hop, packets: int) -> Wire:
        raise AssertionError("a plan opens no wire")


EVERYWHERE = ("0.0.0.0/0", ETHERNET)


def request(*targets: str, excluded: tuple[str, ...] = (), **more: object) -> Request:
    given: dict[str, object] = {"ports": (401,), **more}
    return Request(targets=parse_targets(targets), excluded=parse_targets(excluded), **given)  # type: ignore[arg-type]


def plan(*targets: str, network: Routed | None = None, **more: object) -> SweepPlan:
    return make_plan(request(*targets, **more), network or Routed(EVERYWHERE), Scope.private())  # type: ignore[arg-type]


def test_targets_are_divided_by_how_they_are_reached():
    network = Routed(("127.0.0.0/8", LOOPBACK), ("192.168.1.0/24", ON_LINK), ("10.0.0.0/8", ETHERNET))

    made = plan("127.0.0.1", "192.168.1.0/24", "10.0.0.0/30", "172.16.0.0/29", network=network)

    assert [(path.hop, path.addresses) for path in made.paths] == [
        (LOOPBACK, parse_targets(["127.0.0.1"]).ipv4),
        (ON_LINK, parse_targets(["192.168.1.0/24"]).ipv4),
        (ETHERNET, parse_targets(["10.0.0.0/30"]).ipv4),
    ]
    assert made.no_route == parse_targets(["172.16.0.0/29"]).ipv4
    assert made.addresses.size == 1 + 256 + 4 + 8
    assert made.next_hops == parse_targets(["192.168.1.1"])


def test_probes_are_counted_for_who_can_be_reached():
    network = Routed(("10.0.0.0/8", ETHERNET))

    made = plan("10.0.0.0/30", "172.16.0.0/29", network=network, ports=(1, 2, 3))

    assert made.probes == 4 * 3 * 2


def test_the_excluded_and_the_special_are_not_asked_and_not_permitted():
    network = Routed(EVERYWHERE, specials="10.0.0.0,255")

    made = plan("10.0.0.0/24", excluded=("10.0.0.7",), network=network)

    special, excluded = (parse_targets([text]).ipv4 for text in ("10.0.0.0,255", "10.0.0.7"))
    assert made.skipped == special
    assert made.addresses == parse_targets(["10.0.0.0/24"]).ipv4 - special - excluded
    assert not made.scope.permits((special | excluded).chunk(0, 3)).any()
    assert made.scope.permits(made.addresses.chunk(0, 253)).all()
    assert network.asked == [(Hosts(made.addresses), None, Sources())]


def test_interface_and_source_are_passed_on():
    network = Routed(EVERYWHERE)

    plan("10.0.0.1", network=network, interface="eth0", sources=Sources(7))

    assert network.asked == [(parse_targets(["10.0.0.1"]), "eth0", Sources(7))]


@pytest.mark.parametrize("asked", [{"wire": WireKind.RAW}, {"no_arp": True}, {"wire": "raw", "no_arp": True}])
def test_through_the_kernel_there_are_no_next_hops(asked):
    made = plan("192.168.1.0/24", "127.0.0.1", network=Routed(("127.0.0.0/8", LOOPBACK), EVERYWHERE), **asked)

    assert [path.hop.mac for path in made.paths] == [None, None]
    assert {path.hop.wire for path in made.paths} == {asked.get("wire", WireKind.AUTO)}


def test_the_wire_asked_for_is_that_of_every_hop():
    network = Routed(("127.0.0.0/8", LOOPBACK), EVERYWHERE)

    made = plan("192.168.1.0/24", "127.0.0.1", network=network, wire=WireKind.SCAPY)
    ring = plan("192.168.1.0/24", network=network, wire=WireKind.RING)

    assert [(path.hop.mac, path.hop.wire) for path in made.paths] == [
        (None, WireKind.SCAPY),
        (ETHERNET.mac, WireKind.SCAPY),
    ]
    assert [(path.hop.mac, path.hop.wire) for path in ring.paths] == [(ETHERNET.mac, WireKind.RING)]


def test_a_ring_where_it_cannot_be_is_refused():
    with pytest.raises(UsageError, match="--wire ring: lo has no Ethernet header") as error:
        plan("127.0.0.1", network=Routed(("127.0.0.0/8", LOOPBACK)), wire=WireKind.RING)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("targets", "more", "complaint"),
    [
        ((), {}, "no targets: name an address"),
        (("10.0.0.1",), {"excluded": ("10.0.0.0/8",)}, "do not exclude all of it"),
        (("10.9.9.9",), {"network": Routed(EVERYWHERE, specials="10.9.9.9")}, "are never probed"),
        (("10.0.0.1",), {"network": Routed()}, "no route to 10.0.0.1: see `ip route get 10.0.0.1`"),
        (("10.0.0.0/30",), {"network": Routed()}, "no route to 10.0.0.0 or any other of the 4 targets"),
        (
            ("10.0.0.1",),
            {"network": Routed(), "interface": "eth7", "sources": Sources(parse_address("10.1.1.1"))},
            "`ip route get 10.0.0.1 oif eth7 from 10.1.1.1`",
        ),
    ],
)
def test_where_nothing_is_left_to_ask_it_says_so(targets, more, complaint):
    with pytest.raises(UsageError) as error:
        plan(*targets, **more)
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)


def test_a_target_outside_the_scope_is_refused_before_routes_are_looked_at():
    network = Routed(EVERYWHERE)

    with pytest.raises(ScopeRefused, match=r"8\.8\.8\.0/24"):
        plan("10.0.0.1", "8.8.8.0/24", network=network)
    assert network.asked == []


def test_what_is_excluded_need_not_be_in_scope():
    made = plan("8.8.8.0/30", "10.0.0.1", excluded=("8.8.8.0/24",))

    assert made.addresses == parse_targets(["10.0.0.1"]).ipv4


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ({"rate": 0.0}, "--rate 0:"),
        ({"rate": -5.0}, "--rate -5:"),
        ({"rate": math.nan}, "--rate nan:"),
        ({"retries": -1}, "--retries -1: from 0 to 100"),
        ({"retries": MOST_RETRIES + 1}, "--retries 101: from 0 to 100"),
        ({"wait": 0.0}, "--wait 0:"),
        ({"wait": -1.0}, "--wait -1:"),
        ({"wait": math.inf}, "--wait inf:"),
        ({"wait": math.nan}, "--wait nan:"),
        ({"ports": ()}, "nothing to ask"),
        ({"protocols": ()}, "nothing to ask"),
        ({"no_arp": True, "wire": WireKind.RING}, "--no-arp sends through the kernel, and --wire ring"),
        ({"no_arp": True, "wire": WireKind.SCAPY}, "--no-arp sends through the kernel, and --wire scapy"),
    ],
)
def test_a_request_that_cannot_be_is_refused(words, complaint):
    with pytest.raises(UsageError) as error:
        request("10.0.0.1", **words)
    assert str(error.value).startswith(complaint)


def test_a_request_has_sane_defaults():
    made = request("10.0.0.1")

    assert (made.rate, made.max_rate, made.retries, made.wait) == (None, math.inf, 2, 1.0)
    assert made.protocols == (Protocol.TCP, Protocol.UDP)
    assert request("10.0.0.1", rate=math.inf).rate == math.inf


def test_every_protocol_has_its_probe():
    assert {protocol: probe.protocol for protocol, probe in PROBES.items()} == {p: p for p in TRANSPORTS}
