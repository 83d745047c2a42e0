"""`ghostport sweep`, from words to what is on the screen and in the files."""

from __future__ import annotations

import json
import os
import signal

import pytest

from scanner import read_capture, sweep
from scanner.cli import main
from scanner.cli.sweep import _interruptible
from scanner.wire.behaviours import open_port
from scanner.wire.memory import MemoryWire

INCOMPLETE = 4


def records(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_sweep_for_people(ghostport):
    ran = ghostport("sweep", "10.0.0.0/27")

    assert (ran.code, ran.err) == (0, "")
    said = ran.out.splitlines()
    assert said[0] == "sweeping 10.0.0.0/27 (32 addresses): tcp 401, udp 401; auto rate, 2 retries"
    assert said[1].split() == ["ADDRESS", "PORT", "STATE", "REASON", "RTT", "TTL", "RESPONDER", "SERVICE"]
    assert len(said) == 1 + 1 + 2 * 28 + 2 + 1
    assert said[-3] == (
        "401/tcp  4 open (syn-ack) · 8 closed (reset) · 20 filtered (admin-prohibited 16, no-response 4)"
    )
    assert said[-1].endswith(" s; 81 packets sent")


def test_records_on_standard_output_and_what_is_said_on_the_other(ghostport):
    ran = ghostport("sweep", "10.0.0.0/27", "--format", "jsonl", "--tcp")

    assert len(records(ran.out)) == 32
    assert ran.err.startswith("sweeping 10.0.0.0/27")
    assert "401/tcp  4 open" in ran.err


def test_the_same_seed_sends_in_the_same_order(ghostport, tmp_path):
    for name in ("one", "two"):
        ghostport("sweep", "10.0.0.0/27", "--seed", 7, "--evidence", tmp_path / name)
    plans = [json.loads((tmp_path / f"{name}.json").read_text()) for name in ("one", "two")]
    assert plans[0]["seed"] == plans[1]["seed"] == 7
    assert plans[0]["key"] != plans[1]["key"]


def test_evidence_is_announced_and_agrees(ghostport, tmp_path):
    capture, output = tmp_path / "x.pcap", tmp_path / "x.jsonl"
    ran = ghostport("sweep", "10.0.0.0/27", "--evidence", capture, "-o", output)
    again = ghostport("read", capture, "--format", "jsonl", "-q")

    assert ran.out.splitlines()[-1] == (
        f"evidence: {capture}, its plan: {capture}.json; read it back with: ghostport read {capture}"
    )
    assert (again.code, again.out) == (0, output.read_text())


@pytest.mark.parametrize("output", ["x.pcap", "./sub/../x.pcap", "x.pcap.json"])
def test_records_do_not_take_the_place_of_the_evidence(ghostport, network, tmp_path, monkeypatch, output):
    monkeypatch.chdir(tmp_path)

    ran = ghostport("sweep", "10.0.0.1", "--evidence", tmp_path / "x.pcap", "-o", output)

    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (f"ghostport: {output}: -o would write over what --evidence wrote; name another file\n")
    assert (network.received("10.0.0.1"), list(tmp_path.iterdir())) == (0, [])


def test_evidence_needs_a_file(ghostport):
    ran = ghostport("sweep", "10.0.0.1", "--evidence", "-")

    assert ran.code == 2
    assert ran.err.startswith("ghostport: --evidence -: ")


def test_a_dry_run_sends_nothing_and_opens_nothing(ghostport, network, tmp_path):
    ran = ghostport("sweep", "10.0.0.0/27", "--dry-run", "-o", tmp_path / "x", "--evidence", tmp_path / "y")

    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[-1] == "nothing was sent"
    assert network.received("10.0.0.1") == 0
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def signalled(monkeypatch, network):
    """`signalled(number)`: that signal comes when the first open port answers."""

    def arrange(number: signal.Signals) -> None:
        behaviour = open_port()

        def then(probe):
            os.kill(os.getpid(), number)
            return behaviour(probe)

        network.place("10.0.0.9", then)

    return arrange


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_sweep_and_not_the_program(ghostport, signalled, number, tmp_path):
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    signalled(number)
    capture = tmp_path / "x.pcap"

    # By this seed it is neither among the first nor among the last.
    words = ["--tcp", "--rate", "100", "--seed", "3", "--evidence", capture, "--format", "jsonl", "-q"]
    ran = ghostport("sweep", "10.0.0.0/27", *words)

    assert ran.code == INCOMPLETE
    known = records(ran.out)
    assert ran.err == f"ghostport: cut short: {32 - len(known)} targets have no verdict\n"
    assert 0 < len(known) < 32
    assert [v.ip for v in read_capture(capture)] == [record["ip"] for record in known]
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_wire_that_fails_is_said_and_what_was_learnt_is_kept(ghostport, network, monkeypatch):
    received = MemoryWire.receive

    def receive(wire: MemoryWire, timeout: float):
        if network.clock.steady() > 0.2:
            wire.fail("the cable is gone")
        return received(wire, timeout)

    monkeypatch.setattr(MemoryWire, "receive", receive)

    ran = ghostport("sweep", "10.0.0.0/27", "--rate", "100", "--format", "jsonl", "-q")

    assert ran.code == INCOMPLETE
    known = records(ran.out)
    assert 0 < len(known) < 64
    assert ran.err.splitlines() == [
        "ghostport: the cable is gone",
        f"ghostport: cut short: {64 - len(known)} targets have no verdict",
    ]


def test_a_second_signal_is_not_caught(network):
    """The first ends the sweep; should that hang, the second ends the program."""
    planned = sweep("10.0.0.1", network=network)

    def twice() -> None:
        with _interruptible(planned):
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        twice()


@pytest.mark.usefixtures("network")
@pytest.mark.parametrize(
    ("words", "code"), [(["8.8.8.8"], 3), ([], 2), (["10.0.0.1", "--interface", "eth9"], 2), (["ups"], 2)]
)
def test_faults_before_it_begins(words, code, capfd):
    assert main(["sweep", *words]) == code
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("ghostport: ")
    assert err.count("\n") == 1
