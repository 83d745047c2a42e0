"""`ghostport read`: the records and the exit code of a capture."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


@pytest.fixture
def capture(ghostport, tmp_path) -> Path:
    path: Path = tmp_path / "x.pcap"
    assert ghostport("sweep", "10.0.0.0/27", "-p", "401-402", "--evidence", path, "-q").code == 0
    return path


def test_a_capture_for_people(ghostport, capture):
    ran = ghostport("read", capture, "--show", "open")

    assert (ran.code, ran.err) == (0, "")
    assert [line.split()[2] for line in ran.out.splitlines()[1:17]] == ["open"] * 16
    assert ran.out.splitlines()[-4].startswith("401/tcp  4 open (syn-ack)")


def test_ports_are_chosen(ghostport, capture):
    ran = ghostport("read", capture, "-p", "402", "--format", "jsonl")

    assert {json.loads(line)["port"] for line in ran.out.splitlines()} == {402}


def test_a_capture_that_is_cut_off(ghostport, capture):
    capture.write_bytes(capture.read_bytes()[:-9])

    ran = ghostport("read", capture, "--format", "jsonl", "-q")

    assert ran.code == 4
    assert ran.err.startswith(f"ghostport: {capture}: ")
    assert ran.err.count("\n") == 1
    assert len(ran.out.splitlines()) == 128


def test_a_sweep_that_was_cut_short(ghostport, capture):
    plan = Path(f"{capture}.json")
    plan.write_text(plan.read_text().replace('"complete": true', '"complete": false'))

    ran = ghostport("read", capture, "-q", "--format", "jsonl")

    assert ran.code == 4
    assert ran.err == "ghostport: the sweep was cut short: 16 targets have no verdict\n"
    assert len(ran.out.splitlines()) == 128 - 16


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["/nowhere/x.pcap"], "/nowhere/x.pcap: cannot be read: No such file or directory"),
        (["/proc/self/status"], "/proc/self/status: is neither a pcap nor a pcapng file"),
        (["/dev/null"], "/dev/null: is empty, not a capture"),
        (["/"], "/: cannot be read: Is a directory"),
        (["x.pcap", "-p", "x"], "'x' is not a port"),
        (["x.pcap", "-o", "/nowhere/x"], "/nowhere/x: cannot be written"),
    ],
)
def test_what_cannot_be_read(ghostport, capture, words, complaint, monkeypatch):
    monkeypatch.chdir(capture.parent)

    ran = ghostport("read", *words)

    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"ghostport: {complaint}")
    assert ran.err.count("\n") == 1


def test_a_fault_leaves_the_output_file_as_it_was(ghostport, tmp_path):
    output = tmp_path / "out.jsonl"
    output.write_text("from last time\n")

    assert ghostport("read", "/nowhere/x.pcap", "-o", output).code == 2
    assert output.read_text() == "from last time\n"
    assert list(tmp_path.iterdir()) == [output]
