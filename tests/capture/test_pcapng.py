from __future__ import annotations

import io
import shutil
import struct
import subprocess
from collections.abc import Container, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.capture import interfaces, pcapng
from scanner.capture.interfaces import Wanted
from scanner.capture.pcap import MAX_RECORD
from scanner.capture.pcapng import read_pcapng
from scanner.contracts import Frames
from scanner.model import CaptureError

Record = tuple[int, bytes, int]
"""Time in nanoseconds, what was captured, bytes on the wire."""

NOW = 1_700_000_000_123_456_789


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    length = struct.pack(f"{order}I", 12 + len(body))
    return struct.pack(f"{order}I", kind) + length + body + length


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def option(code: int, value: bytes, order: str = "<") -> bytes:
    return struct.pack(f"{order}HH", code, len(value)) + padded(value)


def section(order: str = "<", version: tuple[int, int] = (1, 0), options: bytes = b"") -> bytes:
    return block(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, *version, -1) + options, order)


def interface(order: str = "<", link_type: int = 1, snaplen: int = 0, options: bytes = b"") -> bytes:
    return block(1, struct.pack(f"{order}HHI", link_type, 0, snaplen) + options, order)


def nanosecond_interface(order: str = "<", link_type: int = 1) -> bytes:
    return interface(order, link_type, options=option(9, b"\x09", order) + option(0, b"", order))


def packet(
    ticks: int, data: bytes, original: int, which: int = 0, order: str = "<", options: bytes = b""
) -> bytes:
    head = struct.pack(f"{order}IIIII", which, ticks >> 32, ticks & 0xFFFFFFFF, len(data), original)
    return block(6, head + padded(data) + options, order)


def obsolete_packet(ticks: int, data: bytes, original: int, which: int = 0, order: str = "<") -> bytes:
    """That of older files; it counts what was dropped before it, here 7 packets."""
    head = struct.pack(f"{order}HHIIII", which, 7, ticks >> 32, ticks & 0xFFFFFFFF, len(data), original)
    return block(2, head + padded(data), order)


def simple_packet(data: bytes, original: int, order: str = "<") -> bytes:
    return block(3, struct.pack(f"{order}I", original) + padded(data), order)


UNKNOWN = block(0x0BAD, b"twelve bytes")


def file_of(records: list[Record], order: str = "<") -> bytes:
    packets = [packet(time, data, original, order=order) for time, data, original in records]
    return section(order) + nanosecond_interface(order) + b"".join(packets)


def read(file: bytes, chunk: int = 1 << 20, **arguments) -> list[Frames]:
    return list(read_pcapng(io.BytesIO(file), "it", chunk, **arguments))


def records_of(captured: Iterator[Frames] | list[Frames]) -> list[Record]:
    """What a reader gave, after its promises have been checked."""
    records: list[Record] = []
    for frames in captured:
        assert len(frames) > 0
        assert frames.starts.dtype == frames.lengths.dtype == np.int64
        assert frames.original_lengths.dtype == frames.times.dtype == np.int64
        assert np.all(frames.lengths <= frames.original_lengths)
        assert np.all(frames.starts >= 0)
        assert np.all(frames.starts + frames.lengths <= len(frames.buffer))
        records += [
            (int(time), frames.buffer[start : start + length].tobytes(), int(original))
            for start, length, original, time in zip(
                frames.starts, frames.lengths, frames.original_lengths, frames.times, strict=True
            )
        ]
    return records


RECORDS = [(NOW + index, bytes([index]) * (40 + index % 3), 60) for index in range(12)]

records_strategy = st.lists(
    st.builds(
        lambda time, data, more: (time, data, len(data) + more),
        st.integers(0, (1 << 63) - 1),
        st.binary(max_size=70),
        st.integers(0, 9),
    ),
    max_size=20,
)
chunks = st.sampled_from([1, 28, 97, 4096])


@given(records_strategy, st.sampled_from("<>"), chunks)
def test_what_was_packed_is_read_whatever_the_chunk(records, order, chunk):
    expected = [(min(time, 9_223_372_035 * 10**9 + time % 10**9), data, size) for time, data, size in records]
    assert records_of(read(file_of(records, order), chunk)) == expected


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_packet_blocks_of_older_files_are_read(order):
    file = section(order) + interface(order) + nanosecond_interface(order)
    for index, (time, data, original) in enumerate(RECORDS):
        kind = obsolete_packet if index % 3 else packet
        file += kind(time, data, original, which=1, order=order)
    assert records_of(read(file)) == RECORDS


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_packet_block_of_an_older_file_that_names_no_interface(order):
    file = section(order) + interface(order) + obsolete_packet(0, b"data", 4, which=1, order=order)
    with pytest.raises(CaptureError, match="the packet block at byte 48"):
        read(file)


def test_blocks_of_other_kinds_and_options_are_stepped_over():
    file = (
        section(options=option(4, b"a comment") + option(0, b"")) + UNKNOWN + nanosecond_interface() + UNKNOWN
    )
    for time, data, original in RECORDS:
        file += packet(time, data, original, options=option(1, b"a packet") + option(0, b"")) + UNKNOWN
    for chunk in (1, 50, 1 << 20):
        assert records_of(read(file, chunk)) == RECORDS


def test_sections_have_a_byte_order_and_interfaces_each():
    file = file_of(RECORDS[:3], "<") + file_of(RECORDS[3:7], ">") + file_of(RECORDS[7:], "<")
    for chunk in (1, 50, 1 << 20):
        assert records_of(read(file, chunk)) == RECORDS


def test_an_interface_of_an_earlier_section_is_not_there():
    file = file_of(RECORDS[:1]) + section() + packet(0, b"x", 1)
    with pytest.raises(CaptureError, match="names an interface that is not there"):
        read(file)


@pytest.mark.parametrize("chunk", [1, 1 << 20])
def test_an_interface_that_comes_after_its_packet_is_not_there(chunk):
    with pytest.raises(CaptureError, match="names an interface that is not there"):
        read(section() + interface() + packet(0, b"x", 1, which=1) + interface(), chunk)


def test_several_link_types_are_apart_in_the_order_of_their_first_packets():
    file = section() + nanosecond_interface(link_type=1) + nanosecond_interface(link_type=101)
    file += nanosecond_interface(link_type=1)
    for index, (time, data, original) in enumerate(RECORDS):
        file += packet(time, data, original, which=(1, 0, 2)[index % 3])
    frames = read(file)
    assert [some.link_type for some in frames] == [101, 1]
    assert records_of(frames[:1]) == RECORDS[::3]
    assert records_of(frames[1:]) == [record for index, record in enumerate(RECORDS) if index % 3]


@pytest.mark.parametrize(
    ("resolution", "ticks", "nanoseconds"),
    [
        (0, 5, 5 * 10**9),
        (3, 1_234, 1_234_000_000),
        (6, 1_234_567, 1_234_567_000),
        (9, NOW, NOW),
        (12, 1_234_567_890_123_456_999, 1_234_567_890_123_456),
        (19, 12_345_678_901_234_567_890, 1_234_567_890),
        (0x80, 7, 7 * 10**9),
        (0x80 | 10, 1024 + 512, 1_500_000_000),
        (0x80 | 30, (5 << 30) + (1 << 29), 5_500_000_000),
        (0x80 | 34, (1 << 64) - 1, (1 << 30) * 10**9 - 1),
        (0x80 | 63, (1 << 63) + (1 << 62), 1_500_000_000),
        (6, (1 << 64) - 1, 9_223_372_035 * 10**9 + 551_615_000),
        (0, (1 << 64) - 1, 9_223_372_035 * 10**9),
    ],
)
def test_the_resolution_of_times(resolution, ticks, nanoseconds):
    file = section() + interface(options=option(9, bytes([resolution]))) + packet(ticks, b"x", 1)
    assert records_of(read(file)) == [(nanoseconds, b"x", 1)]


def test_options_are_padded_and_those_behind_their_end_are_not_read():
    options = option(2, b"eth") + option(9, b"\x03") + option(0, b"") + option(9, b"\x00")
    assert records_of(read(section() + interface(options=options) + packet(1, b"x", 1))) == [
        (1_000_000, b"x", 1)
    ]


def test_times_are_microseconds_unless_said_otherwise():
    assert records_of(read(section() + interface() + packet(1_500_000, b"x", 1))) == [
        (1_500_000_000, b"x", 1)
    ]


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("offset", [100, -1])
def test_an_offset_is_added_to_times(order, offset):
    options = option(14, struct.pack(f"{order}q", offset), order)
    file = section(order) + interface(order, options=options) + packet(2_000_001, b"x", 1, order=order)
    assert records_of(read(file)) == [((2 + offset) * 10**9 + 1000, b"x", 1)]


@pytest.mark.parametrize("offset", [(1 << 63) - 1, -(1 << 63)])
def test_an_absurd_offset_stops_at_the_bounds(offset):
    file = section() + interface(options=option(14, struct.pack("<q", offset))) + packet(0, b"x", 1)
    [(time, _, _)] = records_of(read(file))
    assert abs(time) == 9_223_372_035 * 10**9


@pytest.mark.parametrize("resolution", [20, 0x7F, 0x80 | 64, 0xFF])
def test_times_finer_than_64_bits_count_are_refused(resolution):
    with pytest.raises(CaptureError, match=f"if_tsresol {resolution}"):
        read(section() + interface(options=option(9, bytes([resolution]))))


@pytest.mark.parametrize("order", "<>")
def test_simple_packets_have_no_time_and_the_length_that_the_snaplen_leaves(order):
    file = section(order) + interface(order, snaplen=5)
    file += (
        simple_packet(b"abc", 3, order)
        + simple_packet(b"12345", 900, order)
        + packet(7, b"x", 1, order=order)
    )
    assert records_of(read(file)) == [(-1, b"abc", 3), (-1, b"12345", 900), (7000, b"x", 1)]


def test_a_simple_packet_without_snaplen_has_all_its_bytes():
    assert records_of(read(section() + interface() + simple_packet(b"abcdef", 6))) == [(-1, b"abcdef", 6)]


def test_a_dribbling_pipe_and_bytes_that_were_read_before():
    class Dribble(io.BytesIO):
        def read(self, size=-1, /):
            return super().read(min(size, 3))

    file = file_of(RECORDS)
    assert records_of(read_pcapng(Dribble(file[4:]), "it", head=file[:4])) == RECORDS


# --- files that lie, or end early -------------------------------------------------------------


@pytest.mark.parametrize("chunk", [1, 64, 1 << 20])
def test_a_file_cut_off_anywhere_gives_the_packets_before_and_a_warning(chunk):
    file = file_of(RECORDS)
    ends = [len(section()), len(file_of([])), *(len(file_of(RECORDS[:count])) for count in range(1, 13))]
    for length in range(12, len(file)):
        warnings: list[str] = []
        records = records_of(read(file[:length], chunk, warn=warnings.append))
        whole = max([0, *(end for end in ends if end <= length)])
        assert records == RECORDS[: max(0, ends.index(whole) - 1) if whole else 0]
        if whole == length:
            assert warnings == []
        else:
            assert [line.partition(" needs")[0] for line in warnings] == [
                f"it: cut off at byte {length}: the block at byte {whole}"
            ]


def test_a_cut_off_file_raises_where_nobody_is_to_be_warned():
    with pytest.raises(CaptureError, match="it: cut off at byte"):
        read(file_of(RECORDS)[:-1])


START = len(file_of(RECORDS[:4]))


@pytest.mark.parametrize("chunk", [1, 64, 1 << 20])
@pytest.mark.parametrize(
    ("at", "value", "fault"),
    [
        (4, 0, f"the block at byte {START} claims 0 bytes"),
        (4, 8, f"the block at byte {START} claims 8 bytes"),
        (4, 73, f"the block at byte {START} claims 73 bytes"),
        (4, MAX_RECORD + 4, f"the block at byte {START} claims {MAX_RECORD + 4} bytes"),
        (4, 0xFFFF_FFFF, f"the block at byte {START} claims 4294967295 bytes"),
        (4, 28, f"the block at byte {START} does not end with its length"),
        (8, 1, f"the packet block at byte {START} does not hold what it claims"),
        (20, 45, f"the packet block at byte {START} does not hold what it claims"),
        (20, 0xFFFF_FFFF, f"the packet block at byte {START} does not hold what it claims"),
    ],
)
def test_a_block_that_lies_is_named_after_those_before(chunk, at, value, fault):
    file = bytearray(file_of(RECORDS))
    struct.pack_into("<I", file, START + at, value)
    records: list[Record] = []
    frames = read_pcapng(io.BytesIO(file), "it", chunk)
    with pytest.raises(CaptureError, match=fault):
        records.extend(record for some in frames for record in records_of([some]))
    assert records == RECORDS[:4]


@pytest.mark.parametrize(
    ("file", "fault"),
    [
        (b"", "it: is empty, not a capture"),
        (b"GIF89a" * 10, "is not a pcapng file"),
        (section()[:11], "cut off at byte 11, within the section header"),
        (section()[:8] + b"nope" + section()[12:], "the section at byte 0 has no byte order"),
        (section(version=(2, 0)), "version 2.0"),
        (block(0x0A0D0D0A, struct.pack("<I", 0x1A2B3C4D)), "the section at byte 0 is too short"),
        (section() + block(1, b"\x01\0\0\0"), "the interface at byte 28 is too short"),
        (section() + interface(options=b"\x09\x00\xff\x00"), "has an option that does not fit"),
        (section() + simple_packet(b"x", 1), "names an interface that is not there"),
        (section() + interface() + simple_packet(b"x", 99), "does not hold what it claims"),
        (section() + interface() + block(6, bytes(16)), "does not hold what it claims"),
        (section() + interface() + block(6, b""), "does not hold what it claims"),
        (section() + interface() + block(3, b""), "does not hold what it claims"),
        (section()[:-4] + b"\x00\x00\x00\x00", "the block at byte 0 does not end with its length"),
    ],
)
def test_what_is_no_capture_is_refused_in_one_line(file, fault):
    with pytest.raises(CaptureError, match=fault) as error:
        read(file)
    assert "\n" not in str(error.value)


def test_interfaces_are_bounded(monkeypatch):
    monkeypatch.setattr(pcapng, "MAX_INTERFACES", 3)
    assert records_of(read(section() + interface() * 3 + packet(0, b"x", 1, which=2))) == [(0, b"x", 1)]
    with pytest.raises(CaptureError, match="more than 3 interfaces"):
        read(section() + interface() * 4)


def test_options_of_an_interface_are_bounded(monkeypatch):
    monkeypatch.setattr(interfaces, "MAX_OPTIONS", 3)
    comment, end = option(1, b"lab"), option(0, b"")
    file = section() + interface(options=comment * 3 + end + comment)
    assert records_of(read(file + packet(0, b"x", 1))) == [(0, b"x", 1)]
    with pytest.raises(CaptureError, match="interface at byte 28 has more than 3 options;"):
        read(section() + interface(options=comment * 4))


def test_changes_of_the_byte_order_are_bounded(monkeypatch):
    monkeypatch.setattr(pcapng, "MAX_TURNS", 3)
    parts = [file_of(RECORDS[index : index + 1], "<>"[index % 2]) for index in range(5)]
    assert records_of(read(b"".join(parts[:4]))) == RECORDS[:4]
    # One byte order as often as one likes.
    assert records_of(read(parts[0] * 9)) == RECORDS[:1] * 9
    found: list[Record] = []
    with pytest.raises(CaptureError, match=f"than 3 times, at byte {sum(map(len, parts[:4]))}; "):
        found.extend(
            record for some in read_pcapng(io.BytesIO(b"".join(parts)), "it") for record in records_of([some])
        )
    assert found == RECORDS[:4]


def test_many_interfaces_cost_no_more_frames_than_those_told_apart():
    """Whoever makes a file has thousands of names; each `Frames` is looked at on its own."""
    named = [interface(options=option(2, b"eth%d" % number)) for number in range(9)]
    file = section() + b"".join(named)
    file += b"".join(packet(1000 * number, b"%d" % number, 1, which=number) for number in range(9))
    [frames] = read(file)
    assert frames.interface is None
    assert records_of([frames]) == [(1_000_000 * number, b"%d" % number, 1) for number in range(9)]
    told = read(file, wanted=Wanted(names={"eth7", "eth2"}))
    assert [(some.interface, len(some)) for some in told] == [(None, 7), ("eth2", 1), ("eth7", 1)]


def test_frames_of_types_that_are_not_wanted_are_counted_without_being_made():
    def only_ethernet(link_type: int) -> None:
        if link_type != 1:
            asked.append(link_type)
            raise CaptureError(f"type {link_type}")

    asked: list[int] = []
    file = section() + b"".join(interface(link_type=number) for number in (7, 1, 8))
    file += b"".join(packet(0, b"%d" % which, 1, which=which) for which in (0, 1, 2, 0, 1))
    wanted = Wanted(only_ethernet)
    assert records_of(read(file * 2, wanted=wanted)) == [(0, b"1", 1)] * 4
    assert wanted.left_out == {"type 7": 4, "type 8": 2}
    assert asked == [7, 8]


def test_an_interface_that_every_section_has_is_read_once(monkeypatch):
    blocks: list[bytes] = []

    def counted(block: bytes, order: str, names: Container[str]) -> interfaces.Interface:
        blocks.append(block)
        return interfaces.interface_untrusted(block, order, names)

    monkeypatch.setattr(pcapng, "interface_untrusted", counted)
    assert records_of(read(file_of(RECORDS[:1]) * 50)) == RECORDS[:1] * 50
    assert len(blocks) == 1


@given(st.binary(max_size=200), st.integers(0, len(RECORDS)), st.sampled_from("<>"), chunks)
def test_valid_prefix_and_random_tail_cost_a_capture_error_at_worst(tail, count, order, chunk):
    records: list[Record] = []
    frames = read_pcapng(
        io.BytesIO(file_of(RECORDS[:count], order) + tail), "it", chunk, warn=lambda line: None
    )
    try:
        records.extend(record for some in frames for record in records_of([some]))
    except CaptureError as error:
        assert "\n" not in str(error)  # noqa: PT017
    assert records[:count] == RECORDS[:count]


some_blocks = st.sampled_from(
    [
        *(section(), section(">"), interface(), nanosecond_interface(), UNKNOWN),
        *(packet(1, b"abcde", 9), packet(1, b"z", 1, which=3), simple_packet(b"xyz", 3)),
        *(b"\0\0\0\0", b"\xff" * 5),
    ]
)


@given(st.lists(some_blocks, max_size=12), chunks)
def test_blocks_in_any_order_cost_a_capture_error_at_worst(blocks, chunk):
    try:
        records_of(read(section() + b"".join(blocks), chunk, warn=lambda line: None))
    except CaptureError as error:
        assert "\n" not in str(error)  # noqa: PT017


@given(st.data())
def test_the_chunk_changes_neither_frames_nor_error(data):
    file = bytearray(file_of(RECORDS))
    for _ in range(data.draw(st.integers(1, 4))):
        file[data.draw(st.integers(12, len(file) - 1))] = data.draw(st.integers(0, 255))

    def outcome(chunk: int) -> tuple[dict[int, list[Record]], list[str]]:
        records: dict[int, list[Record]] = {}
        faults: list[str] = []
        try:
            for frames in read_pcapng(io.BytesIO(file), "it", chunk, warn=faults.append):
                records.setdefault(frames.link_type, []).extend(records_of([frames]))
        except CaptureError as error:
            faults.append(str(error))
        return records, faults

    assert outcome(1) == outcome(50) == outcome(1 << 20)


# --- beside other tools -----------------------------------------------------------------------


def random_records(count: int) -> list[Record]:
    random = np.random.default_rng(401)
    moments = NOW + np.cumsum(random.integers(0, 1_000_000, count))
    return [
        (
            int(time),
            data := random.bytes(int(random.integers(14, 200))),
            len(data) + int(random.integers(0, 50)),
        )
        for time in moments
    ]


def test_scapy_reads_the_same(tmp_path):
    from scapy.utils import RawPcapNgReader

    def nanoseconds(meta):
        return ((meta.tshigh << 32) + meta.tslow) * 10**9 // meta.tsresol

    path = tmp_path / "ours.pcapng"
    path.write_bytes(file_of(random_records(200)))
    with RawPcapNgReader(str(path)) as reader:
        theirs = [(nanoseconds(meta), data, meta.wirelen) for data, meta in reader]
    assert records_of(read(path.read_bytes())) == theirs == random_records(200)


def test_what_scapy_writes_is_read(tmp_path):
    from scapy.utils import EDecimal, RawPcapNgWriter

    path = tmp_path / "scapy.pcapng"
    records = [(time // 1000 * 1000, data, original) for time, data, original in random_records(200)]
    with RawPcapNgWriter(str(path)) as writer:
        writer.linktype = 1
        writer.write_header(None)
        for time, data, original in records:
            # Here `sec` is all of the time, and `usec` is not looked at.
            exact: Any = EDecimal(time) / 10**9
            writer.write_packet(data, sec=exact, usec=0, caplen=len(data), wirelen=original)
    assert records_of(read(path.read_bytes())) == records


@pytest.mark.skipif(shutil.which("editcap") is None, reason="editcap is not installed")
@pytest.mark.parametrize("order", "<>")
def test_editcap_reads_the_same_and_what_it_writes_is_read(tmp_path, order):
    ours, theirs, plain = tmp_path / "ours.pcapng", tmp_path / "theirs.pcapng", tmp_path / "plain.pcap"
    records = random_records(200)
    ours.write_bytes(file_of(records, order))
    subprocess.run(["editcap", "-F", "pcapng", ours, theirs], check=True, capture_output=True)
    assert records_of(read(theirs.read_bytes())) == records
    subprocess.run(["editcap", "-F", "nsecpcap", ours, plain], check=True, capture_output=True)
    at, expected = 24, []
    file = plain.read_bytes()
    while at < len(file):
        seconds, rest, length, original = struct.unpack_from("<IIII", file, at)
        expected.append((seconds * 10**9 + rest, file[at + 16 : at + 16 + length], original))
        at += 16 + length
    assert expected == records
