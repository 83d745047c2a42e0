"""The lab's plan: a function of its profile, the same asked by address and asked for all."""

from __future__ import annotations

import dataclasses
from collections import Counter
from ipaddress import IPv4Address, IPv4Network

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.lab import PROFILES, STATES, Expectation, Place, Plan, Profile
from scanner.lab.behaviours import CLOSED, SILENT
from scanner.lab.profiles import FULL, SMALL, profile_named
from scanner.model import REASONS, Protocol, Reason, State, UsageError

PLANS = {name: Plan(profile) for name, profile in PROFILES.items()}

plans = st.sampled_from(list(PLANS.values()))
protocols = st.sampled_from(list(Protocol))
ports = st.sampled_from([401, 402])

TINY = Profile("tiny", "10.50.0.0/28", (Place("10.50.0.4/30", SILENT),), open_tcp=2, open_udp=1)


@given(plan=plans, protocol=protocols, port=ports, index=st.integers(0, 2**16 - 1))
def test_the_columns_say_what_each_address_is_expected_to(plan, protocol, port, index):
    truth = plan.truth(protocol, port)
    row = index % len(truth)

    expected = plan.expected(int(truth.addresses[row]), protocol, port)

    responder = int(truth.responders[row])
    assert expected == Expectation(
        STATES[truth.states[row]],
        REASONS[truth.reasons[row]],
        str(IPv4Address(responder)) if responder else None,
        bool(truth.certain[row]),
    )


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("protocol", list(Protocol))
def test_the_truth_is_of_every_address_once(name, protocol):
    truth = PLANS[name].truth(protocol, 401)
    network = IPv4Network(PROFILES[name].network)
    assert truth.addresses.tolist() == list(range(int(network[0]), int(network[-1]) + 1))
    columns = (truth.states, truth.reasons, truth.responders, truth.certain)
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
    for protocol in Protocol:
        truth = plan.truth(protocol, 401)
        by_itself = truth.responders == truth.addresses
        seen[protocol] = {
            (REASONS[reason], itself)
            for reason, itself in zip(truth.reasons.tolist(), by_itself.tolist(), strict=True)
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
    certain = address != "10.50.222.9"
    assert PLANS["demo"].expected(address, protocol, 401) == Expectation(state, reason, responder, certain)


def test_the_truth_on_link_is_of_all_hosts_but_the_prober():
    truth = PLANS["small"].truth_on_link(Protocol.TCP, 401)
    addresses = {record["ip"]: record["state"] for record in truth.records()}
    assert len(addresses) == 253
    assert "10.49.0.1" not in addresses
    assert Counter(addresses.values()) == {"down": 242, "closed": 10, "open": 1}


@pytest.mark.parametrize(
    "address", ["10.49.0.1", "10.49.0.0", "10.49.0.255", "10.51.0.0", "10.50.4.0", "::1", "x", -1]
)
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
        places = [IPv4Network(place.prefix) for place in plan.profile.places]
        for protocol in Protocol:
            for address in plan.open_addresses(protocol):
                assert not any(IPv4Address(address) in place for place in places)


def test_upsd_listens_for_itself_and_the_on_link_host_on_every_port():
    plan = Plan(dataclasses.replace(TINY, ups="10.50.0.1", ports=(401, 402)))
    listening = plan.listening(Protocol.TCP)
    assert len(listening) == (1 + 2) * 2
    assert listening[:2] == (("10.49.0.10", 401), ("10.49.0.10", 402))
    assert "10.50.0.1" not in {address for address, _ in listening}
    assert plan.expected("10.50.0.1", Protocol.TCP, 402).state is State.OPEN


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"network": "10.50.0.0/33"}, "'10.50.0.0/33' in a lab profile is not an IPv4 network"),
        ({"network": "10.50.0.1/28"}, "has host bits set"),
        ({"network": "10.48.0.0/14"}, "overlaps the cable's 10.49.0.0/24"),
        ({"places": (Place("10.50.1.0/30", CLOSED),)}, "10.50.1.0/30 is not within 10.50.0.0/28"),
        (
            {"places": (Place("10.50.0.0/30", SILENT), Place("10.50.0.3/32", CLOSED))},
            "silent and closed overlap",
        ),
        ({"open_tcp": 13}, "has 12 free addresses"),
        ({"ups": "10.50.0.5"}, "must be an address of 10.50.0.0/28 in no place"),
        ({"ups": "10.51.0.5"}, "must be an address of 10.50.0.0/28 in no place"),
        ({"ports": (0,)}, "port 0 does not exist"),
    ],
)
def test_a_profile_that_contradicts_itself_is_refused(change, complaint):
    with pytest.raises(UsageError) as error:
        Plan(dataclasses.replace(TINY, **change))
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)


def test_profiles_are_found_by_name():
    assert profile_named("small") is SMALL
    with pytest.raises(UsageError, match="choose one of small, full, demo"):
        profile_named("large")
