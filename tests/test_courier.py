"""Batches that leave on a thread, and an engine that listens meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from scanner.contracts import Batch, Frames, Sent, Sources, Wire, WireStatistics
from scanner.core.addresses import AddressSet, parse_address
from scanner.core.hosts import Hosts
from scanner.core.lane import Lane
from scanner.core.pacing import TokenBucket
from scanner.core.rtt import RoundTrip
from scanner.core.rules import Rank
from scanner.core.scope import Scope
from scanner.core.transport import TransportFlows
from scanner.courier import WORTH_A_THREAD, Courier
from scanner.engine import BATCH, Engine, Flight
from scanner.gate import Gate
from scanner.model import ScopeRefused, WireError
from scanner.probes.stock import template_of
from scanner.probes.tcp_syn import TCP_SYN
from scanner.wire.behaviours import closed_port, silent
from scanner.wire.memory import Conditions, MemoryWire, SimulatedNetwork

HOP = np.zeros(6, dtype=np.uint8)
TARGETS = "10.1.0.0/17"
SIZE = 1 << 15


class Kernel:
    """A wire in memory that says it is the kernel's, and takes its time to send."""

    def __init__(self, inside: MemoryWire) -> None:
        self._inside = inside
        self._lock = threading.Lock()
        self.link_type = inside.link_type
        self.senders: set[str] = set()
        self.early = 0
        self.refuse_after = SIZE * 10
        self._busy = False
        self.each_send_takes = 0.0

    def send(self, batch: Batch) -> Sent:
        self.senders.add(threading.current_thread().name)
        with self._lock:
            self._busy = True
            if self.refuse_after < len(batch):
                raise WireError("the cable is gone")
            self.refuse_after -= len(batch)
            sent = self._inside.send(batch)
            self._inside._clock.sleep(self.each_send_takes)
        time.sleep(0.002)  # time enough for answers to be fetched before anybody knows what was sent
        with self._lock:
            self._busy = False
        return sent

    def receive(self, timeout: float) -> Frames:
        with self._lock:
            frames = self._inside.receive(timeout)
            self.early += len(frames) if self._busy else 0
            return frames

    def statistics(self) -> WireStatistics:
        return self._inside.statistics()

    def fileno(self) -> int:
        return 0

    def close(self) -> None:
        self._inside.close()


class Place:
    """A network whose hosts answer at once, and a flight over it."""

    def __init__(self) -> None:
        self.network = SimulatedNetwork(conditions=Conditions(delay=0.0), gateway="10.9.0.1")
        self.network.place(TARGETS, closed_port())
        (hop, _), *_ = self.network.routes(Hosts(AddressSet.of([(1, 1)])), None, Sources())
        assert hop is not None
        self.wire = Kernel(self.network.open(hop))

    def flight(self, targets: str = TARGETS) -> Flight:
        flows = TransportFlows(
            template=template_of(TCP_SYN, 401), protocol=6, source=parse_address("192.0.2.1"),
            addresses=AddressSet.from_cidrs([targets]), ports=(401,), key=bytes(16), capacity=BATCH,
        )  # fmt: skip
        lane = Lane(flows, seed=1, attempts=2, round_trip=RoundTrip(1.0))
        return Flight(lane, self.wire, next_hops=HOP)

    def engine(self, **more) -> Engine:
        gate = Gate(Scope.private(), Hosts())
        return Engine(gate=gate, clock=self.network.clock, bucket=TokenBucket(float("inf")), **more)


@pytest.fixture
def place() -> Iterator[Place]:
    before = threading.active_count()
    yield Place()
    assert threading.active_count() == before


def lane_of(flight: Flight) -> Lane:
    assert isinstance(flight.lane, Lane)
    return flight.lane


def test_replies_that_come_in_before_their_probes_are_booked_count(place):
    asked = place.flight()

    list(place.engine().run([asked]))

    assert place.wire.senders == {"courier"}
    assert place.wire.early > 0
    assert (lane_of(asked).ledger.state == Rank.CLOSED).all()
    assert lane_of(asked).forged == 0
    assert (lane_of(asked).ledger.tries == 1).all()


def test_what_was_stamped_ahead_is_what_is_sent_and_recorded(place):
    sent: list[bytes] = []
    answered: list[bytes] = []

    def record(_wire: Wire, left: Sent | None, frames: Frames | None, replies: NDArray[np.int64]) -> None:
        if left is not None:
            assert len(left.frames) == len(left.times)
            sent.extend(left.frames[:, 30:34].copy().view("S4")[:, 0].tolist())
        if frames is not None:
            answered.extend(
                frames.buffer[start + 26 : start + 30].tobytes() for start in frames.starts[replies].tolist()
            )

    list(place.engine(record=record).run([place.flight()]))

    assert len(sent) == len(set(sent)) == len(answered) == len(set(answered)) == SIZE


def test_stragglers_are_asked_again_between_full_batches(place):
    place.network.place("10.1.120.0/21", silent())
    place.wire.each_send_takes = 0.03
    asked = place.flight()
    recorded: list[tuple[int, bytes]] = []

    def record(_wire: Wire, left: Sent | None, _frames: Frames | None, _replies: NDArray[np.int64]) -> None:
        if left is not None:
            recorded.extend((len(left.times), row.tobytes()) for row in left.frames[:, 30:36])

    list(place.engine(record=record).run([asked]))

    state, tries = lane_of(asked).ledger.state, lane_of(asked).ledger.tries
    silence = 1 << 11
    assert (state[:-silence] == Rank.CLOSED).all()
    assert (tries[:-silence] == 1).all()
    assert (tries[-silence:] == 2).all()
    assert len({probe for _, probe in recorded}) == len(recorded) == SIZE + silence
    # The source port tells the tries apart. There were both kinds of batches.
    assert min(count for count, _ in recorded) < WORTH_A_THREAD < max(count for count, _ in recorded)


def test_a_wire_that_fails_on_the_thread_fails_here_and_what_left_is_recorded(place):
    place.wire.refuse_after = 3 * BATCH
    recorded: list[int] = []
    asked = place.flight()
    running = place.engine(
        record=lambda _wire, left, _frames, _replies: recorded.append(0 if left is None else len(left.times))
    )

    with pytest.raises(WireError, match="the cable is gone"):
        list(running.run([asked]))

    assert sum(recorded) == running.traffic.probes == 3 * BATCH
    assert (lane_of(asked).ledger.state == Rank.CLOSED).sum() > 0


def test_whoever_stops_listening_gets_what_had_left_recorded(place):
    recorded: list[int] = []
    running = place.engine(
        record=lambda _wire, left, _frames, _replies: recorded.append(0 if left is None else len(left.times))
    )
    turns = running.run([place.flight()])
    for _ in range(3):
        next(turns)
    turns.close()

    assert sum(recorded) == running.traffic.probes > 0


def test_stopped_in_the_middle_it_hears_what_had_come_in(place):
    asked = place.flight()
    turns = iter(range(6))

    list(place.engine(stopped=lambda: next(turns, None) is None).run([asked]))

    tries = lane_of(asked).ledger.tries
    assert 0 < tries.sum() < SIZE
    assert (lane_of(asked).ledger.state == Rank.CLOSED).sum() > 0


def test_the_gate_holds_on_the_thread_too(place):
    with pytest.raises(ScopeRefused, match=r"9\.9\."):
        list(place.engine().run([place.flight("9.9.0.0/18")]))
    assert place.wire.senders == set()


def test_few_packets_and_wires_without_a_kernel_need_no_thread(place):
    gate = Gate(Scope.private(), Hosts())
    courier = Courier(gate)
    few = np.zeros((WORTH_A_THREAD - 1, 40), dtype=np.uint8)
    few[:, 0], few[:, 16] = 0x45, 10
    assert len(courier.take(place.wire, Batch(few, next_hops=HOP))().times) == len(few)
    courier.close()
    assert place.wire.senders == {threading.current_thread().name}
