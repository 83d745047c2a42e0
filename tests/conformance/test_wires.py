"""What every wire owes its user (scanner.contracts.Wire), asked of every wire there is."""

from __future__ import annotations

import select

import numpy as np
import pytest
from scapy.layers.inet import TCP

from scanner.contracts import Frames
from scanner.model import UsageError, WireError

from .conftest import Stage


def read(frames: Frames) -> list[bytes]:
    return [
        frames.buffer[start : start + length].tobytes()
        for start, length in zip(frames.starts.tolist(), frames.lengths.tolist(), strict=True)
    ]


def replies(stage: Stage, count: int) -> tuple[list[TCP], list[int]]:
    """Resets that came in, with their times, until there are `count` or no more come."""
    segments: list[TCP] = []
    times: list[int] = []
    while len(segments) < count and len(frames := stage.wire.receive(0.5)):
        segments += [stage.segment(data) for data in read(frames)]
        times += frames.times.tolist()
    return segments, times


def test_what_is_sent_leaves_once_and_byte_for_byte(stage: Stage) -> None:
    batch = stage.batch(0, 300)
    sent = stage.wire.send(batch)
    reported = [row.tobytes() for row in sent.frames]
    assert stage.departed(300) == reported
    assert [frame[14:] for frame in reported] == [row.tobytes() for row in batch.packets]


def test_frames_begin_with_the_header_the_link_type_says(stage: Stage) -> None:
    assert stage.wire.link_type == 1
    sent = stage.wire.send(stage.batch(0, 1))
    assert sent.frames.shape == (1, 14 + stage.network_header + 20)
    assert sent.frames[0, 12:14].tobytes() == stage.ethertype.to_bytes(2, "big")


def test_each_probe_is_answered_and_no_reply_is_older_than_its_probe(stage: Stage) -> None:
    sent = stage.wire.send(stage.batch(0, 200))
    left_at = sent.times.tolist()
    segments, times = replies(stage, 200)
    assert sorted(segment.ack for segment in segments) == list(range(1, 201))
    assert all(left_at[segment.ack - 1] <= moment for segment, moment in zip(segments, times, strict=True))


def test_nothing_comes_in_but_replies(stage: Stage) -> None:
    stage.wire.send(stage.batch(0, 50))
    segments, _ = replies(stage, 50)
    assert {(segment.sport, str(segment.flags)) for segment in segments} == {(401, "RA")}
    assert len(stage.wire.receive(0.1)) == 0


def test_the_arrays_are_of_the_promised_types(stage: Stage) -> None:
    sent = stage.wire.send(stage.batch(0, 3))
    octet, moment = np.dtype(np.uint8), np.dtype(np.int64)
    assert (sent.frames.dtype, sent.times.dtype) == (octet, moment)
    assert sent.times.shape == (3,)
    frames = stage.wire.receive(0.5)
    for column in (frames.starts, frames.lengths, frames.original_lengths, frames.times):
        assert column.dtype == moment
        assert column.shape == (len(frames),)
    assert frames.buffer.dtype == octet
    assert frames.buffer.ndim == 1
    assert frames.link_type == stage.wire.link_type
    assert (frames.original_lengths >= frames.lengths).all()


@pytest.mark.parametrize("timeout", [0.0, 0.02, 0.25])
def test_waiting_for_nothing_takes_the_time_it_was_given(stage: Stage, timeout: float) -> None:
    before = stage.clock.steady()
    assert len(stage.wire.receive(timeout)) == 0
    waited = stage.clock.steady() - before
    assert timeout <= waited < timeout + 0.2


def test_a_reply_ends_the_wait(stage: Stage) -> None:
    stage.wire.send(stage.batch(0, 1))
    before = stage.clock.steady()
    assert len(stage.wire.receive(5.0)) == 1
    assert stage.clock.steady() - before < 1.0


def test_what_was_sent_stays_readable_until_the_next_send(stage: Stage) -> None:
    batch = stage.batch(0, 20)
    sent = stage.wire.send(batch)
    replies(stage, 20)
    assert np.array_equal(sent.frames[:, 14:], batch.packets)


def test_what_was_received_stays_readable_until_the_next_receive(stage: Stage) -> None:
    stage.wire.send(stage.batch(0, 10))
    stage.clock.sleep(0.05)
    frames = stage.wire.receive(0.5)
    held = read(frames)
    for number in range(10, 60, 10):
        stage.wire.send(stage.batch(number, number + 10))
        stage.clock.sleep(0.003)
    assert read(frames) == held


def test_statistics_count(stage: Stage) -> None:
    before = stage.wire.statistics()
    assert (before.sent, before.send_refused, before.received, before.receive_dropped) == (0, 0, 0, 0)
    stage.wire.send(stage.batch(0, 30))
    stage.wire.send(stage.batch(30, 40))
    replies(stage, 40)
    after = stage.wire.statistics()
    assert (after.sent, after.send_refused, after.received, after.receive_dropped) == (40, 0, 40, 0)


def test_an_empty_batch_is_sent_at_once(stage: Stage) -> None:
    sent = stage.wire.send(stage.of(np.empty((0, 60), dtype=np.uint8)))
    assert (len(sent.frames), len(sent.times)) == (0, 0)
    assert stage.wire.statistics().sent == 0


def test_a_large_batch_leaves_in_as_many_sends_as_it_takes(stage: Stage) -> None:
    batch = stage.many(20_000)
    left: list[bytes] = []
    done = 0
    while done < len(batch):
        sent = stage.wire.send(stage.of(batch.packets[done:]))
        done += len(sent.times)
        left += [row.tobytes() for row in sent.frames]
    assert len(left) == 20_000
    assert stage.departed(20_000) == left


@pytest.mark.parametrize("padding", [0, 22, 23, 42, 43, 400, 1440])
def test_packets_of_every_length_leave_whole(stage: Stage, padding: int) -> None:
    sent = stage.wire.send(stage.batch(0, 5, padding))
    assert stage.departed(5) == [row.tobytes() for row in sent.frames]


def test_the_batch_is_only_read(stage: Stage) -> None:
    batch = stage.batch(0, 5)
    batch.packets.flags.writeable = False
    before = batch.packets.copy()
    stage.wire.send(batch)
    assert np.array_equal(batch.packets, before)


def test_what_is_no_batch_is_refused_and_nothing_leaves(stage: Stage) -> None:
    flat = np.zeros(40, dtype=np.uint8)
    endless = np.zeros((1, 70_000), dtype=np.uint8)
    for packets in (flat, endless):
        with pytest.raises(UsageError):
            stage.wire.send(stage.of(packets))
    assert stage.wire.statistics().sent == 0


def test_select_tells_when_to_receive(stage: Stage) -> None:
    descriptor = stage.wire.fileno()
    if descriptor == -1:  # as the contract has it where there is nothing to select on
        return
    assert select.select([descriptor], [], [], 0)[0] == []
    stage.wire.send(stage.batch(0, 1))
    assert select.select([descriptor], [], [], 1.0)[0] == [descriptor]
    assert len(stage.wire.receive(0)) == 1


def test_closing_twice_is_fine_and_using_it_closed_is_an_error(stage: Stage) -> None:
    batch = stage.batch(0, 1)
    stage.wire.close()
    stage.wire.close()
    for use in (
        lambda wire: wire.send(batch),
        lambda wire: wire.receive(0),
        lambda wire: wire.statistics(),
        lambda wire: wire.fileno(),
    ):
        with pytest.raises(WireError, match="closed") as caught:
            use(stage.wire)
        assert "\n" not in str(caught.value)


def test_frames_stay_readable_when_the_wire_is_closed(stage: Stage) -> None:
    stage.wire.send(stage.batch(0, 1))
    stage.clock.sleep(0.05)
    frames = stage.wire.receive(0.5)
    stage.wire.close()
    assert stage.segment(read(frames)[0]).ack == 1
