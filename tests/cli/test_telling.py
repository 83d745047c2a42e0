"""What people are told, word for word."""

from __future__ import annotations

import dataclasses
from collections import Counter
from types import SimpleNamespace

import pytest

from scanner.cli import telling
from scanner.contracts import Hop, WireStatistics
from scanner.core.addresses import parse_address
from scanner.core.book import AddressBook
from scanner.core.hosts import Hosts
from scanner.core.scope import Scope
from scanner.core.targets import parse_targets
from scanner.model import Protocol
from scanner.planning import Path, Request, SweepPlan

HOP = Hop(
    interface="eth0", source=parse_address("192.168.1.9"), gateway=parse_address("192.168.1.1"),
    on_link=False, loopback=False, mac=b"\x02\0\0\0\0\1", mtu=1500,
)  # fmt: skip


def plan(*targets: str, skipped: str | None = None, no_route: str | None = None, **more) -> SweepPlan:
    addresses = parse_targets(targets).ipv4
    unrouted = parse_targets([no_route] if no_route else []).ipv4
    return SweepPlan(
        request=Request(targets=Hosts(addresses), **{"ports": (401,), **more}),
        book=AddressBook(),
        addresses=addresses | unrouted,
        paths=(Path(HOP, addresses, HOP.source, 1),),
        no_route=unrouted,
        skipped=parse_targets([skipped] if skipped else []).ipv4,
        scope=Scope.private(),
    )


def test_what_is_about_to_be_swept():
    made = plan("10.0.0.0/24", "10.0.2.5", ports=(401, 402, 403, 3493), rate=float("inf"), retries=1)

    assert list(telling.about_sweep(made, verbose=False)) == [
        "sweeping 10.0.0.0/24, 10.0.2.5 (257 addresses): tcp 401-403,3493, udp 401-403,3493; "
        "full rate, 1 retry"
    ]


def test_what_is_left_out_is_said():
    made = plan("10.0.0.1", skipped="10.0.0.0,255", no_route="172.16.0.0/30", protocols=(Protocol.TCP,))

    assert list(telling.about_sweep(made, verbose=True)) == [
        "sweeping 10.0.0.1, 172.16.0.0/30 (5 addresses): tcp 401; auto rate, 2 retries",
        "not probed: 10.0.0.0, 10.0.0.255 (2 addresses): "
        "network or broadcast addresses of this host's own links",
        "down, no route: 172.16.0.0/30 (4 addresses)",
        "path: 1 address by eth0 from 192.168.1.9 through 192.168.1.1",
    ]


@pytest.mark.parametrize(
    ("change", "through"),
    [
        ({}, "by eth0 from 192.168.1.9 through 192.168.1.1"),
        ({"gateway": None, "on_link": True}, "by eth0 from 192.168.1.9 on-link"),
        (
            {"gateway": None, "loopback": True, "interface": "lo"},
            "by lo from 192.168.1.9 to this host itself",
        ),
    ],
)
def test_paths(change, through):
    made = plan("10.0.0.0/30")
    path = dataclasses.replace(made.paths[0], hop=dataclasses.replace(HOP, **change))
    made = dataclasses.replace(made, paths=(path,))

    assert list(telling.about_sweep(made, verbose=True))[1] == f"path: 4 addresses {through}"


def test_of_many_ranges_the_first_are_named():
    made = plan(*(f"10.0.{third}.1" for third in range(9)))

    assert "10.0.0.1, 10.0.1.1, 10.0.2.1, 10.0.3.1 and 5 more ranges (9 addresses)" in next(
        telling.about_sweep(made, verbose=False)
    )


@pytest.mark.parametrize(
    ("more", "time"),
    [
        ({"rate": 1000.0}, "time: 0.5 s if all answered at once; 3.0 s if nothing did"),
        ({"rate": 100.0}, "time: 5.1 s if all answered at once; 15.4 s if nothing did"),
        ({"rate": 1.0}, "time: 9 min if all answered at once; 26 min if nothing did"),
        ({"rate": 0.01}, "time: 14.2 h if all answered at once; 42.7 h if nothing did"),
        ({"rate": float("inf")}, "time: as fast as the kernel carries, and the waiting for replies"),
        (
            {"rate": float("inf"), "max_rate": 100.0},
            "time: 5.1 s if all answered at once; 15.4 s if nothing did",
        ),
        ({}, "time: at most 0.1 s if all answered at once; 3.0 s if nothing did"),
        ({"max_rate": 100.0}, "time: at most 5.1 s if all answered at once; 15.4 s if nothing did"),
        ({"max_per_host": 0.5}, "time: at most 4.0 s if all answered at once; 12.0 s if nothing did"),
    ],
)
def test_a_dry_run_says_how_much_and_how_long(more, time):
    assert list(telling.dry_run(plan("10.0.0.0/24", **more)))[-3:] == [
        "probes: 512 at first; 1 536 if every target stayed silent",
        time,
        "nothing was sent",
    ]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, "auto rate"),
        ({"max_rate": 50_000.0}, "auto rate up to 50000 packets/s"),
        ({"rate": 500.0}, "500 packets/s"),
        ({"rate": 500.0, "max_rate": 50.0, "max_per_host": 2.0}, "50 packets/s, 2 to one host"),
        ({"rate": float("inf"), "ports": tuple(range(1, 200))}, "full rate"),
        ({"ports": tuple(range(1, 200))}, "auto rate, 5000 to one host"),
    ],
)
def test_the_rate_in_words(more, said):
    [line] = telling.about_sweep(plan("10.0.0.1", **more), verbose=False)
    assert line.endswith(f"; {said}, 2 retries")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({}, "rate: up to 10 000 packets/s, no loss seen"),
        ({"peak": 123_456.7}, "rate: up to 123 457 packets/s, no loss seen"),
        ({"peak": 5_000.2, "loss": 0.1234}, "rate: up to 5 000 packets/s, 12.3 % of tries lost"),
        (
            {"peak": 5_000.2, "loss": 0.5, "cuts": 3},
            "rate: up to 5 000 packets/s, 50.0 % of tries lost, halved 3 times",
        ),
    ],
)
def test_how_fast_it_went(how, said):
    rate = SimpleNamespace(**{"rate": 10_000.0, "peak": 0.0, "loss": 0.0, "cuts": 0, **how})

    assert about_result(verbose=True, rate=rate)[1] == said
    assert said not in about_result(rate=rate)


def about_result(*, targets=2, verbose=False, forged=0, unread=None, rate=None, **statistics) -> list[str]:
    swept = SimpleNamespace(
        targets=targets,
        statistics=WireStatistics(**statistics),
        unread=Counter(unread or {}),
        rate=rate,
    )
    result = SimpleNamespace(forged=forged)
    return list(telling.about_result(swept, result, 1.234, verbose=verbose))  # type: ignore[arg-type]


def test_how_it_went():
    assert about_result(sent=3) == ["2 targets in 1.23 s; 3 packets sent"]
    assert about_result(targets=1, sent=1) == ["1 target in 1.23 s; 1 packet sent"]
    assert about_result(targets=65536, sent=70000) == ["65 536 targets in 1.23 s; 70 000 packets sent"]


@pytest.mark.parametrize(
    ("count", "said"), [(1, "1 target has no verdict"), (1234, "1 234 targets have no verdict")]
)
def test_what_was_cut_short(count, said):
    result = SimpleNamespace(unfinished=count)
    assert telling.unfinished(result) == f"cut short: {said}"  # type: ignore[arg-type]


def test_what_was_lost_or_left_out_of_account_is_said():
    said = about_result(send_refused=5, receive_dropped=1234, forged=7)

    assert next(line for line in said if "drops" in line).endswith("5 on sending, 1 234 on receiving")
    assert said[-1] == "forged or late replies, ignored: 7"


def test_counters_are_said_to_who_asks():
    said = about_result(verbose=True, received=10, unread={"later fragment": 2, "malformed ARP": 1})

    assert said[1:] == [
        "frames received: 10",
        "frames not read, later fragment: 2",
        "frames not read, malformed ARP: 1",
    ]
