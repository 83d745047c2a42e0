from __future__ import annotations

import os
import re
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.capture import evidence, open_capture
from scanner.capture.evidence import Evidence, Plan, WrittenRules, plan_path, read_plan, write_plan
from scanner.contracts import Frames, Sent
from scanner.core.rules import ACK_REPLIES, ECHO_REPLIES, SCTP_REPLIES, UDP_REPLIES
from scanner.model import CaptureError, Protocol, UsageError

PLAN = Plan(
    version="0.1.0",
    seed=401,
    key="00112233445566778899aabbccddeeff",
    protocols=[Protocol.TCP, Protocol.UDP],
    ports={Protocol.TCP: [401, 3493], Protocol.UDP: [401]},
    targets=["10.50.0.0/16", "10.60.0.1-10.60.0.7"],
    excluded=["10.50.3.0/24"],
    no_route=["10.60.0.7"],
    on_link=["10.50.0.0/24"],
    sources=["10.50.0.1"],
    retries=2,
    wait=1.5,
    rate=10000.0,
    started="2024-01-01T00:00:00.000000Z",
    interfaces=["eth0"],
)


def sent(*times: int) -> Sent:
    return Sent(np.full((len(times), 4), ord("p"), dtype=np.uint8), np.array(times, dtype=np.int64))


def received(*times: int) -> Frames:
    count = len(times)
    lengths = np.full(count, 5, dtype=np.int64)
    buffer = np.full(5 * count, ord("r"), dtype=np.uint8)
    return Frames(buffer, np.arange(count) * 5, lengths, lengths, np.array(times, dtype=np.int64), 1)


def recorded(path: Path) -> list[tuple[int, bytes]]:
    return [
        (int(time), frames.buffer[start : start + length].tobytes())
        for frames in open_capture(path)
        for time, start, length in zip(frames.times, frames.starts, frames.lengths, strict=True)
    ]


def test_the_capture_holds_probes_and_the_replies_that_were_chosen_in_order(tmp_path):
    path = tmp_path / "sweep.pcap"
    with Evidence(path, [("eth0", 1)]) as capture:
        capture.write([sent(3), sent(1)], received(2, 4, 5), np.array([0, 2]))
        capture.write([], received(6))
        capture.write([sent(7)])
        capture.write()
        # In the file before it is closed: a sweep that is killed leaves what it did.
        assert [time for time, _ in recorded(path)] == [1, 2, 3, 5, 6, 7]
    assert recorded(path) == [
        (1, b"pppp"), (2, b"rrrrr"), (3, b"pppp"), (5, b"rrrrr"), (6, b"rrrrr"), (7, b"pppp"),
    ]  # fmt: skip


def test_what_the_file_held_is_lost_and_closing_twice_is_fine(tmp_path):
    path = tmp_path / "sweep.pcap"
    path.write_bytes(b"x" * 1000)
    capture = Evidence(path, [("eth0", 1)])
    capture.close()
    capture.close()
    assert path.stat().st_size == 24


@pytest.mark.parametrize("name", [".", "missing/sweep.pcap", "a\0b"])
def test_a_file_that_cannot_be_written_is_refused_early(tmp_path, name):
    with pytest.raises(UsageError, match="the evidence cannot be written") as error:
        Evidence(f"{tmp_path}/{name}", [("eth0", 1)])
    assert "\n" not in str(error.value)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk():
    with pytest.raises(
        CaptureError, match="/dev/full: the capture cannot be written: No space left on device"
    ):
        Evidence("/dev/full", [("eth0", 1)])


# --- the plan ---------------------------------------------------------------------------------


def test_a_plan_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "sweep.pcap"
    write_plan(path, PLAN)
    assert read_plan(path) == PLAN
    ended = msgspec.structs.replace(PLAN, complete=True, ended="2024-01-01T00:00:09Z", rate=None)
    write_plan(str(path), ended)
    assert read_plan(str(path)) == ended
    assert [entry.name for entry in tmp_path.iterdir()] == ["sweep.pcap.json"]


def test_a_plan_is_json_for_people_too(tmp_path):
    write_plan(tmp_path / "sweep.pcap", PLAN)
    text = (tmp_path / "sweep.pcap.json").read_text()
    assert text.startswith('{\n "format": "ghostport-plan/1",\n "version": "0.1.0",')
    assert '"complete": false' in text
    assert text.endswith("}\n")


def test_no_plan_is_none(tmp_path):
    assert read_plan(tmp_path / "sweep.pcap") is None


def test_a_plan_that_cannot_be_written_leaves_the_older_one(tmp_path, monkeypatch):
    path = tmp_path / "sweep.pcap"
    write_plan(path, PLAN)

    def full(descriptor):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CaptureError, match=r"sweep\.pcap\.json: the plan cannot be written: No space left"):
        write_plan(path, msgspec.structs.replace(PLAN, complete=True))
    monkeypatch.undo()
    assert read_plan(path) == PLAN
    assert [entry.name for entry in tmp_path.iterdir()] == ["sweep.pcap.json"]


def test_a_plan_in_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(CaptureError, match="the plan cannot be written: No such file or directory"):
        write_plan(tmp_path / "missing" / "sweep.pcap", PLAN)


def test_a_plan_too_large_to_be_read_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(evidence, "MAX_PLAN", 1000)
    with pytest.raises(CaptureError, match="more than 1000"):
        write_plan(tmp_path / "sweep.pcap", msgspec.structs.replace(PLAN, targets=["10.0.0.1"] * 200))
    assert list(tmp_path.iterdir()) == []


def damaged(**changes: object) -> bytes:
    return msgspec.json.encode(msgspec.to_builtins(PLAN) | changes)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "is not a plan, or damaged"),
        (b"not JSON", "is not a plan, or damaged"),
        (b"\xff\xfe", "is not a plan, or damaged"),
        (b"[]", "is not a plan, or damaged"),
        (b'{"x":' + b"[" * 100_000, "nested too deep"),
        (msgspec.json.encode(PLAN)[:-1], "is not a plan, or damaged"),
        (damaged(format="ghostport-plan/2"), "its format is not ghostport-plan/1"),
        (damaged(key="0g"), "is not a plan, or damaged"),
        (damaged(key=""), "is not a plan, or damaged"),
        (damaged(ports={"tcp": [65536], "udp": [1]}), "is not a plan, or damaged"),
        (damaged(ports={"dccp": [1]}), "is not a plan, or damaged"),
        (damaged(ports={"tcp": [401]}), "its protocols are not those of its ports"),
        (damaged(targets=["10.0.0.0/33"]), "is not a plan, or damaged: '10.0.0.0/33'"),
        (damaged(sources=["nobody"]), "is not a plan, or damaged: 'nobody'"),
        (damaged(retries=-1), "is not a plan, or damaged"),
        (damaged(wait="soon"), "is not a plan, or damaged"),
        (damaged().replace(b'"seed":401', b'"seed":' + b"9" * 5000), "is not a plan, or damaged"),
    ],
    ids=range(17),
)
def test_a_damaged_plan_is_refused_in_one_line(tmp_path, content, fault):
    path = tmp_path / "sweep.pcap"
    plan_path(path).write_bytes(content)
    with pytest.raises(CaptureError, match=re.escape(fault)) as error:
        read_plan(path)
    assert str(error.value).startswith(f"{path}.json: ")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400 + len(str(path))


def test_a_plan_without_end_is_not_read_to_its_end(tmp_path):
    path = tmp_path / "sweep.pcap"
    plan_path(path).symlink_to("/dev/zero")
    with pytest.raises(CaptureError, match="it has more than 16777216 bytes"):
        read_plan(path)


def test_a_plan_that_is_a_directory(tmp_path):
    plan_path(tmp_path / "sweep.pcap").mkdir()
    with pytest.raises(CaptureError, match="the plan cannot be read: Is a directory"):
        read_plan(tmp_path / "sweep.pcap")


@given(st.data())
def test_a_plan_with_some_bytes_changed_costs_a_capture_error_at_worst(tmp_path_factory, data):
    content = bytearray(msgspec.json.encode(PLAN))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content += data.draw(st.binary(max_size=5))
    path = tmp_path_factory.getbasetemp() / "changed.pcap"
    plan_path(path).write_bytes(content)
    try:
        plan = read_plan(path)
    except CaptureError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert isinstance(plan, Plan)


@pytest.mark.parametrize(
    ("protocol", "rules"),
    [
        (Protocol.TCP, ACK_REPLIES),
        (Protocol.UDP, UDP_REPLIES),
        (Protocol.SCTP, SCTP_REPLIES),
        (Protocol.ICMP, ECHO_REPLIES),
    ],
)
def test_rules_of_a_probe_are_read_as_they_were_written(tmp_path, protocol, rules):
    write_plan(tmp_path / "x", msgspec.structs.replace(PLAN, rules={protocol: WrittenRules.of(rules)}))
    plan = read_plan(tmp_path / "x")
    assert plan is not None
    assert plan.reply_rules() == {protocol: rules}


@pytest.mark.parametrize(
    "reply",
    [
        {"set": 4, "clear": 0, "rank": 9, "reason": "reset", "check": 0},
        {"set": 4, "clear": 0, "rank": 3, "reason": "because", "check": 0},
        {"set": 1 << 70, "clear": 0, "rank": 3, "reason": "reset", "check": 0},
        {"set": -1, "clear": 0, "rank": 3, "reason": "reset", "check": 0},
        {"chunk": 2, "rank": 3, "reason": "init-ack"},
        {},
        7,
    ],
)
def test_rules_that_are_none_are_refused(tmp_path, reply):
    raw = msgspec.json.decode(msgspec.json.encode(PLAN))
    raw["rules"] = {"tcp": {"replies": [reply], "set": 16, "clear": 7}}
    plan_path(tmp_path / "x").write_bytes(msgspec.json.encode(raw))
    with pytest.raises(CaptureError, match="is not a plan, or damaged: ") as error:
        read_plan(tmp_path / "x")
    assert "\n" not in str(error.value)
