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

from scanner.capture.interfaces import Clock, Interface, Wanted, interface_untrusted
from scanner.capture.memory import Allocate, own_memory
from scanner.capture.packets import Packets
from scanner.capture.pcap import CHUNK, MAX_RECORD, Window, closing_window
from scanner.capture.walk import Chain, walk
from scanner.capture.words import columns
from scanner.contracts import Frames
from scanner.core.columns import chosen, gather
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
_SIMPLE_DATA, _ENHANCED_DATA = 12, 28
_WORDS = 7
"""Of an enhanced packet block, in front of the data."""


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
            described = _described(window, run, order, known, wanted)
            yield from _frames(window, run, order, described, wanted)
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

    blocks: `(N,)` int64, where they begin. heads: `(N, 7)` uint32, the first words of each and, where it is
    shorter, of what follows. end: where the first block behind them begins, of which `needed`
    bytes must be there to go on. fault: what is wrong with that one.
    """

    blocks: NDArray[np.int64]
    heads: NDArray[np.uint32]
    end: int
    needed: int
    fault: str | None = None


def _run(window: Window, begin: int, order: str, span: int) -> _Run:
    """Blocks from one on, for about `span` bytes, up to a section of another byte order."""
    starts, end = walk(_chain(window, order, min(begin + span, len(window.data) - _LEAST_BLOCK)), begin)
    buffer = window.buffer
    heads = gather(buffer, starts, 4 * _WORDS).view(f"{order}u4")
    lengths = heads[:, 1].astype(np.int64)
    count, fault, needed = len(starts), None, _LEAST_BLOCK
    turned = np.flatnonzero((heads[:, 0] == _SECTION) & (heads[:, 2] != _BYTE_ORDER_MAGIC))
    if len(turned):
        count = int(turned[0])
        end = int(starts[count])
    sizes = lengths[:count]
    liars = np.flatnonzero((sizes < _LEAST_BLOCK) | (sizes > MAX_RECORD) | (sizes % 4 != 0))
    if len(liars):
        count = int(liars[0])
        end = int(starts[count])
        fault = _length_fault(window, end, int(lengths[count]))
    elif end > len(buffer):
        count -= 1
        end, needed = int(starts[count]), int(lengths[count])
    trailers = columns(buffer, (starts + lengths)[:count] - 4, 1, order)[:, 0]
    torn = np.flatnonzero(trailers != lengths[:count])
    if len(torn):
        count, needed = int(torn[0]), _LEAST_BLOCK
        end = int(starts[count])
        fault = _torn(window, end)
    return _Run(starts[:count], heads[:count], end, needed, fault)


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


def _described(window: Window, run: _Run, order: str, known: list[Interface], wanted: Wanted) -> _Described:
    """Read sections and interfaces among blocks; `known` are those of the section that goes on."""
    blocks, heads = run.blocks, run.heads
    rows = np.flatnonzero((heads[:, 0] == _SECTION) | (heads[:, 0] == _INTERFACE))
    table = list(known)
    base, count = 0, len(table)
    since, bases, counts = array("q", [0]), array("q", [base]), array("q", [count])
    fault, whole = None, len(blocks)
    # A file of many sections has the same interfaces over and over again.
    met: dict[bytes, Interface] = {}
    for row, (kind, length), at in zip(
        rows.tolist(), heads[rows, :2].tolist(), blocks[rows].tolist(), strict=True
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


def _frames(window: Window, run: _Run, order: str, described: _Described, wanted: Wanted) -> Iterator[Frames]:
    """Frames of the packet blocks among those that are described."""
    blocks, heads = run.blocks[: described.blocks], run.heads[: described.blocks]
    kinds = heads[:, 0]
    packets = (kinds == _SIMPLE) | (kinds == _ENHANCED) | (kinds == _OBSOLETE)
    change = np.searchsorted(described.since, np.flatnonzero(packets), side="right") - 1
    base, count = described.base[change], described.count[change]
    if not packets.all():
        blocks, heads = blocks[packets], heads[packets]
    if not len(blocks):
        return
    kinds, totals, ids, _, _, lengths, original = (column.astype(np.int64) for column in heads.T)
    room = totals - _ENHANCED_OVERHEAD
    starts = blocks + _ENHANCED_DATA
    obsolete = np.flatnonzero(kinds == _OBSOLETE)
    if len(obsolete):
        ids[obsolete] = ids[obsolete] & 0xFFFF if order == "<" else ids[obsolete] >> 16
    simple = np.flatnonzero(kinds == _SIMPLE)
    if len(simple):
        room[simple] = totals[simple] - _SIMPLE_OVERHEAD
        starts[simple] = blocks[simple] + _SIMPLE_DATA
        original[simple] = ids[simple]
        lengths[simple] = np.minimum(original[simple], _snaplens(described, base[simple], count[simple]))
        ids[simple] = 0

    usable = _usable((ids < count) & (lengths <= room) & (room >= 0))
    if usable:
        different, which = _distinct((base + ids)[:usable])
        known = [described.table[index] for index in different]
        clock = Clock(heads[:usable, 3:5], which, known, simple)
        links: dict[tuple[int, str | None], int] = {}
        places = [links.setdefault((one.link_type, one.name), len(links)) for one in known]
        described_as = list(links)
        for place, these in _by_value(np.array(places)[which]):
            link_type, name = described_as[place]
            if wanted.has(link_type, len(these)):
                some = chosen(these, len(starts))
                ends = (starts[some], lengths[some], original[some])
                yield Packets(window.buffer, *ends, clock, these, link_type, name)
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
