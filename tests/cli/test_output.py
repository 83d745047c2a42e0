"""Where records go: formats, files that are whole or not there at all, disks that are full."""

from __future__ import annotations

import contextlib
import csv
import errno
import io
import json
import os
import threading
from pathlib import Path
from typing import IO

import pytest

from scanner.cli.behind import WriteBehind
from scanner.model import Verdict

SWEEP = ["sweep", "10.0.0.0/27"]


@pytest.mark.parametrize(
    ("words", "name", "kind"),
    [
        ([], "out", "jsonl"),
        ([], "out.jsonl", "jsonl"),
        ([], "out.csv", "csv"),
        ([], "OUT.CSV", "csv"),
        (["--format", "csv"], "out.txt", "csv"),
        (["--format", "jsonl"], "out.csv", "jsonl"),
        (["--format", "text"], "out.txt", "text"),
    ],
)
def test_the_format_of_a_file_is_told_or_follows_its_name(ghostport, tmp_path, words, name, kind):
    output = tmp_path / name
    ran = ghostport(*SWEEP, *words, "-o", output)

    assert (ran.code, ran.err) == (0, "")
    text = output.read_text()
    if kind == "jsonl":
        assert [json.loads(line)["ip"] for line in text.splitlines()][::2] == [
            f"10.0.0.{n}" for n in range(32)
        ]
    elif kind == "csv":
        rows = list(csv.reader(io.StringIO(text)))
        assert rows[0] == [*Verdict.__struct_fields__, "prober"]
        assert len(rows) == 65
    else:
        assert text.startswith("ADDRESS ")
        assert len(text.splitlines()) == 65
    assert ran.out.startswith("sweeping ")
    assert "ADDRESS " in ran.out


@pytest.mark.parametrize("kind", ["jsonl", "csv", "text"])
def test_a_dash_is_standard_output(ghostport, kind):
    ran = ghostport(*SWEEP, "--format", kind, "-o", "-")

    assert len(ran.out.splitlines()) == (64 if kind == "jsonl" else 65)
    assert ran.err.startswith("sweeping ")


def test_quiet_says_nothing_but_the_records(ghostport, tmp_path):
    assert ghostport(*SWEEP, "-q", "-o", tmp_path / "x").out == ""
    table = ghostport(*SWEEP, "-q", "--show", "open")
    assert (table.err, len(table.out.splitlines())) == ("", 1 + 8)
    lines = ghostport(*SWEEP, "-q", "--format", "jsonl")
    assert (lines.err, len(lines.out.splitlines())) == ("", 64)


def test_a_name_with_no_folder_and_a_link(ghostport, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to("real")

    for name in ("plain", "link"):
        assert ghostport(*SWEEP, "-q", "-o", name).code == 0
        assert len((tmp_path / name).read_text().splitlines()) == 64


def test_a_file_is_replaced_only_when_the_new_one_is_whole(ghostport, tmp_path):
    output = tmp_path / "out"
    output.write_text("from last time\n")

    assert ghostport("sweep", "8.8.8.8", "-o", output).code == 3
    assert output.read_text() == "from last time\n"
    assert ghostport(*SWEEP, "-q", "-o", output).code == 0
    assert len(output.read_text().splitlines()) == 64
    assert os.listdir(tmp_path) == ["out"]  # noqa: PTH208


def test_a_file_keeps_to_the_umask(ghostport, tmp_path):
    before = os.umask(0o027)
    try:
        ghostport(*SWEEP, "-q", "-o", tmp_path / "out")
    finally:
        os.umask(before)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("show", ["all", "open", "responders"])
def test_records_of_a_file_are_chosen(ghostport, tmp_path, show):
    ghostport(*SWEEP, "-q", "--show", show, "-o", tmp_path / "out")

    states = {json.loads(line)["state"] for line in (tmp_path / "out").read_text().splitlines()}
    assert (
        states
        == {
            "all": {"open", "closed", "filtered", "open|filtered"},
            "open": {"open"},
            "responders": {"open", "closed", "filtered"},
        }[show]
    )


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("/", "Is a directory"),
        ("/nowhere/x", "No such file or directory"),
        ("/proc/x", "No such file or directory"),
        ("a\0b", "embedded null byte"),
        ("", ""),
    ],
)
def test_a_file_that_cannot_be_written_is_named_before_anything_is_sent(ghostport, network, name, complaint):
    ran = ghostport(*SWEEP, "-o", name)

    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("ghostport: ")
    assert complaint in ran.err
    assert ran.err.count("\n") == 1
    assert network.received("10.0.0.1") == 0


def test_on_a_full_disk_the_records_go_to_standard_output(ghostport):
    ran = ghostport(*SWEEP, "-q", "-o", "/dev/full")

    assert ran.code == 4
    assert len(ran.out.splitlines()) == 64
    assert ran.err == (
        "ghostport: /dev/full: cannot be written: No space left on device; "
        "the records are on standard output\n"
    )


def test_so_they_do_where_it_fills_up_while_it_is_written(ghostport, tmp_path, monkeypatch):
    def write_all(stream: IO[bytes], data: memoryview) -> None:
        assert threading.current_thread() is not threading.main_thread()
        stream.write(data[:1000])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("scanner.cli.behind.write_all", write_all)
    ran = ghostport("sweep", "10.0.0.0/24", "-q", "-o", tmp_path / "out")

    assert ran.code == 4
    assert len(ran.out.splitlines()) == 512
    assert "cannot be written: No space left on device; the records are on standard output" in ran.err
    assert os.listdir(tmp_path) == []  # noqa: PTH208


def test_an_interrupt_while_records_are_written_leaves_no_half_of_a_file(ghostport, tmp_path, monkeypatch):
    def write(self: WriteBehind, data: memoryview) -> int:
        taken(self, data)
        raise KeyboardInterrupt

    taken = WriteBehind.write
    monkeypatch.setattr(WriteBehind, "write", write)
    (tmp_path / "out").write_text("from last time\n")
    with contextlib.suppress(KeyboardInterrupt):
        ghostport("sweep", "10.0.0.0/24", "-q", "-o", tmp_path / "out")

    assert os.listdir(tmp_path) == ["out"]  # noqa: PTH208
    assert (tmp_path / "out").read_text() == "from last time\n"


def test_a_pipe_by_name_is_written_as_it_is(ghostport, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert ghostport(*SWEEP, "-q", "-o", pipe).code == 0
        assert len(os.read(reader, 1 << 20).splitlines()) == 64
    finally:
        os.close(reader)
    assert list(tmp_path.iterdir()) == [pipe]


def test_many_answers_are_counted_few_are_shown(ghostport, network):
    from scanner.wire.behaviours import closed_port

    network.place("10.0.1.0/24", closed_port())

    few, many = ghostport("sweep", "10.0.0.0/29"), ghostport("sweep", "10.0.0.0/23")

    assert "closed" in few.out.splitlines()[2]
    table = [line for line in many.out.splitlines() if line.startswith("10.")]
    assert len(table) == 8
    assert "264 closed (reset)" in many.out


def test_people_are_told_of_one_way_captures(ghostport):
    capture = Path(__file__).parents[2] / "pcaps" / "outbound-syn" / "capture.pcap"
    ran = ghostport("read", capture)

    heading, *lines = ran.out.splitlines()
    assert heading.startswith("ADDRESS ")
    assert [line.split()[0] for line in lines] == [
        "10.50.0.9",
        "note:",
        "hint:",
        "401/tcp",
        "open-inferred:",
        "one-way",
    ]
    assert lines[-2:] == [
        "open-inferred: 1 target",
        "one-way capture: no inbound packets on this link: 4 targets",
    ]


def test_many_ports_are_counted_together(ghostport):
    few = ghostport("sweep", "10.0.0.8", "-p", "1-32", "--tcp").out.splitlines()
    many = ghostport("sweep", "10.0.0.8", "-p", "1-1000").out.splitlines()

    assert [line for line in few if line.startswith(("1/tcp ", "32/tcp "))] == [
        "1/tcp   1 open (syn-ack)",
        "32/tcp  1 open (syn-ack)",
    ]
    assert many[-3:-1] == [
        "tcp, 1 000 ports  1 000 open (syn-ack)",
        "udp, 1 000 ports  1 000 open (udp-response)",
    ]


def test_no_draft_is_left_when_the_program_is_interrupted(ghostport, tmp_path, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("scanner.cli.output.JsonlReporter.write_outcomes", interrupted)

    assert ghostport(*SWEEP, "-o", tmp_path / "out").code == 130
    assert list(Path(tmp_path).iterdir()) == []
