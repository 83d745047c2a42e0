"""What is cut short keeps what was learnt: Ctrl-C, a kill, a cable pulled, a disk that is full."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.lab

INCOMPLETE = 4
CUT_SHORT = re.compile(r"cut short: ([\d ]+) targets? ha(s|ve) no verdict")


def wait_for(capture: Path, size: int, seconds: float = 10) -> None:
    """Wait until a sweep has written so much evidence."""
    deadline = time.monotonic() + seconds
    while not capture.exists() or capture.stat().st_size < size:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def unfinished(err: str) -> int:
    found = CUT_SHORT.search(err)
    assert found is not None, err
    return int(found[1].replace(" ", ""))


def frames(tshark: str, capture: Path) -> list[str]:
    """How many frames of which protocols tshark finds; it must find no fault with the file."""
    command = [tshark, "-n", "-r", str(capture), "-T", "fields", "-e", "frame.protocols"]
    read = subprocess.run(command, capture_output=True, text=True, check=False)
    assert read.returncode == 0
    assert "cut short" not in read.stderr
    return read.stdout.splitlines()


@pytest.fixture
def interrupted(prober):
    """`interrupted(number, size, words)`: a sweep that got a signal once its evidence had that size."""

    def sweep(number, size, *words):
        capture, swept = prober.folder / "sweep.pcap", prober.folder / "swept.jsonl"
        process = prober.start("sweep", *words, "-o", swept, "--evidence", capture)
        with process:
            wait_for(capture, size)
            time.sleep(0.05)
            process.send_signal(number)
            ran = prober.end(process)
        return prober.read_back(ran, capture, swept)

    return sweep


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_sweep_and_keeps_what_was_learnt(interrupted, wrong, tshark, number):
    evidence = interrupted(number, 20_000, "10.50.0.0/22", "--rate", 400)

    assert evidence.sweep.code == evidence.read.code == INCOMPLETE
    for err in (evidence.sweep.err, evidence.read.err):
        assert err.startswith("ghostport: ")
        assert err.count("\n") == 1
    found = evidence.records
    assert 50 < len(found) < 2048
    assert wrong(found) == []
    assert not [record for record in found if record["reason"] == "no-response"]
    assert unfinished(evidence.sweep.err) == unfinished(evidence.read.err) == 2048 - len(found)
    assert evidence.again == evidence.swept
    assert evidence.plan["complete"] is False
    assert evidence.plan["ended"] is not None
    assert len(frames(tshark, evidence.capture)) >= 2 * len(found)


def test_a_signal_while_it_asks_who_is_there(interrupted):
    evidence = interrupted(signal.SIGINT, 1_000, "10.49.0.0/24", "10.77.0.1", "--rate", 50)

    assert evidence.sweep.code == evidence.read.code == INCOMPLETE
    assert [record["ip"] for record in evidence.records] == ["10.77.0.1"] * 2
    assert unfinished(evidence.sweep.err) == unfinished(evidence.read.err) == 2 * 254
    assert evidence.again == evidence.swept
    assert evidence.plan["resolved"] is False


def test_a_signal_while_it_asks_those_who_are_there(interrupted):
    words = ["10.49.0.0/28", "10.77.0.1", "-p", "401-440", "--rate", 400, "--retries", 0]
    evidence = interrupted(signal.SIGINT, 20_000, *words)

    assert evidence.sweep.code == evidence.read.code == INCOMPLETE
    assert unfinished(evidence.sweep.err) == unfinished(evidence.read.err)
    assert evidence.plan["resolved"] is True
    reasons = {record["reason"] for record in evidence.records}
    assert reasons >= {"no-arp-response", "no-route", "reset"}
    assert len(evidence.records) + unfinished(evidence.sweep.err) == 2 * 40 * (15 + 1)
    assert evidence.again == evidence.swept


def test_a_second_signal_ends_it_at_once(prober):
    capture = prober.folder / "sweep.pcap"
    process = prober.start("sweep", "10.50.0.0/22", "--rate", 100, "--evidence", capture)
    with process:
        wait_for(capture, 2_000)
        for _ in range(2):
            process.send_signal(signal.SIGINT)
        ran = prober.end(process)
    assert ran.code in {INCOMPLETE, 130}
    assert "Traceback" not in ran.err


def test_a_killed_sweep_leaves_evidence_that_can_be_read(prober, tshark):
    capture, swept = prober.folder / "sweep.pcap", prober.folder / "swept.jsonl"
    process = prober.start("sweep", "10.50.0.0/22", "--rate", 400, "-o", swept, "--evidence", capture)
    with process:
        wait_for(capture, 20_000)
        process.kill()
    assert not swept.exists()

    again = prober.folder / "again.jsonl"
    ran = prober.ghostport("read", capture, "-o", again)

    assert ran.code == INCOMPLETE
    assert unfinished(ran.err) == 2048 - len(again.read_text().splitlines())
    assert len(frames(tshark, capture)) > 200


def test_a_cable_that_is_pulled_ends_the_sweep_and_keeps_what_was_learnt(make_lab, prober, tshark):
    lab = make_lab()
    lab.up()
    prober.lab = lab
    capture, swept = prober.folder / "sweep.pcap", prober.folder / "swept.jsonl"
    process = prober.start("sweep", "10.50.0.0/22", "--rate", 400, "-o", swept, "--evidence", capture)
    with process:
        wait_for(capture, 20_000)
        subprocess.run(["ip", "-n", lab.prober, "link", "set", "gpv0", "down"], check=True)
        ran = prober.end(process)

    evidence = prober.read_back(ran, capture, swept)

    assert ran.code == INCOMPLETE
    assert "gpv0" in ran.err
    assert all(line.startswith("ghostport: ") for line in ran.err.splitlines())
    assert len(evidence.records) > 50
    assert unfinished(ran.err) == unfinished(evidence.read.err) == 2048 - len(evidence.records)
    assert evidence.again == evidence.swept
    assert frames(tshark, capture)


@pytest.fixture
def tiny_disk(tmp_path):
    """A command that runs another where `disk` has 64 KiB, and afterwards copies what is there to `kept`."""
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    disk.mkdir()
    kept.mkdir()
    script = f'mount -t tmpfs -o size=64k none {disk} && "$@"; code=$?; cp -r {disk}/. {kept}; exit $code'
    return ["unshare", "--mount", "sh", "-c", script, "sh"], disk, kept


def test_a_full_disk_ends_the_evidence_but_not_the_sweep(prober, wrong, tshark, tiny_disk):
    wrap, disk, kept = tiny_disk
    ran = prober.ghostport(
        "sweep", "10.50.0.0/22", "--format", "jsonl", "-q", "--evidence", disk / "sweep.pcap", wrap=wrap
    )

    assert ran.code == INCOMPLETE
    assert ran.err.startswith(f"ghostport: {disk}/sweep.pcap: the capture cannot be written: No space left")
    assert ran.err.count("\n") == 1
    assert len(ran.records) == 2048
    assert wrong(ran.records) == []
    capture = kept / "sweep.pcap"
    assert 30_000 < capture.stat().st_size < 65_536
    assert len(frames(tshark, capture)) > 100
    read = prober.ghostport("read", capture, "--format", "jsonl", "-q")
    assert read.code == INCOMPLETE
    sure = {(r["ip"], r["proto"]): (r["state"], r["reason"]) for r in ran.records}
    part = {(r["ip"], r["proto"]): (r["state"], r["reason"]) for r in read.records}
    assert part.items() <= sure.items()
    assert json.loads(Path(f"{capture}.json").read_text())["complete"] is False


def test_a_full_disk_under_the_records_puts_them_on_standard_output(prober, wrong, tiny_disk):
    wrap, disk, kept = tiny_disk
    ran = prober.ghostport("sweep", "10.50.0.0/22", "-q", "-o", disk / "out.jsonl", wrap=wrap)

    assert ran.code == INCOMPLETE
    assert ran.err == (
        f"ghostport: {disk}/out.jsonl: cannot be written: No space left on device; "
        "the records are on standard output\n"
    )
    assert len(ran.records) == 2048
    assert wrong(ran.records) == []
    assert list(kept.iterdir()) == []


def test_a_device_that_is_full(prober):
    ran = prober.ghostport("sweep", "10.50.0.0/29", "-q", "-o", "/dev/full")

    assert ran.code == INCOMPLETE
    assert "/dev/full: cannot be written: No space left on device" in ran.err
    assert len(ran.records) == 16


def test_standard_output_that_is_full_or_gone(prober):
    with Path("/dev/full").open("wb") as full:
        ran = prober.ghostport("sweep", "10.50.0.1", "--format", "jsonl", "-q", capture_output=False,
                               stdout=full, stderr=subprocess.PIPE)  # fmt: skip
    assert (ran.code, ran.err) == (INCOMPLETE, "ghostport: standard output: No space left on device\n")

    with prober.start("sweep", "10.50.0.0/22", "--show", "all") as process:
        assert process.stdout.readline().startswith("sweeping ")
        process.stdout.close()
        err = process.stderr.read()
    assert (process.returncode, err) == (INCOMPLETE, "")
