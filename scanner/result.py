"""The result of a sweep or of reading a capture: records in order of address, counts, and how it went.

Records are made when they are asked for, a bounded number at a time: a result of millions costs columns only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from scanner.contracts import ColumnReporter, Reporter
from scanner.core.addresses import format_addresses
from scanner.core.ordering import counted, distinct
from scanner.core.outcomes import ABSENT, HINTS, NOTES, PROTOCOLS, Outcomes, OutcomeSource, in_address_order
from scanner.core.records import Names, verdicts
from scanner.core.rules import Rank, state_of
from scanner.model import REASONS, Kind, Protocol, Reason, Service, State, Verdict

_PORTS = 1 << 16
_MOST_MACS = 1 << 17


class Tally(Mapping[Kind, int]):
    """Targets by protocol, port, state and reason; 0 where there are none.

    notes, hints: how many targets have which. macs: for how many addresses each hardware address answered; of
    very many, those that did for most.
    """

    def __init__(self) -> None:
        """Nothing is counted yet."""
        self.notes: Counter[str] = Counter()
        self.hints: Counter[str] = Counter()
        self.macs: Counter[int] = Counter()
        # A capture may have every reason at every port: that would be too many for a dictionary.
        self._by_port: dict[tuple[Protocol, State, Reason], NDArray[np.int64]] = {}

    def __getitem__(self, kind: Kind) -> int:
        proto, port, state, reason = kind
        counts = self._by_port.get((proto, state, reason))
        return 0 if counts is None or not 0 <= port < _PORTS else int(counts[port])

    def __contains__(self, kind: object) -> bool:
        match kind:
            case (Protocol() as proto, int(port), State() as state, Reason() as reason):
                return self[proto, port, state, reason] > 0
        return False

    def __iter__(self) -> Iterator[Kind]:
        for (proto, state, reason), counts in self._by_port.items():
            for port in np.flatnonzero(counts).tolist():
                yield proto, port, state, reason

    def __len__(self) -> int:
        return sum(int(np.count_nonzero(counts)) for counts in self._by_port.values())

    def total(self) -> int:
        """All targets."""
        return sum(self.by_reason().values())

    @property
    def answered(self) -> int:
        """Targets for which something came back."""
        return sum(
            count
            for (_, state, reason), count in self.by_reason().items()
            if state is not State.DOWN and reason is not Reason.NO_RESPONSE
        )

    def by_reason(self) -> dict[tuple[Protocol, State, Reason], int]:
        """Targets by protocol, state and reason, of all ports."""
        return {kind: int(counts.sum()) for kind, counts in self._by_port.items()}

    def count(self, outcomes: Outcomes) -> None:
        """Add some."""
        self.notes.update(_counted(outcomes.note, NOTES))
        self.hints.update(_counted(outcomes.hint, HINTS))
        self._count_macs(outcomes)
        keys = outcomes.protocol.astype(np.int64) << 16
        keys |= (outcomes.rank.astype(np.int64) << 8) | outcomes.reason
        for key in distinct(keys).tolist():
            transport = PROTOCOLS[key >> 16]
            kind = (transport, state_of(key >> 8 & 0xFF, transport), REASONS[key & 0xFF])
            counts = np.bincount(outcomes.port[keys == key], minlength=_PORTS)
            self._by_port[kind] = self._by_port.get(kind, 0) + counts

    def _count_macs(self, outcomes: Outcomes) -> None:
        known = outcomes.mac != ABSENT
        if known.any():
            # Rows of one address stand together; the first of them counts.
            known[1:] &= outcomes.address[1:] != outcomes.address[:-1]
            macs, counts = counted(outcomes.mac[known])
            self.macs.update(dict(zip(macs.tolist(), counts.tolist(), strict=True)))
            if len(self.macs) > _MOST_MACS:
                self.macs = Counter(dict(self.macs.most_common(_MOST_MACS // 2)))


Choice = Callable[[Outcomes], Outcomes]


class OnlyDecided(OutcomeSource):
    """An `OutcomeSource` of what was cut short: silence proves nothing, and who did not reply is left out."""

    def __init__(self, source: OutcomeSource) -> None:
        self._source = source

    def borders(self, step: int) -> NDArray[np.uint32]:
        """As `OutcomeSource`."""
        return self._source.borders(step)

    def outcomes(self, first: int, last: int) -> Outcomes:
        """As `OutcomeSource`."""
        outcomes = self._source.outcomes(first, last)
        return outcomes.take(outcomes.rank != Rank.UNANSWERED)


class Result:
    """What was found out.

    complete: every target has its verdict.
    unfinished: targets that have none, because the sweep was cut short.
    forged: replies whose cookie was wrong; they changed nothing.
    """

    def __init__(
        self,
        sources: Sequence[OutcomeSource],
        *,
        complete: bool,
        unfinished: int,
        forged: int,
        names: Names = format_addresses,
        services: Mapping[tuple[str, int], Service] | None = None,
    ) -> None:
        """`names`: texts of the sources' addresses. `services`: of open TCP ports, by address and port."""
        self._sources = sources
        self._tally: Tally | None = None
        self._names = names
        self._services = services or {}
        self.complete = complete
        self.unfinished = unfinished
        self.forged = forged

    def __iter__(self) -> Iterator[Verdict]:
        """All records, by address, protocol and port."""
        return self.verdicts()

    def verdicts(self, choice: Choice | None = None) -> Iterator[Verdict]:
        """The records whose outcomes are chosen, by address, protocol and port."""
        for outcomes in self._chosen(choice):
            records = verdicts(outcomes, self._names)
            yield from map(self._served, records) if self._services else records

    def report(self, reporter: Reporter, choice: Choice | None = None) -> None:
        """Hand a reporter the same records, in columns where it takes those."""
        # What is known of services is not in columns: only some of the few open ports have any.
        if isinstance(reporter, ColumnReporter) and not self._services:
            reporter.write_outcomes(self._chosen(choice), self._names)
        else:
            reporter.write(self.verdicts(choice))

    def _chosen(self, choice: Choice | None) -> Iterator[Outcomes]:
        """Outcomes in order, a bounded number at a time; all of them are counted as they pass."""
        tally = Tally()
        for outcomes in in_address_order(self._sources):
            tally.count(outcomes)
            yield choice(outcomes) if choice else outcomes
        self._tally = tally

    def _served(self, verdict: Verdict) -> Verdict:
        if verdict.state is not State.OPEN or verdict.proto is not Protocol.TCP:
            return verdict
        service = self._services.get((verdict.ip, verdict.port))
        return verdict if service is None else structs.replace(verdict, service=service)

    def open(self) -> list[Verdict]:
        """The records of open ports."""
        return list(self.verdicts(only_open))

    def more_answered_than(self, few: int) -> bool:
        """Whether for more targets than that something came back; where many did, this is known at once."""
        if self._tally is None:
            tally = Tally()
            for outcomes in in_address_order(self._sources):
                tally.count(outcomes)
                if tally.answered > few:
                    return True
            self._tally = tally
        return self._tally.answered > few

    def tally(self) -> Tally:
        """How many targets came to which state, for which reason: known once all were given, else counted."""
        for _ in () if self._tally is not None else self._chosen(None):
            pass
        return self._tally or Tally()


def _counted(codes: NDArray[np.uint8], texts: tuple[str, ...]) -> dict[str, int]:
    counts = np.bincount(codes, minlength=len(texts)).tolist()
    return {text: count for text, count in zip(texts, counts, strict=True) if text and count}


def only_open(outcomes: Outcomes) -> Outcomes:
    """Open ports."""
    return outcomes.take(outcomes.rank == Rank.OPEN)


def not_open(outcomes: Outcomes) -> Outcomes:
    """All but open ports."""
    return outcomes.take(outcomes.rank != Rank.OPEN)


def responders(outcomes: Outcomes) -> Outcomes:
    """Targets for which anything came back, from them or from a router on the way, or must have."""
    return outcomes.take((outcomes.responder >= 0) | (outcomes.note > 0))
