"""Reporters: one output format a file, each over a binary stream that somebody else opened.

What they share is here: records in pieces of bounded size, bytes written whole, and text that
any format can encode.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import IO, TypeVar

import msgspec

from scanner.model import Service

PIECE = 8192
"""Records that are turned into text together."""

T = TypeVar("T")


def pieces(records: Iterable[T]) -> Iterator[list[T]]:
    """The records in lists of PIECE, the last one shorter."""
    iterator = iter(records)
    while piece := list(islice(iterator, PIECE)):
        yield piece


def write_all(stream: IO[bytes], data: bytes | memoryview) -> None:
    """Write all of it: an unbuffered stream may take less at once. OSError as the stream raises it."""
    rest = memoryview(data)
    while rest:
        count = stream.write(rest)
        if not count:
            raise BlockingIOError(errno.EAGAIN, "the stream takes nothing more for now")
        rest = rest[count:]


def encodable_service(service: Service) -> Service:
    r"""The same service; lone surrogates, which UTF-8 cannot hold, are written as `\udc80`."""
    return msgspec.structs.replace(
        service,
        name=_encodable(service.name),
        product=service.product and _encodable(service.product),
        version=service.version and _encodable(service.version),
        evidence=_encodable(service.evidence),
    )


def _encodable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
