"""What every wire owes its user (scanner.contracts.Wire), asked of every wire there is."""

from __future__ import annotations

import select

import numpy as np
import pytest
from numpy.typing import NDArray
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from scanner.contracts import ETHERTYPE_IPV4, Batch, Frames
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
        segments += [Ether(data)[IP][TCP] for data in read(frames)]
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
    assert sent.frames.shape == (1, 54)
    assert sent.frames[0, 12:14].tobytes() == ETHERTYPE_IPV4.to_bytes(2, "big")


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
    sent = stage.wire.send(Batch(np.empty((0, 40), dtype=np.uint8), next_hops=stage.next_hop))
    assert (len(sent.frames), len(sent.times)) == (0, 0)
    assert stage.wire.statistics().sent == 0


def test_a_large_batch_leaves_in_as_many_sends_as_it_takes(stage: Stage) -> None:
    packets = np.repeat(stage.batch(0, 1).packets, 20_000, axis=0)
    packets[:, 4:6] = (1 + np.arange(20_000)).astype(">u2").view(np.uint8).reshape(-1, 2)
    _fill_ip_checksum(packets)
    left: list[bytes] = []
    done = 0
    while done < len(packets):
        sent = stage.wire.send(Batch(packets[done:], next_hops=stage.next_hop))
        done += len(sent.times)
        left += [row.tobytes() for row in sent.frames]
    assert len(left) == 20_000
    assert stage.departed(20_000) == left


@pytest.mark.parametrize("padding", [0, 42, 43, 400, 1460])
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
            stage.wire.send(Batch(packets, next_hops=stage.next_hop))
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
    assert Ether(read(frames)[0])[TCP].ack == 1


def _fill_ip_checksum(packets: NDArray[np.uint8]) -> None:
    """RFC 1071, over the 20 bytes of each header."""
    packets[:, 10:12] = 0
    total = packets[:, :20].copy().view(">u2").astype(np.uint32).sum(axis=1)
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    packets[:, 10:12] = (~total & 0xFFFF).astype(">u2").view(np.uint8).reshape(-1, 2)
