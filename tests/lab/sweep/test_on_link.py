"""The segment one sits in: 30 000 of 65 536 hosts answer ARP, some for others, and two for one address."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest

from scanner.model import Protocol, Reason, State
from tests.lab.sweep.conftest import CONFLICT, Prober, against_truth

pytestmark = pytest.mark.lab

SEGMENT = "10.52.0.0/16"


@pytest.fixture
def prober(lan, tmp_path):
    """At the shell of the host on the segment."""
    return Prober(lan, tmp_path)


def test_of_the_whole_segment_every_verdict_is_the_truth(lan, prober):
    evidence = prober.sweep_and_read(
        SEGMENT, "--tcp", "--rate", "max", "--retries", 1, evidence="sweep.pcapng"
    )

    found = evidence.records
    assert [r["ip"] for r in found] == [record["ip"] for record in lan.truth(Protocol.TCP, 401).records()]
    assert against_truth(lan, found) == []
    assert Counter(r["state"] for r in found) == {
        "down": 35_533,
        "closed": 29_693,
        "open": 300,
        "filtered": 8,
    }
    assert evidence.again == evidence.swept


@pytest.mark.parametrize("only", ["--tcp", "--udp"])
def test_who_does_not_answer_is_down_and_never_probed(lan, prober, only):
    evidence = prober.sweep_and_read("10.52.0.0/23", only, "--retries", 1, evidence="sweep.pcapng")

    found = evidence.records
    assert len(found) == 511  # without the network's own address
    assert against_truth(lan, found) == []
    assert tries(found, State.DOWN) == {0}
    assert {(r["reason"], r["time"], r["mac"]) for r in found if r["state"] == State.DOWN} == {
        (Reason.NO_ARP_RESPONSE, None, None)
    }
    # Those that answered ARP and nothing else were asked again.
    silent = [r for r in found if r["reason"] == Reason.NO_RESPONSE]
    assert {(r["tries"], r["ip"].startswith("10.52.0.")) for r in silent} == {(2, True)}
    assert len(silent) == 8
    assert evidence.again == evidence.swept


def test_a_proxy_s_hardware_is_told_of_all_it_answers_for(prober):
    found = prober.records("10.52.0.64/26", "10.52.0.128/26", "--tcp")

    macs = Counter(r["mac"] for r in found)
    assert macs.pop("02:00:0a:34:00:02") == 64
    assert set(macs.values()) == {1}
    assert {r["oui"] for r in found} == {"02:00:0a"}


def test_two_who_answer_for_one_address_are_told(prober):
    found = prober.records("10.52.0.4-10.52.0.11", "--tcp")

    assert {r["ip"]: r["note"] for r in found} == {
        f"10.52.0.{last}": CONFLICT if last < 8 else None for last in range(4, 12)
    }
    assert {r["state"] for r in found} == {"closed"}


def test_the_kernel_s_own_table_does_not_hear_of_the_absent(prober):
    found = prober.records("10.52.8.0/22", "--tcp", "--retries", 0, "--rate", "max")

    down = {r["ip"] for r in found if r["state"] == State.DOWN}
    assert len(down) > 100
    assert not prober.known_neighbours() & down


def tries(records: Iterable[dict[str, Any]], state: State) -> set[int]:
    return {r["tries"] for r in records if r["state"] == state}
