"""Messages from one process to another through a pipe: a kind, and bytes."""

from __future__ import annotations

import os
import struct
from contextlib import ExitStack
from typing import IO

_HEAD = struct.Struct("=BI")


def pipe(stack: ExitStack, *, buffered: bool) -> tuple[IO[bytes], IO[bytes]]:
    """Where is read from a pipe, and where is written; `stack` closes both. Raises OSError.

    `buffered`: it is read by `heard`, which asks for little at a time.
    """
    reading, writing = os.pipe()
    buffering = -1 if buffered else 0
    return (
        stack.enter_context(os.fdopen(reading, "rb", buffering=buffering)),
        stack.enter_context(os.fdopen(writing, "wb", buffering=0)),
    )


def say(stream: IO[bytes], kind: int, content: bytes = b"") -> None:
    """Send a message of a kind below 256. Raises OSError where nobody can read it any more."""
    rest = memoryview(_HEAD.pack(kind, len(content)) + content)
    while rest:
        rest = rest[stream.write(rest) :]


def heard(stream: IO[bytes]) -> tuple[int, bytes] | None:
    """Wait for a message; None where whoever would send it has gone."""
    head = stream.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    kind, length = _HEAD.unpack(head)
    content = stream.read(length)
    return None if len(content) < length else (kind, content)
