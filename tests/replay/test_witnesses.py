"""The recorder's witnesses: each can contradict, and a case that is kept says what they said."""

from __future__ import annotations

import dataclasses
import shutil

import msgspec
import pytest

from scanner.lab import PROFILES, Plan
from scanner.model import Protocol, Reason, State
from tests.replay.case import EXPECTED, Tool
from tests.replay.cases import CASES, case_named
from tests.replay.expectation import Refused, as_lines, expected_records, targets, truth
from tests.replay.frames import Frame, read_frames, sighting
from tests.replay.recording import dropped
from tests.replay.testimony import contradictions, forged_by_sweep

TARGET = ("10.50.0.9", Protocol.TCP, 401)
RECORD = {
    "ip": "10.50.0.9", "proto": "tcp", "port": 401, "state": "open", "reason": "syn-ack", "ttl": 64,
    "rtt_ms": 0.25, "responder": "10.50.0.9", "tries": 1, "time": "2026-01-02T03:04:05.000006Z",
    "service": None,
}  # fmt: skip

PROBE = Frame(
    time=1_000, source="10.49.0.1", destination="10.50.0.9", ttl=50, icmp=None, protocol=Protocol.TCP,
    packet_source="10.49.0.1", packet_destination="10.50.0.9", source_port=50_000, destination_port=401,
    sequence=77, acknowledgement=0, flags=0x02,
)  # fmt: skip
REPLY = Frame(
    time=2_000, source="10.50.0.9", destination="10.49.0.1", ttl=64, icmp=None, protocol=Protocol.TCP,
    packet_source="10.50.0.9", packet_destination="10.49.0.1", source_port=401, destination_port=50_000,
    sequence=5, acknowledgement=78, flags=0x12,
)  # fmt: skip
ERROR = dataclasses.replace(
    PROBE, time=2_000, source="10.49.0.2", destination="10.49.0.1", ttl=63, icmp=(3, 1)
)

nmap, zmap = case_named("nmap-tcp"), case_named("zmap")


def test_witnesses_that_agree_say_nothing():
    assert contradictions(nmap, [RECORD], {TARGET: {"state": "open", "reason": "syn-ack", "ttl": 64}}) == []
    assert contradictions(zmap, [RECORD], {TARGET: {"state": "open"}}) == []


@pytest.mark.parametrize(
    ("key", "value"), [("state", "closed"), ("reason", "reset"), ("ttl", 63), ("responder", "10.49.0.2")]
)
def test_a_fact_that_differs_is_named(key, value):
    (line,) = contradictions(nmap, [RECORD], {TARGET: {key: value}})

    assert line == f"10.50.0.9 tcp/401: {key} is {value!r} by nmap, expected is {RECORD[key]!r}"


def test_a_target_left_out_or_added_is_named():
    assert len(contradictions(zmap, [RECORD], {})) == 1
    assert len(contradictions(zmap, [{**RECORD, "state": "closed"}], {})) == 0, "zmap tells of the open alone"
    assert len(contradictions(nmap, [{**RECORD, "state": "closed"}], {})) == 1
    assert len(contradictions(zmap, [], {TARGET: {"state": "open"}})) == 1


def test_a_tool_must_be_fooled_as_the_case_says():
    fooled = dataclasses.replace(nmap, believed={"10.50.0.9": (State.CLOSED, Reason.RESET)})

    assert contradictions(fooled, [RECORD], {TARGET: {"state": "closed", "reason": "reset"}}) == []
    assert len(contradictions(fooled, [RECORD], {TARGET: {"state": "open", "reason": "syn-ack"}})) == 1


def test_the_sweep_says_what_it_ignored():
    assert forged_by_sweep("3 targets in 1 s\nforged or late replies, ignored: 1,204\n") == 1204
    assert forged_by_sweep("3 targets in 1 s\n") == 0


def test_a_reply_is_of_the_last_probe_before_it():
    again = dataclasses.replace(PROBE, time=1_500)
    late = dataclasses.replace(PROBE, time=2_500)

    seen = sighting([PROBE, again, REPLY, late], *TARGET, Reason.SYN_ACK, "10.50.0.9")

    assert (seen.ttl, seen.rtt, seen.time, seen.tries) == (64, 500, 2_000, 3)
    error = sighting([PROBE, ERROR], *TARGET, Reason.HOST_UNREACH, "10.49.0.2")
    assert (error.ttl, error.rtt, error.responder, error.tries) == (63, 1_000, "10.49.0.2", 1)
    silent = sighting([PROBE, again], *TARGET, Reason.NO_RESPONSE, None)
    assert (silent.rtt, silent.time, silent.tries) == (None, 1_500, 2)


@pytest.mark.parametrize(
    ("frames", "reason", "responder"),
    [
        ([], Reason.NO_RESPONSE, None),
        ([PROBE], Reason.SYN_ACK, "10.50.0.9"),
        ([PROBE, dataclasses.replace(REPLY, acknowledgement=77)], Reason.SYN_ACK, "10.50.0.9"),
        ([PROBE, dataclasses.replace(REPLY, destination_port=50_001)], Reason.SYN_ACK, "10.50.0.9"),
        ([PROBE, dataclasses.replace(REPLY, time=900)], Reason.SYN_ACK, "10.50.0.9"),
        ([PROBE, REPLY], Reason.RESET, "10.50.0.9"),
        ([PROBE, dataclasses.replace(REPLY, flags=0x14, acknowledgement=79)], Reason.RESET, "10.50.0.9"),
        ([PROBE, ERROR], Reason.NET_UNREACH, "10.49.0.2"),
        ([PROBE, ERROR], Reason.HOST_UNREACH, "10.50.0.9"),
        ([PROBE, dataclasses.replace(ERROR, sequence=78)], Reason.HOST_UNREACH, "10.49.0.2"),
    ],
)
def test_a_verdict_that_no_frame_bears_out_is_refused(frames, reason, responder):
    with pytest.raises(LookupError):
        sighting(frames, *TARGET, reason, responder)


def test_a_capture_that_lost_packets_is_known():
    assert dropped("19 packets captured\n24 packets received by filter\n5 packets dropped by kernel\n") == 5
    assert dropped("Packets received/dropped on interface 'gpv0': 19/2 (pcap:2/dumpcap:0)\n") == 2
    with pytest.raises(Refused):
        dropped("killed\n")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_expected_is_the_truth_of_the_lab_or_of_the_script(case):
    plan = Plan(PROFILES[case.profile])
    expected = {(v.ip, v.proto, v.port): v for v in case.expected()}
    left_out = [target for target in targets(case) if target not in expected]

    for target, verdict in expected.items():
        outcome, responder = truth(case, plan, target)
        assert (verdict.state, verdict.reason) == (outcome.state, outcome.reason)
        assert verdict.responder == responder
    assert set(expected) <= set(targets(case))
    # A foreign capture knows nothing of the never probed, a plan that was cut short nothing of the silent.
    silent = [target for target in left_out if truth(case, plan, target)[0].responder is None]
    assert left_out == silent
    assert not left_out or case.tool is not Tool.SWEEP or len(left_out) == case.unfinished


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_expected_records_are_written_as_the_reader_prints_them(case):
    lines = (case.folder / EXPECTED).read_bytes()

    assert lines == msgspec.json.Encoder().encode_lines(case.expected())
    assert as_lines([msgspec.json.decode(line) for line in lines.splitlines()]).encode() == lines


@pytest.mark.parametrize(
    "name", ["late-reply", "conflicts-tcp", "absent-hosts", "nmap-refused-udp", "nmap-any", "scapy-wrpcap"]
)
def test_tshark_sees_again_what_it_saw(name):
    if shutil.which("tshark") is None:
        pytest.skip("tshark is not installed (make lab-packages)")
    case = case_named(name)

    records = expected_records(case, Plan(PROFILES[case.profile]), read_frames(case.capture_path))

    assert as_lines(records) == (case.folder / EXPECTED).read_text()
