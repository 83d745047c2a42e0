from __future__ import annotations

import io
import os
import struct
import sys
import threading

import pytest

from scanner.capture import open_capture
from scanner.model import CaptureError

PCAP = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, 1) + struct.pack("<IIII", 1, 2, 3, 3) + b"abc"
PCAPNG = (
    struct.pack(">IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28)
    + struct.pack(">IIHHII", 1, 20, 1, 0, 0, 20)
    + struct.pack(">IIIIIII", 6, 36, 0, 0, 1_000_002, 3, 3)
    + b"abc\0"
    + struct.pack(">I", 36)
)
FILES = {"pcap": PCAP, "pcapng": PCAPNG}


def captured(frames) -> list[bytes]:
    return [
        some.buffer[start : start + length].tobytes()
        for some in frames
        for start, length in zip(some.starts, some.lengths, strict=True)
    ]


@pytest.mark.parametrize("kind", FILES)
def test_the_first_bytes_tell_the_format(tmp_path, kind):
    path = tmp_path / "no-name-that-helps"
    path.write_bytes(FILES[kind])
    assert captured(open_capture(path)) == [b"abc"]
    assert captured(open_capture(str(path), chunk=1)) == [b"abc"]


@pytest.mark.parametrize("kind", FILES)
def test_a_pipe_and_standard_input(tmp_path, monkeypatch, kind):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=[FILES[kind]])
    writer.start()
    assert captured(open_capture(pipe)) == [b"abc"]
    writer.join()

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(FILES[kind])))
    assert captured(open_capture("-")) == [b"abc"]
    assert not sys.stdin.closed


@pytest.mark.parametrize("kind", FILES)
def test_a_cut_off_file_warns_with_its_name(tmp_path, kind):
    path = tmp_path / "cut"
    path.write_bytes(FILES[kind][:-1])
    warnings: list[str] = []
    assert captured(open_capture(path, warn=warnings.append)) == []
    assert len(warnings) == 1
    assert warnings[0].startswith(f"{path}: cut off at byte {len(FILES[kind]) - 1}")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "is empty, not a capture"),
        (b"\xd4\xc3", "is neither a pcap nor a pcapng file"),
        (b"hello, world", "is neither a pcap nor a pcapng file"),
        (PCAP[:20], "cut off at byte 20, within the file header"),
    ],
)
def test_what_is_no_capture_is_refused_at_once(tmp_path, content, fault):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(CaptureError) as error:
        open_capture(path)
    assert str(error.value).startswith(f"{path}: {fault}")
    assert "\n" not in str(error.value)


def test_what_cannot_be_opened_is_refused_at_once(tmp_path):
    with pytest.raises(CaptureError, match="cannot be read: Is a directory"):
        open_capture(tmp_path)
    with pytest.raises(CaptureError, match="cannot be read: No such file"):
        open_capture(tmp_path / "missing")
    with pytest.raises(CaptureError, match="cannot be read: embedded null byte"):
        open_capture("a\0b")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_a_file_of_somebody_else(tmp_path):
    path = tmp_path / "secret"
    path.write_bytes(PCAP)
    path.chmod(0)
    with pytest.raises(CaptureError, match="cannot be read: Permission denied"):
        open_capture(path)


def test_no_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(CaptureError, match="standard input: is closed"):
        open_capture("-")


def interfaces(*packets: tuple[int, bytes]) -> bytes:
    """A pcapng file of packets, each of an interface of its own: link type, and four bytes."""
    file = struct.pack("<IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28)
    for number, (link_type, data) in enumerate(packets):
        file += struct.pack("<IIHHII", 1, 20, link_type, 0, 0, 20)
        file += struct.pack("<IIIIIII", 6, 36, number, 0, number, 4, 4) + data + struct.pack("<I", 36)
    return file


def test_what_is_of_no_link_type_that_can_be_read_is_refused_at_once(tmp_path):
    path = tmp_path / "wireless"
    path.write_bytes(PCAP[:20] + struct.pack("<I", 127))
    with pytest.raises(CaptureError) as error:
        open_capture(path)
    assert str(error.value).startswith(f"{path}: link type 127 (IEEE802_11_RADIOTAP) is not supported")


def test_interfaces_that_cannot_be_read_leave_the_others(tmp_path):
    path = tmp_path / "several"
    path.write_bytes(interfaces((201, b"blue"), (1, b"abcd"), (201, b"blue"), (9999, b"what"), (1, b"efgh")))
    warnings: list[str] = []
    assert captured(open_capture(path, warn=warnings.append)) == [b"abcd", b"efgh"]
    [line] = warnings
    assert line.startswith(
        f"{path}: left out 2 of the packets, and 1 of other types that are not either: "
        "link type 201 (BLUETOOTH_HCI_H4_WITH_PHDR) is not supported; "
    )
    frames = open_capture(path)
    assert captured([next(frames)]) == [b"abcd", b"efgh"]
    with pytest.raises(CaptureError, match="left out 2 of the packets"):
        next(frames)


def test_where_no_interface_can_be_read_the_file_is_refused(tmp_path):
    path = tmp_path / "bluetooth"
    path.write_bytes(interfaces((201, b"blue")))
    with pytest.raises(CaptureError, match=f"^{path}: link type 201 "):
        list(open_capture(path, warn=lambda _: None))


def test_an_interface_that_saw_nothing_may_be_of_any_type(tmp_path):
    path = tmp_path / "idle"
    path.write_bytes(interfaces() + struct.pack("<IIHHII", 1, 20, 201, 0, 0, 20))
    assert captured(open_capture(path)) == []
