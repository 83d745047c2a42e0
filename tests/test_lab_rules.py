"""What the kernel is told: ip commands and nftables rules, as text."""

from __future__ import annotations

import pytest

from scanner.lab import Place, Profile
from scanner.lab.behaviours import CLOSED, SILENT, TIME_EXCEEDED, Route, lossy, rate_limited, routed_nowhere
from scanner.lab.profiles import FULL
from scanner.lab.ruleset import behaviour_rules, loss_rules
from scanner.lab.topology import prober_commands, target_commands
from scanner.model import Reason


def profile(*places: Place) -> Profile:
    return Profile("some", "10.50.0.0/24", places, open_tcp=0, open_udp=0)


def test_a_behaviour_in_two_places_has_one_chain():
    rules = behaviour_rules(profile(Place("10.50.0.0/30", SILENT), Place("10.50.0.8/30", SILENT)))
    assert rules == (
        "table ip behaviours {\n"
        "  chain input-silent { drop; }\n"
        "  chain input { type filter hook input priority filter; "
        "ip daddr vmap { 10.50.0.0/30 : goto input-silent, 10.50.0.8/30 : goto input-silent }; }\n"
        "}\n"
    )


def test_what_leaves_is_matched_by_its_source():
    rules = behaviour_rules(profile(Place("10.50.0.0/30", lossy(12.5))))
    assert rules.count("numgen random mod 10000 < 1250 drop;") == 2
    assert "ip daddr vmap { 10.50.0.0/30 : goto input-lossy }" in rules
    assert "ip saddr vmap { 10.50.0.0/30 : goto output-lossy }" in rules


def test_the_time_to_live_is_set_before_the_kernel_routes():
    rules = behaviour_rules(profile(Place("10.50.0.0/30", TIME_EXCEEDED)))
    assert "chain prerouting-router-time-exceeded { ip ttl set 1; }" in rules
    assert "hook prerouting priority mangle" in rules


def test_limits_are_in_the_rule():
    rules = behaviour_rules(profile(Place("10.50.0.0/30", rate_limited(7, 3))))
    assert "limit rate over 7/second burst 3 packets drop" in rules


def test_a_lab_of_plain_hosts_has_no_rules():
    assert behaviour_rules(profile(Place("10.50.0.0/30", CLOSED))) == "table ip behaviours {\n}\n"


def test_nothing_asks_for_connection_tracking():
    words = behaviour_rules(FULL).split()
    assert not {"ct", "nat", "masquerade", "snat", "dnat"} & set(words)


def test_loss_is_on_the_cable_in_both_directions_and_replaces_what_was():
    rules = loss_rules(10)
    assert rules.startswith("table ip loss\ndelete table ip loss\n")
    assert "hook prerouting priority raw; iifname gpv1 numgen random mod 10000 < 1000 drop" in rules
    assert "hook postrouting priority raw; oifname gpv1 numgen random mod 10000 < 1000 drop" in rules
    assert "drop" not in loss_rules(0)


def test_no_one_gets_a_default_route():
    for commands in (prober_commands(FULL), target_commands(FULL)):
        routes = [line for line in commands if line.startswith("route")]
        assert routes
        assert all(" 10.50." in line for line in routes)


@pytest.mark.parametrize("route", [Route.UNREACHABLE, Route.PROHIBIT, Route.THROW, Route.BLACKHOLE])
def test_refusing_routes_stand_beside_the_network_s_own(route):
    behaviour = routed_nowhere("nowhere", route, Reason.HOST_UNREACH)
    commands = target_commands(profile(Place("10.50.0.1/32", behaviour)))
    assert commands[-2:] == (
        "route add local 10.50.0.0/24 dev lo",
        f"route add {route} 10.50.0.1/32 table local",
    )


def test_forwarded_prefixes_go_back_where_they_came_from():
    commands = target_commands(profile(Place("10.50.0.0/30", TIME_EXCEEDED)))
    assert commands[-1] == "route add 10.50.0.0/30 via 10.49.0.1 dev gpv1 table local"
