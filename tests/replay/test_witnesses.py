"""The recorder's witnesses: each can contradict, and a case that is kept says what they said."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest

from scanner.lab import PROFILES, Plan
from scanner.model import Protocol, Reason, State
from tests.replay.case import EXPECTED
from tests.replay.cases import CASES, case_named
from tests.replay.expectation import as_lines, expected_records, objections, targets, truth
from tests.replay.frames import Frame, Seen
from tests.replay.oracle import NOTHING_FROM_TARGET, NOTHING_INBOUND, OPEN_INFERRED, verdicts
from tests.replay.recording import dropped
from tests.replay.refused import Refused
from tests.replay.testimony import contradictions, forged_by_sweep

TARGET = ("10.50.0.9", Protocol.TCP, 401)
RECORD = {
    "ip": "10.50.0.9", "proto": "tcp", "port": 401, "state": "open", "reason": "syn-ack", "ttl": 64,
    "rtt_ms": 0.25, "responder": "10.50.0.9", "tries": 1, "time": "2026-01-02T03:04:05.000006Z",
    "service": None, "note": None, "hint": None, "superseded": None,
}  # fmt: skip

PROBE = Frame(
    time=1_000, source="10.49.0.1", destination="10.50.0.9", ttl=50, icmp=None, protocol=Protocol.TCP,
    packet_source="10.49.0.1", packet_destination="10.50.0.9", source_port=50_000, destination_port=401,
    sequence=77, flags=0x02, number=1,
)  # fmt: skip
REPLY = Frame(
    time=2_000, source="10.50.0.9", destination="10.49.0.1", ttl=64, icmp=None, protocol=Protocol.TCP,
    packet_source="10.50.0.9", packet_destination="10.49.0.1", source_port=401, destination_port=50_000,
    sequence=5, acknowledgement=78, flags=0x12, number=2,
)  # fmt: skip
ERROR = dataclasses.replace(
    PROBE, time=2_000, source="10.49.0.2", destination="10.49.0.1", ttl=63, icmp=(4, 3, 1), number=2
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


def oracle(*frames: Frame):
    ordered = sorted(frames, key=lambda frame: (frame.time, frame.number))
    return verdicts(Seen(tuple(ordered), frozenset(frame.destination for frame in frames)), (401,))[TARGET]


def test_a_reply_is_of_the_last_probe_before_it():
    again = dataclasses.replace(PROBE, time=12_000_000)
    reply = dataclasses.replace(REPLY, time=12_500_000)
    late = dataclasses.replace(PROBE, time=25_000_000)

    seen = oracle(PROBE, again, reply, late)

    assert (seen["ttl"], seen["rtt_ms"], seen["tries"]) == (64, 0.5, 3)
    assert seen["time"] == "1970-01-01T00:00:00.012500Z"
    error = oracle(PROBE, ERROR)
    assert (error["reason"], error["ttl"], error["rtt_ms"]) == ("host-unreach", 63, 0.001)
    assert error["responder"] == "10.49.0.2"
    silent = oracle(PROBE, again)
    assert (silent["rtt_ms"], silent["time"]) == (None, "1970-01-01T00:00:00.012000Z")
    assert (silent["state"], silent["reason"], silent["tries"]) == ("filtered", "no-response", 2)


@pytest.mark.parametrize(
    "frames",
    [
        (PROBE,),
        (PROBE, dataclasses.replace(REPLY, acknowledgement=77)),
        (PROBE, dataclasses.replace(REPLY, destination_port=50_001)),
        (PROBE, dataclasses.replace(REPLY, time=900)),
        (PROBE, dataclasses.replace(REPLY, tunnel=("gre",))),
        (PROBE, dataclasses.replace(REPLY, flags=0x14, acknowledgement=79)),
        (PROBE, dataclasses.replace(REPLY, flags=0x10)),
        (PROBE, dataclasses.replace(ERROR, sequence=78)),
        (PROBE, dataclasses.replace(ERROR, icmp=(4, 3, 4))),
        (PROBE, dataclasses.replace(ERROR, icmp=(6, 3, 1), tunnel=("vxlan", "401"))),
    ],
)
def test_what_answers_no_probe_decides_nothing(frames):
    assert oracle(*frames)["reason"] == "no-response"


def test_the_oracle_knows_copies_refusals_and_one_way_captures():
    copy = dataclasses.replace(PROBE, time=3_000, number=3)
    reset = dataclasses.replace(REPLY, time=1_500, flags=0x14, number=4)
    betraying = dataclasses.replace(PROBE, time=4_000, sequence=78, flags=0x04, number=5)

    assert oracle(PROBE, copy)["tries"] == 1
    assert oracle(PROBE, copy)["hint"] == NOTHING_INBOUND
    (refusal,) = oracle(PROBE, reset, REPLY)["superseded"]
    assert (refusal["state"], refusal["reason"]) == ("closed", "reset")
    assert oracle(PROBE, reset, REPLY)["state"] == "open"
    assert oracle(PROBE, REPLY, reset)["superseded"] is not None
    assert oracle(PROBE, betraying)["note"] == OPEN_INFERRED
    other = dataclasses.replace(REPLY, source="10.50.0.77", packet_source="10.50.0.77")
    assert oracle(PROBE, betraying, other)["hint"] == NOTHING_FROM_TARGET
    assert oracle(PROBE, REPLY, betraying)["note"] is None


def test_a_capture_that_is_not_the_truth_is_refused():
    case, plan = nmap, Plan(PROFILES["small"])
    outcome, responder = truth(case, plan, TARGET)

    assert objections(case, RECORD, outcome, responder) == []
    assert len(objections(case, {**RECORD, "state": "closed"}, outcome, responder)) == 1
    assert len(objections(case, {**RECORD, "note": OPEN_INFERRED}, outcome, responder)) == 1
    assert len(objections(case, {**RECORD, "hint": NOTHING_INBOUND}, outcome, responder)) == 1
    silent = {**RECORD, "state": "filtered", "reason": "no-response", "responder": None}
    assert len(objections(case, silent, outcome, responder)) == 3
    assert objections(dataclasses.replace(case, partial=True), silent, outcome, responder) == []
    with pytest.raises(Refused, match="never probed"):
        expected_records(case, plan, Seen((), frozenset()))
    with pytest.raises(Refused, match="nobody asked"):
        expected_records(
            zmap, plan, Seen((dataclasses.replace(PROBE, destination="10.50.0.99"),), frozenset())
        )


def test_a_capture_that_lost_packets_is_known():
    assert dropped("19 packets captured\n24 packets received by filter\n5 packets dropped by kernel\n") == 5
    assert dropped("Packets received/dropped on interface 'gpv0': 19/2 (pcap:2/dumpcap:0)\n") == 2
    with pytest.raises(Refused):
        dropped("killed\n")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_expected_is_the_truth_of_the_lab_or_of_the_script(case):
    plan = Plan(PROFILES[case.profile])
    expected = {(v.ip, v.proto, v.port): msgspec.to_builtins(v) for v in case.expected()}
    left_out = [target for target in targets(case) if target not in expected]

    for target, record in expected.items():
        assert objections(case, record, *truth(case, plan, target)) == []
    assert set(expected) <= set(targets(case))
    if case.partial:
        return
    # A foreign capture knows nothing of the never probed, a plan that was cut short nothing of the silent.
    assert left_out == [target for target in left_out if truth(case, plan, target)[0].responder is None]
    assert not left_out or not case.has_plan or len(left_out) == case.unfinished


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_expected_records_are_written_as_the_reader_prints_them(case):
    lines = (case.folder / EXPECTED).read_bytes()

    assert lines == msgspec.json.Encoder().encode_lines(case.expected())
    assert as_lines([msgspec.json.decode(line) for line in lines.splitlines()]).encode() == lines
