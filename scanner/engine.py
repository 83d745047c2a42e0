"""The engine: the one loop. Pace, send, receive, hear; until nothing is left to wait for.

It knows lanes, wires and time, all of them arguments; not targets, files or people.
"""

from __future__ import annotations

import select
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from scanner.contracts import ETHERTYPE_IPV4, Batch, Clock, Frames, Sent, Wire
from scanner.core.book import AddressBook
from scanner.core.decode import decode_untrusted
from scanner.core.lane import Lane
from scanner.core.ledger import Replies
from scanner.core.neighbourlane import NeighbourLane
from scanner.core.ordering import distinct
from scanner.core.pacing import TokenBucket
from scanner.core.rate import JUDGED_TRIES, Counters, RateController
from scanner.core.rules import ReplyRules, Rules
from scanner.core.schedule import Selection
from scanner.courier import WORTH_A_THREAD, Courier
from scanner.gate import Gate
from scanner.model import Protocol

BATCH = 4096
"""Most packets handed to a wire at once."""

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


@dataclass(frozen=True, slots=True)
class _Ready:
    """Tasks that can be asked now, as packets."""

    flight: Flight
    selection: Selection
    batch: Batch


@dataclass(frozen=True, slots=True)
class _Left:
    """What went out on a wire."""

    wire: Wire
    sent: Sent


Recorder = Callable[[Wire, Sent | None, Frames | None, NDArray[np.int64]], None]
"""Takes a wire, a batch that left over it, frames that came in, and which of them are replies."""


class Engine:
    """Runs flights until they are finished."""

    def __init__(
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
    ) -> None:
        """Ready to run; what is not there is not done.

        rate: sets that of the bucket. record: where evidence goes. book: where IPv6 addresses have their
        numbers, None where none is asked. stopped: asked in every turn; True ends the run early.
        rules: of probes that have some of their own.
        """
        self._gate = gate
        self._clock = clock
        self._bucket = bucket
        self._rate = rate
        self._record = record
        self._stopped = stopped
        self._book = book
        self._rules = Rules(rules)
        self._prepared: _Ready | None = None
        self._turn = 0
        self.traffic = Traffic()

    def run(self, flights: Sequence[Flight]) -> Iterator[Heard | None]:
        """Run flights to their end, or until stopped.

        Yields:
            What was heard, as it comes; None after each turn, so that a caller can look at counters.

        Raises:
            WireError: a wire failed. What was heard before stands.
            ScopeRefused: the gate stopped a packet; it is a fault in this package that it came so far.
        """
        courier = Courier(self._gate)
        try:
            yield from self._turns(flights, courier)
        finally:
            courier.close()

    def _turns(self, flights: Sequence[Flight], courier: Courier) -> Iterator[Heard | None]:
        """One send a turn, the lanes in turns: none starves, and replies are heard in between.

        What comes in while a batch leaves may answer it, so it is heard in the next turn, when the batch is
        booked as sent; and while the next one leaves.
        """
        wires = list({id(flight.wire): flight.wire for flight in flights}.values())
        self._turn = 0
        came: list[Came] = []
        left: _Left | None = None
        try:
            while not self._stopped():
                running = [
                    flight for flight in flights if not flight.lane.schedule.finished(self._clock.steady())
                ]
                if not running:
                    break
                ready = self._next(running)
                if ready is not None and len(ready.batch) < WORTH_A_THREAD and _any(came):
                    # A few stragglers leave at once; what came in is heard while a full batch does.
                    few = self._booked(ready, courier.take(ready.flight.wire, ready.batch)())
                    self._record_sent(few)
                    ready = self._next(running) if len(few.sent.times) else None
                refused = left is not None and not len(left.sent.times)
                if (ready is None or refused) and not _any(came):
                    came = _receive(wires, _REFUSED_WAIT if refused else self._wait(running))
                arrived = None if ready is None else courier.take(ready.flight.wire, ready.batch)
                try:
                    heard = self._hear(flights, came, left)
                    came, left = [], None
                    if ready is not None:
                        self._prepare(ready)
                        came = _receive(wires, 0.0)
                finally:
                    if ready is not None and arrived is not None:
                        left = self._booked(ready, arrived())
                yield from heard
                self._adapt(flights, wires)
                yield None
            heard = self._hear(flights, came, left)
            left = None
            yield from heard
        finally:
            if left is not None:
                self._record_sent(left)

    def _record_sent(self, left: _Left) -> None:
        if self._record is not None:
            self._record(left.wire, left.sent, None, np.empty(0, dtype=np.int64))

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

    def _next(self, running: Sequence[Flight]) -> _Ready | None:
        """What may be sent now, by the next lane that has something."""
        for step in range(len(running)):
            ready = self._ready(running[(self._turn + step) % len(running)])
            if ready is not None:
                self._turn += step + 1
                return ready
        return None

    def _ready(self, flight: Flight) -> _Ready | None:
        """What a lane may send now; None where that is nothing."""
        limit = min(BATCH, self._bucket.available(self._clock.steady()))
        selection = flight.lane.schedule.take(limit, self._clock.steady())
        if selection is None:
            return None
        prepared = self._prepared
        if (
            prepared is not None
            and prepared.flight is flight
            and prepared.selection.attempt == selection.attempt
        ):
            self._prepared = None
            if np.array_equal(prepared.selection.tasks, selection.tasks):
                return prepared
        return _stamped(flight, selection)

    def _prepare(self, leaving: _Ready) -> None:
        """Stamp what will probably be sent next, while something else leaves.

        Only in the first round: there, nobody can have answered yet who is about to be asked.
        """
        gone = leaving.selection
        if len(gone) < BATCH or gone.attempt:
            return
        more = leaving.flight.lane.schedule.behind(gone, BATCH)
        if more is not None:
            self._prepared = _stamped(leaving.flight, more)

    def _booked(self, ready: _Ready, sent: Sent) -> _Left:
        """Take note of what left."""
        count = len(sent.times)
        ready.flight.lane.schedule.sent(ready.selection, sent.times, self._clock.steady())
        self._bucket.take(count)
        self.traffic.probes += count
        if self._rate is not None:
            self._rate.sent(count, len(ready.selection) - count)
        # Recorded while the next batch is framed, in the same memory.
        frames = sent.frames if self._record is None else sent.frames.copy()
        return _Left(ready.flight.wire, Sent(frames, sent.times))

    def _wait(self, running: Sequence[Flight]) -> float:
        """Seconds until a lane wants to be asked again."""
        now = self._clock.steady()
        due = min(flight.lane.schedule.due(now) for flight in running)
        if due <= now:
            due = self._bucket.due(now)
        return min(max(0.0, due - now), _LONGEST_WAIT)

    def _hear(self, flights: Sequence[Flight], came: Sequence[Came], left: _Left | None) -> list[Heard]:
        """Let lanes hear what came in on their wires, and record it before anybody acts on it."""
        heard: list[Heard] = []
        unrecorded = left
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
            sent = None
            if unrecorded is not None and unrecorded.wire is wire:
                sent, unrecorded = unrecorded.sent, None
            if self._record is not None and (sent is not None or len(replies)):
                self._record(wire, sent, frames, distinct(replies))
        return heard


def _stamped(flight: Flight, selection: Selection) -> _Ready:
    lane = flight.lane
    hops = flight.next_hops
    if hops is not None and hops.ndim > 1:
        hops = hops[lane.places(selection.tasks)]
    # A copy, as the lane stamps its next batch while this one leaves.
    return _Ready(flight, selection, Batch(lane.stamp(selection).copy(), flight.ethertype, hops, flight.zone))


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
