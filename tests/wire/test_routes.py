"""What `ip` of iproute2 6.1 printed in a scratch namespace, shortened where nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, ip_address
from itertools import pairwise

import pytest

from scanner.contracts import Hop
from scanner.model import UsageError
from scanner.wire.prefixes import Range
from scanner.wire.routes import group_pieces, plan_routes, refuse_link_local

LINKS = """[{"ifindex":1,"ifname":"lo","flags":["LOOPBACK","UP","LOWER_UP"],"mtu":65536,
"link_type":"loopback","address":"00:00:00:00:00:00","broadcast":"00:00:00:00:00:00"},{"ifindex":2,"link":"e0","ifname":"e1",
"flags":["BROADCAST","MULTICAST","UP","LOWER_UP"],"mtu":1500,"link_type":"ether",
"address":"0e:76:11:18:96:dd","broadcast":"ff:ff:ff:ff:ff:ff"},{"ifindex":3,"link":"e1","ifname":"e0",
"flags":["BROADCAST","MULTICAST","UP","LOWER_UP"],"mtu":1500,"link_type":"ether",
"address":"c2:f2:78:e4:fa:3f","broadcast":"ff:ff:ff:ff:ff:ff"},{"ifindex":4,"ifname":"tun7",
"flags":["POINTOPOINT","MULTICAST","NOARP","UP"],"mtu":1400,"link_type":"none"}]"""

ROUTES = """[{"dst":"10.12.0.0/16","gateway":"10.1.0.7","dev":"e0","table":"77","flags":[]},
{"dst":"10.1.0.0/24","dev":"e0","protocol":"kernel","scope":"link","prefsrc":"10.1.0.1","flags":[]},
{"dst":"10.2.0.0/31","dev":"e1","protocol":"kernel","scope":"link","prefsrc":"10.2.0.1","flags":[]},
{"dst":"10.3.0.2","dev":"e0","protocol":"kernel","scope":"link","prefsrc":"10.3.0.1","flags":[]},
{"dst":"10.5.0.0/16","gateway":"10.1.0.9","dev":"e0","flags":[]},
{"type":"blackhole","dst":"10.6.0.0/16","flags":[]},{"type":"unreachable","dst":"10.7.0.0/16","flags":[]},
{"dst":"10.10.0.0/16","flags":[],"nexthops":[{"gateway":"10.1.0.8","dev":"e0","weight":1,"flags":[]},
{"gateway":"10.1.0.9","dev":"e0","weight":1,"flags":[]}]},
{"type":"local","dst":"10.1.0.1","dev":"e0","table":"local","protocol":"kernel","scope":"host",
"prefsrc":"10.1.0.1","flags":[]},{"type":"broadcast","dst":"10.1.0.255","dev":"e0","table":"local",
"protocol":"kernel","scope":"link","prefsrc":"10.1.0.1","flags":[]},
{"type":"local","dst":"127.0.0.0/8","dev":"lo","table":"local","protocol":"kernel","scope":"host",
"prefsrc":"127.0.0.1","flags":[]}]"""

RULES = """[{"priority":0,"src":"all","table":"local"},
{"priority":32765,"src":"all","dst":"10.12.3.0","dstlen":24,"table":"77"},
{"priority":32766,"src":"all","table":"main"},{"priority":32767,"src":"all","table":"default"}]"""

ANSWERS = {
    "10.1.0.0": '[{"dst":"10.1.0.0","dev":"e0","prefsrc":"10.1.0.1","flags":[],"uid":0,"cache":[]}]',
    "10.1.0.1": '[{"type":"local","dst":"10.1.0.1","dev":"lo","table":"local","prefsrc":"10.1.0.1",'
    '"flags":[],"uid":0,"cache":["local"]}]',
    "10.1.0.2": '[{"dst":"10.1.0.2","dev":"e0","prefsrc":"10.1.0.1","flags":[],"uid":0,"cache":[]}]',
    "10.1.0.255": '[{"type":"broadcast","dst":"10.1.0.255","dev":"e0","table":"local",'
    '"prefsrc":"10.1.0.1","flags":[],"uid":0,"cache":["local","brd"]}]',
    "10.5.0.0": '[{"dst":"10.5.0.0","gateway":"10.1.0.9","dev":"e0","prefsrc":"10.1.0.1","flags":[],'
    '"uid":0,"cache":[]}]',
    "10.11.0.0": '[{"dst":"10.11.0.0","via":{"family":"inet6","host":"fe80::1"},"dev":"e0",'
    '"prefsrc":"10.1.0.1","flags":[],"uid":0,"cache":[]}]',
    "10.13.0.0": '[{"dst":"10.13.0.0","gateway":"10.1.0.9","dev":"e0","prefsrc":"10.1.0.1","flags":[],'
    '"uid":0,"cache":[],"metrics":[{"mtu":1200}]}]',
    "10.20.0.0": '[{"dst":"10.20.0.0","dev":"tun7","prefsrc":"10.20.0.1","flags":[],"uid":0,"cache":[]}]',
    "127.0.0.0": '[{"type":"local","dst":"127.0.0.0","dev":"lo","prefsrc":"127.0.0.1","flags":[],"uid":0,'
    '"cache":["local"]}]',
}


class RecordedIp:
    """Answers as the recordings do; an address that is not in them has no route."""

    def __init__(self, answers: dict[str, str] = ANSWERS, fibmatch: dict[str, str] | None = None) -> None:
        self.answers = answers
        self.fibmatch = fibmatch or {}
        self.asked: list[str] = []

    def __call__(self, arguments: Sequence[str], text: str) -> str:
        for name, recorded in (("link", LINKS), ("route", ROUTES), ("rule", RULES)):
            if name in arguments:
                return recorded
        assert list(arguments) == ["-j", "-force", "-batch", "-"]
        self.asked += text.splitlines()
        said = []
        for line in text.splitlines():
            words = line.split()
            known, address = (self.fibmatch, words[3]) if "fibmatch" in words else (self.answers, words[2])
            if address in known:
                said.append(known[address])
        return "\n".join(said)


def number(text: str) -> int:
    return int(IPv4Address(text))


def span(text: str) -> Range:
    network = IPv4Network(text)
    return int(network[0]), int(network[-1])


E0 = bytes.fromhex("c2f278e4fa3f")


def hop(**changes: object) -> Hop:
    plain = {
        "interface": "e0",
        "source": number("10.1.0.1"),
        "gateway": None,
        "on_link": True,
        "loopback": False,
        "mac": E0,
        "mtu": 1500,
    }
    return Hop(**(plain | changes))  # type: ignore[arg-type]


def test_targets_are_grouped_by_how_they_are_reached() -> None:
    groups = dict(plan_routes([span("10.1.0.0/24"), span("10.5.0.0/16")], 4, run=RecordedIp()))
    lo = hop(interface="lo", on_link=False, loopback=True, mac=None, mtu=65536)
    router = hop(gateway=number("10.1.0.9"), on_link=False)
    assert groups == {
        hop(): [
            (number("10.1.0.0"), number("10.1.0.0")),
            (number("10.1.0.2"), number("10.1.0.254")),
        ],
        lo: [(number("10.1.0.1"), number("10.1.0.1"))],
        None: [(number("10.1.0.255"), number("10.1.0.255"))],
        router: [span("10.5.0.0/16")],
    }


def test_each_piece_is_asked_for_once() -> None:
    run = RecordedIp()
    plan_routes([span("10.5.0.0/16"), span("10.5.0.0/17")], 4, run=run)
    assert run.asked == ["route get 10.5.0.0"]


def test_what_no_route_leads_to_is_grouped_as_none() -> None:
    targets = [span("10.6.0.0/16"), span("10.99.0.0/24"), span("224.0.0.0/24")]
    assert plan_routes(targets, 4, run=RecordedIp()) == [(None, targets)]


def test_pieces_of_one_hop_are_joined_again() -> None:
    answers = {**ANSWERS, "10.4.255.0": ANSWERS["10.5.0.0"].replace("10.5.0.0", "10.4.255.0")}
    across = (number("10.4.255.0"), number("10.5.0.9"))
    assert [ranges for _, ranges in plan_routes([across], 4, run=RecordedIp(answers))] == [[across]]


def test_an_ipv4_route_by_an_ipv6_router_is_none() -> None:
    assert plan_routes([span("10.11.0.0/24")], 4, run=RecordedIp())[0][0] is None


def test_with_a_source_named_packets_leave_from_it() -> None:
    answer = {"dst": "10.5.0.1", "from": "127.0.0.9", "gateway": "10.1.0.9", "dev": "e0"}
    run = RecordedIp({"10.5.0.0": json.dumps([answer | {"dst": "10.5.0.0"}])})
    [(found, _)] = plan_routes([span("10.5.0.0/24")], 4, source=number("127.0.0.9"), run=run)
    assert found == hop(source=number("127.0.0.9"), gateway=number("10.1.0.9"), on_link=False)
    assert run.asked == ["route get 10.5.0.0 from 127.0.0.9"]


def test_on_a_named_interface_only_what_its_routes_lead_to_is_on_link() -> None:
    def guess(address: str) -> str:
        return json.dumps([{"dst": address, "dev": "e0", "prefsrc": "10.1.0.1"}])

    answers = {address: guess(address) for address in ("10.1.0.2", "99.0.0.0")}
    matches = {
        "10.1.0.2": '[{"dst":"10.1.0.0/24","dev":"e0","scope":"link","prefsrc":"10.1.0.1","flags":[]}]'
    }
    run = RecordedIp(answers, fibmatch=matches)
    near = (number("10.1.0.2"), number("10.1.0.9"))
    far = span("99.0.0.0/24")
    assert plan_routes([near, far], 4, interface="e0", run=run) == [(hop(), [near]), (None, [far])]


def test_a_tunnel_that_is_named_needs_no_route() -> None:
    answer = '[{"dst":"99.0.0.0","dev":"tun7","prefsrc":"10.20.0.1"}]'
    run = RecordedIp({"99.0.0.0": answer})
    [(found, _)] = plan_routes([span("99.0.0.0/24")], 4, interface="tun7", run=run)
    assert found is not None
    assert found.interface == "tun7"


def test_an_unknown_interface_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"no interface 'eth9'; there are: e0, e1, lo, tun7"):
        plan_routes([span("10.5.0.0/16")], 4, interface="eth9", run=RecordedIp())


@pytest.mark.parametrize("source", ["10.1.0.2", "8.8.8.8"])
def test_a_source_that_is_not_ours_is_refused_with_those_that_are(source: str) -> None:
    with pytest.raises(
        UsageError, match=rf"{source} is not an address of this machine; it has: 10\.1\.0\.1, 127"
    ):
        plan_routes([span("10.5.0.0/16")], 4, source=number(source), run=RecordedIp())


def test_an_interface_without_an_address_is_refused() -> None:
    answers = {"10.5.0.0": '[{"dst":"10.5.0.0","dev":"e1","flags":[]}]'}
    with pytest.raises(UsageError, match="e1 has no IPv4 address"):
        plan_routes([span("10.5.0.0/16")], 4, run=RecordedIp(answers))


def test_pieces_of_several_ways_are_dealt_out_and_joined_with_their_neighbours() -> None:
    first, second = hop(gateway=1, on_link=False), hop(gateway=2, on_link=False)
    ways = {0: ((first, 1.0),), 100: ((first, 1.0), (second, 1.0)), 200: ((second, 1.0),)}
    groups = dict(group_pieces([(0, 99), (100, 199), (200, 299), (300, 309)], ways))
    assert set(groups) == {first, second, None}
    assert groups[None] == [(300, 309)]
    counted = {key: sum(end - start + 1 for start, end in ranges) for key, ranges in groups.items()}
    assert counted[first] + counted[second] == 300
    assert counted[first] == pytest.approx(150, abs=3)
    for ranges in groups.values():
        assert all(before[1] + 1 < after[0] for before, after in pairwise(ranges))


def test_all_pieces_of_one_route_have_256_blocks_together() -> None:
    both = ((hop(gateway=1), 1.0), (hop(gateway=2), 1.0))
    pieces = [(start, start + 2**16 - 1) for start in range(0, 2**24, 2**16)]
    groups = group_pieces(pieces, {first: both for first, _ in pieces})
    assert sum(len(ranges) for _, ranges in groups) <= 256


@pytest.mark.parametrize(
    ("first", "last", "named"),
    [
        ("fe80::5", "fe80::9", "fe80::5"),
        ("fd00::", "ff00::", "fe80::"),
        ("febf:ffff::", "febf:ffff::", "febf:ffff::"),
    ],
)
def test_link_local_targets_want_an_interface(first: str, last: str, named: str) -> None:
    with pytest.raises(UsageError, match=f"^{named} is link-local: name the interface, as in {named}%eth0$"):
        refuse_link_local([(int(ip_address(first)), int(ip_address(last)))])


def test_other_targets_do_not() -> None:
    refuse_link_local(
        [(1, 1), (int(ip_address("fd00::")), int(ip_address("fe7f::"))), (0xFF02 << 112, 0xFF02 << 112)]
    )
