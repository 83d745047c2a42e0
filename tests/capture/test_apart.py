"""What a process apart reads is what this one would have read, however it ends."""

from __future__ import annotations

import gzip
import os
import signal
import struct
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from scanner.capture import apart as module
from scanner.capture import open_capture
from scanner.capture.apart import Read, Warn, apart, open_apart
from scanner.capture.aside import aside
from scanner.capture.memory import Allocate
from scanner.capture.shared import ROOMS, ROWS, TRAYS
from scanner.contracts import Frames
from scanner.model import CaptureError

COUNT = 4000
NAMES = (os.fsdecode(b"caf\xe9"), "x" * 5000)

Row = tuple[bytes, int, int, int, str | None]


def rows_of(frames: Frames) -> list[Row]:
    """Each frame: its bytes, time, length on the wire, link type and interface."""
    columns = (frames.starts, frames.lengths, frames.times, frames.original_lengths)
    return [
        (frames.buffer[start : start + length].tobytes(), time, original, frames.link_type, frames.interface)
        for start, length, time, original in zip(*(column.tolist() for column in columns), strict=True)
    ]


def content(number: int) -> bytes:
    return bytes([number % 251]) * (40 + number % 90)


def pcap(order: str = "<", magic: int = 0xA1B2C3D4) -> bytes:
    file = struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 1 << 16, 113)
    for number in range(COUNT):
        data = content(number)
        file += struct.pack(f"{order}IIII", 1_750_000_000 + number, number, len(data), len(data) + 7) + data
    return file


def pcapng() -> bytes:
    """Three interfaces, of which two have names, and one of them the longest."""
    file = struct.pack("<IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28)
    for link_type, text in ((1, NAMES[0]), (101, NAMES[1]), (113, "")):
        name = os.fsencode(text)
        padded = name + bytes(-len(name) % 4)
        option = struct.pack("<HH", 2, len(name)) + padded if name else b""
        size = 20 + len(option)
        file += struct.pack("<IIHHI", 1, size, link_type, 0, 0) + option + struct.pack("<I", size)
    for number in range(COUNT):
        data = content(number)
        padded = data + bytes(-len(data) % 4)
        size = 32 + len(padded)
        head = (6, size, number // 7 % 3, 400_000, number, len(data), len(data) + 3)
        file += struct.pack("<7I", *head) + padded + struct.pack("<I", size)
    return file


FILES: dict[str, Callable[[], bytes]] = {
    "microseconds": pcap,
    "nanoseconds, big endian": lambda: pcap(">", 0xA1B23C4D),
    "pcapng": pcapng,
    "compressed": lambda: gzip.compress(pcap(), 1),
}


def reading(path: Path, chunk: int) -> Read:
    def read(allocate: Allocate | None, warn: Warn | None) -> Iterator[Frames]:
        return open_capture(path, chunk=chunk, warn=warn, interfaces=NAMES, allocate=allocate)

    return read


@pytest.mark.parametrize("chunk", [500, 20_000, 1 << 20])
@pytest.mark.parametrize("kind", FILES)
def test_the_frames_are_the_same(kind, chunk, tmp_path):
    path = tmp_path / "it"
    path.write_bytes(FILES[kind]())
    expected = [
        row for frames in open_capture(path, chunk=chunk, interfaces=NAMES) for row in rows_of(frames)
    ]
    lots = [rows_of(frames) for frames in apart(reading(path, chunk), None)]
    found = [row for lot in lots for row in lot]
    cut = [(*row[:4], row[4] and row[4][:1024]) for row in expected]
    assert found == cut
    assert len(found) == COUNT
    if chunk == 500:
        assert len(lots) > 3 * max(ROOMS, TRAYS), "every room and tray is used again"


def test_records_longer_than_a_chunk_and_its_spare_room(tmp_path):
    path = tmp_path / "long"
    lengths = [100, 200_000, 40, 170_000, 250_000, 7, 262_144, 90]
    file = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 1 << 18, 1)
    for number, length in enumerate(lengths * 5):
        file += struct.pack("<IIII", number, 0, length, length) + bytes([number]) * length
    path.write_bytes(file)
    for chunk in (1000, 100_000):
        expected = [row for frames in open_capture(path, chunk=chunk) for row in rows_of(frames)]
        assert [row for frames in apart(reading(path, chunk), None) for row in rows_of(frames)] == expected
        assert [len(row[0]) for row in expected] == lengths * 5


def test_more_frames_than_a_tray_has_room_for(tmp_path):
    path = tmp_path / "many"
    count = 3 * ROWS + 5
    records = np.zeros((count, 4), dtype="<u4")
    records[:, 0] = np.arange(count)
    path.write_bytes(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 1 << 16, 1) + records.tobytes())
    lots = list(apart(reading(path, 1 << 24), None))
    assert [len(lot) for lot in lots] == [ROWS, ROWS, ROWS, 5]
    times = np.concatenate([lot.times for lot in apart(reading(path, 1 << 24), None)])
    assert (times == np.arange(count) * 1_000_000_000).all()


def test_a_warning_comes_behind_the_frames_or_is_raised(tmp_path):
    path = tmp_path / "cut"
    path.write_bytes(pcap()[:-1])
    said: list[str] = []
    frames = apart(reading(path, 4096), said.append)
    assert sum(map(len, frames)) == COUNT - 1
    [line] = said
    assert line.startswith(f"{path}: cut off at byte {len(pcap()) - 1}: ")

    counts: list[int] = []
    with pytest.raises(CaptureError) as error:
        counts.extend(map(len, apart(reading(path, 4096), None)))
    assert str(error.value) == line
    assert sum(counts) == COUNT - 1


def test_what_cannot_be_read_is_refused_in_the_same_words(tmp_path):
    path = tmp_path / "text"
    path.write_text("hello, world")
    with pytest.raises(CaptureError, match=f"^{path}: is neither a pcap nor a pcapng file$"):
        list(apart(reading(path, 4096), None))


def gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


def test_names_that_are_no_text_come_through(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9 \xf0\x9f\x8d\xb5" * 10)
    path.write_bytes(pcap()[:-1])
    said: list[str] = []
    assert sum(map(len, apart(reading(path, 4096), said.append))) == COUNT - 1
    assert said[0].startswith(f"{path}: cut off")


def test_a_process_that_is_killed_is_missed(tmp_path):
    path = tmp_path / "it"
    path.write_bytes(pcap())

    def read(allocate: Allocate | None, warn: Warn | None) -> Iterator[Frames]:
        frames = reading(path, 4096)(allocate, warn)
        yield next(frames)
        os.kill(os.getpid(), signal.SIGKILL)

    counts: list[int] = []
    with pytest.raises(CaptureError, match="the process that reads the capture has ended"):
        counts.extend(map(len, apart(read, None)))
    assert 0 < sum(counts) < COUNT


def test_a_fault_of_ours_is_told_with_its_traceback():
    def read(_allocate: Allocate | None, _warn: Warn | None) -> Iterator[Frames]:
        yield from ()
        raise LookupError("wrong turn")

    with pytest.raises(RuntimeError, match="LookupError: wrong turn"):
        list(apart(read, None))


@pytest.mark.parametrize("wanted", [1, 50, 10**9])
def test_no_process_is_left(wanted, tmp_path):
    path, note = tmp_path / "it", tmp_path / "process"
    path.write_bytes(pcap())

    def read(allocate: Allocate | None, warn: Warn | None) -> Iterator[Frames]:
        note.write_text(str(os.getpid()))
        return reading(path, 500)(allocate, warn)

    frames = cast("Generator[Frames, None, None]", apart(read, None))
    for number, _ in enumerate(frames, 1):
        if number == wanted:
            break
    frames.close()
    process = int(note.read_text())
    assert process != os.getpid()
    assert gone(process)


def test_an_interrupt_is_not_for_the_other_process(tmp_path):
    path = tmp_path / "it"
    path.write_bytes(pcap())

    def read(allocate: Allocate | None, warn: Warn | None) -> Iterator[Frames]:
        os.kill(os.getpid(), signal.SIGINT)
        return reading(path, 500)(allocate, warn)

    assert sum(map(len, apart(read, None))) == COUNT


@pytest.mark.parametrize("what", ["fork", "memory"])
def test_where_no_process_can_be_had_it_is_read_here(what, tmp_path, monkeypatch):
    path = tmp_path / "it"
    path.write_bytes(pcap())

    def refuse(*_: object) -> int:
        raise OSError(11, "Resource temporarily unavailable")

    if what == "fork":
        monkeypatch.setattr(os, "fork", refuse)
    else:
        monkeypatch.setattr(module, "Shared", refuse)
    seen: list[object] = []

    def read(allocate: Allocate | None, warn: Warn | None) -> Iterator[Frames]:
        seen.append(allocate)
        return reading(path, 500)(allocate, warn)

    assert sum(map(len, apart(read, None))) == COUNT
    assert seen == [None]


def test_only_large_files_are_read_apart_and_only_where_nothing_else_runs(tmp_path, monkeypatch):
    """A thread that holds something would be missing in the other process."""
    path = tmp_path / "it"
    path.write_bytes(pcap())
    forks: list[int] = []
    fork = os.fork

    def counted() -> int:
        forks.append(1)
        return fork()

    monkeypatch.setattr(os, "fork", counted)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})

    def forked() -> int:
        forks.clear()
        assert sum(map(len, open_apart(path))) == COUNT
        return len(forks)

    assert forked() == 0
    monkeypatch.setattr(module, "_WORTHWHILE", 1000)
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    assert forked() == 1
    monkeypatch.setattr(threading, "active_count", lambda: 2)
    assert forked() == 0
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    assert forked() == 0


def test_what_is_done_aside_for_the_file_before_is_waited_for(tmp_path, monkeypatch):
    path = tmp_path / "it"
    path.write_bytes(pcap())
    before = threading.active_count()
    monkeypatch.setattr(module, "_WORTHWHILE", 1000)
    begun = aside(lambda: time.sleep(0.05))
    frames = open_apart(path)
    assert threading.active_count() == before
    assert sum(map(len, frames)) == COUNT
    begun()


def test_what_is_no_file_is_opened_here(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_WORTHWHILE", 0)
    for path, fault in (
        (tmp_path, "Is a directory"),
        (tmp_path / "missing", "No such file"),
        ("a\0b", "null"),
    ):
        with pytest.raises(CaptureError, match=fault):
            open_apart(path)


def test_nobody_is_warned_of_threads_that_cannot_hurt(tmp_path):
    path = tmp_path / "it"
    path.write_bytes(pcap())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sum(map(len, apart(reading(path, 500), None))) == COUNT
