"""Captures: files of frames, read and written. Which format a file has, its first bytes tell."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from scanner.capture.pcap import CHUNK, PCAP_MAGICS, read_pcap, read_up_to
from scanner.capture.pcapng import PCAPNG_MAGIC, read_pcapng
from scanner.contracts import Frames
from scanner.model import CaptureError

_GZIP_MAGIC = b"\x1f\x8b"


def open_capture(
    path: str | os.PathLike[str], *, chunk: int = CHUNK, warn: Callable[[str], None] | None = None
) -> Iterator[Frames]:
    """The frames of a pcap or pcapng file, some chunks of the file at a time.

    The file is opened and its first bytes are looked at before this returns; it is closed
    when the iterator ends.

    Args:
        path: a file or a pipe; `-` is standard input.
        chunk: bytes to look at together.
        warn: called with one line where the file is cut off, after all before that has been
            given. Without it the iterator raises that line instead.

    Raises:
        CaptureError: unreadable, not a capture, or damaged; one line that names the file.
    """
    if path == "-":
        stdin: IO[bytes] | None = getattr(sys.stdin, "buffer", None)
        if stdin is None:
            raise CaptureError("standard input: is closed")
        return _frames(stdin, "standard input", chunk, warn)
    name = os.fspath(path)
    try:
        stream = Path(path).open("rb")  # noqa: SIM115 - closed when the iterator ends
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise CaptureError(f"{name}: cannot be read: {reason}") from None
    try:
        frames = _frames(stream, name, chunk, warn)
    except BaseException:
        stream.close()
        raise
    return _closing(stream, frames)


def _frames(stream: IO[bytes], name: str, chunk: int, warn: Callable[[str], None] | None) -> Iterator[Frames]:
    """Hand the stream to the reader of its format."""
    magic = read_up_to(stream, 4, name)
    if not magic:
        raise CaptureError(f"{name}: is empty, not a capture")
    if magic in PCAP_MAGICS:
        return read_pcap(stream, name, chunk, warn=warn, head=magic)
    if magic == PCAPNG_MAGIC:
        return read_pcapng(stream, name, chunk, warn=warn, head=magic)
    if magic.startswith(_GZIP_MAGIC):
        raise CaptureError(f"{name}: is compressed; unpack it first (gzip -dc), or pipe it in as -")
    raise CaptureError(f"{name}: is neither a pcap nor a pcapng file")


def _closing(stream: IO[bytes], frames: Iterator[Frames]) -> Iterator[Frames]:
    with stream:
        yield from frames
