"""The lab's plan: a function of its profile, the same asked by address and asked for all."""

from __future__ import annotations

import dataclasses
from collections import Counter
from ipaddress import IPv4Address, ip_address, ip_network

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.lab import PROFILES, STATES, Expectation, Kind, Net, Place, Plan, Profile, Side, Way
from scanner.lab.behaviours import CLOSED, SILENT, TIME_EXCEEDED, Hardware, Responder
from scanner.lab.netplan import TWIN_MAC, NetPlan
from scanner.lab.profiles import FULL, ON_LINK, SMALL, profile_named
from scanner.lab.truth import HARDWARE, RESPONDERS
from scanner.model import REASONS, TRANSPORTS, Protocol, Reason, State, UsageError

PLANS = {name: Plan(profile) for name, profile in PROFILES.items()}

NETS = [(name, net) for name, plan in PLANS.items() for net in plan.nets]

nets = st.sampled_from(NETS)
protocols = st.sampled_from(TRANSPORTS)
ports = st.sampled_from([401, 402])


def tiny(*places: Place, open_tcp: int = 2, open_udp: int = 1, **more: object) -> Profile:
    net = Net(prefix="10.50.0.0/28", places=places, open_tcp=open_tcp, open_udp=open_udp)
    way = Way(device="gpv0", far_device="gpv1", nets=(net, ON_LINK))
    return dataclasses.replace(Profile(name="tiny", ways=(way,)), **more)  # type: ignore[arg-type]


TINY = tiny(Place("10.50.0.4/30", SILENT))


def names(net: tuple[str, NetPlan]) -> str:
    return f"{net[0]} {net[1].network}"


@given(net=nets, protocol=protocols, port=ports, index=st.integers(0, 2**16 - 1))
def test_the_columns_say_what_each_address_is_expected_to(net, protocol, port, index):
    profile, plan = net
    truth = plan.truth(protocol, port)
    row = index % len(truth)
    offset = int(truth.offsets[row])

    expected = PLANS[profile].expected(truth.naming.address(offset), protocol, port)

    assert expected == Expectation(
        STATES[truth.states[row]],
        REASONS[truth.reasons[row]],
        truth.naming.responder(RESPONDERS[truth.responders[row]], offset),
        bool(truth.certain[row]),
        truth.naming.macs(HARDWARE[truth.hardware[row]], offset),
    )


@pytest.mark.parametrize("net", NETS, ids=names)
@pytest.mark.parametrize("protocol", TRANSPORTS)
def test_the_truth_is_of_every_address_once(net, protocol):
    truth = net[1].truth(protocol, 401)
    network = net[1].network
    offsets = list(range(network.num_addresses))
    if network.version == 4 and net[1].net.is_on_link:
        offsets = offsets[1:-1]  # its own and the broadcast address
    assert truth.offsets.tolist() == offsets
    columns = (truth.states, truth.reasons, truth.responders, truth.hardware, truth.certain)
    assert {len(column) for column in columns} == {len(truth)}


@pytest.mark.parametrize(("name", "tcp", "udp"), [("small", 50, 50), ("full", 500, 500), ("demo", 10, 5)])
def test_as_many_are_open_as_the_profile_says(name, tcp, udp):
    for protocol, count in ((Protocol.TCP, tcp), (Protocol.UDP, udp)):
        states = Counter(PLANS[name].truth(protocol, 401).states.tolist())
        assert states[STATES.index(State.OPEN)] == count
        assert len(PLANS[name].open_addresses(protocol)) == count
        assert STATES.index(State.OPEN) not in PLANS[name].truth(protocol, 402).states


@pytest.mark.parametrize("name", ["small", "full"])
def test_every_reason_that_a_kernel_can_give_is_there_from_target_and_router(name):
    plan = PLANS[name]
    seen: dict[Protocol, set[tuple[Reason, bool]]] = {}
    for protocol in TRANSPORTS:
        truth = plan.truth(protocol, 401)
        seen[protocol] = {
            (REASONS[reason], RESPONDERS[role] is Responder.TARGET)
            for reason, role in zip(truth.reasons.tolist(), truth.responders.tolist(), strict=True)
        }
    unreachable = {reason for reason in Reason if reason.endswith(("-unreach", "-prohibited"))}
    unreachable.remove(Reason.ADDR_UNREACH)  # ICMPv6 alone has it
    both_ways = {(reason, itself) for reason in unreachable for itself in (True, False)}
    either = both_ways | {(Reason.TIME_EXCEEDED, False), (Reason.NO_RESPONSE, False)}
    assert seen[Protocol.TCP] == either | {(Reason.SYN_ACK, True), (Reason.RESET, True)}
    assert seen[Protocol.UDP] == either | {(Reason.UDP_RESPONSE, True)}


@pytest.mark.parametrize(
    ("address", "protocol", "state", "reason", "responder"),
    [
        ("10.50.0.0", Protocol.TCP, State.CLOSED, Reason.RESET, "10.50.0.0"),
        ("10.50.0.0", Protocol.UDP, State.CLOSED, Reason.PORT_UNREACH, "10.50.0.0"),
        ("10.50.200.9", Protocol.TCP, State.FILTERED, Reason.NO_RESPONSE, None),
        ("10.50.200.9", Protocol.UDP, State.OPEN_FILTERED, Reason.NO_RESPONSE, None),
        ("10.50.203.9", Protocol.TCP, State.CLOSED, Reason.RESET, "10.50.203.9"),
        ("10.50.203.9", Protocol.UDP, State.OPEN_FILTERED, Reason.NO_RESPONSE, None),
        ("10.50.207.9", Protocol.UDP, State.CLOSED, Reason.PORT_UNREACH, "10.50.207.9"),
        ("10.50.207.9", Protocol.TCP, State.FILTERED, Reason.PORT_UNREACH, "10.50.207.9"),
        ("10.50.215.9", Protocol.UDP, State.FILTERED, Reason.PORT_UNREACH, "10.49.0.2"),
        ("10.50.219.9", Protocol.TCP, State.FILTERED, Reason.TIME_EXCEEDED, "10.49.0.2"),
        ("10.50.222.9", Protocol.TCP, State.CLOSED, Reason.RESET, "10.50.222.9"),
        ("10.50.4.1", Protocol.TCP, State.OPEN, Reason.SYN_ACK, "10.50.4.1"),
        ("10.50.4.1", Protocol.UDP, State.CLOSED, Reason.PORT_UNREACH, "10.50.4.1"),
        ("10.49.0.10", Protocol.UDP, State.OPEN, Reason.UDP_RESPONSE, "10.49.0.10"),
        ("10.49.0.19", Protocol.TCP, State.CLOSED, Reason.RESET, "10.49.0.19"),
        ("10.49.0.20", Protocol.TCP, State.DOWN, Reason.NO_ARP_RESPONSE, None),
    ],
)  # fmt: skip
def test_what_the_demo_expects(address, protocol, state, reason, responder):
    expected = PLANS["demo"].expected(address, protocol, 401)
    certain = address != "10.50.222.9"
    assert dataclasses.replace(expected, macs=()) == Expectation(state, reason, responder, certain)


@pytest.mark.parametrize(
    ("address", "protocol", "state", "reason", "responder"),
    [
        ("fd00:50::c05", Protocol.UDP, State.OPEN_FILTERED, Reason.NO_RESPONSE, None),
        ("fd00:50::c50", Protocol.TCP, State.FILTERED, Reason.BEYOND_SCOPE, "fd00:50::c50"),
        ("fd00:50::cd0", Protocol.UDP, State.FILTERED, Reason.BEYOND_SCOPE, "fd00:49::2"),
        ("fd00:50::c70", Protocol.UDP, State.CLOSED, Reason.PORT_UNREACH, "fd00:50::c70"),
        ("fd00:50::cf0", Protocol.UDP, State.FILTERED, Reason.PORT_UNREACH, "fd00:49::2"),
        ("fd00:50::d30", Protocol.TCP, State.FILTERED, Reason.TIME_EXCEEDED, "fd00:49::2"),
        ("fd00:49::1", Protocol.TCP, State.CLOSED, Reason.RESET, "fd00:49::1"),
        ("fd00:49::a", Protocol.TCP, State.OPEN, Reason.SYN_ACK, "fd00:49::a"),
        ("fd00:49::28", Protocol.TCP, State.FILTERED, Reason.NO_RESPONSE, None),
        ("fd00:49::ff", Protocol.TCP, State.DOWN, Reason.NO_ND_RESPONSE, None),
        ("fe80::3%gpv0", Protocol.UDP, State.OPEN, Reason.UDP_RESPONSE, "fe80::3%gpv0"),
        ("fe80::2", Protocol.TCP, State.CLOSED, Reason.RESET, "fe80::2%gpv0"),
    ],
)
def test_what_every_lab_with_a_router_expects_over_ipv6(address, protocol, state, reason, responder):
    for name in ("small", "full", "demo", "lan"):
        expected = PLANS[name].expected(address, protocol, 401)
        assert (expected.state, expected.reason, expected.responder) == (state, reason, responder)


@pytest.mark.parametrize("protocol", TRANSPORTS)
def test_every_icmpv6_code_is_there_from_target_and_router(protocol):
    codes = {
        Reason.NO_ROUTE, Reason.ADMIN_PROHIBITED, Reason.BEYOND_SCOPE, Reason.ADDR_UNREACH,
        Reason.PORT_UNREACH, Reason.POLICY, Reason.REJECT_ROUTE, Reason.PROTO_UNREACH,
    }  # fmt: skip
    for prefix, roles in (("fd00:50::/116", Responder), ("fd00:49::/120", [Responder.TARGET])):
        truth = PLANS["small"].truth(protocol, 401, prefix)
        columns = zip(truth.reasons.tolist(), truth.responders.tolist(), strict=True)
        seen = {(REASONS[reason], RESPONDERS[role]) for reason, role in columns}
        assert seen >= {(reason, role) for reason in codes for role in roles}


def test_the_sizes_of_the_networks_are_as_they_are_told():
    sizes = {str(net.network): len(net.truth(Protocol.TCP, 401)) for net in PLANS["small"].nets}
    assert sizes == {
        "10.50.0.0/22": 1024, "10.49.0.0/24": 254,
        "fd00:50::/116": 4096, "fd00:49::/120": 256, "fe80::/124": 16,
    }  # fmt: skip


def test_of_the_large_segment_30_000_answer_for_their_hardware_and_300_are_open():
    records = list(PLANS["lan"].truth(Protocol.TCP, 401).records())
    assert len(records) == 65_534
    assert sum(bool(record["macs"]) for record in records) == 30_000
    states = Counter(record["state"] for record in records)
    # The prober itself is closed, and nobody asks for its hardware.
    assert states == {"down": 35_533, "closed": 29_693, "open": 300, "filtered": 8}


def test_hosts_have_hardware_of_their_own_the_router_s_or_two_of_it():
    expected = PLANS["lan"].expected
    router = "02:00:0a:34:00:02"
    assert expected("10.52.0.8", Protocol.TCP, 401).macs == ("02:00:0a:34:00:08",)
    assert expected("10.52.0.4", Protocol.TCP, 401).macs == ("02:00:0a:34:00:04", TWIN_MAC)
    assert expected("10.52.0.2", Protocol.TCP, 401).macs == (router,)
    assert expected("10.52.0.64", Protocol.TCP, 401).macs == (router,)
    assert expected("10.52.0.1", Protocol.TCP, 401).macs == ()
    assert expected("10.52.0.3", Protocol.TCP, 401).macs == ()
    assert expected("fd00:49::10", Protocol.TCP, 401).macs == (router,)
    assert expected("fd00:50::1", Protocol.TCP, 401).macs == ()


def test_every_kind_of_way_has_networks_of_both_versions():
    ways = PLANS["links"].profile.ways
    assert {way.kind for way in ways} == set(Kind)
    for way in ways:
        assert {net.version for net in way.nets} == {4, 6}
    nets = PLANS["links"].nets
    assert {net.network.version for net in nets if net.net.also_by} == {4, 6}
    assert {net.network.version for net in nets if net.net.table} == {4, 6}
    hardware = {span.behaviour.hardware for net in nets for span in net.spans}
    assert {Hardware.ROUTER, Hardware.TWO} <= hardware


def test_what_the_prober_s_own_table_refuses_has_no_route():
    expected = PLANS["links"].expected("fd00:58:1::7", Protocol.UDP, 401)
    assert expected == Expectation(State.DOWN, Reason.NO_ROUTE, None, certain=True)


def test_listeners_are_where_their_networks_are():
    plan = PLANS["links"]
    listening = {side: {address for address, _ in plan.listening(Protocol.TCP, side)} for side in Side}
    assert {"127.4.1.3", "::1", "10.59.0.3", "fd00:59::3"} == listening[Side.PROBER]
    assert "fe80::3%gpv1" in listening[Side.TARGET]
    assert "10.48.0.3" in listening[Side.OTHER]
    assert not listening[Side.TARGET] & listening[Side.PROBER]
    both = listening[Side.TARGET] & listening[Side.OTHER]
    assert {address.rpartition(".")[0] for address in both if "." in address} == {"10.62.0"}


def test_the_truth_on_link_is_of_all_hosts():
    truth = PLANS["small"].truth(Protocol.TCP, 401, "10.49.0.0/24")
    addresses = {record["ip"]: record["state"] for record in truth.records()}
    assert len(addresses) == 254
    assert Counter(addresses.values()) == {"down": 242, "closed": 11, "open": 1}


@pytest.mark.parametrize("address", ["10.49.0.0", "10.49.0.255", "10.51.0.0", "10.50.4.0", "::1", "x", -1])
def test_what_is_no_target_has_no_truth(address):
    with pytest.raises(UsageError):
        PLANS["small"].expected(address, Protocol.TCP, 401)


def test_a_profile_can_be_written_and_read_back():
    for profile in PROFILES.values():
        assert msgspec.json.decode(msgspec.json.encode(profile), type=Profile) == profile


def test_the_open_addresses_are_the_same_every_time_and_the_seed_chooses_them():
    assert Plan(FULL).open_addresses(Protocol.TCP) == PLANS["full"].open_addresses(Protocol.TCP)
    other = Plan(dataclasses.replace(FULL, seed=1))
    assert other.open_addresses(Protocol.TCP) != PLANS["full"].open_addresses(Protocol.TCP)
    # Recorded once: captures and their expectations may rest on it.
    assert str(IPv4Address(PLANS["small"].open_addresses(Protocol.TCP)[0])) == "10.50.0.9"


def test_open_addresses_are_in_no_place():
    for plan in PLANS.values():
        places = [ip_network(p.prefix) for p in plan.profile.places if p.behaviour != CLOSED]
        for protocol in TRANSPORTS:
            for address in plan.open_addresses(protocol):
                assert not any(ip_address(address) in place for place in places)


def test_upsd_listens_for_itself_and_the_on_link_host_on_every_port():
    plan = Plan(dataclasses.replace(TINY, ups="10.50.0.1", ports=(401, 402)))
    listening = plan.listening(Protocol.TCP)
    assert len(listening) == (1 + 2) * 2
    assert listening[-2:] == (("10.49.0.10", 401), ("10.49.0.10", 402))
    assert "10.50.0.1" not in {address for address, _ in listening}
    assert plan.expected("10.50.0.1", Protocol.TCP, 402).state is State.OPEN


def test_a_network_is_asked_for_by_its_prefix():
    with pytest.raises(UsageError, match=r"10.50.0.0/30 is no network of the lab; those are 10.50.0.0/22, "):
        PLANS["small"].truth(Protocol.TCP, 401, "10.50.0.0/30")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"prefix": "10.50.0.0/33"}, "'10.50.0.0/33' in a lab profile is not a network"),
        ({"prefix": "10.50.0.1/28"}, "has host bits set"),
        ({"prefix": "10.48.0.0/14", "places": ()}, "networks 10.48.0.0/14 and 10.49.0.0/24 overlap"),
        ({"prefix": "10.0.0.0/8", "places": ()}, "10.0.0.0/8 has more than 1048576 addresses"),
        ({"places": (Place("10.50.1.0/30", CLOSED),)}, "10.50.1.0/30 is not within 10.50.0.0/28"),
        ({"places": (Place("fd00::/126", CLOSED),)}, "fd00::/126 is not within 10.50.0.0/28"),
        (
            {"places": (Place("10.50.0.0/30", SILENT), Place("10.50.0.3/32", CLOSED))},
            "silent and closed overlap",
        ),
        ({"open_tcp": 13}, "has 12 free addresses"),
        ({"router": "x"}, "'x' is not an IP address"),
        ({"router": "10.51.0.1"}, "10.51.0.1 is not within 10.50.0.0/28"),
        ({"prefix": "fd00::/120", "places": ()}, "gpv0 has no IPv6 gateway to fd00::/120"),
        ({"also_by": "gpv9"}, "10.50.0.0/28 is also by gpv9, which is no way of it"),
        (
            {"also_by": "gpv0", "places": (Place("10.50.0.4/30", TIME_EXCEEDED),)},
            "router-time-exceeded in 10.50.0.0/28: which router answers is not certain",
        ),
    ],
)
def test_a_network_that_contradicts_itself_is_refused(change, complaint):
    with pytest.raises(UsageError) as error:
        Plan(TINY.with_network(**change))
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"ups": "10.50.0.5"}, "must be an address of 10.50.0.0/28 in no place"),
        ({"ups": "10.51.0.5"}, "must be an address of 10.50.0.0/28 in no place"),
        ({"ports": (0,)}, "port 0 does not exist"),
    ],
)
def test_a_profile_that_contradicts_itself_is_refused(change, complaint):
    with pytest.raises(UsageError, match=complaint):
        Plan(dataclasses.replace(TINY, **change))


def test_profiles_are_found_by_name():
    assert profile_named("small") is SMALL
    with pytest.raises(UsageError, match="choose one of small, full, demo, lan, links"):
        profile_named("large")
