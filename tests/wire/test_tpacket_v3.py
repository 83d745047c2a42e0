"""Blocks are built here byte by byte, as the kernel lays them out."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.contracts import Frames
from scanner.wire.tpacket_v3 import RingMemory, no_frames

BLOCK_SIZE = 1 << 14
HEADER = 48
VLAN_VALID, TPID_VALID = 0x10, 0x40


@dataclass(frozen=True)
class Given:
    frame: bytes
    seconds: int = 1_700_000_000
    nanoseconds: int = 5
    original: int | None = None
    status: int = 1
    tci: int = 0
    tpid: int = 0
    gap: int = 34  # between the header and the frame, as struct sockaddr_ll and alignment leave it


def block(frames: list[Given]) -> bytes:
    body = b""
    for number, some in enumerate(frames):
        mac = HEADER + some.gap
        length = -(-(mac + len(some.frame)) // 8) * 8
        header = struct.pack(
            "IIIIIIHHIIHHQ",
            0 if number == len(frames) - 1 else length,
            some.seconds,
            some.nanoseconds,
            len(some.frame),
            len(some.frame) if some.original is None else some.original,
            some.status,
            mac,
            mac + 14,
            0xDEADBEEF,
            some.tci,
            some.tpid,
            0,
            0,
        )
        body += (header + b"\xee" * some.gap + some.frame).ljust(length, b"\xdd")
    descriptor = struct.pack("IIIIIIQIIII", 3, 48, 1, len(frames), 48, 48 + len(body), 7, 0, 0, 0, 0)
    return (descriptor + body).ljust(BLOCK_SIZE, b"\xcc")


def ring(*blocks: list[Given]) -> RingMemory:
    return RingMemory(np.frombuffer(bytearray(b"".join(map(block, blocks))), dtype=np.uint8))


def read(frames: Frames) -> list[bytes]:
    return [
        frames.buffer[start : start + length].tobytes()
        for start, length in zip(frames.starts.tolist(), frames.lengths.tolist(), strict=True)
    ]


def frame(number: int, length: int = 60) -> bytes:
    return bytes([number]) * length


def test_a_run_of_equal_frames_is_read_where_it_lies() -> None:
    some = [Given(frame(number), nanoseconds=number) for number in range(50)]
    memory = ring(some)
    frames = memory.frames([0], link_type=1)
    assert read(frames) == [item.frame for item in some]
    assert frames.buffer is memory.octets
    assert frames.times.tolist() == [1_700_000_000_000_000_000 + number for number in range(50)]
    assert [frames.starts.dtype, frames.times.dtype] == [np.dtype(np.int64)] * 2
    assert frames.link_type == 1


def test_blocks_are_read_in_the_order_they_are_named() -> None:
    memory = ring([Given(frame(1))], [], [Given(frame(2)), Given(frame(3))])
    frames = memory.frames([2 * BLOCK_SIZE, BLOCK_SIZE, 0], link_type=1)
    assert read(frames) == [frame(2), frame(3), frame(1)]


def test_a_cut_frame_knows_its_length_on_the_wire() -> None:
    frames = ring([Given(frame(1, 60), original=1500)]).frames([0], link_type=1)
    assert (frames.lengths.tolist(), frames.original_lengths.tolist()) == ([60], [1500])


def test_time_stamps_last_beyond_2038() -> None:
    late = 2**32 - 1
    frames = ring([Given(frame(1), seconds=late, nanoseconds=999_999_999)]).frames([0], link_type=1)
    assert frames.times.tolist() == [late * 10**9 + 999_999_999]


@given(st.lists(st.lists(st.integers(14, 90), max_size=60), min_size=1, max_size=3))
def test_frames_of_any_lengths_are_found(lengths: list[list[int]]) -> None:
    some = [[Given(frame(n % 251, length)) for n, length in enumerate(part)] for part in lengths]
    frames = ring(*some).frames([n * BLOCK_SIZE for n in range(len(some))], link_type=101)
    assert read(frames) == [item.frame for part in some for item in part]


def signature(memory: RingMemory) -> bytes:
    """What all headers of these blocks have in common."""
    first = 48
    return memory.octets[first + 24 : first + 28].tobytes()


@pytest.mark.parametrize("forged", [False, True])
def test_many_frames_of_mixed_lengths_are_found_whatever_is_in_them(forged: bool) -> None:
    lengths = [60 + 13 * (number * number % 7) for number in range(80)]
    payload = signature(ring([Given(frame(1))])) * 8 if forged else b""
    some = [Given((payload + frame(n, length))[:length]) for n, length in enumerate(lengths)]
    memory = ring([], some)
    assert (memory.octets.tobytes().count(signature(ring(some))) > len(some)) is forged
    assert read(memory.frames([BLOCK_SIZE], link_type=1)) == [item.frame for item in some]


def test_what_is_left_of_earlier_headers_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = [60 + 13 * (number * number % 7) for number in range(80)]
    some = [Given(frame(n, length)) for n, length in enumerate(lengths)]
    memory = ring(some)
    older = memory.octets[48 : 48 + 32].copy()
    older[8:12] = 0  # tp_nsec
    gaps = [at for at in range(96, BLOCK_SIZE - 32, 8) if (memory.octets[at : at + 32] == 0xEE).all()]
    assert len(gaps) > 40
    for at in gaps:
        memory.octets[at : at + 32] = older
    # Not by following the chain.
    monkeypatch.setattr(RingMemory, "_followed", None)
    assert read(memory.frames([0], link_type=1)) == [item.frame for item in some]


@pytest.mark.parametrize("run", [1, 2, 30])
def test_a_stride_that_breaks_is_followed(run: int) -> None:
    some = [Given(frame(1, 60))] * run + [Given(frame(2, 200))] + [Given(frame(3, 60))] * 20
    assert read(ring(some).frames([0], link_type=1)) == [item.frame for item in some]


def test_a_stride_guessed_beyond_the_end_of_the_ring_is_harmless() -> None:
    large, small = [Given(frame(1, 8000))], [Given(frame(2, 60))] * 40
    assert read(ring(large + small).frames([0], link_type=1)) == [frame(1, 8000)] + [frame(2)] * 40


def test_a_stripped_vlan_tag_is_put_back() -> None:
    addresses, rest = b"\x01" * 6 + b"\x02" * 6, b"\x08\x00" + b"payload"
    some = [
        Given(frame(9, 30)),
        Given(addresses + rest, status=1 | VLAN_VALID | TPID_VALID, tci=0x6064, tpid=0x88A8),
        Given(addresses + rest, status=1 | VLAN_VALID, tci=7, tpid=0x4444),
    ]
    frames = ring(some).frames([0], link_type=1)
    assert read(frames) == [
        frame(9, 30),
        addresses + b"\x88\xa8\x60\x64" + rest,
        addresses + b"\x81\x00\x00\x07" + rest,
    ]
    assert frames.original_lengths.tolist() == frames.lengths.tolist()


def test_a_frame_too_short_for_a_tag_is_left_as_it_is() -> None:
    some = [Given(b"\x01" * 11, status=1 | VLAN_VALID), Given(frame(2), status=1 | VLAN_VALID)]
    assert read(ring(some).frames([0], link_type=1))[0] == b"\x01" * 11


def test_no_frames() -> None:
    assert len(no_frames(1)) == 0
    assert len(ring([]).frames([0], link_type=1)) == 0
