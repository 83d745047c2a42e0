"""What counts as a way out of a lab, judged from what ip(8) shows."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from scanner.lab.isolation import way_out

LO = {"ifname": "lo", "flags": ["LOOPBACK", "UP"]}
OURS = {"ifname": "gpv0", "flags": ["BROADCAST", "UP"]}
ON_LINK = {"dst": "10.49.0.0/24", "dev": "gpv0"}
NETWORK = {"dst": "10.50.0.0/16", "gateway": "10.49.0.2", "dev": "gpv0"}
LOOPBACK = {"type": "local", "dst": "127.0.0.0/8", "dev": "lo"}


def judge(links: list[dict[str, object]], routes: list[dict[str, object]]) -> str | None:
    networks = (IPv4Network("10.49.0.0/24"), IPv4Network("10.50.0.0/16"))
    return way_out([LO, OURS, *links], [ON_LINK, NETWORK, LOOPBACK, *routes],
                   interfaces=("lo", "gpv0"), networks=networks)  # fmt: skip


@pytest.mark.parametrize(
    ("links", "routes"),
    [
        ([], []),
        ([{"ifname": "sit0", "flags": ["NOARP"]}], []),
        ([], [{"type": "blackhole", "dst": "default"}]),
        ([], [{"dst": "10.50.7.0/24", "dev": "gpv0"}, {"dst": "10.50.7.7", "dev": "gpv0"}]),
        ([], [{"dst": "fe80::/64", "dev": "gpv0"}, {"dst": "::1", "dev": "lo"}]),
    ],
)
def test_a_closed_lab(links, routes):
    assert judge(links, routes) is None


@pytest.mark.parametrize(
    ("links", "routes", "found"),
    [
        ([{"ifname": "eth0", "flags": ["UP"]}], [], "the interface eth0 is up"),
        ([], [{"dst": "default", "dev": "gpv0"}], "a route to default by gpv0"),
        ([], [{"dst": "0.0.0.0/1", "dev": "gpv0"}], "a route to 0.0.0.0/1 by gpv0"),
        ([], [{"dst": "10.0.0.0/8", "dev": "gpv0", "table": "7"}], "a route to 10.0.0.0/8"),
        ([], [{"dst": "192.0.2.1", "nexthops": []}], "a route to 192.0.2.1 by several ways"),
        ([], [{"dst": "2000::/3", "dev": "gpv0"}], "a route to 2000::/3"),
    ],
)
def test_a_way_out(links, routes, found):
    assert found in (judge(links, routes) or "")
