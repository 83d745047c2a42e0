"""Walking in step finds what walking one by one finds, whatever is guessed and whatever the records say."""

from __future__ import annotations

import struct
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.capture import walk as walking
from scanner.capture.pcap import read_pcap
from scanner.capture.pcapng import read_pcapng
from scanner.capture.walk import Chain, walk
from scanner.contracts import Frames
from scanner.model import CaptureError


@pytest.fixture(autouse=True, params=["in step", "in step from the first lane on", "one by one"])
def lanes(request, monkeypatch):
    """Lanes so short that small files have many."""
    monkeypatch.setattr(walking, "LANE", 64)
    monkeypatch.setattr(walking, "LEAST_LANES", {"one by one": 1 << 30}.get(request.param, 2))
    monkeypatch.setattr(walking, "_ACTIVE", 3 if request.param == "in step" else 0)


@settings(max_examples=300)
@given(
    st.lists(st.integers(1, 200), min_size=1, max_size=120),
    st.randoms(use_true_random=False),
    st.sampled_from([0.0, 0.5, 1.0]),
)
def test_whatever_is_guessed(sizes: list[int], random, honesty: float) -> None:
    """Each size is a record's; bytes that begin no record say something else."""
    starts = np.cumsum([0, *sizes])
    end = int(starts[-1])
    said = np.array([random.randint(1, 90) for _ in range(end + 200)], dtype=np.int64)
    said[starts[:-1]] = sizes

    def likely(first: int, until: int) -> int | None:
        if random.random() < honesty:
            after = starts[(starts >= first) & (starts < until) & (starts < end)]
            return int(after[0]) if len(after) else None
        return random.choice([None, random.randint(first, min(until, end) - 1)]) if first < end else None

    found, last = walk(Chain(lambda at: said[at], lambda at: int(said[at]), likely, end - 1), 0)
    assert found.tolist() == starts[:-1].tolist()
    assert last == end


def record(payload: bytes, moment: int = 1_750_000_000, claimed: int | None = None) -> bytes:
    length = len(payload) if claimed is None else claimed
    return struct.pack("<IIII", moment, 5, length, max(length, len(payload))) + payload


FILE_HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
TRAP = record(b"\0" * 40)
"""A payload that looks like records."""

payloads = st.one_of(
    st.binary(max_size=80), st.just(TRAP), st.just(TRAP[:30]), st.binary(min_size=150, max_size=400)
)


def read(data: bytes, chunk: int) -> tuple[list[bytes], list[int], str | None]:
    """Frames, times, and what was wrong."""
    frames: list[bytes] = []
    times: list[int] = []
    reader = read_pcapng if data[:4] == b"\x0a\x0d\x0d\x0a" else read_pcap
    try:
        for part in reader(BytesIO(data), "it", chunk):
            frames += of(part)
            times += part.times.tolist()
    except CaptureError as error:
        return frames, times, str(error)
    return frames, times, None


def of(part: Frames) -> list[bytes]:
    both = zip(part.starts.tolist(), part.lengths.tolist(), strict=True)
    return [part.buffer[start : start + length].tobytes() for start, length in both]


@settings(max_examples=200)
@given(st.lists(payloads, max_size=60), st.integers(100, 3000))
def test_a_pcap_file_is_read_as_it_was_written(contents: list[bytes], chunk: int) -> None:
    data = FILE_HEADER + b"".join(record(content) for content in contents)
    assert read(data, chunk) == (contents, [1_750_000_000_000_005_000] * len(contents), None)


@settings(max_examples=200)
@given(
    st.lists(payloads, min_size=1, max_size=40),
    st.integers(0, 39),
    st.sampled_from([0, 7, 100, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF]),
)
def test_a_length_that_lies_costs_what_is_behind_it(contents: list[bytes], liar: int, claimed: int) -> None:
    """The same frames and the same line, however it is walked."""
    liar %= len(contents)
    parts = [record(content) for content in contents]
    parts[liar] = record(contents[liar], claimed=claimed)
    data = FILE_HEADER + b"".join(parts)
    frames, _, fault = read(data, 1000)
    assert frames[:liar] == contents[:liar]
    at, plain = len(FILE_HEADER), []
    while len(data) - at >= 16:
        length = struct.unpack_from("<I", data, at + 8)[0]
        if length > 262_144 or at + 16 + length > len(data):
            break
        plain.append(data[at + 16 : at + 16 + length])
        at += 16 + length
    assert frames == plain
    assert (fault is None) == (at == len(data))


def block(kind: int, body: bytes) -> bytes:
    body += b"\0" * (-len(body) % 4)
    return struct.pack("<II", kind, len(body) + 12) + body + struct.pack("<I", len(body) + 12)


SECTION = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
INTERFACE = block(1, struct.pack("<HHI", 1, 0, 0))


def packet(payload: bytes, interface: int = 0) -> bytes:
    head = struct.pack("<IIIII", interface, 0, 7, len(payload), len(payload))
    return block(6, head + payload + b"\0" * (-len(payload) % 4))


NG_TRAP = packet(b"\1" * 24)


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["packet", "packet", "packet", "interface", "section", "other"]),
            st.one_of(st.binary(max_size=80), st.just(NG_TRAP), st.binary(min_size=150, max_size=400)),
        ),
        max_size=60,
    ),
    st.integers(100, 3000),
)
def test_a_pcapng_file_is_read_as_it_was_written(parts: list[tuple[str, bytes]], chunk: int) -> None:
    data, contents, interfaces = SECTION + INTERFACE, [], 1
    for kind, content in parts:
        if kind == "packet":
            data += packet(content, interfaces - 1)
            contents.append(content)
        elif kind == "interface":
            data += INTERFACE
            interfaces += 1
        elif kind == "section":
            data += SECTION + INTERFACE
            interfaces = 1
        else:
            data += block(0xBAD, content)
    assert read(data, chunk) == (contents, [7000] * len(contents), None)
