"""Batches that leave by two exits at once, and an engine that listens meanwhile."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from queue import SimpleQueue

import numpy as np
import pytest
from numpy.typing import NDArray

from scanner.contracts import Arrival, Batch, Frames, Launch, Sent, Sources, Wire, WireStatistics
from scanner.core.addresses import AddressSet, parse_address
from scanner.core.hosts import Hosts
from scanner.core.lane import Lane
from scanner.core.pacing import TokenBucket
from scanner.core.rtt import RoundTrip
from scanner.core.rules import Rank
from scanner.core.scope import Scope
from scanner.core.transport import TransportFlows
from scanner.engine import Engine, Flight
from scanner.gate import Gate
from scanner.model import ScopeRefused, WireError
from scanner.probes.stock import template_of
from scanner.probes.tcp_syn import TCP_SYN
from scanner.wire.behaviours import closed_port, silent
from scanner.wire.memory import Conditions, MemoryWire, SimulatedNetwork

HOP = np.zeros(6, dtype=np.uint8)
TARGETS = "10.1.0.0/17"
SIZE = 1 << 15
BATCH = 4096


class Kernel:
    """A wire in memory that sends aside, by two exits, and takes its time to do so.

    sent_by: packets that left by each exit. early: frames fetched while something was leaving.
    """

    def __init__(self, inside: MemoryWire) -> None:
        self.inside = inside
        self.lock = threading.Lock()
        self.link_type = inside.link_type
        self.exits = [Aside(self, name) for name in ("first", "second")]
        self.sent_by: Counter[str] = Counter()
        self.early = 0
        self.refuse_after = SIZE * 10
        self.busy = 0
        self.each_send_takes = 0.0
        self.room = SIZE

    def send(self, batch: Batch) -> Sent:
        return self.exits[0].send(batch)

    def stage(self, batch: Batch) -> Launch:
        return self.exits[0].stage(batch)

    def receive(self, timeout: float) -> Frames:
        with self.lock:
            frames = self.inside.receive(timeout)
            self.early += len(frames) if self.busy else 0
            return frames

    def statistics(self) -> WireStatistics:
        return self.inside.statistics()

    def fileno(self) -> int:
        return -1

    def close(self) -> None:
        self.inside.close()


class Aside:
    """An exit whose packets leave on a thread, from when they are launched to their arrival."""

    def __init__(self, wire: Kernel, name: str) -> None:
        self._wire = wire
        self._name = name
        self._staged: Batch | None = None
        self._flying = False

    def send(self, batch: Batch) -> Sent:
        return self.stage(batch)()()

    def stage(self, batch: Batch) -> Launch:
        staged = self._staged = Batch(batch.packets.copy(), batch.ethertype, batch.next_hops, batch.zone)

        def launch() -> Arrival:
            assert staged is self._staged, "another batch took its place"
            assert not self._flying, "one batch at a time"
            self._flying = True
            outcome: SimpleQueue[Sent | WireError] = SimpleQueue()
            thread = threading.Thread(target=lambda: outcome.put(self._leave(staged)))
            thread.start()

            def arrived() -> Sent:
                sent = outcome.get()
                thread.join()
                self._flying = False
                if isinstance(sent, WireError):
                    raise sent
                return sent

            return arrived

        return launch

    def _leave(self, batch: Batch) -> Sent | WireError:
        wire = self._wire
        with wire.lock:
            wire.busy += 1
            taken = min(len(batch), wire.room)
            if wire.refuse_after < taken:
                wire.busy -= 1
                return WireError("the cable is gone")
            wire.refuse_after -= taken
            sent = wire.inside.send(Batch(batch.packets[:taken], batch.ethertype, batch.next_hops))
            sent = Sent(sent.frames.copy(), sent.times)
            wire.sent_by[self._name] += taken
            wire.inside._clock.sleep(wire.each_send_takes)
        time.sleep(0.002)  # time enough for answers to be fetched before anybody knows what was sent
        with wire.lock:
            wire.busy -= 1
        return sent


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
        lane = Lane(flows, seed=1, attempts=2, round_trip=RoundTrip(1.0), ways=2)
        return Flight(lane, self.wire, next_hops=HOP)

    def engine(self, **more) -> Engine:
        gate = Gate(Scope.private(), Hosts())
        return Engine(
            gate=gate, clock=self.network.clock, bucket=TokenBucket(float("inf")), batch=BATCH, **more
        )


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

    assert place.wire.sent_by == {"first": SIZE // 2, "second": SIZE // 2}
    assert place.wire.early > 0
    assert (lane_of(asked).ledger.state == Rank.CLOSED).all()
    assert lane_of(asked).forged == 0
    assert (lane_of(asked).ledger.tries == 1).all()


def test_what_was_stamped_ahead_is_what_is_sent_and_recorded(place):
    sent: list[bytes] = []
    answered: list[bytes] = []

    def record(_wire: Wire, left: Sequence[Sent], frames: Frames | None, replies: NDArray[np.int64]) -> None:
        for each in left:
            assert len(each.frames) == len(each.times)
            sent.extend(each.frames[:, 30:34].copy().view("S4")[:, 0].tolist())
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

    def record(
        _wire: Wire, left: Sequence[Sent], _frames: Frames | None, _replies: NDArray[np.int64]
    ) -> None:
        for each in left:
            recorded.extend((len(each.times), row.tobytes()) for row in each.frames[:, 30:36])

    list(place.engine(record=record).run([asked]))

    state, tries = lane_of(asked).ledger.state, lane_of(asked).ledger.tries
    silence = 1 << 11
    assert (state[:-silence] == Rank.CLOSED).all()
    assert (tries[:-silence] == 1).all()
    assert (tries[-silence:] == 2).all()
    assert len({probe for _, probe in recorded}) == len(recorded) == SIZE + silence
    # The source port tells the tries apart. There were both kinds of batches.
    assert min(count for count, _ in recorded) < BATCH // 2 < max(count for count, _ in recorded)


def test_a_wire_that_fails_aside_fails_here_and_what_left_is_recorded(place):
    place.wire.refuse_after = 3 * BATCH
    recorded: list[int] = []
    asked = place.flight()
    running = place.engine(
        record=lambda _wire, left, _frames, _replies: recorded.extend(len(each.times) for each in left)
    )

    with pytest.raises(WireError, match="the cable is gone"):
        list(running.run([asked]))

    assert sum(recorded) == running.traffic.probes == 3 * BATCH
    assert (lane_of(asked).ledger.state == Rank.CLOSED).sum() >= 2 * BATCH


def test_whoever_stops_listening_gets_what_had_left_recorded(place):
    recorded: list[int] = []
    running = place.engine(
        record=lambda _wire, left, _frames, _replies: recorded.extend(len(each.times) for each in left)
    )
    turns = running.run([place.flight()])
    for _ in range(3):
        next(turns)
    turns.close()

    assert sum(recorded) == running.traffic.probes > 0


def test_stopped_in_the_middle_it_hears_what_had_come_in(place):
    asked = place.flight()
    turns = iter(range(3))

    list(place.engine(stopped=lambda: next(turns, None) is None).run([asked]))

    tries = lane_of(asked).ledger.tries
    assert 0 < tries.sum() < SIZE
    assert (lane_of(asked).ledger.state == Rank.CLOSED).sum() > 0


def test_what_is_refused_is_sent_later_by_the_same_exit(place):
    place.wire.room = 1000
    asked = place.flight()
    recorded: Counter[bytes] = Counter()

    def record(
        _wire: Wire, left: Sequence[Sent], _frames: Frames | None, _replies: NDArray[np.int64]
    ) -> None:
        for each in left:
            recorded.update(row.tobytes() for row in each.frames[:, 30:36])

    list(place.engine(record=record).run([asked]))

    assert (lane_of(asked).ledger.state == Rank.CLOSED).all()
    assert set(recorded.values()) == {1}
    assert place.wire.sent_by == {"first": SIZE // 2, "second": SIZE // 2}


def test_lanes_that_share_exits_take_turns(place):
    one, other = place.flight("10.1.0.0/18"), place.flight("10.1.64.0/18")
    order: list[int] = []

    def record(
        _wire: Wire, left: Sequence[Sent], _frames: Frames | None, _replies: NDArray[np.int64]
    ) -> None:
        order.extend(int(each.frames[0, 32] >> 6) for each in left)

    list(place.engine(record=record).run([one, other]))

    assert order == [0, 0, 1, 1] * 2
    for each in (one, other):
        assert (lane_of(each).ledger.state == Rank.CLOSED).all()
        assert (lane_of(each).ledger.tries == 1).all()


def test_the_gate_holds_here_too(place):
    with pytest.raises(ScopeRefused, match=r"9\.9\."):
        list(place.engine().run([place.flight("9.9.0.0/18")]))
    assert not place.wire.sent_by
