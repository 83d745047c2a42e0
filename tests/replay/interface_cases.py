"""Sweeps by every kind of interface, over either version of IP, and by several at once.

They are of the lab's host with many ways out. Where its kernel has no 802.1Q or bonding devices, the lab
plays them by tap devices: what is on the cables is the same.
"""

from __future__ import annotations

from collections.abc import Iterable

from tests.replay.case import Case, Tool
from tests.replay.commands import ON_THE_CABLE, sweep, watched_sweep
from tests.replay.hosts import BOTH

_BRIEF = "--tcp --udp --retries 1 --wait 0.3"
_SWEEP = sweep(_BRIEF)
_SEVERAL = _SWEEP.replace("capture.pcap", "capture.pcapng")
_MEMBERS = "dumpcap -q -s 2048 -i gpo0a -i gpo0b -w capture.pcapng"


def _both(network: str, offsets: Iterable[int]) -> tuple[str, ...]:
    """Addresses of a network of each version of IP, which have the second number in common."""
    return tuple(one for o in offsets for one in (f"10.{network}.0.{o}", f"fd00:{network}::{o:x}"))


def _segment(network: str) -> tuple[str, ...]:
    """On a small link: router, listener, nobody who listens, one who drops all, and nobody."""
    return _both(network, (2, 3, 4, 6, 9))


def _behind(network: str) -> tuple[str, ...]:
    """Behind a router: a listener over TCP, one over UDP, neither, one who drops all, and three refusals."""
    return _both(network, (6, 11, 2, 32, 36, 40, 44))


def _case(name: str, shows: str, targets: tuple[str, ...], **more: object) -> Case:
    fields = {"tool": Tool.SWEEP, "command": _SWEEP, "protocols": BOTH, "profile": "links", **more}
    return Case(name=name, shows=shows, targets=targets, **fields)  # type: ignore[arg-type]


INTERFACE_CASES = (
    _case(
        "vlan-interface",
        "By a VLAN sub-interface: inside of the VLAN frames have no tag.",
        _segment("53"),
    ),
    _case(
        "vlan-interface-cable",
        "The same sweep, captured on the cable below. There the tag is, and behind it the plan beside the "
        "capture knows its own probes.",
        _segment("53"),
        command=watched_sweep(_BRIEF),
        capture=ON_THE_CABLE,
    ),
    _case("bridge-interface", "By a bridge, of which the cable's end is a port.", _segment("54")),
    _case("bond-interface", "By a bond of two cables, which are used in turn.", _segment("55")),
    _case(
        "bond-members",
        "The same sweep, captured on both cables of the bond: a reply comes by either, whichever its probe "
        "left by.",
        _segment("55"),
        command=watched_sweep(_BRIEF),
        capture=_MEMBERS,
    ),
    _case(
        "tun-interface",
        "By a tunnel without a link layer, to its other end and to hosts behind: raw IP of both versions in "
        "one capture.",
        ("10.56.0.2", "fd00:56::3", *_behind("57")),
    ),
    _case(
        "own-addresses",
        "The host's own addresses by its loopback interface, over IPv4 and IPv6. Each is asked by itself, so "
        "that there are many sources.",
        ("127.4.1.2", "127.4.1.3", "10.59.0.2", "10.59.0.3", "::1", "fd00:59::2", "fd00:59::3", "fd00:49::1"),
    ),
    _case(
        "two-gateways",
        "By two gateways at once, one of them also by a routing table of its own that a rule names; a "
        "network that is behind both is asked by either. What the own table refuses is down.",
        (
            *_behind("50"), *_behind("60"), *_both("61", (6, 2)), *_both("62", (2, 3, 4, 5, 6, 11)),
            "10.58.0.1", "10.58.1.1", "10.58.2.1", "10.58.3.1",
            "fd00:58::1", "fd00:58:1::1", "fd00:58:2::1", "fd00:58:3::1",
        ),
        command=_SEVERAL,
    ),
    _case(
        "all-ways-out",
        "One sweep by every kind of interface: Ethernet, VLAN, bridge, bond, tunnel and loopback. The file "
        "says of each packet by which interface it came, and of what link type that is.",
        (
            *_both("50", (6, 2, 32)), *_both("60", (6, 40)), "10.49.0.10", "10.49.0.99",
            *_both("53", (3, 9)), *_both("54", (3, 9)), *_both("55", (3, 9)), *_both("57", (6, 36)),
            "127.4.1.3", "::1", "10.58.0.1",
        ),
        command=_SEVERAL,
    ),
    _case(
        "proxy-arp",
        "A router answers ARP for hosts behind it (RFC 1027): they have its hardware address.",
        ("10.49.0.2", "10.49.0.12", "10.49.0.32", "10.49.0.33", "10.49.0.34"),
    ),
    _case(
        "duplicate-address",
        "Two hosts answer for one address, by ARP or by neighbour advertisement: the note says so.",
        ("10.49.0.12", "10.49.0.16", "10.49.0.17", "fd00:49::10", "fd00:49::80", "fd00:49::81"),
        contested=("10.49.0.16", "10.49.0.17", "fd00:49::80", "fd00:49::81"),
    ),
)  # fmt: skip
