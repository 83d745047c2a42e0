"""What `ip` of iproute2 6.1 printed in scratch namespaces."""

from __future__ import annotations

import json
from ipaddress import ip_address
from typing import Any

import pytest

from scanner.contracts import Hop
from scanner.model import UsageError
from scanner.wire.links import Link
from scanner.wire.route_answers import hop_of, match_questions, parse_answers, parse_matches, questions

MAC = bytes.fromhex("c2f278e4fa3f")
LINKS = {
    "lo": Link("lo", "loopback", None, 65536),
    "d0": Link("d0", "ether", MAC, 1500),
    "tun7": Link("tun7", "none", None, 1400),
}


def number(text: str) -> int:
    return int(ip_address(text))


def hop(source: str, gateway: str | None = None, **changes: Any) -> Hop:
    plain: dict[str, object] = {
        "interface": "d0",
        "source": number(source),
        "gateway": number(gateway) if gateway else None,
        "on_link": gateway is None,
        "loopback": False,
        "mac": MAC,
        "mtu": 1500,
        "version": 6 if ":" in source else 4,
    }
    return Hop(**(plain | changes))  # type: ignore[arg-type]


OURS: dict[str, Any] = {"interface": "lo", "on_link": False, "loopback": True, "mac": None, "mtu": 65536}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            '{"dst":"10.1.0.2","dev":"d0","prefsrc":"10.1.0.1","flags":[],"uid":0,"cache":[]}',
            hop("10.1.0.1"),
        ),
        (
            '{"dst":"10.13.0.0","gateway":"10.1.0.9","dev":"d0","prefsrc":"10.1.0.1","flags":[],"uid":0,'
            '"cache":[],"metrics":[{"mtu":1200}]}',
            hop("10.1.0.1", "10.1.0.9", mtu=1200),
        ),
        (
            '{"dst":"10.5.0.1","from":"10.3.0.1","gateway":"10.1.0.9","dev":"d0","flags":[],"uid":0,"cache":[]}',
            hop("10.3.0.1", "10.1.0.9"),
        ),
        (
            '{"dst":"10.20.0.0","dev":"tun7","prefsrc":"10.20.0.1","flags":[],"uid":0,"cache":[]}',
            hop("10.20.0.1", interface="tun7", mac=None, mtu=1400),
        ),
        (
            '{"type":"local","dst":"127.0.0.0","dev":"lo","prefsrc":"127.0.0.1","flags":[],"uid":0,'
            '"cache":["local"]}',
            hop("127.0.0.1", **OURS),
        ),
        (
            '{"dst":"fd00:1::77","from":"::","dev":"d0","protocol":"kernel","prefsrc":"fd00:1::1",'
            '"metric":256,"flags":[],"pref":"medium"}',
            hop("fd00:1::1"),
        ),
        (
            '{"dst":"fd12::1","from":"::","gateway":"fe80::99","dev":"d0","prefsrc":"fd00:1::1",'
            '"metric":1024,"flags":[],"metrics":[{"mtu":1280}],"pref":"medium"}',
            hop("fd00:1::1", "fe80::99", mtu=1280),
        ),
        (
            '{"dst":"fd12::1","from":"fd00:2::1","gateway":"fe80::99","dev":"d0","prefsrc":"fd00:1::1",'
            '"metric":1024,"flags":[],"pref":"medium"}',
            hop("fd00:2::1", "fe80::99"),
        ),
        (
            '{"type":"local","dst":"::1","from":"::","dev":"lo","table":"local","protocol":"kernel",'
            '"prefsrc":"::1","metric":0,"flags":[],"pref":"medium"}',
            hop("::1", **OURS),
        ),
        (
            '{"type":"anycast","dst":"fd00:1::","from":"::","dev":"lo","table":"local","protocol":"kernel",'
            '"prefsrc":"fd00:1::1","metric":0,"flags":[],"pref":"medium"}',
            hop("fd00:1::1", **OURS),
        ),
        (
            '{"type":"multicast","dst":"ff02::1","from":"::","dev":"d0","table":"local","protocol":"kernel",'
            '"prefsrc":"fe80::1","metric":256,"flags":[],"pref":"medium"}',
            None,
        ),
        (
            '{"type":"broadcast","dst":"10.1.0.255","dev":"d0","table":"local","prefsrc":"10.1.0.1",'
            '"flags":[],"uid":0,"cache":["local","brd"]}',
            None,
        ),
        # IPv4 by an IPv6 router (RFC 8950) is not spoken.
        (
            '{"dst":"10.9.0.1","via":{"family":"inet6","host":"fe80::5"},"dev":"d0","prefsrc":"192.0.2.1",'
            '"flags":[],"uid":0,"cache":[]}',
            None,
        ),
        ('{"dst":"10.1.0.2","dev":"gone0","prefsrc":"10.1.0.1","flags":[]}', None),
    ],
)
def test_a_hop_has_what_the_kernel_says(answer: str, expected: Hop | None) -> None:
    entry = json.loads(answer)
    assert hop_of(entry, LINKS, 6 if ":" in entry["dst"] else 4) == expected


@pytest.mark.parametrize("version", [4, 6])
def test_an_interface_without_an_address_is_refused(version: int) -> None:
    with pytest.raises(UsageError, match=f"d0 has no IPv{version} address to send from; .*--source-ip"):
        hop_of({"dst": "x", "from": "::", "dev": "d0", "flags": []}, LINKS, version)


def test_interface_and_source_are_asked_with() -> None:
    assert questions([number("10.5.0.0"), number("10.6.0.0")], 4, None, None) == (
        "route get 10.5.0.0\nroute get 10.6.0.0\n"
    )
    assert questions([number("10.5.0.0")], 4, "e0", number("10.3.0.1")) == (
        "route get 10.5.0.0 oif e0 from 10.3.0.1\n"
    )
    assert questions([number("fe80::5")], 6, "e0", None) == "route get fe80::5 oif e0\n"
    assert match_questions([number("fd00::")], 6, None, 1) == (
        "route get fd00:: from ::1\nroute get fibmatch fd00:: from ::1\n"
    )


def test_answers_are_told_by_their_address() -> None:
    text = """[{"dst":"fd00::1","dev":"d0"}]\n[{"dst":"10.0.0.1","dev":"d0"}]\n[{}]
[{"dst":"fd00::2","dev":"d1"}]"""
    assert parse_answers(text, 6) == {
        number("fd00::1"): {"dst": "fd00::1", "dev": "d0"},
        number("fd00::2"): {"dst": "fd00::2", "dev": "d1"},
    }


def test_a_route_belongs_to_the_plain_answer_before_it() -> None:
    """Here the middle one had none, and the last is a host route that looks like a plain answer."""
    lines = [
        {"dst": "10.4.0.1", "dev": "d0", "cache": []},
        {"dst": "10.4.0.0/16", "nexthops": []},
        {"dst": "99.0.0.1", "dev": "d0", "cache": []},
        {"dst": "10.4.0.2", "dev": "d0", "cache": []},
        {"dst": "default", "nexthops": []},
        {"dst": "10.4.0.3", "dev": "d0", "cache": []},
        {"dst": "10.4.0.3", "nexthops": []},
    ]
    assert parse_matches("\n".join(json.dumps([line]) for line in lines), 4) == {
        number("10.4.0.1"): lines[1],
        number("10.4.0.2"): lines[4],
        number("10.4.0.3"): lines[6],
    }
