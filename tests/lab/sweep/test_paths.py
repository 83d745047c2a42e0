"""Targets reached in different ways: this host itself, its own link, through a router, not at all."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections import Counter
from ipaddress import IPv4Network

import pytest

from scanner.model import Protocol

pytestmark = pytest.mark.lab

PORT = 401


@pytest.fixture
def listener(lab):
    """`listener(address, kind)`: a socket that is bound in the prober's place, and left alone."""
    with contextlib.ExitStack() as closing:

        def listen(address: str, kind: socket.SocketKind, port: int = PORT) -> None:
            with lab.enter():
                bound = closing.enter_context(socket.socket(type=kind))
            bound.bind((address, port))
            if kind is socket.SOCK_STREAM:
                bound.listen()

        yield listen


def test_of_a_loopback_network_exactly_the_listener_is_open(prober, listener):
    listener("127.0.0.7", socket.SOCK_STREAM)
    listener("127.0.0.8", socket.SOCK_DGRAM)

    evidence = prober.sweep_and_read("127.0.0.0/24", "-p", PORT)

    found = evidence.records
    assert "not probed: 127.0.0.0 (1 address)" in evidence.sweep.out
    assert Counter(record["proto"] for record in found) == {"tcp": 255, "udp": 255}
    others = {(r["ip"], r["proto"]): (r["state"], r["reason"]) for r in found if r["state"] != "closed"}
    assert others == {
        ("127.0.0.7", "tcp"): ("open", "syn-ack"),
        # Bound and never answering: what UDP cannot tell from a firewall.
        ("127.0.0.8", "udp"): ("open|filtered", "no-response"),
    }
    assert {r["reason"] for r in found if r["state"] == "closed"} == {"reset", "port-unreach"}
    assert evidence.again == evidence.swept


def test_an_address_of_our_own_that_is_not_loopback(prober, listener):
    listener("10.49.0.1", socket.SOCK_STREAM, 402)

    evidence = prober.sweep_and_read("10.49.0.1", "-p", "401-402")

    says = {(r["proto"], r["port"]): (r["state"], r["reason"]) for r in evidence.records}
    assert says == {
        ("tcp", 401): ("closed", "reset"),
        ("tcp", 402): ("open", "syn-ack"),
        ("udp", 401): ("closed", "port-unreach"),
        ("udp", 402): ("closed", "port-unreach"),
    }
    assert evidence.again == evidence.swept


def test_our_own_probes_to_high_ports_of_our_own_are_no_replies(prober, listener):
    """On loopback what we send comes in again, and from these ports it could pass for a reply."""
    listener("127.0.0.1", socket.SOCK_STREAM, 50_000)

    evidence = prober.sweep_and_read("127.0.0.1", "-p", "32768-65535", "--rate", "max", "--seed", 1)

    found = evidence.records
    assert len(found) == 2 * 32768
    assert [(r["proto"], r["port"]) for r in found if r["state"] == "open"] == [("tcp", 50_000)]
    assert {r["tries"] for r in found} == {1}
    assert "forged" not in evidence.sweep.out
    assert evidence.again == evidence.swept


@pytest.mark.parametrize("only", ["--tcp", "--udp"])
def test_on_our_own_link_the_absent_are_down(lab, prober, only):
    evidence = prober.sweep_and_read("10.49.0.0/24", only, "--retries", 1)

    protocol = Protocol(only.removeprefix("--"))
    found = {record["ip"]: record for record in evidence.records}
    truth = {record["ip"]: record for record in lab.truth(protocol, PORT, "10.49.0.0/24").records()}
    assert {ip: (r["state"], r["reason"], r["responder"]) for ip, r in found.items()} == {
        ip: (r["state"], r["reason"], r["responder"]) for ip, r in truth.items()
    }
    down = [record for record in found.values() if record["state"] == "down"]
    assert len(down) == 242
    assert {(r["tries"], r["time"], r["ttl"]) for r in down} == {(0, None, None)}
    assert "not probed: 10.49.0.0, 10.49.0.255 (2 addresses)" in evidence.sweep.out
    assert evidence.again == evidence.swept


def test_targets_without_a_route_are_down_beside_those_with_one(prober, wrong):
    evidence = prober.sweep_and_read("10.50.1.0/28", "10.77.0.0/29", "192.168.200.1")

    unrouted = [record for record in evidence.records if not record["ip"].startswith("10.50.")]
    assert len(unrouted) == 2 * 9
    assert {(r["state"], r["reason"], r["tries"]) for r in unrouted} == {("down", "no-route", 0)}
    assert "down, no route: " in evidence.sweep.out
    assert wrong(r for r in evidence.records if r["ip"].startswith("10.50.")) == []
    assert evidence.again == evidence.swept


def test_the_host_itself_its_link_and_a_routed_network_in_one_sweep(prober, wrong):
    evidence = prober.sweep_and_read(
        "127.0.0.0/29", "10.50.0.0/26", "10.50.2.0/29", "10.49.0.10", "10.49.0.77", "-v"
    )

    found = evidence.records
    assert len(found) == 2 * (7 + 64 + 8 + 2)
    assert wrong(r for r in found if not r["ip"].startswith("127.")) == []
    assert {r["state"] for r in found if r["ip"].startswith("127.")} == {"closed"}
    paths = [line for line in evidence.sweep.out.splitlines() if line.startswith("path: ")]
    assert len(paths) == 3
    assert evidence.again == evidence.swept


def test_a_gateway_nobody_knows_is_asked_for(lab, prober, wrong):
    subprocess.run(["ip", "-n", lab.prober, "neigh", "flush", "all"], check=True)

    evidence = prober.sweep_and_read("10.50.0.0/28")

    assert wrong(evidence.records) == []
    assert {record["tries"] for record in evidence.records} == {1}
    assert evidence.again == evidence.swept


def test_behind_a_gateway_that_is_not_there_nothing_can_be_reached(lab, prober, wrong):
    route = ["10.50.1.0/29", "via", "10.49.0.99"]
    subprocess.run(["ip", "-n", lab.prober, "route", "add", *route], check=True)
    try:
        evidence = prober.sweep_and_read("10.50.1.0/28", "--retries", 1)
    finally:
        subprocess.run(["ip", "-n", lab.prober, "route", "del", *route], check=True)

    behind = IPv4Network(route[0])
    lost = [record for record in evidence.records if record["ip"] in set(map(str, behind))]
    assert len(lost) == 16
    assert {(r["state"], r["reason"]) for r in lost} == {("down", "no-route")}
    assert wrong(r for r in evidence.records if r not in lost) == []
    assert evidence.again == evidence.swept


def test_by_an_interface_that_leads_nowhere_there_is_no_route(prober):
    ran = prober.ghostport("sweep", "10.50.0.1", "--interface", "lo")

    assert ran.code == 2
    assert ran.err.startswith("ghostport: no route to ")


def test_source_address_and_interface_may_be_named(prober, lab):
    evidence = prober.sweep_and_read("10.50.0.0/29", "--interface", "gpv0", "--source-ip", "10.49.0.1")

    assert evidence.plan["sources"] == ["10.49.0.1"]
    assert evidence.plan["interfaces"] == ["gpv0"]
    assert len(evidence.records) == 16
    assert evidence.again == evidence.swept
