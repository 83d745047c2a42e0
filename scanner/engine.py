"""The engine: the one loop. Pace, send, receive, hear; until nothing is left to wait for.

It knows lanes, wires and time, all of them arguments; not targets, files or people.
"""

from __future__ import annotations

import contextlib
import select
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from scanner.contracts import ETHERTYPE_IPV4, Arrival, Batch, Clock, Exit, Frames, Launch, Sent, Wire
from scanner.core.book import AddressBook
from scanner.core.decode import decode_untrusted
from scanner.core.lane import Lane
from scanner.core.ledger import Replies
from scanner.core.neighbourlane import NeighbourLane
from scanner.core.ordering import distinct
from scanner.core.pacing import TokenBucket
from scanner.core.rate import JUDGED_TRIES, Counters, RateController
from scanner.core.rules import ReplyRules, Rules
from scanner.core.schedule import Schedule, Selection
from scanner.core.stragglers import StragglerSchedule
from scanner.gate import Gate
from scanner.model import Protocol, WireError

BATCH = 16_384
"""Most packets handed to an exit at once: the more, the faster, and the later what comes in is heard of."""

_FEW = 512
"""Packets that have left before it is worth doing something else meanwhile."""

_LONGEST_WAIT = 0.1
"""Seconds until the loop looks up again, for an interrupt or a sign of progress."""

_REFUSED_WAIT = 0.001
"""Seconds to leave the kernel alone when it took nothing."""


@dataclass(frozen=True, slots=True)
class Flight:
    """A lane on its wire.

    next_hops: `(6,)` uint8, the gateway; `(addresses, 6)`, each target's own; None without a link layer.
    zone: number of the interface.
    """

    lane: Lane | NeighbourLane
    wire: Wire
    ethertype: int = ETHERTYPE_IPV4
    next_hops: NDArray[np.uint8] | None = None
    zone: int = 0


@dataclass(frozen=True, slots=True)
class Heard:
    """Replies that changed verdicts of a lane."""

    lane: Lane | NeighbourLane
    replies: Replies


@dataclass(slots=True)
class Traffic:
    """What went over the wires, for people."""

    probes: int = 0
    frames: int = 0
    unread: Counter[str] = field(default_factory=Counter)


Came = tuple[Wire, Frames]
"""Frames that came in, and where."""


@dataclass(frozen=True, slots=True, eq=False)
class _Way:
    """One way through the tasks of a flight, which leave by an exit of its own."""

    flight: Flight
    number: int

    @property
    def schedule(self) -> Schedule | StragglerSchedule:
        return self.flight.lane.schedule.ways[self.number]

    @property
    def exit(self) -> Exit:
        return self.flight.wire.exits[self.number]


@dataclass(frozen=True, slots=True)
class _Ready:
    """Tasks that can be asked now, staged as packets."""

    way: _Way
    selection: Selection
    launch: Launch


@dataclass(frozen=True, slots=True)
class _Flying:
    """Packets on their way out."""

    ready: _Ready
    arrival: Arrival


@dataclass(frozen=True, slots=True)
class _Left:
    """What went out on a wire."""

    wire: Wire
    sent: Sent


Recorder = Callable[[Wire, Sequence[Sent], Frames | None, NDArray[np.int64]], None]
"""Takes a wire, batches that left over it, frames that came in, and which of them are replies."""


class Engine:
    """Runs flights until they are finished."""

    def __init__(  # noqa: PLR0913 - what is there, each by its name
        self,
        *,
        gate: Gate,
        clock: Clock,
        bucket: TokenBucket,
        rate: RateController | None = None,
        record: Recorder | None = None,
        stopped: Callable[[], bool] = lambda: False,
        book: AddressBook | None = None,
        rules: Mapping[Protocol, ReplyRules] | None = None,
        batch: int = BATCH,
    ) -> None:
        """Ready to run; what is not there is not done.

        rate: sets that of the bucket. record: where evidence goes. book: where IPv6 addresses have their
        numbers, None where none is asked. stopped: asked in every turn; True ends the run early.
        rules: of probes that have some of their own. batch: most packets handed to an exit at once.
        """
        self._gate = gate
        self._clock = clock
        self._bucket = bucket
        self._rate = rate
        self._record = record
        self._stopped = stopped
        self._book = book
        self._rules = Rules(rules)
        self._batch = batch
        self._turns: Counter[int] = Counter()
        self._prepared: dict[int, _Ready] = {}
        self._flying: dict[int, _Flying] = {}
        self._heard_until = float("-inf")
        self.traffic = Traffic()

    def run(self, flights: Sequence[Flight]) -> Iterator[Heard | None]:
        """Run flights to their end, or until stopped.

        One batch a turn leaves by each exit, the lanes in turns: none starves, and replies are heard in
        between. What comes in while batches leave may answer them, so it is heard in the next turn, when they
        are booked as sent; and while the next ones leave.

        Yields:
            What was heard, as it comes; None after each turn, so that a caller can look at counters.

        Raises:
            WireError: a wire failed. What was heard before stands.
            ScopeRefused: the gate stopped a packet; it is a fault in this package that it came so far.
        """
        wires = list({id(flight.wire): flight.wire for flight in flights}.values())
        exits = [way_out for wire in wires for way_out in wire.exits]
        ways = [_Way(flight, k) for flight in flights for k in range(len(flight.lane.schedule.ways))]
        self._turns.clear()
        self._prepared.clear()
        self._heard_until = self._clock.steady()
        came: list[Came] = []
        came_until = self._heard_until
        left: list[_Left] = []
        try:
            while not self._stopped():
                running = [way for way in ways if not way.schedule.finished(self._heard_until)]
                if not running:
                    break
                refused = [self._turn(way_out, running, left) for way_out in exits]
                if not self._flying and not _any(came):
                    came = _receive(wires, _REFUSED_WAIT if any(refused) else self._wait(running))
                    came_until = self._clock.steady()
                heard = self._hear(flights, came, left)
                came, self._heard_until = [], came_until
                if self._flying:
                    for each in self._flying.values():
                        self._prepare(each.ready, running)
                    came = _receive(wires, 0.0)
                    came_until = self._clock.steady()
                yield from heard
                self._adapt(flights, wires)
                yield None
            for key in [*self._flying]:
                self._land(key, left)
            yield from self._hear(flights, came, left)
        except WireError:
            self._land_all(left)
            yield from self._hear(flights, came, left)
            raise
        finally:
            self._land_all(left)
            if self._record is not None:
                for gone in left:
                    self._record(gone.wire, [gone.sent], None, np.empty(0, dtype=np.int64))

    def _turn(self, way_out: Exit, running: Sequence[_Way], left: list[_Left]) -> bool:
        """Wait for what leaves by an exit, and launch what may leave next. Whether nothing was let out."""
        key = id(way_out)
        if key in self._flying and not self._land(key, left):
            return True
        ready = self._next(way_out, running)
        if ready is not None and len(ready.selection) < _FEW:
            # A few stragglers leave at once; what came in is heard while a full batch does.
            self._launch(ready)
            if not self._land(key, left):
                return True
            ready = self._next(way_out, running)
        if ready is not None:
            self._launch(ready)
        return False

    def _launch(self, ready: _Ready) -> None:
        self._flying[id(ready.way.exit)] = _Flying(ready, ready.launch())

    def _land(self, key: int, left: list[_Left]) -> int:
        """Wait until what leaves by an exit has left, and take note of it in `left`. How many that is."""
        flying = self._flying.pop(key)
        left.append(self._booked(flying.ready, flying.arrival()))
        return len(left[-1].sent.times)

    def _land_all(self, left: list[_Left]) -> None:
        """Whatever ended the run, wait until all has left, and take note of it."""
        for key in [*self._flying]:
            with contextlib.suppress(WireError):
                self._land(key, left)

    def _adapt(self, flights: Sequence[Flight], wires: Sequence[Wire]) -> None:
        """Let the rate follow what gets through."""
        now = self._clock.steady()
        if self._rate is None or not self._rate.due(now):
            return
        counted = [wire.statistics() for wire in wires]
        counters = Counters(
            received=sum(each.received for each in counted),
            dropped=sum(each.receive_dropped for each in counted),
        )
        schedules = [flight.lane.schedule for flight in flights]
        asked_again = [
            min((schedule.asked_again(attempt) for schedule in schedules), default=float("inf"))
            for attempt in range(JUDGED_TRIES)
        ]
        self._rate.look(now, self._clock.wall(), counters, asked_again)
        self._bucket.change(self._rate.rate, now)

    def _next(self, way_out: Exit, running: Sequence[_Way]) -> _Ready | None:
        """What may be sent by an exit now, on the next way that has something."""
        flying = sum(len(each.ready.selection) for each in self._flying.values())
        room = min(self._batch, self._bucket.available(self._clock.steady()) - flying)
        ways = [way for way in running if way.exit is way_out]
        for step in range(len(ways)):
            turn = self._turns[id(way_out)] + step
            ready = self._ready(ways[turn % len(ways)], room)
            if ready is not None:
                self._turns[id(way_out)] = turn + 1
                return ready
        return None

    def _ready(self, way: _Way, limit: int) -> _Ready | None:
        """What may be sent on a way now; None where that is nothing."""
        # Where nothing holds packets back, a few stragglers a turn would cost as much as a full batch.
        selection = way.schedule.take(
            limit, self._clock.steady(), heard=self._heard_until, first=self._bucket.unlimited
        )
        if selection is None:
            return None
        # What is staged now takes its place.
        prepared = self._prepared.pop(id(way.exit), None)
        if (
            prepared is not None
            and prepared.way is way
            and prepared.selection.attempt == selection.attempt
            and np.array_equal(prepared.selection.tasks, selection.tasks)
        ):
            return prepared
        return self._stamped(way, selection)

    def _prepare(self, leaving: _Ready, running: Sequence[_Way]) -> None:
        """Stage what will probably be sent next by an exit, while something else leaves.

        Only of first rounds: there, nobody can have answered yet who is about to be asked.
        """
        gone = leaving.selection
        if len(gone) < self._batch:
            return
        key = id(leaving.way.exit)
        ways = [way for way in running if way.exit is leaving.way.exit]
        for step in range(len(ways)):
            way = ways[(self._turns[key] + step) % len(ways)]
            more = way.schedule.upcoming(self._batch, gone if way is leaving.way else None)
            if more is not None:
                self._prepared[key] = self._stamped(way, more)
                return

    def _stamped(self, way: _Way, selection: Selection) -> _Ready:
        flight, lane = way.flight, way.flight.lane
        hops = flight.next_hops
        if hops is not None and hops.ndim > 1:
            hops = hops[lane.places(selection.tasks)]
        batch = Batch(lane.stamp(selection), flight.ethertype, hops, flight.zone)
        return _Ready(way, selection, self._gate.stage(way.exit, batch))

    def _booked(self, ready: _Ready, sent: Sent) -> _Left:
        """Take note of what left."""
        count = len(sent.times)
        ready.way.schedule.sent(ready.selection, sent.times, self._clock.steady())
        self._bucket.take(count)
        self.traffic.probes += count
        if self._rate is not None:
            self._rate.sent(count, len(ready.selection) - count)
        # Recorded while the next batch is framed, in the same memory.
        frames = sent.frames if self._record is None else sent.frames.copy()
        return _Left(ready.way.flight.wire, Sent(frames, sent.times))

    def _wait(self, running: Sequence[_Way]) -> float:
        """Seconds until a lane wants to be asked again, none where one has just come to its end."""
        now = self._clock.steady()
        due = min(way.schedule.due(now) for way in running)
        if due == float("inf"):
            return 0.0
        if due <= now:
            due = self._bucket.due(now)
        return min(max(0.0, due - now), _LONGEST_WAIT)

    def _hear(self, flights: Sequence[Flight], came: Sequence[Came], left: list[_Left]) -> list[Heard]:
        """Let lanes hear what came in on their wires, and record it before anybody acts on it.

        What left by these wires is recorded with it, and taken out of `left`.
        """
        heard: list[Heard] = []
        for wire, frames in came:
            replies: NDArray[np.int64] = np.empty(0, dtype=np.int64)
            if len(frames):
                self.traffic.frames += len(frames)
                zone = max((flight.zone for flight in flights if flight.wire is wire), default=0)
                decoded = decode_untrusted(
                    frames.buffer,
                    frames.starts,
                    frames.lengths,
                    frames.times,
                    frames.link_type,
                    self._book,
                    zone,
                )
                self.traffic.unread.update(decoded.unread)
                claims = self._rules.claims(decoded)
                named = []
                for flight in flights:
                    if flight.wire is wire:
                        evidence, changed = flight.lane.hear(claims, decoded.arp)
                        named.append(evidence)
                        if len(changed.task):
                            heard.append(Heard(flight.lane, changed))
                replies = np.concatenate(named)
            sent = [each.sent for each in left if each.wire is wire]
            left[:] = [each for each in left if each.wire is not wire]
            if self._record is not None and (sent or len(replies)):
                self._record(wire, sent, frames, distinct(replies))
        return heard


def _any(came: Sequence[Came]) -> bool:
    return any(len(frames) for _, frames in came)


def _receive(wires: Sequence[Wire], wait: float) -> list[Came]:
    """What has come in on each wire; where that is nothing, wait."""
    patience = _patience(wires, wait)
    return [(wire, wire.receive(patience)) for wire in wires]


def _patience(wires: Sequence[Wire], wait: float) -> float:
    """How long `receive` may wait on a wire: where there are several, they are waited for together, here."""
    if len(wires) == 1:
        return wait
    descriptors = [wire.fileno() for wire in wires]
    if min(descriptors) < 0:
        return wait / len(wires)
    if wait > 0:
        select.select(descriptors, [], [], wait)
    return 0.0
