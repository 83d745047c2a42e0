"""What the kernel is told: ip commands and nftables rules, as text."""

from __future__ import annotations

import pytest

from scanner.lab import PROFILES, Kind, Net, Place, Plan, Profile, Side, Way
from scanner.lab.behaviours import (
    CLOSED,
    DUPLICATE,
    PROXIED,
    SILENT,
    TIME_EXCEEDED,
    TIME_EXCEEDED6,
    Route,
    lossy,
    rate_limited,
    refused_by_router,
    routed_nowhere,
)
from scanner.lab.profiles import ON_LINK
from scanner.lab.routing import prober_commands, router_commands, rule_commands
from scanner.lab.ruleset import behaviour_rules, loss_rules
from scanner.lab.topology import cable_commands, device_commands, device_sysctls, interfaces, sysctls
from scanner.model import Reason

ON_LINK6 = Net(prefix="fd00:49::/120", prober="fd00:49::1", router="fd00:49::2")
LINKS = Plan(PROFILES["links"])
NAMES = {side: f"gp-x-{side}" for side in Side}
NOTHING = "table ip behaviours {\n}\ntable ip6 behaviours {\n}\n"


def lab(*nets: Net) -> Plan:
    way = Way(device="gpv0", far_device="gpv1", nets=nets)
    return Plan(Profile(name="some", ways=(way,)))


def behind(*places: Place) -> Plan:
    return lab(Net(prefix="10.50.0.0/24", places=places), ON_LINK)


def behind6(*places: Place) -> Plan:
    return lab(Net(prefix="fd00:50::/125", places=places), ON_LINK6)


def rules(plan: Plan) -> str:
    return behaviour_rules(plan, Side.TARGET)


def commands(plan: Plan) -> list[str]:
    return list(router_commands(plan, Side.TARGET))


def test_a_behaviour_in_two_places_has_one_chain():
    assert rules(behind(Place("10.50.0.0/30", SILENT), Place("10.50.0.8/30", SILENT))) == (
        "table ip behaviours {\n"
        "  chain input-silent { drop; }\n"
        "  chain input { type filter hook input priority filter; "
        "ip daddr vmap { 10.50.0.0/30 : goto input-silent, 10.50.0.8/30 : goto input-silent }; }\n"
        "}\n"
        "table ip6 behaviours {\n}\n"
    )


def test_over_ipv6_neighbour_discovery_is_left_alone():
    text = rules(behind6(Place("fd00:50::/126", SILENT)))
    assert (
        "chain input { type filter hook input priority filter; meta l4proto { tcp, udp } "
        "ip6 daddr vmap { fd00:50::/126 : goto input-silent }; }" in text
    )


def test_what_leaves_is_matched_by_its_source():
    text = rules(behind(Place("10.50.0.0/30", lossy(12.5))))
    assert text.count("numgen random mod 10000 < 1250 drop;") == 2
    assert "ip daddr vmap { 10.50.0.0/30 : goto input-lossy }" in text
    assert "ip saddr vmap { 10.50.0.0/30 : goto output-lossy }" in text
    assert "ip6 saddr vmap { fd00:50::/126 : " in rules(behind6(Place("fd00:50::/126", lossy(1))))


def test_the_time_to_live_is_set_before_the_kernel_routes():
    text = rules(behind(Place("10.50.0.0/30", TIME_EXCEEDED)))
    assert "chain prerouting-router-time-exceeded { ip ttl set 1; }" in text
    assert "hook prerouting priority mangle" in text


def test_limits_are_in_the_rule():
    text = rules(behind(Place("10.50.0.0/30", rate_limited(7, 3))))
    assert "limit rate over 7/second burst 3 packets drop" in text


def test_a_code_that_nftables_cannot_send_is_made_of_another_by_a_mark():
    refused = refused_by_router("router-beyond-scope", "beyond-scope", Reason.BEYOND_SCOPE, "icmpv6")
    text = rules(behind6(Place("fd00:50::/126", refused)))
    assert "{ meta mark set 0x401 reject with icmpv6 type no-route; }" in text
    assert "meta mark 0x401 icmpv6 type destination-unreachable icmpv6 code set 2 icmpv6 type set 1;" in text


def test_a_lab_of_plain_hosts_has_no_rules():
    assert rules(behind(Place("10.50.0.0/30", CLOSED))) == NOTHING


@pytest.mark.parametrize("name", PROFILES)
def test_nothing_asks_for_connection_tracking(name):
    plan = Plan(PROFILES[name])
    words = {word for side in Side for word in behaviour_rules(plan, side).split()}
    assert not {"ct", "nat", "masquerade", "snat", "dnat"} & words


def test_loss_is_on_the_cables_in_both_directions_and_replaces_what_was():
    text = loss_rules(10, ["gpw1", "gpv1"])
    assert text.startswith("table inet loss\ndelete table inet loss\n")
    assert "iifname { gpv1, gpw1 } numgen random mod 10000 < 1000 drop" in text
    assert "oifname { gpv1, gpw1 } numgen random mod 10000 < 1000 drop" in text
    assert text.count("icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept;") == 2
    assert "drop" not in loss_rules(0, ["gpv1"])


def test_frames_have_hardware_addresses_made_of_ipv4_ones_but_where_the_router_answers():
    link = Net(prefix="10.52.0.0/16", prober="10.52.0.1", router="10.52.0.2", own_hardware=True,
               places=(Place("10.52.1.0/24", PROXIED),))  # fmt: skip
    text = rules(lab(link))
    assert (
        "hook ingress device gpv1 priority 0; ether daddr & ff:ff:00:00:00:00 == 02:00:00:00:00:00 " in text
    )
    out = text.partition("hook egress device gpv1 priority 0; ")[2]
    assert out.startswith(
        "ether saddr != 02:00:0a:34:00:02 accept; ip saddr { 10.52.1.0/24 } accept; "
        "arp operation reply arp saddr ip { 10.52.1.0/24 } accept; ip saddr 10.52.0.0/16 "
    )
    assert "netdev" not in rules(behind())


# --- addresses and routes ---------------------------------------------------------------------


@pytest.mark.parametrize("name", PROFILES)
def test_no_one_gets_a_default_route(name):
    plan = Plan(PROFILES[name])
    lines = [*prober_commands(plan), *(line for side in Side for line in router_commands(plan, side))]
    routes = [line for line in lines if line.startswith("route")]
    assert routes
    own = [str(network.network_address).rstrip(":") for network in plan.networks]
    own += [str(span.prefix.network_address) for net in plan.nets for span in net.spans]
    assert [line for line in routes if not any(f" {network}" in line for network in own)] == []


@pytest.mark.parametrize("route", [Route.UNREACHABLE, Route.PROHIBIT, Route.THROW, Route.BLACKHOLE])
def test_refusing_routes_stand_beside_the_network_s_own(route):
    behaviour = routed_nowhere("nowhere", route, Reason.HOST_UNREACH)
    lines = commands(behind(Place("10.50.0.1/32", behaviour)))
    at = lines.index("route add local 10.50.0.0/24 dev lo")
    assert lines[at + 1] == f"route add {route} 10.50.0.1/32 table local"
    assert f"route add {route} fd00:50::4/127" in commands(behind6(Place("fd00:50::4/127", behaviour)))


def test_forwarded_prefixes_go_back_where_they_came_from():
    lines = commands(behind(Place("10.50.0.0/30", TIME_EXCEEDED)))
    assert "route add 10.50.0.0/30 via 10.49.0.1 dev gpv1 table local" in lines


def test_over_ipv6_they_are_passed_on_to_nowhere_so_that_nobody_is_redirected():
    plan = behind6(Place("fd00:50::/126", TIME_EXCEEDED6))
    assert "route add fd00:50::/126 dev gpn0" in commands(plan)
    assert "link add gpn0 type bridge" in device_commands(plan, Side.TARGET, frozenset())
    assert "gpn0" not in " ".join(commands(behind6()))


def test_each_ipv6_host_has_its_address_and_on_a_link_none_is_the_router_s_own():
    lines = commands(behind6(Place("fd00:50::4/126", TIME_EXCEEDED6)))
    assert [line for line in lines if line.startswith("addr")][2:] == [
        f"addr add fd00:50::{last or ''}/128 dev lo nodad noprefixroute" for last in range(4)
    ]
    link = Net(prefix="fd00:49::/120", prober="fd00:49::1", router="fd00:49::2",
               places=(Place("fd00:49::a/128", CLOSED),))  # fmt: skip
    assert "addr add fd00:49::a/128 dev gpv1 nodad noprefixroute preferred_lft 0" in commands(lab(link))


def test_every_router_has_a_link_local_address_to_ask_from():
    for way in LINKS.profile.ways:
        if way.far_device:
            ask = f"addr add fe80::2/64 dev {way.far_device} nodad"
            assert ask in router_commands(LINKS, way.far)


def test_a_second_host_has_duplicates_and_answers_for_them_alone():
    link = Net(prefix="10.49.0.0/24", prober="10.49.0.1", router="10.49.0.2",
               places=(Place("10.49.0.8/31", DUPLICATE),))  # fmt: skip
    plan = lab(link)
    made = list(device_commands(plan, Side.TARGET, frozenset()))
    assert made[-1].startswith("link add link gpv1 name gpv1t address 02:01:00:00:00:01 type macvlan ")
    assert device_sysctls(plan, Side.TARGET)["net/ipv4/conf/gpv1t/arp_ignore"] == "1"
    assert [line for line in commands(plan) if "gpv1t" in line] == [
        "link set gpv1t up",
        "neigh add 10.49.0.1 lladdr 02:00:0a:31:00:01 dev gpv1t nud permanent",
        "addr add 10.49.0.8/32 dev gpv1t",
        "addr add 10.49.0.9/32 dev gpv1t",
    ]


def test_hosts_know_the_prober_s_hardware_so_that_no_full_table_keeps_them_from_answering():
    known = [line for line in router_commands(LINKS, Side.TARGET) if line.startswith("neigh add")]
    assert "neigh add fd00:53::1 lladdr 02:00:0a:35:00:01 dev gpv1.401 nud permanent" in known
    assert not any("gpt1" in line for line in known)


def test_without_ipv6_networks_there_is_no_ipv6_at_all():
    key = "net.ipv6.conf.default.disable_ipv6"
    for side in (Side.PROBER, Side.TARGET):
        assert sysctls(behind(), side)[key] == "1"
        assert key not in sysctls(behind6(), side)


# --- many ways out ----------------------------------------------------------------------------


def test_cables_are_made_once_with_numbers_of_their_own():
    lines = list(cable_commands(LINKS, NAMES))
    assert "link add gpv0 index 401 type veth peer name gpv1 netns gp-x-target" in lines
    assert "link add gpw0 index 402 type veth peer name gpw1 netns gp-x-other" in lines
    assert len(lines) == len({line.split()[4] for line in lines}) == 5


def test_a_kernel_s_own_devices_are_used_where_it_has_them():
    made = list(device_commands(LINKS, Side.PROBER, frozenset()))
    assert "link add link gpv0 name gpv0.401 type vlan id 401" in made
    assert {"link add gpo0 type bond mode balance-rr", "link set gpo0a master gpo0"} <= set(made)
    assert "link add link gpv1 name gpv1.401 type vlan id 401" in device_commands(
        LINKS, Side.TARGET, frozenset()
    )


def test_below_a_device_that_is_played_the_kernel_is_quiet():
    made = list(device_commands(LINKS, Side.TARGET, frozenset({Kind.VLAN, Kind.BOND})))
    assert not any(" vlan " in line or " bond " in line for line in made)
    assert {"link set gpo1a arp off", "link set gpo1b arp off"} <= set(made)
    assert "link set gpv1.401 address 02:00:0a:35:00:02" in made


def test_several_gateways_are_next_hops_of_one_route_and_know_the_way_back():
    assert (
        "route add fd00:62::/122 nexthop via fd00:49::2 dev gpv0 nexthop via fd00:48::2 dev gpw0"
        in prober_commands(LINKS)
    )
    assert "route add 10.48.0.0/28 via 10.49.0.1" in router_commands(LINKS, Side.TARGET)
    assert "route add 10.49.0.0/24 via 10.48.0.1" in router_commands(LINKS, Side.OTHER)


def test_a_rule_leads_to_a_table_that_alone_knows_a_network():
    assert rule_commands(LINKS, 4) == ("rule add to 10.61.0.0/26 lookup 401",)
    assert rule_commands(LINKS, 6) == ("rule add to fd00:61::/122 lookup 401",)
    assert "route add 10.61.0.0/26 via 10.48.0.2 dev gpw0 table 401" in prober_commands(LINKS)


def test_the_prober_s_own_networks_tunnels_and_refusals():
    lines = set(prober_commands(LINKS))
    assert "route add local 10.59.0.0/29 dev lo" in lines
    assert "addr add fd00:59::7/128 dev lo nodad noprefixroute" in lines
    assert not any("127.4.1.0" in line or " ::1" in line for line in lines)
    assert {"route add 10.57.0.0/26 dev gpt0", "route add fd00:57::/122 dev gpt0"} <= lines
    assert {"route add throw 10.58.3.0/29", "route add blackhole fd00:58::/125"} <= lines


def test_of_each_place_it_is_known_which_interfaces_may_be_up():
    assert interfaces(LINKS, Side.PROBER) == {
        "lo", "gpv0", "gpw0", "gpv0.401", "gpb0", "gpb0p", "gpo0", "gpo0a", "gpo0b", "gpt0",
    }  # fmt: skip
    assert {"gpw1", "lo", "gpn0"} <= interfaces(LINKS, Side.OTHER)
    assert "gpv1" not in interfaces(LINKS, Side.OTHER)
