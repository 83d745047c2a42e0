"""Compressed captures, unpacked as they are read: gzip (RFC 1952) and Zstandard (RFC 8878).

What is unpacked is bounded by what is asked for, whatever the data say. Where they are cut off or damaged,
what came before is given, and the fault is kept: a stream that ends early looks like one that ends.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from typing import IO, Any, cast

GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
SKIPPABLE = range(0x50, 0x60)
SKIPPABLE_MAGIC = b"\x2a\x4d\x18"
"""First bytes of a frame that Zstandard leaves out (RFC 8878, 3.1.2): one of these, then those."""

MOST_WINDOW = 1 << 27
"""Bytes that Zstandard may look back; `zstd --ultra --long=31` wants more."""

_PIECE = 1 << 15
"""Of gzip's: what is left of one is copied behind each member, and members may be tiny."""
_UNPACKED_PIECE = 1 << 20
_SMALL_PIECE = 1 << 13
"""Of zstd's: what one of these holds is lost with its first fault."""

_GZIP = 16 + zlib.MAX_WBITS


class Prefixed(io.RawIOBase):
    """A stream of which the first bytes have been read already."""

    def __init__(self, head: bytes, stream: IO[bytes]) -> None:
        self._head = head
        self._stream = stream

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, room: Any) -> int:  # noqa: ANN401 - whatever takes bytes, as in `io.RawIOBase`
        """As `io.RawIOBase`."""
        count = min(len(room), len(self._head))
        if count:
            room[:count], self._head = self._head[:count], self._head[count:]
            return count
        piece = self._stream.read(len(room)) or b""
        room[: len(piece)] = piece
        return len(piece)


class Unpacked(io.RawIOBase):
    """What a compressed stream holds.

    fault: what is wrong with it, once that has been met; then it is at its end. given: bytes unpacked so far.
    """

    def __init__(self, stream: io.RawIOBase) -> None:
        self._stream = stream
        self.fault: str | None = None
        self.given = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, room: Any) -> int:  # noqa: ANN401
        """As `io.RawIOBase`; a fault is the end."""
        if self.fault is not None or not len(room):
            return 0
        piece = self._unpack(len(room))
        room[: len(piece)] = piece
        self.given += len(piece)
        return len(piece)

    def _unpack(self, most: int) -> bytes:
        """Up to so many bytes, none at the end only."""
        raise NotImplementedError


class Gunzipped(Unpacked):
    """Members one behind the other, as gzip writes them."""

    def __init__(self, stream: io.RawIOBase) -> None:
        super().__init__(stream)
        self._member = zlib.decompressobj(_GZIP)
        self._waiting = b""

    def _unpack(self, most: int) -> bytes:
        while True:
            if self._member.eof:
                self._waiting = self._member.unused_data or self._stream.read(_PIECE) or b""
                # Tapes are filled up with zeros, and gzip takes no notice.
                self._waiting = self._waiting.lstrip(b"\0")
                if not self._waiting:
                    return b""
                self._member = zlib.decompressobj(_GZIP)
            self._waiting = self._waiting or self._stream.read(_PIECE) or b""
            if not self._waiting:
                self.fault = "the gzip stream ends early"
                return self._flushed(most)
            before = self._member.copy()
            try:
                piece = self._member.decompress(self._waiting, most)
            except zlib.error as error:
                self.fault = f"the gzip stream is damaged ({error})"
                return _until_damage(before, self._waiting, most)
            self._waiting = self._member.unconsumed_tail
            if piece:
                return piece

    def _flushed(self, most: int) -> bytes:
        try:
            return self._member.flush()[:most]
        except zlib.error:
            return b""


def _until_damage(member: Any, data: bytes, most: int) -> bytes:  # noqa: ANN401 - zlib does not name its type
    """What zlib had unpacked, and did not give, when it met what is damaged."""
    pieces, room = [], most
    try:
        for at in range(len(data)):
            pieces.append(member.decompress(data[at : at + 1], room))
            room -= len(pieces[-1])
            if not room:
                break
    except zlib.error:
        pass
    return b"".join(pieces)


class Unzstd(Unpacked):
    """Frames one behind the other, as zstd writes them."""

    def __init__(self, stream: io.RawIOBase) -> None:
        import zstandard  # noqa: PLC0415 - for the few captures that are compressed by it

        super().__init__(stream)
        self._error = zstandard.ZstdError
        unpacker = zstandard.ZstdDecompressor(max_window_size=MOST_WINDOW)
        self._followed = _Followed(stream)
        source = cast("IO[bytes]", self._followed)
        self._reader = unpacker.stream_reader(source, read_size=_SMALL_PIECE, read_across_frames=True)

    def _unpack(self, most: int) -> bytes:
        try:
            piece: bytes = self._reader.read1(min(most, _UNPACKED_PIECE))
        except self._error as error:
            self.fault = f"the zstd stream is damaged, or needs too much memory ({error})"
            return b""
        if not piece and not self._followed.complete:
            self.fault = "the zstd stream ends early"
        return piece


class _Followed(io.RawIOBase):
    """A zstd stream, of which is known whether it ended where a frame does: the unpacker does not say.

    RFC 8878, 3.1.1: magic 4 · descriptor 1 · the rest of the header · blocks · checksum 4, perhaps; a block
    is its header, 3, and what that tells. A frame that is left out (3.1.2): magic 4 · size 4 · so many bytes.
    """

    def __init__(self, stream: io.RawIOBase) -> None:
        super().__init__()
        self._stream = stream
        self._left = 0
        self._head = b""
        self._reads: Callable[[bytes], None] = self._magic
        self._needed = 4
        self._has_checksum = False

    @property
    def complete(self) -> bool:
        """Whether no frame has begun that has not ended."""
        return self._reads == self._magic and not self._head and not self._left

    def read(self, size: int = -1, /) -> bytes:
        """As `io.RawIOBase`."""
        data = self._stream.read(size) or b""
        at = 0
        while at < len(data):
            passed = min(self._left, len(data) - at)
            self._left -= passed
            at += passed
            if self._left:
                break
            part = data[at : at + self._needed - len(self._head)]
            self._head += part
            at += len(part)
            if len(self._head) == self._needed:
                head, self._head = self._head, b""
                self._reads(head)
        return data

    def _magic(self, head: bytes) -> None:
        if head == ZSTD_MAGIC:
            self._reads, self._needed = self._descriptor, 1
        elif head[1:] == SKIPPABLE_MAGIC and head[0] in SKIPPABLE:
            self._reads = self._size

    def _size(self, head: bytes) -> None:
        self._left = int.from_bytes(head, "little")
        self._reads = self._magic

    def _descriptor(self, head: bytes) -> None:
        single, self._has_checksum = head[0] >> 5 & 1, bool(head[0] & 4)
        size = (single, 2, 4, 8)[head[0] >> 6]
        self._left = 1 - single + (0, 1, 2, 4)[head[0] & 3] + size
        self._reads, self._needed = self._block, 3

    def _block(self, head: bytes) -> None:
        header = int.from_bytes(head, "little")
        repeated = header >> 1 & 3 == 1
        self._left = 1 if repeated else header >> 3
        if header & 1:
            self._left += 4 * self._has_checksum
            self._reads, self._needed = self._magic, 4


def unpacked(head: bytes, stream: IO[bytes]) -> Unpacked | None:
    """What a stream holds whose first four bytes have been read; None where it is not compressed."""
    if head.startswith(GZIP_MAGIC):
        return Gunzipped(Prefixed(head, stream))
    if head == ZSTD_MAGIC or (head[1:] == SKIPPABLE_MAGIC and head[0] in SKIPPABLE):
        return Unzstd(Prefixed(head, stream))
    return None
