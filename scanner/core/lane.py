"""A lane: one kind of probe over one path, with its flows, schedule and ledger.

What goes out is a batch of packets, what comes in are claims; the loop around it has the sockets.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scanner.core.addresses import AddressSet
from scanner.core.hostpace import HostPace
from scanner.core.ledger import Ledger, Replies
from scanner.core.loss import Loss, most_tries
from scanner.core.neighbourlane import NeighbourLane
from scanner.core.outcomes import ADDRESS_CONFLICT, Outcomes, OutcomeSource, address_borders, mac_numbers
from scanner.core.packets import ArpPackets
from scanner.core.rtt import RoundTrip
from scanner.core.rules import Claims, Rank, reason_code
from scanner.core.schedule import Schedule, Selection
from scanner.core.stragglers import Stragglers, StragglerSchedule
from scanner.core.transport import TransportFlows
from scanner.core.ways import Ways
from scanner.core.witness import Witness
from scanner.model import Reason

_TOLERABLE = 0.01
"""Targets expected to be missed, from which on another round is worth it: one in a hundred sweeps."""


class Lane(OutcomeSource):
    """Probes of one protocol from one source, over one wire.

    Counters: `forged` claims named a task with a wrong cookie; `replies` were genuine; `open` ports.
    """

    def __init__(
        self,
        flows: TransportFlows,
        *,
        seed: int,
        attempts: int,
        round_trip: RoundTrip,
        ways: int = 1,
        neighbours: NeighbourLane | None = None,
        witness: Witness | None = None,
        hosts: HostPace | None = None,
    ) -> None:
        """`round_trip`, and what `witness` and `hosts` know, may be shared between lanes over one path.

        `ways`: how many exits it may leave by; one where `hosts` holds probes back. `neighbours`: where the
        addresses, on a link of ours, answered. `attempts` probes a task at most; but where replies get lost,
        and it is likely that somebody was missed, up to as many retries again.
        """
        self.flows = flows
        self._neighbours = neighbours
        self._loss = Loss()
        self._most = most_tries(attempts)
        self.ledger = Ledger(flows.tasks)
        ways = ways if hosts is None else 1
        schedules = [
            Schedule(
                self.ledger,
                seed,
                attempts,
                round_trip.timeout,
                (way, ways),
                self._another,
                ports=len(flows.ports),
                hosts=hosts,
                patience=round_trip.patience,
            )
            for way in range(ways)
        ]
        self.schedule: Schedule | Ways | StragglerSchedule = schedules[0] if ways == 1 else Ways(schedules)
        self._witness = witness or Witness()
        self._round_trip = round_trip
        self.replies = 0
        self.forged = 0
        self.open = 0

    def stamp(self, selection: Selection) -> NDArray[np.uint8]:
        """The packets of a selection."""
        return self.flows.stamp(selection.tasks, selection.attempt)

    def places(self, tasks: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which of its addresses each task asks."""
        return tasks // len(self.flows.ports)

    def hear(self, claims: Claims, _arp: ArpPackets) -> tuple[NDArray[np.int64], Replies]:
        """Take in claims.

        Returns:
            The frames that name a task of this lane, genuine or not (they are evidence), and
            the replies that changed a verdict.
        """
        matched = self.flows.match(claims, self.ledger.tries)
        mine = matched.claims.where(matched.genuine)
        task, attempt = matched.task[matched.genuine], matched.attempt[matched.genuine]
        rtt = np.maximum(mine.times - self.schedule.sent_at(task, attempt), 0)
        # Only the target's own first word measures the path: a router may think for seconds before it
        # gives up, and a SYN/ACK is sent again for a minute where our kernel's reset does not reach.
        first = self.ledger.state[task] == Rank.UNANSWERED
        self._round_trip.observe(rtt[(mine.rank >= Rank.CLOSED) & first])
        telling = np.flatnonzero(first)
        telling = telling[self._witness.telling(task[telling] // len(self.flows.ports))]
        told = task[telling], attempt[telling]
        self._loss.observe(told[1])
        self._witness.tell(self.schedule, *told, mine.rank[telling], self.timeout())
        self.replies += len(task)
        self.forged += len(matched.task) - len(task)
        changed = self.ledger.apply(
            Replies(
                task=task,
                rank=mine.rank,
                reason=mine.reason,
                ttl=mine.ttl,
                responder=mine.responder,
                times=mine.times,
                rtt=rtt,
            )
        )
        self.open += int(np.count_nonzero(changed.rank == Rank.OPEN))
        return matched.claims.frame, changed

    def timeout(self) -> float:
        """Seconds that a first try is waited for."""
        return self._round_trip.timeout(0)

    def follow_up(self, stragglers: Stragglers, number: int) -> None:
        """The rounds are over: go on with the stragglers, among whose lanes this is the one so numbered."""
        if not isinstance(self.schedule, StragglerSchedule):
            self.schedule = StragglerSchedule(self.schedule, self.ledger, stragglers, number)

    def _another(self, rounds: int) -> bool:
        return rounds < self._most and self._loss.missing(rounds) > _TOLERABLE

    @property
    def answered(self) -> int:
        """Tasks that a reply has decided."""
        return len(self.ledger.state) - self.ledger.unanswered

    @property
    def addresses(self) -> AddressSet:
        """The addresses asked."""
        return self.flows.addresses

    def borders(self, step: int) -> NDArray[np.uint32]:
        """As `outcomes.OutcomeSource`."""
        return address_borders(self.addresses, len(self.flows.ports), step)

    def outcomes(self, first: int, last: int) -> Outcomes:
        """What came of the addresses from `first` to `last`, both included."""
        ports = len(self.flows.ports)
        begin = self.addresses.below(first) * ports
        end = self.addresses.below(last + 1) * ports
        return self.outcomes_of(np.arange(begin, end))

    def outcomes_of(self, tasks: NDArray[np.int64]) -> Outcomes:
        """What came of some tasks, in growing order; of those never asked, nothing is said."""
        tasks = tasks[self.ledger.tries[tasks] > 0]
        address, port = self.flows.targets(tasks)
        outcomes = Outcomes.silent(
            address,
            np.full(len(tasks), self.flows.protocol, dtype=np.uint8),
            port,
            Rank.UNANSWERED,
            reason_code(Reason.NO_RESPONSE),
        )
        outcomes.tries[:] = self.ledger.tries[tasks]
        silent = np.flatnonzero(self.ledger.state[tasks] == Rank.UNANSWERED)
        outcomes.time[silent] = self.schedule.sent_at(tasks[silent], outcomes.tries[silent] - 1)
        outcomes.decide(tasks, self.ledger)
        if self._neighbours is not None:
            macs, contested = self._neighbours.heard_of(outcomes.address)
            outcomes.mac[:] = mac_numbers(macs)
            outcomes.note[contested] = ADDRESS_CONFLICT
        return outcomes
