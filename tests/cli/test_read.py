"""`ghostport read`: the records and the exit code of a capture."""

from __future__ import annotations

import csv
import functools
import json
import struct
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.utils import wrpcap

from scanner import reading
from scanner.core import book, conversations


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


# --- several captures, and what is asked of them -------------------------------------------------


@pytest.fixture
def strange(ghostport, tmp_path) -> Path:
    """A capture of another tool, as far as anybody can tell: there is no plan beside it."""
    path: Path = tmp_path / "strange.pcap"
    words = ["sweep", "10.0.0.0/27", "-p", "401-402", "--tcp", "--evidence", path, "-q"]
    assert ghostport(*words).code == 0
    Path(f"{path}.json").unlink()
    return path


def records(ran) -> list[dict[str, object]]:
    return [json.loads(line) for line in ran.out.splitlines()]


def test_several_captures_are_read_as_one(ghostport, strange, tmp_path):
    """A probe may be in one of them, and its answer in the other."""
    header, body = strange.read_bytes()[:24], strange.read_bytes()[24:]
    parts: list[list[bytes]] = [[header], [header]]
    while body:
        size = 16 + int.from_bytes(body[8:12], "little")
        frame, body = body[:size], body[size:]
        parts[frame[16 + 26 : 16 + 28] == b"\xc0\x00"].append(frame)
    whole = records(ghostport("read", strange, "-p", "all", "--format", "jsonl", "-q"))
    names = [tmp_path / "one.pcap", tmp_path / "two.pcap"]
    for name, part in zip(names, parts, strict=True):
        name.write_bytes(b"".join(part))
    assert records(ghostport("read", *names, "-p", "all", "--format", "jsonl", "-q")) == whole


def test_the_same_capture_twice_is_read_once(ghostport, strange, tmp_path):
    other = tmp_path / "other.pcap"
    other.symlink_to(strange)
    once = ghostport("read", strange, "--format", "jsonl", "-q")
    assert ghostport("read", strange, other, strange, "--format", "jsonl", "-q") == once


def test_what_cannot_be_read_leaves_the_others(ghostport, strange, tmp_path):
    bad = tmp_path / "bad.pcap"
    bad.write_bytes(b"nothing of the kind")
    alone = ghostport("read", strange, "--format", "jsonl", "-q")

    ran = ghostport("read", bad, strange, "/nowhere/x.pcap", "--format", "jsonl", "-q")

    assert (ran.code, ran.out) == (2, alone.out)
    assert ran.err.splitlines() == [
        f"ghostport: {bad}: is neither a pcap nor a pcapng file",
        "ghostport: /nowhere/x.pcap: cannot be read: No such file or directory",
    ]


def test_damage_leaves_what_came_before(ghostport, strange):
    data = bytearray(strange.read_bytes())
    whole = len(records(ghostport("read", strange, "-p", "all", "--format", "jsonl", "-q")))
    at = 24
    for _ in range(60):
        at += 16 + int.from_bytes(data[at + 8 : at + 12], "little")
    data[at + 8 : at + 12] = b"\xff" * 4
    strange.write_bytes(data)

    ran = ghostport("read", strange, "-p", "all", "--format", "jsonl", "-q")

    assert ran.code == 2
    assert 0 < len(records(ran)) < whole
    assert f"the record at byte {at} claims" in ran.err


def test_more_addresses_than_can_be_held_leave_what_came_before(ghostport, tmp_path, monkeypatch):
    monkeypatch.setattr(book, "MOST_ENTRIES", 3)
    monkeypatch.setattr(reading, "_AT_ONCE", 1)
    probes = [
        Ether() / IPv6(src="fd00::1", dst=f"fd00::{target}") / TCP(dport=401, sport=5000, flags="S")
        for target in (2, 3, 4, 5)
    ]
    path = tmp_path / "many.pcap"
    wrpcap(str(path), probes)
    ran = ghostport("read", path, "--format", "jsonl", "-q")
    assert (ran.code, [record["ip"] for record in records(ran)]) == (2, ["fd00::2", "fd00::3"])
    assert ran.err == (
        f"ghostport: {path}: left out all from frame 3 on: there are more than 3 IPv6 addresses; "
        "ask about fewer ports, or a shorter time\n"
    )


def test_each_sweep_is_judged_by_its_own_plan(ghostport, capture, tmp_path):
    other = tmp_path / "y.pcap"
    assert ghostport("sweep", "10.0.0.0/30", "-p", "7", "--evidence", other, "-q").code == 0
    both = records(ghostport("read", capture, other, "--format", "jsonl", "-q"))
    assert len(both) == 128 + 8
    assert [(r["ip"], r["proto"], r["port"]) for r in both[:6]] == [
        ("10.0.0.0", proto, port) for proto in ("tcp", "udp") for port in (7, 401, 402)
    ]


@pytest.mark.parametrize(
    ("words", "addresses"),
    [
        (["--target", "10.0.0.8/30"], {f"10.0.0.{n}" for n in range(8, 12)}),
        (["--target", "10.0.0.8,10.0.0.9"], {"10.0.0.8", "10.0.0.9"}),
        (["--target", "10.0.0.8", "--target", "2001:db8::/32"], {"10.0.0.8"}),
        (["--prober", "198.51.100.0/24"], set()),
        (["--to", "1999-01-01"], set()),
        (["--from", "2099-01-01T00:00:00+01:00"], set()),
    ],
)
def test_what_is_spoken_of_may_be_chosen(ghostport, strange, words, addresses):
    ran = ghostport("read", strange, *words, "--format", "jsonl", "-q")
    assert ran.code == 0
    assert {record["ip"] for record in records(ran)} == addresses


def test_a_verdict_for_each_prober(ghostport, strange):
    found = records(ghostport("read", strange, "--per-prober", "--format", "jsonl", "-q"))
    assert len({record.pop("prober") for record in found}) == 1
    assert found == records(ghostport("read", strange, "--format", "jsonl", "-q"))
    assert "PROBER" in ghostport("read", strange, "--per-prober").out


def test_conversations_take_the_place_of_records(ghostport, capture, tmp_path):
    ran = ghostport("read", capture, "--conversations")
    assert ran.code == 0
    assert ran.out.startswith("START ")
    assert " conversations with ports 401, 402: " in ran.out.splitlines()[-1]
    output = tmp_path / "talk.jsonl"
    assert ghostport("read", capture, "--conversations", "-o", output, "-q").code == 0
    found = [json.loads(line) for line in output.read_text().splitlines()]
    assert {line["server_port"] for line in found} == {401, 402}


def test_conversations_for_which_there_was_no_room_make_it_incomplete(ghostport, tmp_path, monkeypatch):
    few = functools.partial(conversations.Conversations, most=2, most_streams=1)
    monkeypatch.setattr(conversations, "Conversations", few)
    said = [
        Ether() / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=port, dport=401, flags="PA") / b"hello"
        for port in (1, 2, 3, 3)
    ]
    path = tmp_path / "talk.pcap"
    wrpcap(str(path), said)
    ran = ghostport("read", path, "--conversations", "--format", "jsonl")
    assert ran.code == 4
    assert [record["client_port"] for record in records(ran)] == [1, 2]
    assert ran.err.splitlines()[1:] == [
        "ghostport: more conversations than can be held; left out: 2 packets of others",
        "ghostport: more was said than can be held; first bytes that are not known: those of 1 side",
    ]


def test_what_a_conversation_was_with_is_told_as_of_a_sweep(ghostport, tmp_path):
    client, server = IP(src="10.0.0.1", dst="10.0.0.2"), IP(src="10.0.0.2", dst="10.0.0.1")
    path, output = tmp_path / "talk.pcap", tmp_path / "talk"
    packets = [
        client / TCP(sport=50000, dport=401, flags="S", seq=9),
        server / TCP(sport=401, dport=50000, flags="SA", seq=4, ack=10),
        client / TCP(sport=50000, dport=401, flags="A", seq=10, ack=5),
        server / TCP(sport=401, dport=50000, flags="PA", seq=5, ack=10) / b"SSH-2.0-Open\x1bSSH_9.2\r\n",
    ]
    wrpcap(str(path), [Ether() / packet for packet in packets])

    assert ghostport("read", path, "--conversations", "-o", f"{output}.jsonl", "-q").code == 0
    assert ghostport("read", path, "--conversations", "-o", f"{output}.csv", "-q").code == 0

    text = (tmp_path / "talk.jsonl").read_text()
    service = json.loads(text)["service"]
    assert service == {
        "name": "ssh",
        "product": "Open\x1bSSH",
        "version": "9.2",
        "confidence": 1.0,
        "evidence": "SSH-2.0-Open\x1bSSH_9.2",
    }
    assert "\x1b" not in text
    with (tmp_path / "talk.csv").open(newline="") as file:
        [row] = csv.DictReader(file)
    assert json.loads(row["service"]) == service


def test_where_nobody_asked_it_says_what_to_try(ghostport, strange):
    ran = ghostport("read", strange, "-p", "9")
    assert ran.code == 0
    assert ran.out.startswith("no probe to the ports asked about in ")
    assert "--conversations" in ran.out


def test_where_nothing_was_found_it_says_what_was_not_read(ghostport, tmp_path):
    path = tmp_path / "spanning-tree.pcap"
    frame = bytes(12) + b"\x88\xcc" + bytes(50)
    path.write_bytes(
        struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
        + struct.pack("<IIII", 1, 0, len(frame), len(frame))
        + frame
    )
    assert "frames not read, neither IP nor ARP: 1" in ghostport("read", path).out
    assert ghostport("read", path, "-v").out.count("frames not read") == 1


def test_a_name_cannot_move_the_cursor(ghostport, strange, tmp_path):
    path = tmp_path / "a\x1b[2Jb\n"
    for words in ([path], [path, strange]):
        ran = ghostport("read", *words)
        assert ran.code == 2
        assert "a\\x1b[2Jb\\x0a: cannot be read: No such file" in ran.err
        assert "\x1b" not in ran.err


def test_a_link_type_that_cannot_be_read_is_named_with_its_file(ghostport, strange, tmp_path):
    path = tmp_path / "wireless.pcap"
    path.write_bytes(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 127))
    ran = ghostport("read", path, strange)
    assert ran.code == 2
    assert f"{path}: link type 127 (IEEE802_11_RADIOTAP) is not supported" in ran.err


def test_what_was_not_read_is_told_to_those_who_ask(ghostport, strange):
    assert "frames read: " in ghostport("read", strange, "-v").out
    assert "frames read: " not in ghostport("read", strange).out


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["-", "-"], "-: standard input can be read once only"),
        (["x.pcap", "--from", "yesterday"], "'yesterday' is not a time"),
        (["x.pcap", "--from", "2026-02-30"], "'2026-02-30' is not a time"),
        (["x.pcap", "--from", "2026-01-02", "--to", "2026-01-01"], "--from 2026-01-02 is later than"),
        (["x.pcap", "--target", "10.0.0.300"], "'10.0.0.300' is not"),
        (["x.pcap", "--prober", "fe80::1%eth0"], "'fe80::1%eth0' has a zone"),
        (["x.pcap", "--prober", "2001:::1"], "'2001:::1' is not an IPv6 address"),
        (["x.pcap", "-p", "all,1"], "'all'"),
    ],
)
def test_what_cannot_be_asked(ghostport, capture, words, complaint, monkeypatch):
    monkeypatch.chdir(capture.parent)
    ran = ghostport("read", *words)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"ghostport: {complaint}")
    assert ran.err.count("\n") == 1


@pytest.fixture
def untimed(tmp_path) -> Path:
    """Simple packet blocks: a SYN that was reset, and one that was accepted; nobody knows when."""

    def block(kind: int, body: bytes) -> bytes:
        length = struct.pack("<I", len(body) + 12)
        return struct.pack("<I", kind) + length + body + length

    probes = [IP(src="10.9.9.9", dst="10.0.0.1") / TCP(sport=port, dport=401, flags="S") for port in (5, 6)]
    answers = [
        IP(src="10.0.0.1", dst="10.9.9.9") / TCP(sport=401, dport=port, flags=flags, ack=1)
        for port, flags in ((5, "RA"), (6, "SA"))
    ]
    file = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    file += block(1, struct.pack("<HHI", 101, 0, 0))
    for packet in map(bytes, (probes[0], answers[0], probes[1], answers[1])):
        file += block(3, struct.pack("<I", len(packet)) + packet)
    path: Path = tmp_path / "untimed.pcapng"
    path.write_bytes(file)
    return path


def test_of_packets_without_times_no_time_is_told(ghostport, untimed):
    [record] = map(json.loads, ghostport("read", untimed, "--format", "jsonl", "-q").out.splitlines())
    [row] = csv.DictReader(ghostport("read", untimed, "--format", "csv", "-q").out.splitlines())

    assert (record["state"], record["ttl"], record["tries"]) == ("open", 64, 2)
    assert [record["time"], record["rtt_ms"], record["superseded"][0]["time"]] == [None, None, None]
    assert [row["time"], row["rtt_ms"]] == ["", ""]
    text = ghostport("read", untimed, "-q").out
    assert "  before: closed (reset) from 10.0.0.1\n" in text


@pytest.mark.parametrize("bound", [("--from", "2001-01-01"), ("--to", "2030-01-01")])
def test_packets_without_times_are_of_no_time_that_is_asked_about(ghostport, untimed, bound):
    assert ghostport("read", untimed, *bound, "--format", "jsonl", "-q").out == ""


def test_nor_when_anybody_talked(ghostport, untimed):
    ran = ghostport("read", untimed, "--conversations", "--format", "jsonl", "-q")
    talks = [json.loads(line) for line in ran.out.splitlines()]

    assert [(talk["start"], talk["end"]) for talk in talks] == [(None, None)] * 2
    assert ghostport("read", untimed, "--conversations").out.splitlines()[1].startswith("- ")
