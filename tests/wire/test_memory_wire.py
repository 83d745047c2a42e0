from __future__ import annotations

import cProfile
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from scanner.contracts import ETHERTYPE_IPV4, Batch, Wire
from scanner.model import UsageError, WireError
from scanner.wire.clock import NANOSECONDS, SimulatedClock
from scanner.wire.memory_wire import OWN_MAC, Arrival, MemoryWire

MAC = b"\x02\0\0\0\0\x09"


class Echo:
    """Sends every packet back, each so many seconds after the one before."""

    def __init__(self, delay: float = 1.0, step: float = 0.0) -> None:
        self.delay = delay
        self.step = step
        self.carried: list[bytes] = []

    def carry(self, packets: NDArray[np.uint8], ethertype: int, moment: int) -> Sequence[Arrival]:
        self.carried += [row.tobytes() for row in packets]
        return [
            Arrival(moment + round((self.delay + self.step * n) * NANOSECONDS), ethertype, MAC, row.tobytes())
            for n, row in enumerate(packets)
        ]


def packets(count: int, length: int = 40) -> NDArray[np.uint8]:
    return np.repeat(np.arange(count, dtype=np.uint8)[:, None], length, axis=1)


def test_replies_come_when_they_are_due_and_the_clock_moves_on_to_them() -> None:
    clock = SimulatedClock()
    wire: Wire = MemoryWire(clock, Echo(delay=1.0, step=1.0))
    sent = wire.send(Batch(packets(2)))
    assert len(wire.receive(0.75)) == 0
    assert clock.steady() == 0.75
    first = wire.receive(10.0)
    assert (len(first), clock.steady()) == (1, 1.0)
    assert first.times.tolist() == [sent.times[0] + NANOSECONDS]
    assert first.buffer[:14].tobytes() == OWN_MAC + MAC + b"\x08\x00"
    clock.sleep(5)
    assert (len(wire.receive(0.0)), clock.steady()) == (1, 6.0)


def test_waiting_for_nothing_takes_its_time_and_no_longer() -> None:
    clock = SimulatedClock()
    assert len(MemoryWire(clock).receive(2.5)) == 0
    assert clock.steady() == 2.5


def test_a_wait_however_short_moves_the_clock() -> None:
    clock = SimulatedClock()
    MemoryWire(clock).receive(1e-12)
    assert clock.steady() > 0


def test_replies_of_one_moment_come_in_the_order_they_were_asked_for() -> None:
    wire = MemoryWire(SimulatedClock(), Echo())
    wire.send(Batch(packets(5)))
    frames = wire.receive(9)
    assert frames.buffer[frames.starts + 14].tolist() == [0, 1, 2, 3, 4]


def test_short_replies_are_padded_as_on_a_cable() -> None:
    wire = MemoryWire(SimulatedClock(), Echo())
    wire.send(Batch(packets(1, length=28)))
    assert wire.receive(9).lengths.tolist() == [60]


def test_what_was_received_is_spoilt_by_the_next_receive() -> None:
    wire = MemoryWire(SimulatedClock(), Echo())
    wire.send(Batch(packets(1)))
    held = wire.receive(9)
    wire.receive(0)
    assert (held.buffer == 0xDB).all()


def test_room_bounds_what_is_taken_at_once() -> None:
    echo = Echo()
    wire = MemoryWire(SimulatedClock(), echo, room=3)
    sent = wire.send(Batch(packets(5)))
    assert (sent.frames.shape, sent.times.shape, len(echo.carried)) == ((3, 54), (3,), 3)
    assert (wire.statistics().sent, wire.statistics().send_refused) == (3, 2)


def test_a_wire_told_to_fail_fails_and_still_counts() -> None:
    wire = MemoryWire(SimulatedClock(), Echo())
    wire.send(Batch(packets(2)))
    wire.fail("interface memory is down")
    with pytest.raises(WireError, match="memory is down"):
        wire.send(Batch(packets(1)))
    with pytest.raises(WireError, match="memory is down"):
        wire.receive(0)
    assert wire.statistics().sent == 2


def test_long_packets_are_refused() -> None:
    with pytest.raises(UsageError, match="MTU 50"):
        MemoryWire(SimulatedClock(), mtu=50).send(Batch(packets(1, length=51)))


def test_a_sink_does_not_touch_single_packets() -> None:
    wire = MemoryWire(SimulatedClock())

    def calls(count: int) -> int:
        batch = Batch(np.zeros((count, 40), dtype=np.uint8), ETHERTYPE_IPV4, np.zeros(6, dtype=np.uint8))
        profile = cProfile.Profile()
        profile.runcall(wire.send, batch)
        return sum(entry.callcount for entry in profile.getstats())

    assert calls(10_000) == calls(20_000) < 200
