"""Captures: files of frames, read and written. Which format a file has, its first bytes tell."""

from __future__ import annotations

import os
import stat
import sys
from collections import Counter
from collections.abc import Callable, Container, Iterator
from functools import partial
from pathlib import Path
from typing import IO, cast

from scanner.capture.compressed import Unpacked, unpacked
from scanner.capture.interfaces import Wanted
from scanner.capture.memory import Allocate, own_memory
from scanner.capture.pcap import CHUNK, PCAP_MAGICS, read_into, read_pcap
from scanner.capture.pcapng import PCAPNG_MAGIC, read_pcapng
from scanner.contracts import Frames
from scanner.core.link import check_link_type
from scanner.model import CaptureError

_UNPACK = "unpack it first, or pipe it in as -"
_CONVERT = "Wireshark's editcap makes a pcap of it"
UNPACKED_CHUNK = 6 << 20
"""Bytes of what is unpacked that are looked at together: Zstandard may hold MOST_WINDOW beside them."""

_OTHERS = {
    b"\xfd7zX": ("compressed by xz", f"{_UNPACK} (xz -dc)"),
    b"BZh": ("compressed by bzip2", f"{_UNPACK} (bzip2 -dc)"),
    b"\x04\x22\x4d\x18": ("compressed by lz4", f"{_UNPACK} (lz4 -dc)"),
    b"PK\x03\x04": ("a zip archive", f"{_UNPACK} (unzip -p)"),
    b"snoo": ("a snoop capture", _CONVERT),
    b"GMBU": ("a capture of Microsoft's Network Monitor", _CONVERT),
    b"RTSS": ("a capture of Microsoft's Network Monitor", _CONVERT),
    b"TRSN": ("a capture of NetXRay or Sniffer", _CONVERT),
    b"\xa1\xb2\xcd\x34": ("a pcap file in the format of a patched libpcap", _CONVERT),
    b"\x34\xcd\xb2\xa1": ("a pcap file in the format of a patched libpcap", _CONVERT),
}
"""First bytes of what else people hold, and what to do about it."""


def open_capture(
    path: str | os.PathLike[str],
    *,
    chunk: int = CHUNK,
    warn: Callable[[str], None] | None = None,
    interfaces: Container[str] = (),
    allocate: Allocate | None = None,
) -> Iterator[Frames]:
    """The frames of a pcap or pcapng file, some chunks of the file at a time.

    The file is opened and its first bytes are looked at before this returns; it is closed
    when the iterator ends.

    Args:
        path: a file or a pipe; `-` is standard input.
        chunk: bytes to look at together.
        warn: called with one line where the file is cut off, or some of its interfaces are of link types that
            cannot be read, after all else has been given. Without it the iterator raises that line instead.
        interfaces: names of those whose frames are to be told apart; others' are given without a name.
        allocate: gives memory for what is read, which is valid as long as that is; None: own memory, and a
            file is read ahead.

    Raises:
        CaptureError: unreadable, not a capture, of no link type that can be read, or damaged; one line that
            names the file.
    """
    wanted = Wanted(check_link_type, interfaces)
    if path == "-":
        stdin: IO[bytes] | None = getattr(sys.stdin, "buffer", None)
        if stdin is None:
            raise CaptureError("standard input: is closed")
        return _frames(stdin, "standard input", chunk, warn, wanted, ahead=False, allocate=own_memory)
    name = os.fspath(path)
    try:
        stream = Path(path).open("rb", buffering=0)  # noqa: SIM115 - closed when the iterator ends
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise CaptureError(f"{name}: cannot be read: {reason}") from None
    try:
        # A pipe may make wait, and then nobody could interrupt.
        ahead = allocate is None and stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
        frames = _frames(stream, name, chunk, warn, wanted, ahead=ahead, allocate=allocate or own_memory)
    except BaseException:
        stream.close()
        raise
    return _closing(stream, frames)


def _frames(
    stream: IO[bytes],
    name: str,
    chunk: int,
    warn: Callable[[str], None] | None,
    wanted: Wanted,
    *,
    ahead: bool,
    allocate: Allocate,
) -> Iterator[Frames]:
    """Hand the stream to the reader of its format, unpacked if need be."""
    by_format = partial(_by_format, name=name, wanted=wanted, ahead=ahead, allocate=allocate)
    magic = _magic(stream, name)
    inside = unpacked(magic, stream)
    if inside is None:
        return by_format(stream, magic, warn, chunk=chunk)
    # A stream without a name of its own, as far as types go; it is read by `readinto` alone.
    plain = cast("IO[bytes]", inside)
    magic = _magic(plain, name)
    if unpacked(magic, plain) is not None:
        raise CaptureError(
            f"{name}: is compressed twice; unpack it first (gzip -dc, zstd -dc), or pipe it in as -"
        )
    faults: list[str] = []
    chunk = min(chunk, UNPACKED_CHUNK)
    try:
        frames = by_format(plain, magic, faults.append, chunk=chunk)
    except CaptureError:
        if inside.fault:
            raise CaptureError(f"{name}: cannot be unpacked: {inside.fault}") from None
        raise
    return _told_once(frames, inside, name, faults, warn)


def _magic(stream: IO[bytes], name: str) -> bytes:
    head = bytearray(4)
    return bytes(head[: read_into(stream, memoryview(head), name)])


def _by_format(
    stream: IO[bytes],
    magic: bytes,
    warn: Callable[[str], None] | None,
    *,
    name: str,
    chunk: int,
    wanted: Wanted,
    ahead: bool,
    allocate: Allocate,
) -> Iterator[Frames]:
    if not magic:
        raise CaptureError(f"{name}: is empty, not a capture")
    if magic in PCAP_MAGICS:
        return read_pcap(
            stream,
            name,
            chunk,
            warn=warn,
            head=magic,
            check=check_link_type,
            ahead=ahead,
            allocate=allocate,
        )
    if magic == PCAPNG_MAGIC:
        frames = read_pcapng(
            stream, name, chunk, warn=warn, head=magic, ahead=ahead, allocate=allocate, wanted=wanted
        )
        return _supported(frames, wanted.left_out, name, warn)
    for start, (kind, remedy) in _OTHERS.items():
        if magic.startswith(start):
            raise CaptureError(f"{name}: is {kind}, which cannot be read; {remedy}")
    raise CaptureError(f"{name}: is neither a pcap nor a pcapng file")


def _supported(
    frames: Iterator[Frames], left_out: Counter[str], name: str, warn: Callable[[str], None] | None
) -> Iterator[Frames]:
    """Frames of link types that can be read, and then a line on the others: one file may have many types."""
    given = False
    for some in frames:
        given = True
        yield some
    if not left_out:
        return
    (refusal, count), *others = left_out.most_common()
    line = f"{name}: {refusal}"
    if given or others:
        rest = sum(more for _, more in others)
        also = f", and {rest} of other types that are not either" if rest else ""
        line = f"{name}: left out {count} of the packets{also}: {refusal}"
    if warn is None or not given:
        raise CaptureError(line)
    warn(line)


def _told_once(
    frames: Iterator[Frames],
    inside: Unpacked,
    name: str,
    faults: list[str],
    warn: Callable[[str], None] | None,
) -> Iterator[Frames]:
    """Frames of what was unpacked, and then one line on how it ended."""
    yield from frames
    line = faults[0] if faults else None
    if inside.fault is not None:
        line = f"{name}: cut off at byte {inside.given} of what is unpacked: {inside.fault}"
    elif line is not None:
        line = f"{line} (of what is unpacked)"
    if line is None:
        return
    if warn is None:
        raise CaptureError(line)
    warn(line)


def _closing(stream: IO[bytes], frames: Iterator[Frames]) -> Iterator[Frames]:
    with stream:
        yield from frames
