"""The loop: whose turn it is, when it waits, what it records, and that it ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from scanner.contracts import Batch, Frames, Sent, Sources, Wire, WireStatistics
from scanner.core.addresses import AddressSet, parse_address
from scanner.core.hosts import Hosts
from scanner.core.lane import Lane
from scanner.core.pacing import TokenBucket
from scanner.core.rate import START_RATE, RateController
from scanner.core.rtt import RoundTrip
from scanner.core.rules import Rank
from scanner.core.scope import Scope
from scanner.core.transport import TransportFlows
from scanner.core.witness import Witness
from scanner.engine import BATCH, Engine, Flight, Heard
from scanner.gate import Gate
from scanner.model import ScopeRefused, WireError
from scanner.probes.stock import template_of
from scanner.probes.tcp_syn import TCP_SYN
from scanner.wire.behaviours import closed_port, open_port, silent
from scanner.wire.memory import Conditions, MemoryWire, SimulatedNetwork

SOURCE = parse_address("192.0.2.1")
HOP = np.zeros(6, dtype=np.uint8)


def network(conditions: Conditions | None = None, room: int | None = None) -> SimulatedNetwork:
    built = SimulatedNetwork(conditions=conditions, gateway="10.9.0.1", room=room)
    built.place("10.0.0.0/24", closed_port())
    built.place("10.0.0.7", open_port())
    built.place("10.0.1.0/24", silent())
    return built


def wire_of(place: SimulatedNetwork) -> MemoryWire:
    (hop, _), *_ = place.routes(Hosts(AddressSet.of([(1, 1)])), None, Sources())
    assert hop is not None
    return place.open(hop)


def flight(wire: Wire, targets: str, *, attempts: int = 1, port: int = 401, wait: float = 1.0) -> Flight:
    addresses = AddressSet.from_cidrs([targets])
    flows = TransportFlows(
        template=template_of(TCP_SYN, port), protocol=6, source=SOURCE, addresses=addresses, ports=(port,),
        key=bytes(16), capacity=min(BATCH, addresses.size),
    )  # fmt: skip
    return Flight(Lane(flows, seed=1, attempts=attempts, round_trip=RoundTrip(wait)), wire, next_hops=HOP)


def engine(place: SimulatedNetwork, rate: float = float("inf"), **more) -> Engine:
    gate = Gate(Scope.private(), Hosts())
    return Engine(gate=gate, clock=place.clock, bucket=TokenBucket(rate), **more)


def states(flight: Flight) -> NDArray[np.uint8]:
    assert isinstance(flight.lane, Lane)
    return flight.lane.ledger.state


def test_it_runs_until_everybody_has_answered():
    place = network()
    asked = flight(wire_of(place), "10.0.0.0/24")
    running = engine(place)

    heard = [each for each in running.run([asked]) if each is not None]

    assert (states(asked) == Rank.CLOSED).sum() == 255
    assert states(asked)[7] == Rank.OPEN
    assert sum(len(each.replies.task) for each in heard) == 256
    assert running.traffic.probes == running.traffic.frames == 256
    assert place.clock.steady() < 0.01


def test_without_flights_or_with_nobody_left_there_is_nothing_to_do():
    place = network()
    asked = flight(wire_of(place), "10.0.0.0/30")
    list(engine(place).run([asked]))

    assert list(engine(place).run([])) == []
    assert list(engine(place).run([asked])) == []


def test_it_waits_for_the_silent_as_long_as_the_schedule_says_and_no_longer():
    place = network()

    list(engine(place).run([flight(wire_of(place), "10.0.1.0/28", attempts=3, wait=0.5)]))

    assert 1.5 <= place.clock.steady() < 1.51


def test_it_yields_none_in_every_turn_also_while_nothing_happens():
    place = network()
    moments = [place.clock.steady() for each in engine(place).run([flight(wire_of(place), "10.0.1.0/28")])]

    assert len(moments) >= 10
    assert max(after - before for before, after in pairwise(moments)) <= 0.1 + 1e-6


def test_it_stops_when_it_is_told_to():
    place = network()
    asked = flight(wire_of(place), "10.0.0.0/24")
    turns: list[Heard | None] = []
    running = engine(place, rate=1000.0, stopped=lambda: len(turns) >= 5)

    for each in running.run([asked]):
        turns.append(each)  # noqa: PERF402 - the engine looks at it in between

    assert 5 <= len(turns) <= 6
    assert 0 < (states(asked) != Rank.UNANSWERED).sum() < 256
    assert list(engine(place, stopped=lambda: True).run([asked])) == []


@pytest.mark.parametrize("rate", [50.0, 3000.0])
def test_the_bucket_sets_the_pace(rate):
    place = network()

    list(engine(place, rate=rate).run([flight(wire_of(place), "10.0.0.0/24")]))

    assert 256 / rate - 0.03 <= place.clock.steady() <= 256 / rate + 0.03


def test_flights_take_turns():
    place = network()
    wire = wire_of(place)
    order: list[int] = []
    carried = place.carry

    def carry(packets: NDArray[np.uint8], ethertype: int, moment: int):
        order.extend(int.from_bytes(packet[22:24].tobytes(), "big") for packet in packets)
        return carried(packets, ethertype, moment)

    place.carry = carry  # type: ignore[method-assign]
    flights = [flight(wire, "10.0.0.0/26", port=port) for port in (1, 2, 3)]

    list(engine(place, rate=100.0).run(flights))

    assert sorted(order) == [1] * 64 + [2] * 64 + [3] * 64
    # The first turn has a burst of two.
    assert all(abs(order[:60].count(port) - 20) <= 1 for port in (1, 2, 3))


def test_on_each_link_address_the_frame_goes_to_its_own_hardware_address():
    place = network()
    wire = wire_of(place)
    hops = np.arange(16 * 6, dtype=np.uint8).reshape(16, 6)
    asked = flight(wire, "10.0.0.0/28")
    seen: dict[bytes, bytes] = {}

    def record(_wire: Wire, sent: Sequence[Sent], frames: Frames, replies: NDArray[np.int64]) -> None:
        for each in sent:
            for frame in each.frames:
                seen[frame[30:34].tobytes()] = frame[:6].tobytes()

    list(engine(place, record=record).run([Flight(asked.lane, wire, next_hops=hops)]))

    assert seen == {bytes([10, 0, 0, last]): hops[last].tobytes() for last in range(16)}


class Ledger:
    """Keeps what the engine records."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, bytes]] = []
        self.replies: list[tuple[int, bytes]] = []

    def __call__(self, _wire: Wire, sent: Sequence[Sent], frames: Frames, replies: NDArray[np.int64]) -> None:
        for each in sent:
            self.sent += zip(each.times.tolist(), (row.tobytes() for row in each.frames), strict=True)
        for row in replies.tolist():
            start = int(frames.starts[row])
            frame = frames.buffer[start : start + int(frames.lengths[row])]
            self.replies.append((int(frames.times[row]), frame.tobytes()))


def test_every_probe_and_every_reply_is_recorded_once_and_before_anybody_acts_on_it():
    place = network(Conditions(duplication=0.3, delay=0.002, jitter=0.01))
    asked = flight(wire_of(place), "10.0.0.0/24")
    kept = Ledger()

    for each in engine(place, rate=2000.0, record=kept).run([asked]):
        if each is not None:
            assert isinstance(each.lane, Lane)
            known = {int.from_bytes(frame[26:30], "big") for _, frame in kept.replies}
            assert set(each.lane.outcomes_of(np.sort(each.replies.task)).address.tolist()) <= known

    destinations = [frame[30:34] for _, frame in kept.sent]
    assert len(destinations) == len(set(destinations)) == 256
    assert len(kept.replies) > 256
    assert {frame[26:30] for _, frame in kept.replies} == set(destinations)


def test_frames_of_nobody_we_asked_are_not_recorded():
    place = network()
    wire = wire_of(place)
    stranger = flight(wire, "10.0.0.0/28", port=402)
    kept = Ledger()
    # Replies to somebody else's probes are on their way when the engine begins.
    gate = Gate(Scope.private(), Hosts())
    selection = stranger.lane.schedule.ways[0].take(16, 0.0)
    assert selection is not None
    gate.send(wire, Batch(stranger.lane.stamp(selection), next_hops=HOP))
    running = engine(place, record=kept)

    list(running.run([flight(wire, "10.0.0.0/28")]))

    assert running.traffic.frames == 32
    assert len(kept.replies) == 16


def test_several_wires_are_listened_to_together():
    one, other = network(), network()
    other._clock = one._clock  # one time for both
    asked = [flight(wire_of(one), "10.0.0.0/25"), flight(wire_of(other), "10.0.0.128/25", attempts=2)]

    list(engine(one, rate=5000.0).run([*asked, flight(wire_of(other), "10.0.1.0/28")]))

    assert all((states(each) != Rank.UNANSWERED).all() for each in asked)
    assert 1.0 <= one.clock.steady() < 1.1


def test_replies_on_the_wrong_wire_count_for_nothing():
    """What comes in by another interface than the probe left by is not its answer."""
    place = network()
    asking, listening = wire_of(place), wire_of(place)
    asked = flight(asking, "10.0.0.0/28")
    for batch in (asked.lane.schedule.ways[0].take(16, 0.0),):
        assert batch is not None
        listening.send(Batch(asked.lane.stamp(batch), next_hops=HOP))
    idle = flight(listening, "10.0.1.0/30")
    place.place("10.0.0.0/28", silent())

    list(engine(place).run([asked, idle]))

    assert (states(asked) == Rank.UNANSWERED).all()


def test_a_full_wire_is_tried_again():
    place = network(room=10)
    asked = flight(wire_of(place), "10.0.0.0/24")

    list(engine(place).run([asked]))

    assert (states(asked) != Rank.UNANSWERED).all()


def test_a_wire_that_takes_nothing_does_not_hang_the_loop():
    place = network(room=0)
    turns = 0

    def stopped() -> bool:
        return turns >= 100

    for _ in engine(place, stopped=stopped).run([flight(wire_of(place), "10.0.0.0/24")]):
        turns += 1

    assert place.clock.steady() > 0.05


def test_a_wire_that_fails_raises_and_what_was_heard_stands():
    place = network(Conditions(delay=0.01))
    wire = wire_of(place)
    asked = flight(wire, "10.0.0.0/24")
    turns = iter(engine(place, rate=1000.0).run([asked]))
    for _ in range(60):
        next(turns)
    wire.fail("the cable is gone")

    with pytest.raises(WireError, match="the cable is gone"):
        list(turns)
    assert 0 < (states(asked) != Rank.UNANSWERED).sum() < 256


def test_outside_the_scope_nothing_leaves():
    place = network()
    place.place("9.9.9.0/28", open_port())

    with pytest.raises(ScopeRefused, match=r"9\.9\.9\.0/28"):
        list(engine(place).run([flight(wire_of(place), "9.9.9.0/28")]))
    assert place.received("9.9.9.9") == 0


def test_frames_that_cannot_be_read_are_counted():
    place = network()
    wire = wire_of(place)
    received: Callable[[float], Frames] = wire.receive

    def receive(timeout: float) -> Frames:
        frames = received(timeout)
        frames.buffer[frames.starts + 14] = 0x65  # a version that IP does not have (RFC 791, 3.1)
        return frames

    wire.receive = receive  # type: ignore[method-assign]
    running = engine(place)

    list(running.run([flight(wire, "10.0.0.0/28")]))

    assert running.traffic.unread == {"malformed IPv4 header": 16}


# --- the rate ---------------------------------------------------------------------------------


def adapting(place: SimulatedNetwork, controller: RateController) -> Engine:
    gate = Gate(Scope.private(), Hosts())
    return Engine(gate=gate, clock=place.clock, bucket=TokenBucket(controller.rate), rate=controller)


def watched(wire: Wire, targets: str, controller: RateController, *, attempts: int = 1) -> Flight:
    """A flight whose answers the controller hears of."""
    addresses = AddressSet.from_cidrs([targets])
    flows = TransportFlows(
        template=template_of(TCP_SYN, 401), protocol=6, source=SOURCE, addresses=addresses, ports=(401,),
        key=bytes(16), capacity=min(BATCH, addresses.size),
    )  # fmt: skip
    witness = Witness(controller)
    lane = Lane(flows, seed=1, attempts=attempts, round_trip=RoundTrip(1.0), witness=witness)
    return Flight(lane, wire, next_hops=HOP)


def wide(conditions: Conditions | None = None, room: int | None = None) -> SimulatedNetwork:
    place = SimulatedNetwork(conditions=conditions, gateway="10.9.0.1", room=room)
    place.place("10.0.0.0/19", closed_port())
    return place


def test_where_all_answer_the_rate_grows():
    place, controller = wide(), RateController()

    list(adapting(place, controller).run([watched(wire_of(place), "10.0.0.0/19", controller, attempts=3)]))

    assert controller.rate >= 4 * START_RATE
    assert controller.peak > START_RATE
    assert (controller.loss, controller.cuts) == (0, 0)
    assert place.clock.steady() < 0.6 * 8192 / START_RATE


def test_what_the_road_loses_is_known_and_healed():
    place, controller = wide(Conditions(probe_loss=0.2, reply_loss=0.2)), RateController()
    asked = watched(wire_of(place), "10.0.0.0/19", controller, attempts=12)

    list(adapting(place, controller).run([asked]))

    assert controller.loss == pytest.approx(0.36, abs=0.02)
    assert (states(asked) == Rank.CLOSED).all()
    assert place.clock.steady() < 25


def test_frames_that_the_kernel_drops_halve_the_rate():
    place, controller = wide(), RateController()
    wire = wire_of(place)
    real = wire.statistics

    def statistics() -> WireStatistics:
        counted = real()
        return WireStatistics(received=counted.received, receive_dropped=counted.received // 2)

    wire.statistics = statistics  # type: ignore[method-assign]

    list(adapting(place, controller).run([watched(wire, "10.0.0.0/22", controller, attempts=2)]))

    assert controller.cuts >= 1
    assert controller.rate < START_RATE


def test_a_device_without_room_sets_the_rate():
    place, controller = wide(room=20), RateController()
    asked = watched(wire_of(place), "10.0.0.0/19", controller, attempts=2)

    list(adapting(place, controller).run([asked]))

    assert controller.cuts == 0
    assert (states(asked) != Rank.UNANSWERED).all()


def test_neighbours_are_asked_at_the_rate_of_the_start():
    """Nothing is known of loss while there are no lanes of ports."""
    place, controller = network(), RateController()

    list(adapting(place, controller).run([flight(wire_of(place), "10.0.1.0/24", attempts=2)]))

    assert controller.rate == START_RATE
