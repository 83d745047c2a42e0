"""IPv6: 4 096 addresses behind a router and 256 on the link, in every verdict and with every ICMPv6 code."""

from __future__ import annotations

import pytest

from scanner.model import TRANSPORTS, Protocol, Reason, State
from tests.lab.nmap_oracle import in_its_words, nmap_says

pytestmark = pytest.mark.lab

BEHIND, ON_LINK, LINK_LOCAL = "fd00:50::/116", "fd00:49::/120", "fe80::/124"

# RFC 4443 section 3.1, codes 0 to 6, section 3.3 and section 3.4, code 1.
ERRORS = {
    Reason.NO_ROUTE, Reason.ADMIN_PROHIBITED, Reason.BEYOND_SCOPE, Reason.ADDR_UNREACH, Reason.PORT_UNREACH,
    Reason.POLICY, Reason.REJECT_ROUTE, Reason.TIME_EXCEEDED, Reason.PROTO_UNREACH,
}  # fmt: skip


@pytest.mark.parametrize("rate", ["max", "10000"])
def test_behind_a_router_every_verdict_is_the_truth_and_its_evidence_says_so_too(lab, prober, wrong, rate):
    evidence = prober.sweep_and_read(BEHIND, "--rate", rate, "--retries", 1)

    found = evidence.records
    assert wrong(found) == []
    assert [(r["ip"], r["proto"]) for r in found] == [
        (record["ip"], protocol)
        for record in lab.truth(Protocol.TCP, 401, BEHIND).records()
        for protocol in TRANSPORTS
    ]
    for protocol in TRANSPORTS:
        reasons = {r["reason"] for r in found if r["proto"] == protocol}
        assert reasons >= ERRORS | {Reason.NO_RESPONSE}
    assert evidence.again == evidence.swept
    assert evidence.plan["complete"] is True


def test_on_the_link_every_verdict_is_the_truth_and_the_absent_are_down(lab, prober, wrong):
    evidence = prober.sweep_and_read(ON_LINK, "--retries", 1, evidence="sweep.pcapng")

    found = evidence.records
    assert len(found) == 2 * 256
    assert wrong(found) == []
    assert {r["reason"] for r in found} >= ERRORS - {Reason.TIME_EXCEEDED}
    down = {r["ip"] for r in found if r["state"] == State.DOWN}
    assert len(down) == 172
    assert {(r["reason"], r["tries"], r["time"]) for r in found if r["ip"] in down} == {
        (Reason.NO_ND_RESPONSE, 0, None)
    }
    assert evidence.again == evidence.swept


def test_the_kernel_s_own_table_does_not_hear_of_the_absent(lab, prober):
    found = prober.records(ON_LINK, "--tcp", "--retries", 0)

    down = {r["ip"] for r in found if r["state"] == State.DOWN}
    assert down
    assert not prober.known_neighbours() & down


@pytest.mark.usefixtures("nmap")
@pytest.mark.parametrize("protocol", TRANSPORTS)
@pytest.mark.parametrize("network", [BEHIND, ON_LINK])
def test_nmap_says_the_same(lab, prober, tmp_path, network, protocol):
    truth = list(lab.truth(protocol, 401, network).records())
    certain = [record["ip"] for record in truth if record["certain"]]
    oracle = nmap_says(lab, protocol, certain, tmp_path)

    found = prober.records(network, f"--{protocol}", "--retries", 1)

    says = {
        r["ip"]: in_its_words(protocol, State(r["state"]), Reason(r["reason"]), r["responder"])
        for r in found
        if r["ip"] in oracle
    }
    assert len(says) == len(certain)
    assert {ip: (said, oracle[ip]) for ip, said in says.items() if said != oracle[ip][:3]} == {}


def test_link_local_targets_have_their_interface_in_their_name(lab, prober, wrong):
    targets = [record["ip"] for record in lab.truth(Protocol.TCP, 401, LINK_LOCAL).records()]

    evidence = prober.sweep_and_read(*targets, "--retries", 1, evidence="sweep.pcapng")

    found = evidence.records
    assert [r["ip"] for r in found if r["proto"] == "tcp"] == targets
    assert targets[3] == "fe80::3%gpv0"
    assert wrong(found) == []
    assert evidence.again == evidence.swept


@pytest.mark.parametrize("seed", [1, 2])
def test_with_loss_each_way_open_and_closed_are_never_called_anything_else(lab, prober, wrong, seed):
    # As over IPv4: hosts without a firewall, of which all six tries are lost for one in 20 000.
    lab.set_loss(10)
    try:
        evidence = prober.sweep_and_read("fd00:50::/120", "--rate", "max", "--retries", 5, "--seed", seed)
    finally:
        lab.set_loss(0)

    assert len(evidence.records) == 2 * 256
    assert wrong(evidence.records) == []
    assert max(r["tries"] for r in evidence.records) > 1
    assert evidence.again == evidence.swept


def test_both_versions_in_one_sweep_are_in_order_of_address(prober, wrong):
    evidence = prober.sweep_and_read("fd00:50::c00/123", "10.50.2.0/27", "fd00:49::a", "10.49.0.10")

    found = evidence.records
    assert wrong(found) == []
    assert [r["ip"] for r in found[::2]] == [
        "10.49.0.10",
        *(f"10.50.2.{last}" for last in range(32)),
        "fd00:49::a",
        *(f"fd00:50::{last:x}" for last in range(0xC00, 0xC20)),
    ]
    assert evidence.again == evidence.swept
