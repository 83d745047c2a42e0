"""Pcapng files, read a batch at a time.

The law is that of `scanner.capture.pcap`: the file may lie in every byte, and costs bounded
memory and CaptureError at worst. Packets come from enhanced and simple packet blocks, and from the
packet blocks of older files; the blocks of other kinds are stepped over. This file does not know what is in
a frame.

The format is draft-ietf-opsawg-pcapng:

    any block          type 4 · length 4 · body · length 4          (length: of all of it)
    section header     0x0A0D0D0A · length · byte order 4 · version 2+2 · section length 8 · options
    interface          1 · length · see `scanner.capture.interfaces`
    packet             2 · length · interface 2 · drops 2 · the rest as in an enhanced one (obsolete)
    simple packet      3 · length · bytes on the wire 4 · data
    enhanced packet    6 · length · interface 4 · time 8 · bytes captured 4 · bytes on the wire 4 · data
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO

import numpy as np
from numpy.typing import NDArray

from scanner.capture.interfaces import Interface, Wanted, interface_untrusted, nanoseconds
from scanner.capture.memory import Allocate, own_memory
from scanner.capture.pcap import CHUNK, MAX_RECORD, Window, closing_window
from scanner.capture.walk import Chain, walk
from scanner.capture.words import columns
from scanner.contracts import Frames
from scanner.core.packets import NO_TIME
from scanner.model import CaptureError

PCAPNG_MAGIC = b"\x0a\x0d\x0d\x0a"
"""The first four bytes, in either byte order."""

MAX_INTERFACES = 65_536
"""Interfaces that one section may have."""

MAX_TURNS = 4096
"""How often the byte order may change: behind each change it takes a while to get going again."""

_SECTION, _INTERFACE, _OBSOLETE, _SIMPLE, _ENHANCED = 0x0A0D0D0A, 1, 2, 3, 6
_BYTE_ORDERS = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}
_BYTE_ORDER_MAGIC = 0x1A2B3C4D
_LEAST_BLOCK = 12
_SHORT_SPAN = 1 << 14
_SEARCHED = 4096
"""Bytes in which a block is looked for, where nothing is known of where one begins."""
_SECTION_HEADER_LENGTH = 28
_SIMPLE_OVERHEAD, _ENHANCED_OVERHEAD = 16, 32


def read_pcapng(
    stream: IO[bytes],
    name: str,
    chunk: int = CHUNK,
    *,
    warn: Callable[[str], None] | None = None,
    head: bytes = b"",
    ahead: bool = False,
    allocate: Allocate = own_memory,
    wanted: Wanted | None = None,
) -> Iterator[Frames]:
    """The frames of a capture, some chunks of the file at a time.

    As `scanner.capture.pcap.read_pcap`; `wanted` tells of which link types, without it of all. Where the
    packets of a chunk have several link types, or interfaces that are told apart, there is one `Frames` for
    each, in the order of their first packets, and file order is kept within each. Simple packet blocks carry
    no time.

    Raises:
        CaptureError: not a capture, unreadable, or damaged; names the byte.
    """
    window = Window(stream, name, chunk, head, ahead=ahead, allocate=allocate)
    window.slide(0, _LEAST_BLOCK)
    if not len(window.data):
        raise CaptureError(f"{name}: is empty, not a capture")
    if window.data[:4] != PCAPNG_MAGIC:
        raise CaptureError(f"{name}: is not a pcapng file")
    if len(window.data) < _LEAST_BLOCK:
        raise CaptureError(f"{name}: cut off at byte {len(window.data)}, within the section header")
    _byte_order(window, 0)
    return closing_window(window, _read_blocks_untrusted(window, wanted or Wanted(), warn))


def _read_blocks_untrusted(
    window: Window, wanted: Wanted, warn: Callable[[str], None] | None
) -> Iterator[Frames]:
    """Frames of all sections, a run of blocks at a time."""
    order = _byte_order(window, 0)
    known: list[Interface] = []
    passed, span, turns = 0, _SHORT_SPAN, 0
    while True:
        needed = _LEAST_BLOCK
        if len(window.data) - passed >= needed:
            if window.data[passed : passed + 4] == PCAPNG_MAGIC and order != _byte_order(window, passed):
                order, span, turns = _byte_order(window, passed), _SHORT_SPAN, turns + 1
                if turns > MAX_TURNS:
                    msg = f"{window.name}: changes its byte order more than {MAX_TURNS} times"
                    raise CaptureError(f"{msg}, at byte {window.offset + passed}; read it in parts")
            run = _run(window, passed, order, span)
            described = _described(window, run.blocks, order, known, wanted)
            yield from _frames(window, run.blocks[: described.blocks], order, described, wanted)
            if described.fault or run.fault:
                raise CaptureError(described.fault or run.fault)
            known = described.last()
            passed, needed = run.end, run.needed
            # Where the byte order has just changed, it may soon do so again, and what was walked is lost.
            span = min(2 * span, MAX_RECORD)
            if len(window.data) - passed >= needed:
                continue
        window.slide(passed, needed)
        passed = 0
        if len(window.data) < needed:
            break
    if len(window.data):
        window.cut_off("block", needed, warn)


@dataclass(frozen=True, slots=True)
class _Run:
    """Whole blocks, of one byte order.

    blocks: `(N,)` int64, where they begin. end: where the first block behind them begins, of which `needed`
    bytes must be there to go on. fault: what is wrong with that one.
    """

    blocks: NDArray[np.int64]
    end: int
    needed: int
    fault: str | None = None


def _run(window: Window, begin: int, order: str, span: int) -> _Run:
    """Blocks from one on, for about `span` bytes, up to a section of another byte order."""
    starts, end = walk(_chain(window, order, min(begin + span, len(window.data) - _LEAST_BLOCK)), begin)
    buffer = window.buffer
    heads = columns(buffer, starts, 3, order)
    lengths = heads[:, 1].astype(np.int64)
    turned = np.flatnonzero((heads[:, 0] == _SECTION) & (heads[:, 2] != _BYTE_ORDER_MAGIC))
    fault, needed = None, _LEAST_BLOCK
    if len(turned):
        end = int(starts[turned[0]])
        starts, lengths = starts[: turned[0]], lengths[: turned[0]]
    liars = np.flatnonzero((lengths < _LEAST_BLOCK) | (lengths > MAX_RECORD) | (lengths % 4 != 0))
    if len(liars):
        end = int(starts[liars[0]])
        fault = _length_fault(window, end, int(lengths[liars[0]]))
        starts, lengths = starts[: liars[0]], lengths[: liars[0]]
    elif end > len(buffer):
        end, needed = int(starts[-1]), int(lengths[-1])
        starts, lengths = starts[:-1], lengths[:-1]
    trailers = columns(buffer, starts + lengths - 4, 1, order)[:, 0]
    torn = np.flatnonzero(trailers != lengths)
    if len(torn):
        end, needed = int(starts[torn[0]]), _LEAST_BLOCK
        fault = _torn(window, end)
        starts = starts[: torn[0]]
    return _Run(starts, end, needed, fault)


def _chain(window: Window, order: str, last: int) -> Chain:
    """The blocks of a window that begin at `last` or before."""
    data = window.data
    header = struct.Struct(f"{order}II").unpack_from
    words: NDArray[np.uint32] = np.ndarray(
        max(0, len(data) - 3), dtype=f"{order}u4", buffer=window.buffer, strides=(1,)
    )
    mark = struct.pack(f"{order}I", _ENHANCED)

    # What is too short to be a block is stepped over all the same, to be refused later.
    def lengths(at: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.maximum(words[at + 4], _LEAST_BLOCK, dtype=np.int64)

    def length(at: int) -> int:
        size: int = header(data, at)[1]
        return max(size, _LEAST_BLOCK)

    def likely(first: int, until: int) -> int | None:
        within = bytes(data[first : min(until, first + _SEARCHED)])
        place = within.find(mark)
        while place >= 0:
            at = first + place
            size = length(at) if at <= last else 0
            end = at + size
            if size > _ENHANCED_OVERHEAD and size % 4 == 0 and end <= len(data) and words[end - 4] == size:
                return at
            place = within.find(mark, place + 1)
        return None

    return Chain(lengths, length, likely, last)


@dataclass(frozen=True, slots=True)
class _Described:
    """The interfaces that packets in a run of blocks may name.

    table: all of them. since: `(C,)` int64, blocks from which on a packet's interfaces are `count` `(C,)` of
    those from `base` `(C,)` on. blocks: how many blocks this holds for; fault: what is wrong with the next.
    """

    table: list[Interface]
    since: NDArray[np.int64]
    base: NDArray[np.int64]
    count: NDArray[np.int64]
    blocks: int
    fault: str | None

    def last(self) -> list[Interface]:
        """Those of the section that goes on behind the run."""
        return self.table[self.base[-1] : self.base[-1] + self.count[-1]]


def _described(
    window: Window, blocks: NDArray[np.int64], order: str, known: list[Interface], wanted: Wanted
) -> _Described:
    """Read sections and interfaces among blocks; `known` are those of the section that goes on."""
    heads = columns(window.buffer, blocks, 2, order)
    rows = np.flatnonzero((heads[:, 0] == _SECTION) | (heads[:, 0] == _INTERFACE))
    table = list(known)
    base, count = 0, len(table)
    since, bases, counts = array("q", [0]), array("q", [base]), array("q", [count])
    fault, whole = None, len(blocks)
    # A file of many sections has the same interfaces over and over again.
    met: dict[bytes, Interface] = {}
    for row, (kind, length), at in zip(
        rows.tolist(), heads[rows].tolist(), blocks[rows].tolist(), strict=True
    ):
        block = bytes(window.data[at : at + length])
        try:
            if kind == _SECTION:
                _check_section(window, at, block, order)
                base, count = len(table), 0
            else:
                interface = met.get(block)
                if interface is None:
                    interface = met[block] = _interface(window, at, block, order, wanted)
                table.append(interface)
                count += 1
        except CaptureError as error:
            fault, whole = str(error), row
            break
        if count > MAX_INTERFACES:
            fault, whole = f"{window.name}: has more than {MAX_INTERFACES} interfaces", row
            break
        since.append(row)
        bases.append(base)
        counts.append(count)
    changes, starts, sizes = (np.array(column, dtype=np.int64) for column in (since, bases, counts))
    return _Described(table, changes, starts, sizes, whole, fault)


def _interface(window: Window, at: int, block: bytes, order: str, wanted: Wanted) -> Interface:
    try:
        return interface_untrusted(block, order, wanted.names)
    except CaptureError as error:
        raise CaptureError(f"{window.name}: the interface at byte {window.offset + at} {error}") from None


def _frames(
    window: Window, blocks: NDArray[np.int64], order: str, described: _Described, wanted: Wanted
) -> Iterator[Frames]:
    """Frames of the packet blocks among whole blocks that begin at `blocks`."""
    buffer = window.buffer
    kinds = columns(buffer, blocks, 1, order)[:, 0]
    packets = (kinds == _SIMPLE) | (kinds == _ENHANCED) | (kinds == _OBSOLETE)
    change = np.searchsorted(described.since, np.flatnonzero(packets), side="right") - 1
    base, count = described.base[change], described.count[change]
    blocks, kinds = blocks[packets], kinds[packets]
    if not len(blocks):
        return
    totals = columns(buffer, blocks, 2, order)[:, 1].astype(np.int64)
    enhanced = kinds != _SIMPLE
    room = totals - np.where(enhanced, _ENHANCED_OVERHEAD, _SIMPLE_OVERHEAD)
    usable = _usable(room >= 0)

    ids = np.zeros(len(blocks), dtype=np.int64)
    ticks = np.zeros(len(blocks), dtype=np.uint64)
    lengths = np.zeros(len(blocks), dtype=np.int64)
    original = np.zeros(len(blocks), dtype=np.int64)
    timed = np.flatnonzero(enhanced[:usable])
    fields = columns(buffer, blocks[timed], 7, order).astype(np.uint64)
    ids[timed] = fields[:, 2]
    obsolete = np.flatnonzero(kinds[:usable] == _OBSOLETE)
    if len(obsolete):
        ids[obsolete] = ids[obsolete] & 0xFFFF if order == "<" else ids[obsolete] >> 16
    ticks[timed] = fields[:, 3] << np.uint64(32) | fields[:, 4]
    lengths[timed] = fields[:, 5]
    original[timed] = fields[:, 6]
    simple = np.flatnonzero(~enhanced[:usable])
    if len(simple):
        original[simple] = columns(buffer, blocks[simple], 3, order)[:, 2]
        lengths[simple] = np.minimum(original[simple], _snaplens(described, base[simple], count[simple]))

    usable = min(usable, _usable((ids < count) & (lengths <= room)))
    if usable:
        chosen, which = _distinct((base + ids)[:usable])
        known = [described.table[index] for index in chosen]
        times = np.where(enhanced[:usable], nanoseconds(ticks[:usable], known, which), NO_TIME)
        starts = blocks[:usable] + np.where(enhanced[:usable], 28, 12)
        links: dict[tuple[int, str | None], int] = {}
        places = [links.setdefault((one.link_type, one.name), len(links)) for one in known]
        described_as = list(links)
        for place, these in _by_value(np.array(places)[which]):
            link_type, name = described_as[place]
            if not wanted.has(link_type, len(these)):
                continue
            yield Frames(
                buffer=buffer,
                starts=starts[these],
                lengths=lengths[these],
                original_lengths=np.maximum(original[these], lengths[these]),
                times=times[these],
                link_type=link_type,
                interface=name,
            )
    if usable < len(blocks):
        raise CaptureError(
            f"{window.name}: the packet block at byte {window.offset + int(blocks[usable])} does not "
            "hold what it claims, or names an interface that is not there; the file is damaged"
        )


def _snaplens(described: _Described, base: NDArray[np.int64], count: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bytes that a simple packet block may have captured: what the section's first interface says."""
    snaplens = np.array([interface.snaplen or MAX_RECORD for interface in described.table] + [MAX_RECORD])
    return snaplens[np.where(count > 0, base, len(described.table))]


def _usable(sound: NDArray[np.bool_]) -> int:
    """How many there are before the first that is not sound."""
    return len(sound) if sound.all() else int(np.argmin(sound))


def _distinct(values: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The different values, and which of them each is; mostly there is one."""
    if (values == values[0]).all():
        return values[:1], np.zeros(len(values), dtype=np.int64)
    return np.unique(values, return_inverse=True)


def _by_value(values: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Each value with the ascending indices where it stands; values in the order of their first."""
    if (values == values[0]).all():
        yield int(values[0]), np.arange(len(values))
        return
    distinct, firsts, which = np.unique(values, return_index=True, return_inverse=True)
    order = np.argsort(which, kind="stable")
    groups = np.split(order, np.cumsum(np.bincount(which))[:-1])
    for index in np.argsort(firsts):
        yield int(distinct[index]), groups[index]


def _byte_order(window: Window, at: int) -> str:
    """The byte order of the section that begins at `at`; twelve bytes of it are there."""
    order = _BYTE_ORDERS.get(bytes(window.data[at + 8 : at + 12]))
    if order is None:
        raise CaptureError(
            f"{window.name}: the section at byte {window.offset + at} has no byte order; not a capture, "
            "or damaged"
        )
    return order


def _check_section(window: Window, at: int, block: bytes, order: str) -> None:
    """Refuse a section header of a version that is not known."""
    place = f"{window.name}: the section at byte {window.offset + at}"
    if len(block) < _SECTION_HEADER_LENGTH:
        raise CaptureError(f"{place} is too short; the file is damaged")
    major, minor = struct.unpack_from(f"{order}HH", block, 12)
    # 1.2 means the same as 1.0 (draft-ietf-opsawg-pcapng section 4.1).
    if (major, minor) not in ((1, 0), (1, 2)):
        raise CaptureError(f"{place} is of pcapng version {major}.{minor}; only 1.0 can be read")


def _length_fault(window: Window, at: int, length: int) -> str:
    return (
        f"{window.name}: the block at byte {window.offset + at} claims {length} bytes: that must be a "
        f"multiple of 4 between {_LEAST_BLOCK} and {MAX_RECORD}; the file is damaged"
    )


def _torn(window: Window, at: int) -> str:
    return (
        f"{window.name}: the block at byte {window.offset + at} does not end with its length; "
        "the file is damaged"
    )
