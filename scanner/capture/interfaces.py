"""Interfaces that a pcapng file describes, and the times of their packets.

The format is draft-ietf-opsawg-pcapng, section 4.2:

    interface          1 · length · link type 2 · reserved 2 · snaplen 4 · options · length
    option             code 2 · length 2 · value, padded to 4
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from scanner.core.packets import NO_TIME
from scanner.model import CaptureError

MAX_OPTIONS = 1024
"""Options that an interface may have; there are hardly twenty kinds."""

_HEADER_LENGTH = 20
_END_OF_OPTIONS, _NAME, _TSRESOL, _TSOFFSET = 0, 2, 9, 14
_MICROSECONDS = 6
_SECOND = 1_000_000_000
_FINEST_BINARY = 34
"""2**-34 s is finer than a nanosecond, and 2**34 times a second of those fits in 64 bits."""
_LAST_SECOND = (1 << 63) // _SECOND - 1


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is wanted of a capture whose frames have interfaces of several kinds.

    check: called with a link type; raises CaptureError where its frames are not wanted. names: those by which
    interfaces are told apart. left_out: how many frames were not wanted, by what `check` said of them.
    """

    check: Callable[[int], None] = lambda _: None
    names: Container[str] = ()
    left_out: Counter[str] = field(default_factory=Counter)
    _refusals: dict[int, str | None] = field(default_factory=dict)

    def has(self, link_type: int, frames: int) -> bool:
        """Whether so many frames of a link type are wanted; counts them if not."""
        if link_type not in self._refusals:
            self._refusals[link_type] = self._refusal(link_type)
        refusal = self._refusals[link_type]
        if refusal is not None:
            self.left_out[refusal] += frames
        return refusal is None

    def _refusal(self, link_type: int) -> str | None:
        try:
            self.check(link_type)
        except CaptureError as error:
            return str(error)
        return None


@dataclass(frozen=True, slots=True)
class Interface:
    """What an interface says of its packets.

    A time of `t` units is `t // per_second` seconds past `offset`, and
    `(t % per_second >> shift) * factor // divisor` nanoseconds. name: None where nobody asked for it.
    """

    link_type: int
    snaplen: int
    offset: int
    per_second: int
    shift: int
    factor: int
    divisor: int
    name: str | None


@dataclass(frozen=True, slots=True)
class Clock:
    """The times of N packets, worked out for those of which somebody wants to know.

    ticks: `(N, 2)` uint32, high and low words of times in an interface's units. which: `(N,)` int64, of each
    packet's interface the place among `interfaces`. untimed: int64, packets that carry no time.
    """

    ticks: NDArray[np.uint32]
    which: NDArray[np.int64]
    interfaces: list[Interface]
    untimed: NDArray[np.int64]

    def times(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of some packets: ns since the epoch, at most as many as int64 holds; or NO_TIME."""
        ticks = self.ticks[rows, 0].astype(np.uint64) << np.uint64(32) | self.ticks[rows, 1]
        per_second = self._column(rows, [interface.per_second for interface in self.interfaces])
        seconds = ticks // per_second
        rest = ticks - seconds * per_second
        rest >>= self._column(rows, [interface.shift for interface in self.interfaces])
        rest *= self._column(rows, [interface.factor for interface in self.interfaces])
        rest //= self._column(rows, [interface.divisor for interface in self.interfaces])
        offset = self._column(rows, [interface.offset for interface in self.interfaces], np.int64)
        whole = np.minimum(seconds, np.uint64(_LAST_SECOND)).astype(np.int64) + offset
        times: NDArray[np.int64] = np.clip(whole, -_LAST_SECOND, _LAST_SECOND) * _SECOND
        times += rest.astype(np.int64)
        if len(self.untimed):
            times[np.isin(rows, self.untimed)] = NO_TIME
        return times

    def _column(
        self, rows: NDArray[np.int64], values: list[int], kind: type[np.integer] = np.uint64
    ) -> NDArray[np.integer] | np.integer:
        """What the interfaces of some packets say; of one interface, once."""
        return kind(values[0]) if len(values) == 1 else np.array(values, dtype=kind)[self.which[rows]]


def interface_untrusted(block: bytes, order: str, names: Container[str]) -> Interface:
    """What an interface description block says; it is whole.

    Of names those among `names` are kept. Raises CaptureError: what is wrong, to be said of the interface.
    """
    if len(block) < _HEADER_LENGTH:
        raise CaptureError("is too short; the file is damaged")
    link_type, _, snaplen = struct.unpack_from(f"{order}HHI", block, 8)
    resolution, offset, name = _MICROSECONDS, 0, None
    for code, value in _options(block, order):
        if code == _TSRESOL and len(value) == 1:
            resolution = value[0]
        elif code == _NAME:
            name = value.decode(errors="surrogateescape")
        elif code == _TSOFFSET and len(value) == 8:
            offset = struct.unpack(f"{order}q", value)[0]
    exponent = resolution & 0x7F
    binary = bool(resolution & 0x80)
    # What counts a second in more units than 64 bits hold; libpcap refuses the same.
    if exponent > (63 if binary else 19):
        raise CaptureError(f"has times finer than can be read (if_tsresol {resolution})")
    return Interface(
        link_type=link_type,
        snaplen=snaplen,
        offset=max(-_LAST_SECOND, min(offset, _LAST_SECOND)),
        per_second=(2 if binary else 10) ** exponent,
        shift=max(0, exponent - _FINEST_BINARY) if binary else 0,
        factor=_SECOND if binary else 10 ** max(0, 9 - exponent),
        divisor=2 ** min(exponent, _FINEST_BINARY) if binary else 10 ** max(0, exponent - 9),
        name=name if name in names else None,
    )


def _options(block: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """The options of an interface, each a code and a value."""
    position, end = _HEADER_LENGTH - 4, len(block) - 4
    count = 0
    while position + 4 <= end:
        code, length = struct.unpack_from(f"{order}HH", block, position)
        if code == _END_OF_OPTIONS:
            break
        count += 1
        if count > MAX_OPTIONS:
            raise CaptureError(f"has more than {MAX_OPTIONS} options; the file is damaged")
        value = block[position + 4 : min(position + 4 + length, end)]
        if len(value) < length:
            raise CaptureError("has an option that does not fit; the file is damaged")
        yield code, value
        position += 4 + (length + 3 & ~3)
