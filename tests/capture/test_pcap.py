from __future__ import annotations

import contextlib
import errno
import io
import os
import resource
import shutil
import struct
import subprocess
import threading
from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.capture import pcap
from scanner.capture.pcap import MAX_RECORD, SNAPLEN, read_pcap
from scanner.capture.writer import PcapWriter, Received
from scanner.contracts import Frames, Sent
from scanner.model import CaptureError

Record = tuple[int, bytes, int]
"""Time in nanoseconds, what was captured, bytes on the wire."""

LINK_TYPE = 1
NOW = 1_700_000_000_123_456_789


def frames_of(records: list[Record], link_type: int = LINK_TYPE) -> Frames:
    """The records in one buffer, in another order than that of the buffer."""
    buffer, starts = b"\xee", []
    for _, data, _ in reversed(records):
        starts.append(len(buffer))
        buffer += data + b"\xee"
    return Frames(
        buffer=np.frombuffer(buffer, dtype=np.uint8),
        starts=np.array(starts[::-1], dtype=np.int64),
        lengths=np.array([len(data) for _, data, _ in records], dtype=np.int64),
        original_lengths=np.array([original for _, _, original in records], dtype=np.int64),
        times=np.array([time for time, _, _ in records], dtype=np.int64),
        link_type=link_type,
    )


def sent_of(records: list[Record]) -> Sent:
    matrix = np.frombuffer(b"".join(data for _, data, _ in records), dtype=np.uint8)
    return Sent(matrix.reshape(len(records), -1), np.array([time for time, _, _ in records], dtype=np.int64))


def records_of(captured: Iterator[Frames] | list[Frames]) -> list[Record]:
    """What a reader gave, after its promises have been checked."""
    records: list[Record] = []
    for frames in captured:
        assert len(frames) > 0
        assert frames.starts.dtype == frames.lengths.dtype == frames.times.dtype == np.int64
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


def pcap_bytes(
    records: list[Record],
    *,
    order: str = "<",
    nanoseconds: bool = True,
    link_type: int = LINK_TYPE,
    snaplen: int = SNAPLEN,
    version: tuple[int, int] = (2, 4),
) -> bytes:
    """A capture as pcap-savefile(5) has it, packed without NumPy."""
    magic = 0xA1B23C4D if nanoseconds else 0xA1B2C3D4
    unit = 1 if nanoseconds else 1000
    file = struct.pack(f"{order}IHHiIII", magic, *version, 0, 0, snaplen, link_type)
    for time, data, original in records:
        seconds, rest = divmod(time, 10**9)
        file += struct.pack(f"{order}IIII", seconds, rest // unit, len(data), original) + data
    return file


times = st.integers(0, (1 << 32) * 10**9 - 1)
datas = st.one_of(st.binary(max_size=80), st.sampled_from([b"a" * 58, b"b" * 60]))
records_strategy = st.lists(
    st.builds(lambda time, data, more: (time, data, len(data) + more), times, datas, st.integers(0, 9)),
    max_size=20,
)


# --- writing ----------------------------------------------------------------------------------


def written(*calls: list[Sent | Received]) -> bytes:
    stream = io.BytesIO()
    writer = PcapWriter(stream, LINK_TYPE)
    for groups in calls:
        writer.write(groups)
    return stream.getvalue()


@given(records_strategy)
def test_received_frames_are_written_byte_for_byte_in_time_order(records):
    expected = pcap_bytes(sorted(records, key=lambda record: record[0]))
    assert written([Received(frames_of(records))]) == expected


@given(st.integers(0, 20), st.integers(0, 70), st.data())
def test_probes_are_written_byte_for_byte(count, length, data):
    records = [(data.draw(times), bytes([index % 256]) * length, length) for index in range(count)]
    if not count:
        assert written([Sent(np.zeros((0, length), np.uint8), np.zeros(0, np.int64))]) == pcap_bytes([])
        return
    assert written([sent_of(records)]) == pcap_bytes(sorted(records, key=lambda record: record[0]))


def test_probes_and_replies_of_one_call_are_merged_by_time_and_stable():
    probes = [(NOW + at, b"probe %d" % at, 7) for at in (1, 3, 5, 7)]
    replies = [(NOW + at, b"reply to %d" % at, 10) for at in (3, 4, 7)]
    merged = sorted(probes + replies, key=lambda record: record[0])
    assert [record[1][:5] for record in merged] == [
        b"probe",
        b"probe",
        b"reply",
        b"reply",
        b"probe",
        b"probe",
        b"reply",
    ]
    assert written([sent_of(probes), Received(frames_of(replies))]) == pcap_bytes(merged)


def test_calls_follow_each_other_as_they_come():
    late, early = [(NOW + 9, b"late", 4)], [(NOW, b"early", 5)]
    assert written([sent_of(late)], [], [sent_of(early)]) == pcap_bytes(late + early)


def test_only_what_is_selected_is_written():
    records = [(NOW + index, b"frame %d" % index, 100) for index in range(5)]
    received = Received(frames_of(records), np.array([1, 4], dtype=np.int64))
    assert written([received]) == pcap_bytes([records[1], records[4]])
    assert written([Received(frames_of(records), np.zeros(0, dtype=np.int64))]) == pcap_bytes([])


def test_probes_may_lie_in_slots_of_a_ring():
    slots = np.zeros((3, 128), dtype=np.uint8)
    slots[:, 32:90] = np.arange(3, dtype=np.uint8)[:, None]
    sent = Sent(slots[:, 32:90], np.arange(3, dtype=np.int64))
    assert written([sent]) == pcap_bytes([(index, bytes([index]) * 58, 58) for index in range(3)])


def test_frames_beyond_the_snaplen_are_cut_and_keep_their_length_on_the_wire():
    stream = io.BytesIO()
    PcapWriter(stream, LINK_TYPE, snaplen=4).write([sent_of([(NOW, b"0123456", 7)])])
    assert stream.getvalue() == pcap_bytes([(NOW, b"0123", 7)], snaplen=4)


def test_a_capture_may_begin_within_a_stream():
    stream = io.BytesIO(b"before")
    stream.seek(6)
    PcapWriter(stream, LINK_TYPE).write([sent_of([(NOW, b"x", 1)])])
    assert stream.getvalue() == b"before" + pcap_bytes([(NOW, b"x", 1)])


@pytest.mark.parametrize("time", [-1, (1 << 32) * 10**9])
def test_times_that_the_format_cannot_express_are_refused(time):
    with pytest.raises(ValueError, match="1970 to 2106"):
        written([sent_of([(time, b"x", 1)])])


def test_frames_of_another_link_type_are_refused():
    with pytest.raises(ValueError, match="link type 101"):
        written([Received(frames_of([(NOW, b"x", 1)], link_type=101))])


class Counting(io.BytesIO):
    writes = 0

    def write(self, data, /):
        self.writes += 1
        return super().write(data)


def test_a_call_is_one_write():
    stream = Counting()
    writer = PcapWriter(stream, LINK_TYPE)
    before = stream.writes
    writer.write([sent_of([(NOW, b"x", 1)] * 9), Received(frames_of([(NOW, b"yz", 2)] * 9))])
    assert stream.writes == before + 1


# --- a disk that is full ----------------------------------------------------------------------


class FullDisk(io.FileIO):
    """A file on a disk with room for so many bytes; a write that does not fit is cut short."""

    def __init__(self, path: Path, room: int, *, torn: bool = False) -> None:
        super().__init__(path, "wb")
        self.room = room
        self.torn = torn

    def write(self, data, /):
        fits = self.room - self.tell()
        if fits >= len(data):
            return super().write(data)
        if fits > 0:
            count = super().write(bytes(data)[:fits])
            if not self.torn:
                return count
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


RECORDS = [(NOW + index, bytes([index]) * (40 + index % 3), 60) for index in range(12)]
WHOLE = [len(pcap_bytes(RECORDS[:count])) for count in range(len(RECORDS) + 1)]


@pytest.mark.parametrize("kind", ["raw", "torn", "buffered"])
@pytest.mark.parametrize("room", range(24, WHOLE[-1], 7))
def test_a_full_disk_leaves_whole_records_and_stays_full(tmp_path, kind, room):
    path = tmp_path / "full.pcap"
    raw = FullDisk(path, room, torn=kind == "torn")
    stream = io.BufferedWriter(raw) if kind == "buffered" else raw
    writer = PcapWriter(stream, LINK_TYPE)
    with pytest.raises(CaptureError, match="No space left on device") as first:  # noqa: PT012 - some call fails
        for begin in range(0, len(RECORDS), 4):
            writer.write([Received(frames_of(RECORDS[begin : begin + 4]))])
    whole = max(count for count in range(len(WHOLE)) if WHOLE[count] <= room)
    assert path.read_bytes() == pcap_bytes(RECORDS[:whole])
    raw.room = 1 << 20
    with pytest.raises(CaptureError) as again:
        writer.write([Received(frames_of(RECORDS))])
    assert str(again.value) == str(first.value)
    assert "\n" not in str(first.value)
    assert str(path) in str(first.value)
    stream.close()
    assert path.read_bytes() == pcap_bytes(RECORDS[:whole])


@pytest.mark.parametrize("room", [0, 1, 23])
def test_no_room_for_the_file_header_leaves_an_empty_file(tmp_path, room):
    path = tmp_path / "full.pcap"
    with FullDisk(path, room) as stream, pytest.raises(CaptureError, match="No space left"):
        PcapWriter(stream, LINK_TYPE)
    assert path.read_bytes() == b""


@contextlib.contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """The kernel cuts writes short at this size; Python ignores its signal."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_write_that_the_kernel_cuts_short_leaves_whole_records(tmp_path):
    path = tmp_path / "limited.pcap"
    with path.open("wb") as stream:
        writer = PcapWriter(stream, LINK_TYPE)
        with file_size_limit(WHOLE[5] + 20), pytest.raises(CaptureError, match="File too large"):
            writer.write([Received(frames_of(RECORDS))])
    assert path.read_bytes() == pcap_bytes(RECORDS[:5])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_dev_full():
    with (
        Path("/dev/full").open("wb", buffering=0) as stream,
        pytest.raises(CaptureError, match="No space left"),
    ):
        PcapWriter(stream, LINK_TYPE)


def test_a_pipe_whose_reader_left():
    reader, other = os.pipe()
    with os.fdopen(other, "wb", buffering=0) as stream:
        writer = PcapWriter(stream, LINK_TYPE)
        os.close(reader)
        with pytest.raises(CaptureError, match="Broken pipe"):
            writer.write([sent_of([(NOW, b"x", 1)])])


def test_an_interrupt_within_a_write_leaves_whole_records_and_a_working_writer(tmp_path):
    class Interrupted(io.FileIO):
        armed = False

        def write(self, data, /):
            if not self.armed:
                return super().write(data)
            self.armed = False
            super().write(bytes(data)[: WHOLE[3] - 24 + 5])
            raise KeyboardInterrupt

    path = tmp_path / "interrupted.pcap"
    with Interrupted(path, "wb") as stream:
        writer = PcapWriter(stream, LINK_TYPE)
        stream.armed = True
        with pytest.raises(KeyboardInterrupt):
            writer.write([Received(frames_of(RECORDS))])
        assert path.read_bytes() == pcap_bytes(RECORDS[:3])
        writer.write([Received(frames_of(RECORDS[3:]))])
    assert path.read_bytes() == pcap_bytes(RECORDS)


# --- reading ----------------------------------------------------------------------------------


class Dribble(io.BytesIO):
    """A pipe that gives three bytes at a time."""

    def read(self, size=-1, /):
        return super().read(min(size, 3))


@given(records_strategy, st.sampled_from("<>"), st.booleans(), st.sampled_from([1, 16, 17, 75, 4096]))
def test_what_was_packed_is_read_whatever_the_chunk(records, order, nanoseconds, chunk):
    file = pcap_bytes(records, order=order, nanoseconds=nanoseconds)
    if not nanoseconds:
        records = [(time // 1000 * 1000, data, original) for time, data, original in records]
    assert records_of(read_pcap(io.BytesIO(file), "it", chunk)) == records


@given(records_strategy)
def test_what_was_written_is_read(records):
    read = records_of(read_pcap(io.BytesIO(written([Received(frames_of(records))])), "it"))
    assert read == sorted(records, key=lambda record: record[0])


def test_a_dribbling_pipe_and_bytes_that_were_read_before():
    file = pcap_bytes(RECORDS)
    assert records_of(read_pcap(Dribble(file[4:]), "it", head=file[:4])) == RECORDS


def test_frames_stay_valid_and_have_the_link_type_of_the_file():
    # The upper bits say how long the frame check sequence is.
    file = pcap_bytes(RECORDS, link_type=0xF400_0065)
    kept = list(read_pcap(io.BytesIO(file), "it", 100))
    assert len(kept) > 3
    assert {frames.link_type for frames in kept} == {101}
    assert records_of(kept) == RECORDS


def test_the_stream_stays_open():
    stream = io.BytesIO(pcap_bytes(RECORDS))
    list(read_pcap(stream, "it"))
    assert not stream.closed


@pytest.mark.parametrize("chunk", [1, 50, 1 << 20])
def test_a_file_cut_off_anywhere_gives_the_records_before_and_a_warning(chunk):
    file = pcap_bytes(RECORDS)
    for length in range(24, len(file)):
        warnings: list[str] = []
        records = records_of(read_pcap(io.BytesIO(file[:length]), "it", chunk, warn=warnings.append))
        whole = max(count for count in range(len(WHOLE)) if WHOLE[count] <= length)
        assert records == RECORDS[:whole]
        if length == WHOLE[whole]:
            assert warnings == []
        else:
            assert len(warnings) == 1
            assert warnings[0].startswith(
                f"it: cut off at byte {length}: the record at byte {WHOLE[whole]} needs"
            )


def test_a_cut_off_file_raises_where_nobody_is_to_be_warned():
    frames = read_pcap(io.BytesIO(pcap_bytes(RECORDS)[:-1]), "it")
    assert records_of([next(frames)]) == RECORDS[:-1]
    with pytest.raises(CaptureError, match="it: cut off at byte"):
        next(frames)


@pytest.mark.parametrize("chunk", [1, 100, 1 << 20])
@pytest.mark.parametrize("lie", [SNAPLEN + 1, MAX_RECORD + 1, 0x7FFF_FFFF, 0xFFFF_FFFF])
def test_a_record_that_lies_about_its_length_is_named_after_those_before(chunk, lie):
    file = bytearray(pcap_bytes(RECORDS))
    struct.pack_into("<I", file, WHOLE[4] + 8, lie)
    records: list[Record] = []
    frames = read_pcap(io.BytesIO(file), "it", chunk)
    with pytest.raises(CaptureError, match=f"it: the record at byte {WHOLE[4]} claims {lie} bytes"):
        records.extend(record for some in frames for record in records_of([some]))
    assert records == RECORDS[:4]


def test_a_large_snaplen_is_believed_up_to_a_bound():
    data = bytes(SNAPLEN + 100)
    large = pcap_bytes([(0, data, len(data))], snaplen=0xFFFF_FFFF)
    assert records_of(read_pcap(io.BytesIO(large), "it", 1000)) == [(0, data, len(data))]
    lie = large[:32] + struct.pack("<I", MAX_RECORD + 1) + large[36:]
    with pytest.raises(CaptureError, match=f"more than the {MAX_RECORD}"):
        list(read_pcap(io.BytesIO(lie), "it"))


def test_less_on_the_wire_than_captured_is_not_believed():
    assert records_of(read_pcap(io.BytesIO(pcap_bytes([(0, b"abc", 1)])), "it")) == [(0, b"abc", 3)]


@pytest.mark.parametrize(
    ("file", "fault"),
    [
        (b"", "it: is empty, not a capture"),
        (b"\xd4", "is not a pcap file"),
        (b"GIF89a" * 10, "is not a pcap file"),
        (pcap_bytes([])[:23], "cut off at byte 23, within the file header"),
        (pcap_bytes([], version=(2, 3)), "version 2.3"),
        (pcap_bytes([], version=(1, 4)), "version 1.4"),
    ],
)
def test_what_is_no_capture_is_refused_before_anything_is_read(file, fault):
    with pytest.raises(CaptureError, match=fault) as error:
        read_pcap(io.BytesIO(file), "it")
    assert "\n" not in str(error.value)


def test_a_stream_that_breaks_is_named():
    class Broken(io.BytesIO):
        def readinto(self, room, /):
            if self.tell() > 30:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return super().readinto(room)

    frames = read_pcap(Broken(pcap_bytes(RECORDS)), "it", 20)
    with pytest.raises(CaptureError, match="it: cannot be read: Input/output error"):
        list(frames)


@given(
    st.binary(max_size=200),
    st.integers(0, len(RECORDS)),
    st.sampled_from("<>"),
    st.sampled_from([1, 64, 4096]),
)
def test_valid_prefix_and_random_tail_cost_a_capture_error_at_worst(tail, count, order, chunk):
    file = pcap_bytes(RECORDS[:count], order=order) + tail
    records: list[Record] = []
    try:
        for frames in read_pcap(io.BytesIO(file), "it", chunk, warn=lambda line: None):
            records += records_of([frames])
    except CaptureError as error:
        assert "\n" not in str(error)  # noqa: PT017
    assert records[:count] == RECORDS[:count]


@given(st.binary(max_size=200))
def test_random_bytes_cost_a_capture_error_at_worst(file):
    try:
        records_of(read_pcap(io.BytesIO(file), "it", warn=lambda line: None))
    except CaptureError as error:
        assert "\n" not in str(error)  # noqa: PT017


@given(st.data())
def test_the_chunk_changes_neither_frames_nor_error(data):
    file = bytearray(pcap_bytes(RECORDS))
    for _ in range(data.draw(st.integers(1, 4))):
        file[data.draw(st.integers(24, len(file) - 1))] = data.draw(st.integers(0, 255))

    def outcome(chunk: int) -> tuple[list[Record], list[str]]:
        records: list[Record] = []
        faults: list[str] = []
        try:
            for frames in read_pcap(io.BytesIO(file), "it", chunk, warn=faults.append):
                records.extend(records_of([frames]))
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


def test_scapy_reads_what_was_written(tmp_path):
    from scapy.utils import RawPcapReader

    records = random_records(300)
    path = tmp_path / "written.pcap"
    path.write_bytes(written([Received(frames_of(records))]))
    with RawPcapReader(str(path)) as reader:
        assert reader.nano
        assert reader.linktype == LINK_TYPE
        read = [(meta.sec * 10**9 + meta.usec, data, meta.wirelen) for data, meta in reader]
    assert read == records


@pytest.mark.parametrize("nanoseconds", [False, True])
@pytest.mark.parametrize("order", "<>")
def test_what_scapy_writes_is_read(tmp_path, nanoseconds, order):
    from scapy.utils import RawPcapWriter

    records = random_records(300)
    path = tmp_path / "scapy.pcap"
    with RawPcapWriter(str(path), linktype=LINK_TYPE, endianness=order, nano=nanoseconds) as writer:
        writer.write_header(None)
        for time, data, original in records:
            seconds, rest = divmod(time, 10**9)
            writer.write_packet(
                data,
                sec=seconds,
                usec=rest if nanoseconds else rest // 1000,
                caplen=len(data),
                wirelen=original,
            )
    if not nanoseconds:
        records = [(time // 1000 * 1000, data, original) for time, data, original in records]
    with path.open("rb") as stream:
        assert records_of(read_pcap(stream, "it", 1000)) == records


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_tshark_reads_what_was_written(tmp_path):
    records = random_records(200)
    path = tmp_path / "written.pcap"
    path.write_bytes(written([Received(frames_of(records))]))
    fields = ["frame.time_epoch", "frame.len", "frame.cap_len"]
    command = [
        "tshark",
        "-n",
        "-r",
        path,
        "-T",
        "fields",
        *(word for field in fields for word in ("-e", field)),
    ]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    expected = [
        f"{time // 10**9}.{time % 10**9:09d}\t{original}\t{len(data)}" for time, data, original in records
    ]
    assert lines == expected


@pytest.mark.skipif(shutil.which("editcap") is None, reason="editcap is not installed")
@pytest.mark.parametrize("kind", ["nsecpcap", "pcap"])
def test_editcap_writes_the_same_file(tmp_path, kind):
    records = random_records(200)
    ours, theirs = tmp_path / "ours.pcap", tmp_path / "theirs.pcap"
    ours.write_bytes(written([Received(frames_of(records))]))
    subprocess.run(["editcap", "-F", kind, ours, theirs], check=True, capture_output=True)
    if kind == "nsecpcap":
        assert theirs.read_bytes() == ours.read_bytes()
    else:
        records = [(time // 1000 * 1000, data, original) for time, data, original in records]
    with theirs.open("rb") as stream:
        assert records_of(read_pcap(stream, "it")) == records


# --- reading ahead ------------------------------------------------------------------------------


@pytest.mark.parametrize("spare", [0, 5, 1 << 16])
@pytest.mark.parametrize("chunk", [1, 40, 100, 1 << 20])
def test_read_ahead_it_is_the_same(monkeypatch, spare, chunk):
    monkeypatch.setattr(pcap, "_SPARE", spare)
    file = pcap_bytes(RECORDS)
    assert records_of(read_pcap(io.BytesIO(file), "it", chunk, ahead=True)) == RECORDS
    warnings: list[str] = []
    cut = records_of(read_pcap(io.BytesIO(file[:-1]), "it", chunk, ahead=True, warn=warnings.append))
    assert cut == RECORDS[:-1]
    assert warnings[0].startswith(f"it: cut off at byte {len(file) - 1}: ")


def test_what_fails_while_it_is_read_ahead_is_told_behind_what_came_before():
    class Failing(io.BytesIO):
        def readinto(self, room):
            if self.tell() >= 100:
                raise OSError(5, "Input/output error")
            return super().readinto(memoryview(room)[:100])

    frames = read_pcap(Failing(pcap_bytes(RECORDS)), "it", 100, ahead=True)
    assert records_of([next(frames)]) == RECORDS[:1]
    with pytest.raises(CaptureError, match="it: cannot be read: Input/output error"):
        list(frames)


def test_whoever_stops_early_leaves_nobody_reading():
    frames = read_pcap(io.BytesIO(pcap_bytes(RECORDS * 50)), "it", 100, ahead=True)
    assert isinstance(frames, Generator)
    next(frames)
    frames.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "read ahead"]
