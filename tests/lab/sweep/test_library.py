"""The library in a notebook: what it gives, when, how long it takes, and what an interrupt leaves."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from ipaddress import IPv4Address

import msgspec
import pytest

from scanner import State, UsageError, read_capture, sweep
from scanner.lab import Lab
from scanner.model import TRANSPORTS, Protocol, Reason

pytestmark = pytest.mark.lab


@pytest.fixture(autouse=True)
def _inside(lab):
    """In the prober's place."""
    with lab.enter():
        yield


def python(lab: Lab, script: str, *words: object) -> subprocess.CompletedProcess[str]:
    return lab.run(
        [sys.executable, "-c", script, *map(str, words)], capture_output=True, text=True, timeout=30
    )


def opened(lab: Lab, protocol: Protocol) -> str:
    """An address with an open port."""
    return str(IPv4Address(lab.plan.open_addresses(protocol)[0]))


FIRST_OPEN = """
import sys
from scanner import sweep
s = sweep(["10.50.0.0/24", "10.50.2.0/28"], rate=float("inf"), evidence=sys.argv[1])
states = [verdict.state.value for verdict in s]
opened = states.count("open")
assert states[:opened] == ["open"] * opened, states
sys.stderr.write(f"{opened} {len(states)} {s.result().complete}")
"""


def test_open_ports_come_first_and_nothing_is_printed(lab, tmp_path):
    expected = [lab.expected(f"10.50.0.{last}", p).state for last in range(256) for p in TRANSPORTS]

    ran = python(lab, FIRST_OPEN, tmp_path / "x.pcap")

    assert (ran.returncode, ran.stdout) == (0, "")
    assert ran.stderr == f"{expected.count(State.OPEN)} {2 * (256 + 16)} True"


def test_open_ports_come_while_the_silent_are_still_waited_for(lab):
    listening = opened(lab, Protocol.UDP)
    began = time.monotonic()
    verdicts = iter(sweep([listening, "10.50.2.0/29"], protocols=["udp"], retries=1))

    first = next(verdicts)

    assert time.monotonic() - began < 1
    assert (first.ip, first.state, first.reason) == (listening, State.OPEN, Reason.UDP_RESPONSE)
    assert [v.state for v in verdicts] == [State.OPEN_FILTERED] * 8


def test_the_whole_result(lab):
    result = sweep("10.50.0.0/25", rate=float("inf")).result()

    assert (result.complete, result.unfinished, result.forged) == (True, 0, 0)
    everybody = list(result)
    assert [(v.ip, v.proto.value) for v in everybody] == [
        (f"10.50.0.{last}", p) for last in range(128) for p in ("tcp", "udp")
    ]
    assert result.open() == [v for v in everybody if v.state is State.OPEN]
    assert sum(result.tally().values()) == 256
    for verdict in everybody:
        assert verdict.state is lab.expected(verdict.ip, verdict.proto).state


INTERRUPTED = """
import sys, signal
from scanner import sweep
s = sweep("10.50.0.0/22", rate=500, evidence=sys.argv[1])
try:
    for number, verdict in enumerate(s):
        if number == 10:
            signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    pass
else:
    sys.exit("it was to be interrupted")
result = s.result()
sys.stdout.write(f"{result.complete} {result.unfinished} {len(list(result))}")
"""


def test_an_interrupted_iteration_leaves_evidence_that_can_be_read(lab, wrong, tmp_path):
    capture = tmp_path / "x.pcap"
    ran = python(lab, INTERRUPTED, capture)
    assert (ran.returncode, ran.stderr) == (0, "")
    complete, unfinished, known = ran.stdout.split()

    result = read_capture(capture)

    assert (complete, result.complete) == ("False", False)
    found = list(result)
    assert len(found) == int(known) == 2048 - int(unfinished)
    assert result.unfinished == int(unfinished)
    assert sum(verdict.state is State.OPEN for verdict in found) >= 11
    assert wrong(json.loads(line) for line in as_jsonl(found)) == []


KILLED_ANYWHERE = """
import sys, threading, time, _thread
from scanner import sweep
threading.Timer(float(sys.argv[2]), _thread.interrupt_main).start()
s = sweep(["10.50.0.0/22", "10.49.0.8/30"], ports="400-409", rate=float("inf"), evidence=sys.argv[1])
try:
    s.result()
except KeyboardInterrupt:
    pass
sys.stdout.write(str(len(list(s.result()))))
"""


@pytest.mark.parametrize("after", [0.05, 0.1, 0.2])
def test_an_interrupt_at_any_moment_leaves_evidence_that_agrees(lab, wrong, tmp_path, after):
    capture = tmp_path / "x.pcap"
    ran = python(lab, KILLED_ANYWHERE, capture, after)
    assert (ran.returncode, ran.stderr) == (0, "")
    warnings: list[str] = []

    # Interrupted before the first byte of it was written, it is empty.
    begun = capture.exists() and capture.stat().st_size > 0
    found = list(read_capture(capture, warn=warnings.append)) if begun else []

    assert warnings == []
    assert wrong(r for r in map(json.loads, as_jsonl(found)) if r["port"] == 401) == []


def as_jsonl(verdicts):
    return [msgspec.json.encode(verdict) for verdict in verdicts]


def test_one_target_takes_no_longer_than_its_answer(lab):
    elapsed = []
    for protocol in TRANSPORTS:
        planned = sweep(opened(lab, protocol), protocols=[protocol])
        began = time.monotonic()
        (verdict,) = planned.result()
        elapsed.append(time.monotonic() - began)
        assert verdict.state is State.OPEN
        assert verdict.rtt_ms is not None
        assert verdict.rtt_ms < 100
    assert min(elapsed) < 0.2, elapsed


def test_a_whole_command_for_one_target_is_soon_over(lab, prober):
    began = time.monotonic()
    ran = prober.ghostport("sweep", opened(lab, Protocol.TCP), "--tcp")

    assert time.monotonic() - began < 2
    assert float(ran.out.rsplit("1 target in ", 1)[1].split(" s; ")[0]) < 0.5


def test_it_ends_when_everybody_has_answered_and_not_at_a_fixed_time():
    began = time.monotonic()
    result = sweep("10.50.0.0/24", rate=float("inf"), wait=30, retries=10).result()

    assert time.monotonic() - began < 2
    assert result.complete
    assert {reason for *_, reason in result.tally()} <= {
        Reason.SYN_ACK, Reason.RESET, Reason.UDP_RESPONSE, Reason.PORT_UNREACH,
    }  # fmt: skip


def test_silence_is_waited_for_three_times_and_no_longer():
    began = time.monotonic()
    result = sweep("10.50.2.0/28", protocols=["tcp"], wait=0.5).result()
    elapsed = time.monotonic() - began

    assert {(v.reason, v.tries) for v in result} == {(Reason.NO_RESPONSE, 3)}
    assert 1.5 <= elapsed < 2.4


def test_known_round_trips_shorten_the_wait_for_the_silent():
    began = time.monotonic()
    sweep(["10.50.0.0/28", "10.50.2.0/28"], protocols=["tcp"]).result()

    assert 0.7 <= time.monotonic() - began < 2.5  # 0.1, 0.2 and 0.4 seconds


def test_two_sweeps_at_once_do_not_take_each_other_s_replies(prober, wrong, tmp_path):
    outputs = [tmp_path / "one", tmp_path / "two"]
    captures = [tmp_path / "one.pcap", tmp_path / "two.pcap"]
    running = [
        prober.start("sweep", "10.50.0.0/22", "--rate", 3000, "-o", output, "--evidence", capture)
        for output, capture in zip(outputs, captures, strict=True)
    ]
    ended = [prober.end(process) for process in running]

    for ran, output, capture in zip(ended, outputs, captures, strict=True):
        assert (ran.code, ran.err) == (0, "")
        evidence = prober.read_back(ran, capture, output)
        assert len(evidence.records) == 2048
        assert wrong(evidence.records) == []
        assert {r["tries"] for r in evidence.records if r["reason"] == Reason.SYN_ACK} == {1}
        assert evidence.again == evidence.swept


def test_a_sweep_runs_once():
    planned = sweep("10.50.0.1")
    planned.result()

    with pytest.raises(UsageError, match="a sweep runs once"):
        list(planned)
    assert len(list(planned.result())) == 2
