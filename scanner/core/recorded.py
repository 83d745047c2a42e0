"""What a capture says of ports: probes and replies as they were recorded, judged by the rules of a sweep.

Feed it decoded frames, then ask for the judgement. Probes and claims are kept in order of address, on disk
where there are many, and judged an address range at a time: memory does not depend on the capture's size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from scanner.core.addresses import AddressSet
from scanner.core.book import FIRST_ENTRY, AddressBook
from scanner.core.flowtable import (
    Joined,
    Probes,
    candidate_probes,
    copies,
    flow_keys,
    flow_words,
    join,
    mix,
    target_keys,
    to_themselves,
)
from scanner.core.forgeries import Forgeries
from scanner.core.ledger import Ledger, Replies
from scanner.core.lots import Lot, Lots, carried
from scanner.core.ordering import distinct
from scanner.core.outcomes import ABSENT, ADDRESS_CONFLICT, NOTES, Outcomes
from scanner.core.packets import NO_TIME, TCP, UDP, Decoded
from scanner.core.presence import Presence
from scanner.core.rules import SYN_REPLIES, Claims, Rank, ReplyRules, Rules, reason_code
from scanner.core.runs import Runs, Scratch, one_ahead
from scanner.core.store import OutcomeStore
from scanner.core.thinning import thinned
from scanner.model import Protocol, Reason

Numbers = NDArray[np.uint32]

_HELD = 1 << 16
"""Probes, and claims, that are held in memory; and as many of both together are judged at once."""

_OPEN_INFERRED = NOTES.index("open-inferred")
_NOTHING_INBOUND, _NOTHING_FROM_TARGET, _NOTHING_TO_PROBER = 1, 2, 3


@dataclass(frozen=True, slots=True)
class CookieKey:
    """The key of a sweep, which tells its probes from others'.

    They left from these sources, for each target `tries` times at most. book: gives addresses their numbers.
    """

    key: bytes
    sources: AddressSet
    tries: int
    book: AddressBook

    def ours(self, probes: Probes) -> NDArray[np.bool_]:
        """Which probes are the sweep's own."""
        from scanner.core import cookie  # noqa: PLC0415 - for those who have a key
        from scanner.core.transport import flows_of  # noqa: PLC0415

        ours = self.sources.contains(probes.prober)
        for source in distinct(probes.prober[ours]).tolist():
            for protocol in distinct(probes.protocol).tolist():
                rows = np.flatnonzero(ours & (probes.prober == source) & (probes.protocol == protocol))
                book = self.book if source >= FIRST_ENTRY else None
                targets, ports = probes.target[rows], probes.target_port[rows]
                flow = flows_of(self.key, source, targets, ports, protocol, book)
                tried = cookie.attempts(flow.offset, probes.target_port[rows], probes.prober_port[rows])
                ours[rows] = (tried >= 0) & (tried < self.tries)
                if protocol != UDP:
                    ours[rows] &= flow.sequence == probes.sequence[rows]
        return ours


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a capture.

    ports: `(65536,)` bool. key: only this sweep's own probes count. prober, target: which addresses may be
    one, None for any. per_prober: an outcome for each prober of a target. rules: of probes that are not the
    usual ones of their protocol.
    """

    ports: NDArray[np.bool_]
    key: CookieKey | None = None
    prober: Callable[[Numbers], NDArray[np.bool_]] | None = None
    target: Callable[[Numbers], NDArray[np.bool_]] | None = None
    per_prober: bool = False
    rules: Mapping[Protocol, ReplyRules] = field(default_factory=dict)


def bearing(question: Question, rules: Rules, decoded: Decoded) -> tuple[Probes, Claims]:
    """The packets that bear on a question: what may be a probe, and what may say something of one."""
    probes = candidate_probes(decoded, question.ports, question.rules.get(Protocol.TCP, SYN_REPLIES))
    claims = rules.claims(decoded)
    claims = claims.where(question.ports[claims.target_port])
    if question.key is not None:
        from scanner.core.transport import echoes  # noqa: PLC0415 - for those who have a key

        probes = probes.where(question.key.ours(probes))
        claims = claims.where(~echoes(claims))
    else:
        claims = claims.where(~to_themselves(claims))
        told = rules.asides(decoded)
        told = told.where(question.ports[told.target_port])
        claims = Claims.concatenate([claims, _first_and_last(told)])
    if question.prober is not None:
        probes = probes.take(question.prober(probes.prober))
        claims = claims.take(question.prober(claims.prober))
    if question.target is not None:
        probes = probes.take(question.target(probes.target))
        claims = claims.take(question.target(claims.target))
    return probes, claims


@dataclass(frozen=True, slots=True)
class Judgement:
    """What came of it.

    store: the outcomes. forged: replies that name a recorded probe but not its sequence number; with a key,
    as in the sweep, all that name a target and are no answer to any of its probes.
    """

    store: OutcomeStore
    forged: int


class RecordedTraffic:
    """Collects what bears on some ports."""

    def __init__(self, question: Question, scratch: Scratch) -> None:
        """`scratch`: room for what memory does not hold."""
        self._question = question
        self._scratch = scratch
        self._rules = Rules(question.rules)
        self._probes = Runs(Probes.none(), scratch, _HELD)
        self._claims = Runs(Claims.none(), scratch, _HELD)
        self._presence = Presence(scratch, _HELD)
        self._inbound = False

    def add(self, decoded: Decoded, frames: int) -> None:
        """Take in the packets of some frames.

        Args:
            decoded: they.
            frames: how many came before them in the capture. Raises CaptureError for want of room.
        """
        probes, claims = bearing(self._question, self._rules, decoded)
        probes, claims = thinned(probes, claims)
        self._probes.add(flow_keys(probes), replace(probes, frame=probes.frame + frames))
        self._claims.add(flow_keys(claims), replace(claims, frame=claims.frame + frames))
        self._presence.add(decoded.arp)

    @property
    def kept(self) -> int:
        """Probes and claims that are kept."""
        return self._probes.count + self._claims.count

    def present(self, among: AddressSet) -> AddressSet:
        """Those of some addresses that answered ARP, or neighbour solicitations."""
        return self._presence.addresses(among)

    def judge(
        self,
        heard: Callable[[Numbers], NDArray[np.bool_]],
        renumber: Callable[[Numbers], Numbers] = lambda numbers: numbers,
    ) -> Judgement:
        """What came of every port that was probed.

        Args:
            heard: whether the capture has any packet to these addresses.
            renumber: makes of addresses numbers that are in the order of records.
        """
        store = OutcomeStore(self._scratch, _HELD)
        forgeries = Forgeries(of_marked=self._question.key is not None)
        for lot, joined in self._lots():
            outcomes, places = self._judge(lot.probes, lot.claims, joined, heard, forgeries)
            store.add(_renumbered(outcomes, renumber), places)
        if self._inbound:
            # Some prober was sent something: of the silent ones it is their own probers who were not.
            store.say_instead(_NOTHING_INBOUND, _NOTHING_TO_PROBER)
        return Judgement(store, forgeries.count)

    def _lots(self) -> Iterator[tuple[Lot, Joined]]:
        """Probes and claims brought together, some flows at a time."""
        asked = self._question.ports if self._question.key is None else None
        lots = Lots(self._scratch, _HELD, asked).of(self._probes, self._claims)
        before: tuple[Lot, Joined] | None = None
        for lot in one_ahead(self._scratch, lots):
            whole = lot
            if lot.goes_on and before is not None:
                known = carried(*before, _HELD, talks=asked is not None)
                whole = replace(
                    lot,
                    probes=Probes.concatenate([known.probes, lot.probes]),
                    claims=Claims.concatenate([known.claims, lot.claims]),
                )
            joined = join(whole.probes, whole.claims, None if lot.led else asked)
            before = whole, joined
            yield before

    def _judge(
        self,
        probes: Probes,
        claims: Claims,
        joined: Joined,
        heard: Callable[[Numbers], NDArray[np.bool_]],
        forgeries: Forgeries,
    ) -> tuple[Outcomes, NDArray[np.int64]]:
        """Outcomes of all probes to some addresses, and the places in the capture of what decided them.

        `joined` tells which claim is of which probe. Replies that may be forged go to `forgeries`.
        """
        question = self._question
        asked = probes.where(joined.true)
        target, prober, task_of_true = _tasks(asked, per_prober=question.per_prober)
        task = np.full(len(probes), -1, dtype=np.int64)
        task[joined.true] = task_of_true
        ledger = Ledger(len(target))
        row, probe = joined.row[joined.genuine], joined.probe[joined.genuine]
        replies = claims.rank[row] != Rank.UNANSWERED
        betrayed = self._betrayed(claims, probes, joined, row[~replies], probe[~replies])
        row, probe = _by_place(claims, row[replies], probe[replies], task)
        ledger.apply(
            Replies(
                task=task[probe],
                rank=claims.rank[row],
                reason=claims.reason[row],
                ttl=claims.ttl[row],
                responder=claims.responder[row],
                times=claims.times[row],
                rtt=_between(probes.times[probe], claims.times[row]),
            )
        )
        outcomes = _silent(target, prober)
        weights = np.where(copies(asked), 0, asked.count)
        outcomes.tries[:] = np.bincount(task_of_true, weights=weights, minlength=len(target))
        latest = np.full(len(target), np.iinfo(np.int64).min)
        np.maximum.at(latest, task_of_true, asked.times)
        outcomes.time[:] = latest
        outcomes.decide(np.arange(len(target)), ledger)
        outcomes.mac[:], contested = self._presence.of(outcomes.address)
        outcomes.note[contested] = ADDRESS_CONFLICT
        if question.key is None:
            reached = _reached(asked, task_of_true, len(target), heard)
            self._inbound |= bool(reached.any())
            _remark(outcomes, distinct(task[betrayed]), reached)
            forgeries.add_replies(claims, joined, target, task, ledger.state == Rank.OPEN)
        else:
            forgeries.add_strangers(claims, probes, joined, question.key.sources)
        return outcomes, _places(claims, row, task[probe], outcomes)

    def _betrayed(
        self,
        claims: Claims,
        probes: Probes,
        joined: Joined,
        row: NDArray[np.int64],
        probe: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        """Probes whose prober goes on as if answered, in flows of which the target's side is not captured."""
        own = claims.responder[row] != claims.target[row]
        betrayed: NDArray[np.int64] = probe[own]
        if not len(betrayed):
            return betrayed
        spoken = claims.protocol[joined.row] == TCP
        spoken &= claims.responder[joined.row] == claims.target[joined.row]
        flows = mix(flow_words(probes))
        silent: NDArray[np.int64] = betrayed[~np.isin(flows[betrayed], flows[joined.probe[spoken]])]
        return silent


def _between(sent: NDArray[np.int64], came: NDArray[np.int64]) -> NDArray[np.int64]:
    """How long each answer took, in ns; ABSENT where one of both times is not known."""
    timed = (sent != NO_TIME) & (came != NO_TIME)
    return np.where(timed, np.maximum(came - sent, 0), ABSENT)


def _by_place(
    claims: Claims, row: NDArray[np.int64], probe: NDArray[np.int64], task: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Replies and their probes, those of one task in the order of the capture: at one time, it decides."""
    of = task[probe]
    several = np.flatnonzero(np.bincount(of)[of] > 1) if len(of) else of
    if len(several):
        order = several[np.argsort(claims.frame[row[several]], kind="stable")]
        row, probe = row.copy(), probe.copy()
        row[several], probe[several] = row[order], probe[order]
    return row, probe


def _places(
    claims: Claims, row: NDArray[np.int64], task: NDArray[np.int64], outcomes: Outcomes
) -> NDArray[np.int64]:
    """Places of the replies that decided, of the silent any."""
    places = np.full(len(outcomes), np.iinfo(np.int64).max)
    decided = (claims.rank[row] == outcomes.rank[task]) & (claims.times[row] == outcomes.time[task])
    np.minimum.at(places, task[decided], claims.frame[row[decided]])
    return places


def _first_and_last(told: Claims) -> Claims:
    """Of those that say the same of the same flow, as a connection's acknowledgements do, two.

    A probe may have left in between.
    """
    what = told.sequence.astype(np.uint64) << np.uint64(8) | told.check
    same = mix((mix(flow_words(told)), what))
    order = np.lexsort((told.times, same))
    ends = np.ones(len(order), dtype=np.bool_)
    ends[1:-1] = (same[order][1:-1] != same[order][:-2]) | (same[order][1:-1] != same[order][2:])
    return told.where(ends[np.argsort(order)])


def _tasks(
    probes: Probes, *, per_prober: bool
) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64]]:
    """Target and prober (else ABSENT) of each task, in order, and the task of each probe."""
    keys = target_keys(probes)
    if not per_prober:
        if (keys[1:] >= keys[:-1]).all():
            # As they come, where each target is asked for one port.
            opens = np.ones(len(keys), dtype=np.bool_)
            opens[1:] = keys[1:] != keys[:-1]
            targets, task = keys[opens], np.cumsum(opens) - 1
        else:
            targets, task = np.unique(keys, return_inverse=True)
        return targets, np.full(len(targets), ABSENT, dtype=np.int64), task
    order = np.lexsort((probes.prober, keys))
    begins = np.ones(len(order), dtype=np.bool_)
    begins[1:] = np.diff(keys[order]) != 0
    begins[1:] |= np.diff(probes.prober[order]) != 0
    task = np.empty(len(order), dtype=np.int64)
    task[order] = np.cumsum(begins) - 1
    first = order[begins]
    return keys[first], probes.prober[first].astype(np.int64), task


def _silent(targets: NDArray[np.uint64], prober: NDArray[np.int64]) -> Outcomes:
    outcomes = Outcomes.silent(
        (targets >> np.uint64(24)).astype(np.uint32),
        (targets >> np.uint64(16)).astype(np.uint8),
        targets.astype(np.uint16),
        Rank.UNANSWERED,
        reason_code(Reason.NO_RESPONSE),
    )
    outcomes.prober[:] = prober
    return outcomes


def _reached(
    probes: Probes, task: NDArray[np.int64], tasks: int, heard: Callable[[Numbers], NDArray[np.bool_]]
) -> NDArray[np.bool_]:
    """Tasks to a prober of which the capture has any packet."""
    probers, which = np.unique(probes.prober, return_inverse=True)
    reached = np.zeros(tasks, dtype=np.bool_)
    reached[task[heard(probers)[which]]] = True
    return reached


def _remark(outcomes: Outcomes, betrayed: NDArray[np.int64], reached: NDArray[np.bool_]) -> None:
    """Say where the capture seems to show one way only."""
    outcomes.note[betrayed[outcomes.rank[betrayed] <= Rank.FILTERED]] = _OPEN_INFERRED
    silent = outcomes.rank == Rank.UNANSWERED
    outcomes.hint[silent & (outcomes.note == _OPEN_INFERRED)] = _NOTHING_FROM_TARGET
    outcomes.hint[silent & ~reached] = _NOTHING_INBOUND


def _renumbered(outcomes: Outcomes, renumber: Callable[[Numbers], Numbers]) -> Outcomes:
    def signed(column: NDArray[np.int64]) -> NDArray[np.int64]:
        numbers = renumber(np.maximum(column, 0).astype(np.uint32)).astype(np.int64)
        return np.where(column == ABSENT, ABSENT, numbers)

    return replace(
        outcomes,
        superseded=_steps_renumbered(outcomes.superseded, renumber),
        address=renumber(outcomes.address),
        responder=signed(outcomes.responder),
        prober=signed(outcomes.prober),
    )


def _steps_renumbered(
    superseded: NDArray[np.object_], renumber: Callable[[Numbers], Numbers]
) -> NDArray[np.object_]:
    """As `Outcomes.superseded`."""
    rows = np.flatnonzero(superseded.astype(np.bool_)).tolist()
    responders = np.array([step[3] for row in rows for step in superseded[row]], dtype=np.uint32)
    numbers = renumber(responders)
    if numbers is responders:
        return superseded
    moved, number = superseded.copy(), iter(numbers.tolist())
    for row in rows:
        moved[row] = tuple((*step[:3], next(number), step[4]) for step in superseded[row])
    return moved
