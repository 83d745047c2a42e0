"""What a user sees and gets: formats, choices, files, the progress bar, a dry run, the evidence's frames."""

from __future__ import annotations

import csv
import io
import os
import pty
import subprocess
import sys
from collections import Counter
from ipaddress import IPv4Address

import jsonschema
import pytest

from scanner.model import Protocol, Reason, State, Verdict

pytestmark = pytest.mark.lab

PLACE = ["10.50.0.0/28", "10.50.2.0/29", "10.50.2.160/30", "--retries", "1"]
"""Sixteen hosts with open and closed ports, eight silent ones, four behind a router that refuses."""

NULLABLE_TEXT = {"type": ["string", "null"]}
SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "ip": {"type": "string", "format": "ipv4"},
        "proto": {"enum": [value.value for value in Protocol]},
        "port": {"type": "integer", "minimum": 1, "maximum": 65535},
        "state": {"enum": [value.value for value in State]},
        "reason": {"enum": [value.value for value in Reason]},
        "ttl": {"type": ["integer", "null"], "minimum": 0, "maximum": 255},
        "rtt_ms": {"type": ["number", "null"], "minimum": 0},
        "responder": NULLABLE_TEXT,
        "tries": {"type": "integer", "minimum": 0},
        "time": {"type": ["string", "null"], "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$"},
        **{name: {"type": "null"} for name in ("service", "note", "hint", "superseded")},
        "mac": {"type": ["string", "null"], "pattern": "^([0-9a-f]{2}:){5}[0-9a-f]{2}$"},
        "oui": {"type": ["string", "null"], "pattern": "^([0-9a-f]{2}:){2}[0-9a-f]{2}$"},
    },
    "required": list(Verdict.__struct_fields__),
    "additionalProperties": False,
}


def rows(text: str) -> list[list[str]]:
    """The rows of a table for people, without its heading and what is said around it."""
    return [line.split() for line in text.splitlines() if line.startswith("10.") and "/" in line.split()[1]]


def test_records_follow_the_schema_and_come_by_address(prober):
    found = prober.records(*PLACE, "10.49.0.8/30", "10.77.0.1", "-p", "400-401")

    validator = jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.FormatChecker())
    for record in found:
        validator.validate(record)
        assert list(record) == list(Verdict.__struct_fields__)
    order = [(int(IPv4Address(r["ip"])), r["proto"], r["port"]) for r in found]
    assert order == sorted(order)
    assert len(set(order)) == len(order) == 2 * 2 * (16 + 8 + 4 + 4 + 1)


def test_every_format_holds_the_same_records(prober, tmp_path):
    table = tmp_path / "out.csv"
    evidence = prober.sweep_and_read(*PLACE)
    runs = [
        prober.ghostport("read", evidence.capture, *words)
        for words in (["-o", table, "-q"], ["--format", "csv"], ["--show", "all"], ["-o", "-"])
    ]
    quiet, piped, shown, lines = runs

    said = lambda record: (record["ip"], record["proto"], record["state"], record["reason"])  # noqa: E731
    truth = [said(record) for record in evidence.records]
    assert len(truth) == 56
    for text in (table.read_text(), piped.out):
        found = list(csv.DictReader(io.StringIO(text)))
        assert list(found[0]) == [*Verdict.__struct_fields__, "prober"]
        assert [said(row) for row in found] == truth
    assert [(r[0], r[1].removeprefix("401/"), r[2], r[3]) for r in rows(shown.out)] == truth
    assert [said(record) for record in lines.records] == truth
    assert (quiet.out, quiet.err) == ("", "")
    assert {ran.code for ran in runs} == {0}


def test_what_is_said_to_people_goes_where_the_records_do_not(prober, tmp_path):
    text = prober.ghostport("sweep", *PLACE)
    assert text.err == ""
    said = text.out.splitlines()
    assert said[0] == (
        "sweeping 10.50.0.0/28, 10.50.2.0/29, 10.50.2.160/30 (28 addresses): tcp 401, udp 401; "
        "auto rate, 1 retry"
    )
    assert said[-1].startswith("56 targets in ")
    assert said[-1].endswith(" packets sent")
    assert said[-3].startswith("401/tcp  2 open (syn-ack)")

    records = prober.ghostport("sweep", *PLACE, "--format", "jsonl")
    assert len(records.records) == 56
    assert records.err.startswith("sweeping ")
    assert "401/udp  3 open (udp-response)" in records.err

    both = prober.ghostport("sweep", *PLACE, "-o", tmp_path / "out.jsonl")
    assert both.err == ""
    assert len(rows(both.out)) == 2 * 16 + 2 * 4


def test_quiet_and_verbose(prober):
    quiet = prober.ghostport("sweep", *PLACE, "-q")
    verbose = prober.ghostport("sweep", *PLACE, "-v")

    assert quiet.err == verbose.err == ""
    assert [line for line in quiet.out.splitlines() if not line.startswith(("10.", "ADDRESS"))] == []
    assert "path: 28 addresses by gpv0 from 10.49.0.1 through 10.49.0.2" in verbose.out
    assert "frames received: " in verbose.out


def test_the_output_replaces_a_file_when_it_is_whole(prober, tmp_path):
    output = tmp_path / "out.jsonl"
    output.write_text("from last time\n")
    with prober.start("sweep", "10.50.2.0/30", "--retries", "0", "-o", output) as process:
        process.stdout.readline()
        assert output.read_text() == "from last time\n"
        assert prober.end(process).code == 0
    assert len(output.read_text().splitlines()) == 8
    assert list(tmp_path.iterdir()) == [output]


def test_a_dry_run_says_what_it_would_do_and_sends_nothing(prober, tmp_path):
    before = prober.sent()
    ran = prober.ghostport(
        *("sweep", "10.50.0.0/16", "127.0.0.0/30", "10.49.0.0/24", "--dry-run", "--rate", "1000"),
        *("-o", tmp_path / "out", "--evidence", tmp_path / "pcap"),
    )

    assert (ran.code, ran.err) == (0, "")
    assert prober.sent() == before
    assert list(tmp_path.iterdir()) == []
    said = ran.out.splitlines()
    assert "path: 1 024 addresses by gpv0 from 10.49.0.1 through 10.49.0.2" in said
    assert "path: 253 addresses by gpv0 from 10.49.0.1 on-link" in said
    assert "path: 3 addresses by lo from 127.0.0.1 to this host itself" in said
    assert "path: 1 address by lo from 10.49.0.1 to this host itself" in said
    assert "probes: 2 562 at first; 7 686 if every target stayed silent" in said
    assert "time: 2.6 s if all answered at once; 7.7 s if nothing did" in said
    assert said[-1] == "nothing was sent"

    fastest = prober.ghostport("sweep", "10.50.0.1", "--dry-run", "--rate", "max")
    assert fastest.out.splitlines()[-1] == "nothing was sent"


def terminal(prober, *words, stdout=None):
    """Run with standard error, or both outputs, on a terminal; what that shows, and what went elsewhere."""
    ours, theirs = pty.openpty()
    with prober.start("sweep", *words, stdout=stdout or theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 65536):
                shown += piece
        except OSError:  # EIO: the other end is closed (pty(7))
            pass
        os.close(ours)
        elsewhere = process.stdout.read() if process.stdout else ""
    assert process.returncode == 0
    return shown.decode(), elsewhere


def test_the_progress_bar_is_for_terminals_alone(prober):
    words = ["10.50.0.0/25", "10.50.2.0/30", "--rate", "1000", "--retries", "1"]
    shown, table = terminal(prober, *words, stdout=subprocess.PIPE)
    assert "sweeping" in shown
    assert "of 264 answered" in shown
    assert "100 %" in shown
    assert "\x1b" not in table
    assert table.startswith("sweeping ")

    hushed, _ = terminal(prober, *words, "-q", stdout=subprocess.PIPE)
    assert hushed == ""

    piped = prober.ghostport("sweep", *words)
    assert piped.err == ""
    assert "answered" not in piped.out


def test_on_a_terminal_the_table_is_drawn_and_the_counts_said_once(prober):
    shown, _ = terminal(prober, *PLACE)

    assert "\x1b[" in shown
    assert shown.count("401/tcp  2 open (syn-ack)") == 1
    assert shown.count("syn-ack") == 2 + 1

    everybody, _ = terminal(prober, *PLACE, "--show", "all")
    assert everybody.count("no-response") == 2 * 8 + 2


FIELDS = ("ip.id", "ip.dst", "tcp.flags", "tcp.options.mss_val", "tcp.srcport", "udp.srcport", "tcp.seq_raw")


@pytest.fixture
def probes(tshark, tmp_path):
    """`probes(capture)`: the fields of each probe, as tshark reads them."""

    def read(capture):
        command = [tshark, "-n", "-r", str(capture), "-T", "fields", "-E", "separator=,"]
        command += [word for field in FIELDS for word in ("-e", field)]
        command += ["-Y", "ip.src == 10.49.0.1 and (tcp or udp) and not icmp"]
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        return [dict(zip(FIELDS, line.split(","), strict=True)) for line in lines]

    return read


def test_targets_named_twice_are_probed_once_and_only_the_silent_again(prober, probes):
    evidence = prober.sweep_and_read(
        *("10.50.0.0/28", "10.50.0.4", "10.50.0.0-10.50.0.9", "10.50.0-0.0-15", "10.50.2.0/30"),
        *("--exclude", "10.50.0.2,10.50.0.3", "--retries", "3"),
    )

    sent = Counter((p["ip.dst"], "tcp" if p["tcp.flags"] else "udp") for p in probes(evidence.capture))
    found = evidence.records
    assert len(found) == 2 * (14 + 4)
    assert sent == {(r["ip"], r["proto"]): r["tries"] for r in found}
    assert {r["tries"] for r in found if r["reason"] == Reason.NO_RESPONSE} == {4}
    assert {r["tries"] for r in found if r["reason"] != Reason.NO_RESPONSE} == {1}
    assert evidence.again == evidence.swept


def test_every_probe_carries_the_mark_and_every_syn_a_segment_size(prober, probes, tshark):
    evidence = prober.sweep_and_read("10.50.2.0/30", "10.50.0.0/30")

    sent = probes(evidence.capture)
    assert len(sent) == 2 * (4 + 4 * 3)
    assert {p["ip.id"] for p in sent} == {"0x4750"}
    syns = [p for p in sent if p["tcp.flags"]]
    assert {(p["tcp.flags"], p["tcp.options.mss_val"]) for p in syns} == {("0x0002", "1460")}
    # Each try has a port of its own, and the sequence number of its target.
    assert len({(p["ip.dst"], p["tcp.srcport"]) for p in syns}) == len(syns)
    assert len({p["tcp.seq_raw"] for p in syns}) == 8
    sums = [tshark, "-n", "-r", str(evidence.capture), "-Y", "ip.src == 10.49.0.1 and not icmp"]
    check = ["-o", "ip.check_checksum:true", "-o", "tcp.check_checksum:true", "-o", "udp.check_checksum:true"]
    fields = [
        "-T",
        "fields",
        "-e",
        "ip.checksum.status",
        "-e",
        "tcp.checksum.status",
        "-e",
        "udp.checksum.status",
    ]
    read = subprocess.run([*sums, *check, *fields], capture_output=True, text=True, check=True)
    statuses = {status for line in read.stdout.splitlines() for status in line.split()}
    assert statuses == {"1"}  # good


def test_targets_and_exclusions_may_come_from_files(prober, tmp_path):
    listed = tmp_path / "targets"
    listed.write_text("10.50.0.0/30 # the first\n\n10.50.0.9 10.50.0.10-10.50.0.11\n")
    left_out = tmp_path / "not"
    left_out.write_text("10.50.0.1\n")

    found = prober.records("--targets-file", listed, "--exclude-file", left_out, "10.50.0.20", "--tcp")

    assert [r["ip"] for r in found] == [f"10.50.0.{last}" for last in (0, 2, 3, 9, 10, 11, 20)]


def test_python_m_scanner_is_the_same_command(prober):
    command = [sys.executable, "-m", "scanner", "--version"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/")
    assert said.stdout == prober.ghostport("--version").out
