"""Every verdict of a sweep of the lab is the ground truth, and nmap says the same."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from ipaddress import IPv4Address, IPv4Network

import pytest

from scanner.lab import Lab
from scanner.lab.profiles import SMALL
from scanner.model import TRANSPORTS, Protocol, Reason, State

pytestmark = pytest.mark.lab

PORT = 401
STATES_OF_PORTS = [State.OPEN, State.CLOSED]


@pytest.mark.parametrize("rate", ["max", "10000"])
def test_every_verdict_is_the_truth_and_its_evidence_says_so_too(prober, wrong, rate):
    evidence = prober.sweep_and_read("10.50.0.0/22", "--rate", rate)

    found = evidence.records
    assert wrong(found) == []
    assert [(record["ip"], record["proto"]) for record in found] == [
        (f"10.50.{third}.{fourth}", protocol)
        for third in range(4)
        for fourth in range(256)
        for protocol in ("tcp", "udp")
    ]
    assert evidence.again == evidence.swept
    assert evidence.plan["complete"] is True


def test_what_answers_at_once_is_asked_once_and_the_silent_three_times(prober):
    found = prober.records("10.50.0.0/24", "10.50.2.0/28")

    tries = {record["ip"]: record["tries"] for record in found if record["proto"] == "tcp"}
    assert {tries[f"10.50.0.{last}"] for last in range(256)} == {1}
    assert {tries[f"10.50.2.{last}"] for last in range(16)} == {3}
    for record in found:
        silent = record["reason"] == Reason.NO_RESPONSE
        assert (record["ttl"] is None) == silent
        assert (record["rtt_ms"] is None) == silent
        assert record["time"].endswith("Z")


@pytest.mark.parametrize("seed", [1, 2])
def test_with_loss_each_way_open_and_closed_are_never_called_anything_else(lab, prober, seed):
    # 512 hosts without a firewall: all is open or closed. All eight tries are lost for one in 600 000 targets
    # (0.19 ** 8), so that one in 600 sweeps would miss one; six would do so in one of 20, and what is noticed
    # of the loss then leaves one in 100.
    lab.set_loss(10)
    try:
        evidence = prober.sweep_and_read("10.50.0.0/23", "--rate", "max", "--retries", 7, "--seed", seed)
    finally:
        lab.set_loss(0)

    found = evidence.records
    assert len(found) == 1024
    for record in found:
        expected = lab.expected(record["ip"], Protocol(record["proto"]), PORT)
        assert (record["state"], record["reason"]) == (expected.state, expected.reason)
        assert expected.state in STATES_OF_PORTS
    assert max(record["tries"] for record in found) > 1
    assert evidence.again == evidence.swept


def addresses_of_each_behaviour(lab: Lab) -> list[str]:
    """Two of each place that treats all probes alike, and some open and closed ones."""
    chosen = {str(IPv4Address(a)) for p in TRANSPORTS for a in lab.plan.open_addresses(p)[:2]}
    chosen |= {"10.50.0.0", "10.50.1.255"}
    for place in SMALL.places:
        if place.behaviour.certain:
            chosen |= {str(IPv4Network(place.prefix)[index]) for index in (0, -1)}
    return sorted(chosen)


def test_nmap_gives_the_same_states_reasons_and_ttls(lab, prober, nmap, tmp_path):
    targets = addresses_of_each_behaviour(lab)
    report = tmp_path / "nmap.xml"
    scan = [nmap, "-n", "-Pn", "-sS", "-sU", f"-pT:{PORT},U:{PORT}", "--reason", "-v"]
    pace = ["-T4", "--min-rate", "1000", "--max-retries", "2"]
    lab.run([*scan, *pace, "-oX", str(report), *targets], check=True, capture_output=True, timeout=60)
    oracle = {}
    for host in ET.parse(report).getroot().iter("host"):  # noqa: S314 - nmap's own
        address = host.find("address[@addrtype='ipv4']")
        assert address is not None
        for port in host.iter("port"):
            state = port.find("state")
            assert state is not None
            ttl = int(state.attrib["reason_ttl"]) or None
            oracle[address.attrib["addr"], port.attrib["protocol"]] = (
                state.attrib["state"],
                state.attrib["reason"],
                ttl,
            )

    found = prober.records(*targets)

    assert len(oracle) == 2 * len(targets)
    says = {(r["ip"], r["proto"]): (r["state"], r["reason"], r["ttl"]) for r in found}
    assert says == oracle
