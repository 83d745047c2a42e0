"""A host with many ways out: each kind of interface, and all of them in one sweep."""

from __future__ import annotations

from pathlib import Path

import pytest

from scanner.lab import PROFILES, Kind, Plan, Way
from scanner.lab.netplan import NetPlan
from scanner.model import Protocol, Reason
from tests.lab.sweep.conftest import Prober, against_truth

pytestmark = pytest.mark.lab

LINKS = Plan(PROFILES["links"])
WAYS = [way for way in LINKS.profile.ways if way.kind is not Kind.NOWHERE]


@pytest.fixture
def prober(links, tmp_path):
    """At the shell of the host with many ways out."""
    return Prober(links, tmp_path)


def targets_of(nets: list[NetPlan]) -> list[str]:
    return [record["ip"] for net in nets for record in net.truth(Protocol.TCP, 401).records()]


def listed(folder: Path, targets: list[str]) -> Path:
    path = folder / "targets"
    path.write_text("\n".join(targets))
    return path


def test_all_ways_out_in_one_sweep(links, prober, tmp_path):
    targets = targets_of(list(LINKS.nets))

    evidence = prober.sweep_and_read(
        "--targets-file", listed(tmp_path, targets), "--retries", 1, "-v", evidence="sweep.pcapng"
    )

    found = evidence.records
    assert len(found) == 2 * len(targets)
    assert {record["ip"] for record in found} == set(targets)
    assert against_truth(links, found) == []
    for device in ("gpv0", "gpw0", "gpv0.401", "gpb0", "gpo0", "gpt0", "lo"):
        assert f" by {device} " in evidence.sweep.out
    assert evidence.again == evidence.swept


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.kind if way.far_device != "gpw1" else "second")
def test_each_way_out_for_itself(links, prober, tmp_path, way: Way, version):
    nets = [net for net in LINKS.nets if net.way == way and net.network.version == version]
    targets = targets_of(nets)

    evidence = prober.sweep_and_read(
        "--targets-file", listed(tmp_path, targets), "--retries", 1, evidence="sweep.pcapng"
    )

    found = evidence.records
    assert len(found) == 2 * len(targets)
    assert against_truth(links, found) == []
    assert evidence.again == evidence.swept


def test_what_the_own_table_refuses_is_said_once_and_the_rest_is_swept(links, prober):
    refused = [net.net.prefix for net in LINKS.nets if net.way.kind is Kind.NOWHERE]

    evidence = prober.sweep_and_read(*refused, "10.50.0.0/30")

    found = evidence.records
    assert len(found) == 2 * (8 * 8 + 4)
    assert against_truth(links, found) == []
    assert {r["tries"] for r in found if r["reason"] == Reason.NO_ROUTE} == {0}
    assert evidence.sweep.out.count("down, no route: ") == 1
    assert evidence.again == evidence.swept


@pytest.mark.parametrize("gateway", ["gpv0", "gpw0"])
def test_of_two_gateways_one_may_be_chosen(links, prober, gateway):
    evidence = prober.sweep_and_read("10.62.0.0/26", "fd00:62::/122", "--interface", gateway)

    assert evidence.plan["interfaces"] == [gateway]
    assert against_truth(links, evidence.records) == []
    assert evidence.again == evidence.swept
