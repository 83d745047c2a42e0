"""The program that plays devices: frames are passed on, in turn, and tagged where it is a VLAN's."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from scanner.lab import joints

HARDWARE = bytes(range(12))
FRAME = HARDWARE + b"\x08\x00" + b"what is inside"
OTHER = HARDWARE + b"\x86\xdd" + b"another"


def cable() -> tuple[socket.socket, socket.socket]:
    """Two ends: the program's and ours. Packets stay whole, as on a device."""
    program, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(5)
    return program, ours


@contextmanager
def joined(lowers: int, **more: object) -> Iterator[tuple[socket.socket, list[socket.socket]]]:
    """Our ends of the upper and of the lower cables, while the program runs."""
    pairs = [cable() for _ in range(lowers + 1)]
    upper, *rest = [program.fileno() for program, _ in pairs]
    wanted = json.dumps([{"upper": upper, "lowers": rest, **more}]).encode()
    command = [sys.executable, "-I", joints.__file__]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, pass_fds=(upper, *rest)) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(wanted)
        process.stdin.close()
        assert process.stdout.readline() == joints.READY
        yield pairs[0][1], [ours for _, ours in pairs[1:]]
        process.kill()
    for pair in pairs:
        for end in pair:
            end.close()


def test_what_comes_by_one_end_leaves_by_the_other():
    with joined(1) as (upper, (lower,)):
        upper.send(FRAME)
        assert lower.recv(100) == FRAME
        for frame in (FRAME, OTHER):
            lower.send(frame)
            assert upper.recv(100) == frame


def test_several_ends_are_used_in_turn_and_all_are_heard():
    with joined(2) as (upper, (one, other)):
        for frame in (FRAME, OTHER, OTHER):
            upper.send(frame)
        assert one.recv(100) == FRAME
        assert other.recv(100) == OTHER
        assert one.recv(100) == OTHER
        other.send(FRAME)
        assert upper.recv(100) == FRAME


def test_a_vlan_s_frames_alone_are_taken_and_have_its_tag_outside():
    tagged = HARDWARE + b"\x81\x00\x01\x91" + FRAME[12:]  # 401
    with joined(1, tag=401) as (upper, (lower,)):
        upper.send(FRAME)
        assert lower.recv(100) == tagged
        for frame in (FRAME, tagged.replace(b"\x01\x91", b"\x01\x92"), tagged):
            lower.send(frame)
        assert upper.recv(100) == FRAME
        upper.setblocking(False)
        with pytest.raises(BlockingIOError):
            upper.recv(100)


@pytest.mark.parametrize("frame", [b"", HARDWARE, HARDWARE + b"\x81", HARDWARE + b"\x81\x00\x01"])
def test_what_is_too_short_for_a_tag_has_none(frame):
    assert joints.without_tag(frame, 1) is None


def test_of_a_tag_the_priority_does_not_matter():
    assert joints.without_tag(HARDWARE + b"\x81\x00\xe1\x91" + FRAME[12:], 401) == FRAME
    assert joints.without_tag(joints.with_tag(FRAME, 401), 401) == FRAME
    assert joints.with_tag(FRAME, None) == FRAME
