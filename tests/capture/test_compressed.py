"""Compressed captures: what they hold, however they are cut into members and frames, and where they break."""

from __future__ import annotations

import gzip
import io
import lzma
import random
import struct
import sys

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.capture import UNPACKED_CHUNK, open_capture
from scanner.capture.compressed import MOST_WINDOW, unpacked
from scanner.model import CaptureError

FRAMES = [bytes([number]) * (20 + number) for number in range(100)]
PCAP = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1) + b"".join(
    struct.pack("<IIII", 1_750_000_000, 5, len(frame), len(frame)) + frame for frame in FRAMES
)
SKIPPABLE = struct.pack("<II", 0x184D2A53, 5) + b"hello"


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


def frames_of(path, warn=None) -> list[bytes]:
    return [
        part.buffer[start : start + length].tobytes()
        for part in open_capture(path, warn=warn)
        for start, length in zip(part.starts.tolist(), part.lengths.tolist(), strict=True)
    ]


def written(tmp_path, data: bytes):
    path = tmp_path / "capture"
    path.write_bytes(data)
    return path


PACKED = {
    "gzip": gzip.compress(PCAP),
    "gzip in members": gzip.compress(PCAP[:100]) + gzip.compress(b"") + gzip.compress(PCAP[100:]),
    "gzip, filled up": gzip.compress(PCAP) + b"\0" * 1000,
    "zstd": zstd(PCAP),
    "zstd in frames": zstd(PCAP[:100]) + SKIPPABLE + zstd(PCAP[100:]),
    "zstd behind what is skipped": SKIPPABLE + zstd(PCAP),
}


@pytest.mark.parametrize("name", PACKED)
def test_it_is_unpacked_as_it_is_read(tmp_path, name):
    assert frames_of(written(tmp_path, PACKED[name])) == FRAMES


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_on_standard_input(monkeypatch, name):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(PACKED[name])))
    assert frames_of("-") == FRAMES


def test_cut_off_it_gives_what_there_is_and_one_line(tmp_path):
    lines: list[str] = []
    found = frames_of(written(tmp_path, gzip.compress(PCAP)[:-200]), lines.append)
    assert found == FRAMES[: len(found)]
    assert 0 < len(found) < len(FRAMES)
    [line] = lines
    assert "cut off at byte" in line
    assert "of what is unpacked: the gzip stream ends early" in line


def test_damaged_it_gives_what_came_before(tmp_path):
    data = bytearray(gzip.compress(PCAP[:2000]) + gzip.compress(PCAP[2000:]))
    data[-8:-4] = b"\0" * 4
    lines: list[str] = []
    assert frames_of(written(tmp_path, bytes(data)), lines.append) == FRAMES, "the checksum comes last"
    assert "the gzip stream is damaged" in lines[0]
    with pytest.raises(CaptureError, match="damaged"):
        frames_of(written(tmp_path, bytes(data)))


def test_damaged_within_it_gives_what_came_before(tmp_path):
    noise = random.Random(5)
    frames = [noise.randbytes(1000) for _ in range(100)]
    parts = [struct.pack("<IIII", 1_750_000_000, 5, 1000, 1000) + frame for frame in frames]
    data = bytearray(gzip.compress(PCAP[:24] + b"".join(parts[:50])) + b"\xff" * 30)
    lines: list[str] = []
    assert frames_of(written(tmp_path, bytes(data)), lines.append) == frames[:50]
    assert len(lines) == 1


@pytest.mark.parametrize("checksum", [False, True])
@pytest.mark.parametrize("sized", [False, True])
def test_zstd_that_is_cut_off_anywhere(checksum, sized):
    """Also where a block ends, and the unpacker takes it for the end."""
    content = random.Random(3).randbytes(300_000)
    packer = zstandard.ZstdCompressor(write_checksum=checksum, write_content_size=sized)
    first, second = packer.compress(content), packer.compress(b"more" * 9)
    packed = first + SKIPPABLE + second
    whole = {0, len(first), len(first) + len(SKIPPABLE), len(packed)}
    places = random.Random(4).sample(range(4, len(packed)), 30)
    for end in sorted({*whole, *places, *range(len(first), len(packed)), 131_080, 131_081} - {0}):
        inside = unpacked(packed[:4], io.BytesIO(packed[4:end]))
        assert inside is not None
        assert content.startswith((inside.readall() or b"")[: len(content)])
        assert (inside.fault is None) == (end in whole), end


def test_zstd_that_is_cut_off_before_anything_can_be_unpacked(tmp_path):
    with pytest.raises(CaptureError, match="cannot be unpacked: the zstd stream ends early"):
        frames_of(written(tmp_path, zstd(PCAP)[:-5]))


def test_zstd_that_is_damaged(tmp_path):
    noise = random.Random(5)
    frames = [noise.randbytes(1000) for _ in range(100)]
    parts = [struct.pack("<IIII", 1_750_000_000, 5, 1000, 1000) + frame for frame in frames]
    data = zstd(PCAP[:24] + b"".join(parts[:50])) + b"\xff" * 30 + zstd(b"".join(parts[50:]))
    lines: list[str] = []
    found = frames_of(written(tmp_path, data), lines.append)
    assert found == frames[: len(found)]
    assert 40 <= len(found) <= 50
    assert len(lines) == 1


def test_a_capture_cut_off_before_it_was_compressed(tmp_path):
    lines: list[str] = []
    assert frames_of(written(tmp_path, gzip.compress(PCAP[:-3])), lines.append) == FRAMES[:-1]
    assert lines[0].endswith("(of what is unpacked)")
    assert f"cut off at byte {len(PCAP) - 3}" in lines[0]


@pytest.mark.parametrize("data", [gzip.compress(gzip.compress(PCAP)), zstd(gzip.compress(PCAP))])
def test_compressed_twice_is_refused(tmp_path, data):
    with pytest.raises(CaptureError, match="is compressed twice; unpack it first"):
        frames_of(written(tmp_path, data))


def test_nothing_in_it(tmp_path):
    with pytest.raises(CaptureError, match="is empty, not a capture"):
        frames_of(written(tmp_path, gzip.compress(b"")))
    with pytest.raises(CaptureError, match="cannot be unpacked: the gzip stream is damaged"):
        frames_of(written(tmp_path, b"\x1f\x8b" + b"\xff" * 50))


@pytest.mark.parametrize(
    ("start", "line"),
    [
        (lzma.compress(PCAP), r"is compressed by xz, .*xz -dc"),
        (b"BZh91AY", "is compressed by bzip2"),
        (b"\x04\x22\x4d\x18", "is compressed by lz4"),
        (b"PK\x03\x04", "is a zip archive"),
        (b"snoop\0\0\0", r"is a snoop capture, .*editcap"),
        (b"GMBU", "Network Monitor"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, start, line):
    with pytest.raises(CaptureError, match=line):
        frames_of(written(tmp_path, start))


def test_memory_is_bounded_whatever_a_stream_expands_to():
    packed = gzip.compress(b"\0" * (64 << 20), 9)
    inside = unpacked(packed[:4], io.BytesIO(packed[4:]))
    assert inside is not None
    assert len(inside.read(1 << 16)) <= 1 << 16
    assert inside.given <= 1 << 16


@pytest.mark.parametrize("pack", [gzip.compress, zstd])
def test_of_what_is_unpacked_little_is_looked_at_together(tmp_path, pack):
    """Beside a file's own 12 MiB, what Zstandard looks back at would be too much memory."""
    record = struct.pack("<IIII", 1_750_000_000, 5, 984, 984) + bytes(984)
    path = written(tmp_path, pack(PCAP[:24] + record * 10_000))
    sizes = [(len(part), len(part.buffer)) for part in open_capture(path)]
    assert sum(count for count, _ in sizes) == 10_000
    assert max(size for _, size in sizes) < UNPACKED_CHUNK + 1000


def test_a_window_that_is_too_large_is_refused(tmp_path):
    parameters = zstandard.ZstdCompressionParameters(window_log=MOST_WINDOW.bit_length(), enable_ldm=True)
    packed = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    data = packed.compress(PCAP) + packed.flush()
    with pytest.raises(CaptureError, match="too much memory"):
        frames_of(written(tmp_path, data))


@settings(max_examples=100)
@given(st.binary(max_size=3000), st.lists(st.integers(1, 500), max_size=20))
def test_whatever_is_asked_for_at_once(content: bytes, sizes: list[int]) -> None:
    for packed in (gzip.compress(content[:77]) + gzip.compress(content[77:]), zstd(content)):
        inside = unpacked(packed[:4], io.BytesIO(packed[4:]))
        assert inside is not None
        found = b"".join(inside.read(size) or b"" for size in sizes)
        assert found == content[: len(found)]
        assert found + (inside.read() or b"") == content
