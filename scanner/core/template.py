"""Templates: one packet with holes, stamped out a batch at a time.

A template is what a probe's Scapy packet compiles to: its bytes with the varying fields and the
checksums zeroed, and where those sit. The constant part of every checksum is summed once
(RFC 1071); a batch adds only the words that vary. Nothing here is done per packet.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanner.core.crc32c import BatchCrc32c

_MAC_BYTES = 6
_IPV6_BYTES = 16

Value = NDArray[np.unsignedinteger] | int | bytes
"""What goes into a field: a number or six bytes for all packets; for each packet a number, `(N,)`, or the two
halves of an IPv6 address, `(N, 2)` uint64."""


class Field(enum.Enum):
    """A field that differs from packet to packet."""

    SOURCE = "source"
    DESTINATION = "destination"
    SOURCE_PORT = "source_port"
    DESTINATION_PORT = "destination_port"
    SEQUENCE = "sequence"
    ACKNOWLEDGEMENT = "acknowledgement"
    INITIATE_TAG = "initiate_tag"
    ECHO_SEQUENCE = "echo_sequence"
    SOURCE_MAC = "source_mac"
    SOLICITED = "solicited"


@dataclass(frozen=True, slots=True)
class Checksum:
    """An Internet checksum to fill in.

    offset: where its 16 bits sit.
    start: first byte covered.
    stop: first byte not covered any more.
    constant: added to the sum: the pseudo header's protocol and length (RFC 9293, 3.1), else 0.
    pseudo_header: the addresses are covered too.
    zero_means_none: a result of zero is sent as 0xFFFF (UDP, RFC 768).
    """

    offset: int
    start: int
    stop: int
    constant: int = 0
    pseudo_header: bool = False
    zero_means_none: bool = False


@dataclass(frozen=True, slots=True)
class Template:
    """A network-layer packet with holes.

    packet: the bytes, varying fields and checksums zero.
    fields: offset and width in bytes of each varying field; offsets are even, widths 2, 4, 6 or 16.
    checksums: in no order; none covers another.
    crc32c: where SCTP's checksum sits, and the first byte that it covers, with all behind; None without one.
    """

    packet: bytes
    fields: Mapping[Field, tuple[int, int]]
    checksums: tuple[Checksum, ...] = ()
    crc32c: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class _Sum:
    """A checksum of a batch: where it goes, what never changes of it, and the fields that do."""

    column: NDArray[np.generic]
    constant: int
    fields: tuple[Field, ...]
    zero_means_none: bool


class Stamper:
    """Stamps batches of a template into one buffer, which is used again for every batch."""

    def __init__(self, template: Template, capacity: int) -> None:
        """Lay out `capacity` copies of the template."""
        length = len(template.packet)
        self._rows: NDArray[np.uint8] = np.empty((capacity, length), dtype=np.uint8)
        self._rows[:] = np.frombuffer(template.packet, dtype=np.uint8)
        self._columns = {
            field: self._column(offset, width) for field, (offset, width) in template.fields.items()
        }
        self._sums = [
            _Sum(
                column=self._column(checksum.offset, 2),
                constant=_constant_sum(template.packet, checksum),
                fields=tuple(_covered(template, checksum)),
                zero_means_none=checksum.zero_means_none,
            )
            for checksum in template.checksums
        ]
        self._crc: tuple[NDArray[np.generic], int, BatchCrc32c] | None = None
        if template.crc32c is not None:
            offset, start = template.crc32c
            places = [
                place - start
                for at, width in template.fields.values()
                for place in range(at, at + width)
                if place >= start
            ]
            self._crc = self._column(offset, 4), start, BatchCrc32c(template.packet[start:], places)

    def _column(self, offset: int, width: int) -> NDArray[np.generic]:
        """One field of every row laid over the bytes: big-endian numbers, or six bytes as they are."""
        length = self._rows.shape[1]
        kind: object = (
            (">u8", 2) if width == _IPV6_BYTES else f"V{width}" if width == _MAC_BYTES else f">u{width}"
        )
        layout = np.dtype({"names": ["field"], "formats": [kind], "offsets": [offset], "itemsize": length})
        column: NDArray[np.generic] = self._rows.view(layout)["field"][:, 0]
        return column

    @property
    def capacity(self) -> int:
        """How many packets a batch may have."""
        return len(self._rows)

    def stamp(self, count: int, values: Mapping[Field, Value]) -> NDArray[np.uint8]:
        """Stamp a batch.

        Args:
            count: packets in the batch, at most `capacity`.
            values: for each field of the template its value.

        Returns:
            `(count, L)` uint8, valid until the next call.
        """
        for field, column in self._columns.items():
            value = values[field]
            column[:count] = np.void(value) if isinstance(value, bytes) else value
        words = {field: _word_sum(values[field]) for field in {f for each in self._sums for f in each.fields}}
        for each in self._sums:
            total = np.full(count, each.constant, dtype=np.uint32)
            for field in each.fields:
                total += np.asarray(words[field], dtype=np.uint32)
            each.column[:count] = _finish(total, zero_means_none=each.zero_means_none)
        if self._crc is not None:
            column, start, crc = self._crc
            # It covers itself as zero, and is sent least significant byte first (RFC 9260, appendix A).
            column[:count] = crc.of(self._rows[:count, start:]).byteswap()
        return self._rows[:count]


def _covered(template: Template, checksum: Checksum) -> Iterator[Field]:
    """The fields that a checksum depends on."""
    for field, (offset, _width) in template.fields.items():
        within = checksum.start <= offset < checksum.stop
        if within or (checksum.pseudo_header and field in {Field.SOURCE, Field.DESTINATION}):
            yield field


def _word_sum(value: Value) -> NDArray[np.uint32] | int:
    """All 16-bit words of a value, added."""
    if isinstance(value, bytes):
        return sum(int.from_bytes(value[at : at + 2], "big") for at in range(0, len(value), 2))
    if isinstance(value, int):
        return (value >> 16) + (value & 0xFFFF)
    if value.dtype.itemsize == np.dtype(np.uint64).itemsize:
        words = (value >> np.uint64(32)) + (value & np.uint64(0xFFFF_FFFF))
        words = (words >> np.uint64(16)) + (words & np.uint64(0xFFFF))
        summed: NDArray[np.uint32] = words.sum(axis=-1).astype(np.uint32)
        return summed
    wide = value.astype(np.uint32)
    if value.dtype.itemsize == np.dtype(np.uint16).itemsize:
        return wide
    halves: NDArray[np.uint32] = wide >> np.uint32(16)
    halves += wide & np.uint32(0xFFFF)
    return halves


def _constant_sum(packet: bytes, checksum: Checksum) -> int:
    covered = packet[checksum.start : checksum.stop]
    padded = covered + bytes(len(covered) & 1)
    total = int(np.frombuffer(padded, dtype=">u2").sum(dtype=np.uint64)) + checksum.constant
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def _finish(total: NDArray[np.uint32], *, zero_means_none: bool) -> NDArray[np.uint32]:
    # Two folds suffice: a constant, and what at most two dozen words of 16 bits add up to, stay below 2**24.
    for _ in range(2):
        carry = total >> np.uint32(16)
        total &= np.uint32(0xFFFF)
        total += carry
    np.bitwise_xor(total, np.uint32(0xFFFF), out=total)
    if zero_means_none:
        total[total == 0] = 0xFFFF
    return total
