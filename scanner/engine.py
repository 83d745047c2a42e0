"""The engine: the one loop. Pace, send, receive, hear; until nothing is left to wait for.

It knows lanes, wires and time, all of them arguments; not targets, files or people.
"""

from __future__ import annotations

import select
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from scanner.contracts import ETHERTYPE_IPV4, Batch, Clock, Frames, Sent, Wire
from scanner.core.book import AddressBook
from scanner.core.decode import decode_untrusted
from scanner.core.lane import Lane
from scanner.core.ledger import Replies
from scanner.core.neighbourlane import NeighbourLane
from scanner.core.pacing import TokenBucket
from scanner.core.rate import JUDGED_TRIES, Counters, RateController
from scanner.core.rules import Rules
from scanner.gate import Gate

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


Recorder = Callable[[Wire, Sent | None, Frames, NDArray[np.int64]], None]
"""Takes a wire, a batch that left over it (or None), frames that came in, and which of them are replies."""


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
    ) -> None:
        """Ready to run; what is not there is not done.

        rate: sets that of the bucket. record: where evidence goes. book: where IPv6 addresses have their
        numbers, None where none is asked. stopped: asked in every turn; True ends the run early.
        """
        self._gate = gate
        self._clock = clock
        self._bucket = bucket
        self._rate = rate
        self._record = record
        self._stopped = stopped
        self._book = book
        self._rules = Rules()
        self.traffic = Traffic()

    def run(self, flights: Sequence[Flight]) -> Iterator[Heard | None]:
        """Run flights to their end, or until stopped.

        Yields:
            What was heard, as it comes; None after each turn, so that a caller can look at counters.

        Raises:
            WireError: a wire failed. What was heard before stands.
            ScopeRefused: the gate stopped a packet; it is a fault in this package that it came so far.
        """
        wires = list({id(flight.wire): flight.wire for flight in flights}.values())
        turn = 0
        while not self._stopped():
            running = [
                flight for flight in flights if not flight.lane.schedule.finished(self._clock.steady())
            ]
            if not running:
                return
            sender: Wire | None = None
            sent: Sent | None = None
            # One send a turn, the lanes in turns: none starves, and replies are fetched in between.
            for step in range(len(running)):
                flight = running[(turn + step) % len(running)]
                sent = self._send(flight)
                if sent is not None:
                    sender = flight.wire
                    turn += step + 1
                    break
            wait = self._wait(running) if sent is None else 0.0 if len(sent.times) else _REFUSED_WAIT
            patience = _patience(wires, wait)
            for wire in wires:
                yield from self._receive(flights, wire, sent if wire is sender else None, patience)
            self._adapt(flights, wires)
            yield None

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
        schedules = [flight.lane.schedule for flight in flights if isinstance(flight.lane, Lane)]
        asked_again = [
            min((schedule.asked_again(attempt) for schedule in schedules), default=float("inf"))
            for attempt in range(JUDGED_TRIES)
        ]
        self._rate.look(now, self._clock.wall(), counters, asked_again)
        self._bucket.change(self._rate.rate, now)

    def _send(self, flight: Flight) -> Sent | None:
        """Send what a lane may send now; None where that is nothing."""
        lane = flight.lane
        limit = min(BATCH, self._bucket.available(self._clock.steady()))
        selection = lane.schedule.take(limit, self._clock.steady())
        if selection is None:
            return None
        hops = flight.next_hops
        if hops is not None and hops.ndim > 1:
            hops = hops[lane.places(selection.tasks)]
        sent = self._gate.send(flight.wire, Batch(lane.stamp(selection), flight.ethertype, hops, flight.zone))
        lane.schedule.sent(selection, sent.times, self._clock.steady())
        self._bucket.take(len(sent.times))
        self.traffic.probes += len(sent.times)
        if self._rate is not None:
            self._rate.sent(len(sent.times), len(selection) - len(sent.times))
        return sent

    def _wait(self, running: Sequence[Flight]) -> float:
        """Seconds until a lane wants to be asked again."""
        now = self._clock.steady()
        due = min(flight.lane.schedule.due(now) for flight in running)
        if due <= now:
            due = self._bucket.due(now)
        return min(max(0.0, due - now), _LONGEST_WAIT)

    def _receive(
        self, flights: Sequence[Flight], wire: Wire, sent: Sent | None, patience: float
    ) -> list[Heard]:
        """Fetch what a wire has, let its lanes hear it, and record it before anybody acts on it."""
        frames = wire.receive(patience)
        replies: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        heard: list[Heard] = []
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
        if self._record is not None and (sent is not None or len(replies)):
            self._record(wire, sent, frames, np.unique(replies))
        return heard


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
