"""Reading captures: the verdicts of what somebody probed, by the very rules of a sweep.

Where a sweep of ours left its plan beside a capture, that is used: only its own probes count, told by
their cookies, and targets of which a capture cannot speak (no route, nobody at home) get their verdict too.
All other captures are read as one: a probe may be in the first, and its answer in the second.
"""

from __future__ import annotations

import functools
import operator
from collections import Counter
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from os import PathLike, fspath
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from scanner.capture import open_capture
from scanner.capture.apart import open_apart
from scanner.capture.evidence import Plan, read_plan
from scanner.capture.scratch import ScratchFile
from scanner.contracts import Frames
from scanner.core.addresses import AddressSet
from scanner.core.book import AddressBook
from scanner.core.dissect import Dissector
from scanner.core.hosts import Hosts
from scanner.core.ipv6 import Ipv6Set, high_in_zone
from scanner.core.loss import most_tries
from scanner.core.outcomes import Absent, OutcomeSource, absent, in_address_order
from scanner.core.packets import NO_TIME, Decoded
from scanner.core.ports import ports_of
from scanner.core.recorded import CookieKey, Numbers, Question, RecordedTraffic
from scanner.core.selection import Selection
from scanner.model import CaptureError, GhostportError, Reason, RoomError
from scanner.result import OnlyDecided, Result

if TYPE_CHECKING:
    from scanner.core.conversations import Conversation, Conversations
    from scanner.core.pairing import Pairing, Pairs

GHOST_PORT = 401
"""What is asked about where nobody says otherwise."""

_PORTS = 1 << 16
_AT_ONCE = 1 << 16
"""Frames that are looked at together: so many that their columns are near at hand, in a processor's cache."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What captures came to.

    result: the verdicts, none where conversations were asked for. conversations: who talked at all.
    ports: those asked about. frames: how many were read. unread: those that were not, by the reason.
    """

    result: Result
    conversations: Conversations | None
    names: Callable[[Numbers], list[str]]
    ports: Sequence[int]
    frames: int
    unread: Counter[str]

    def talks(self) -> Iterator[Conversation]:
        """The conversations."""
        if self.conversations is None:
            return iter(())
        from scanner.recognising import Recogniser  # noqa: PLC0415 - for those who ask

        return self.conversations.finish(self.names, Recogniser().service)


def read_capture(
    path: str | PathLike[str],
    *,
    ports: str | Iterable[int] | None = None,
    warn: Callable[[str], None] | None = None,
) -> Result:
    """Classify a recorded capture.

    Args:
        path: a pcap or pcapng file, compressed or not; `-` is standard input.
        ports: those to speak of, as on the command line or as numbers; None: those of the plan beside
            the capture, else 401.
        warn: called with one line where the capture is cut off; what could be read still counts.

    Raises:
        CaptureError: it cannot be read, or is no capture. UsageError: the ports are none.
    """
    wanted = None if ports is None else asked_ports(ports)
    return read_captures([path], selection=Selection(ports=wanted), warn=warn).result


def asked_ports(ports: str | Iterable[int]) -> NDArray[np.bool_]:
    """Ports as text or as numbers, as a `Selection` has them. Raises UsageError where they are none."""
    return _mask(ports_of(ports))


def read_captures(
    paths: Sequence[str | PathLike[str]],
    *,
    selection: Selection,
    conversations: bool = False,
    per_prober: bool = False,
    warn: Callable[[str], None] | None = None,
    fault: Callable[[GhostportError], None] | None = None,
) -> Reading:
    """Classify what was probed in several captures.

    Args:
        paths: as for `read_capture`.
        selection: what to speak of.
        conversations: say who talked on the ports, instead of verdicts.
        per_prober: a verdict for each prober of a target.
        warn: called with one line for each capture that is cut off.
        fault: called for each that cannot be read, or is damaged; the others are read, and of this one
            what came before the damage. Without it, the first fault is raised.

    Raises:
        CaptureError: a capture cannot be read and there is no `fault`, or the disk is too small.
    """
    plans = [plan for path in paths if (plan := _known_plan(path)) is not None]
    reader = _Reader(plans, selection, conversations=conversations, per_prober=per_prober)
    for path in paths:
        try:
            reader.read(path, warn)
        except CaptureError as error:
            if fault is None:
                raise
            fault(error)
    return reader.reading()


def open_planned(
    path: str | PathLike[str], plan: Plan | None, *, warn: Callable[[str], None] | None = None
) -> Iterator[Frames]:
    """The frames of a capture by `open_capture`; the interfaces that its plan names are told apart.

    Raises CaptureError as that does.
    """
    return open_capture(path, warn=warn, interfaces=_told_apart(plan))


def _told_apart(plan: Plan | None) -> Container[str]:
    return () if plan is None else plan.zones


def read_frames(frames: Iterable[Frames], *, selection: Selection) -> Reading:
    """Classify what was probed in frames that are at hand; as `read_captures`."""
    reader = _Reader([], selection)
    reader.take(frames)
    return reader.reading()


def read_pairs(frames: Iterable[Frames], *, selection: Selection, plan: Plan | None = None) -> Pairs:
    """Which frame was a probe, and which the reply that decided; held in memory.

    Args:
        frames: in order.
        selection: what to speak of.
        plan: the plan of the sweep whose evidence this is; only its own probes count.
    """
    reader = _Reader([] if plan is None else [plan], selection, pairs=True)
    reader.take(frames, plan)
    return reader.pairs()


class _Reader:
    """Reads captures one behind the other."""

    def __init__(
        self,
        plans: Sequence[Plan],
        selection: Selection,
        *,
        conversations: bool = False,
        per_prober: bool = False,
        pairs: bool = False,
    ) -> None:
        self._selection = selection
        self._per_prober = per_prober
        # Whom sweeps asked is known before any capture is read.
        known = functools.reduce(operator.or_, (plan.hosts(plan.targets).ipv6 for plan in plans), Ipv6Set())
        zones = {zone: name for plan in plans for name, zone in plan.zones.items() if name not in plan.lent}
        self._book = AddressBook(known, zones)
        self._scratch = ScratchFile()
        self._traffic: list[_Traffic] = []
        self._common: _Traffic | None = None
        self._asked = np.zeros(_PORTS, dtype=np.bool_)
        self._talks: Conversations | None = None
        self._wants_talks = conversations
        self._wants_pairs = pairs
        self.frames = 0

    def read(self, path: str | PathLike[str], warn: Callable[[str], None] | None) -> None:
        """Take in one capture. Raises CaptureError; what was taken in before stays."""
        plan = None if path == "-" else read_plan(path)
        before = self.frames
        frames = open_apart(path, warn=warn, interfaces=_told_apart(plan))
        try:
            # Whoever keeps an error keeps what it came from; neither file nor process is to stay for that.
            with closing(cast("Generator[Frames, None, None]", frames)):
                self.take(frames, plan)
        except RoomError as error:
            name = "standard input" if path == "-" else fspath(path)
            first = self.frames - before + 1
            raise CaptureError(f"{name}: left out all from frame {first} on: {error}") from None

    def take(self, frames: Iterable[Frames], plan: Plan | None = None) -> None:
        """Take in frames, the evidence of a sweep where there is its plan."""
        traffic = self._traffic_of(plan)
        for chunk in frames:
            for begin in range(0, len(chunk), _AT_ONCE):
                part = chunk.part(begin, begin + _AT_ONCE)
                traffic.add(self._within(part), self.frames)
                self.frames += len(part)

    def _traffic_of(self, plan: Plan | None) -> _Traffic:
        if plan is None and self._common is not None:
            return self._common
        selection = self._selection
        ports = _ports_of_plan(plan) if selection.ports is None else selection.ports
        question = Question(
            ports=ports,
            key=None if plan is None else _key(plan, self._book),
            prober=self._membership(selection.probers),
            target=self._membership(selection.targets),
            per_prober=self._per_prober,
            rules={} if plan is None else plan.reply_rules(),
        )
        self._asked |= ports
        if self._wants_talks and self._talks is None:
            from scanner.core.conversations import Conversations  # noqa: PLC0415 - for those who ask

            self._talks = Conversations(self._asked)
        pairing = None
        if self._wants_pairs:
            from scanner.core.pairing import Pairing  # noqa: PLC0415 - for those who ask

            pairing = Pairing(question)
        traffic = _Traffic(question, plan, self._book, self._scratch, self._talks, pairing)
        self._traffic.append(traffic)
        if plan is None:
            self._common = traffic
        return traffic

    def _membership(self, networks: Hosts | None) -> Callable[[Numbers], NDArray[np.bool_]] | None:
        if networks is None:
            return None
        book = self._book

        def within(numbers: Numbers) -> NDArray[np.bool_]:
            is_ipv6, high, low = book.halves(numbers)
            ipv4 = networks.ipv4.contains(low.astype(np.uint32))
            return np.where(is_ipv6, networks.ipv6.contains(high_in_zone(high, 0), low), ipv4)

        return within

    def _within(self, frames: Frames) -> Frames:
        """Those of the time that is asked about."""
        since, until = self._selection.since, self._selection.until
        if since is None and until is None:
            return frames
        times = frames.times
        wanted = times != NO_TIME
        if since is not None:
            wanted &= times >= since
        if until is not None:
            wanted &= times <= until
        return frames.only(wanted)

    def pairs(self) -> Pairs:
        """Probes and replies of what was taken in."""
        for traffic in self._traffic:
            traffic.finish()
        (pairing,) = [traffic.pairing for traffic in self._traffic if traffic.pairing is not None]
        return pairing.pairs(self._book.ordered)

    def reading(self) -> Reading:
        """What it all came to."""
        for traffic in self._traffic:
            traffic.finish()
        book = self._book

        def names(numbers: Numbers) -> list[str]:
            return book.texts(book.original(numbers))

        judged = [traffic.judged() for traffic in self._traffic]
        unfinished = sum(one.unfinished for one in judged)
        result = Result(
            [source for one in judged for source in one.sources],
            complete=all(one.complete for one in judged),
            unfinished=unfinished,
            forged=sum(one.forged for one in judged),
            names=names,
        )
        unread: Counter[str] = Counter()
        for traffic in self._traffic:
            unread.update(traffic.unread)
        ports = np.flatnonzero(self._asked).tolist()
        return Reading(result, self._talks, self._book.texts, ports, self.frames, unread)


@dataclass(frozen=True, slots=True)
class _Judged:
    """What one lot of traffic came to."""

    sources: list[OutcomeSource]
    complete: bool
    unfinished: int
    forged: int


class _Traffic:
    """Captures that are judged together: one with its plan, or all without."""

    def __init__(
        self,
        question: Question,
        plan: Plan | None,
        book: AddressBook,
        scratch: ScratchFile,
        talks: Conversations | None,
        pairing: Pairing | None,
    ) -> None:
        self._plan = plan
        self._book = book
        self._ports = question.ports
        self._dissector = Dissector(book, question.ports)
        self._recording = RecordedTraffic(question, scratch)
        self._talks = talks
        self.pairing = pairing
        self._frames = 0

    def add(self, frames: Frames, before: int) -> None:
        self._frames = before
        self._take(
            self._dissector.add(
                frames.buffer,
                frames.starts,
                frames.lengths,
                frames.times_of,
                frames.link_type,
                self._zone(frames.interface),
            )
        )

    def _zone(self, interface: str | None) -> int:
        """The zone of frames: of the interface that the file names, or the only one that the sweep used."""
        zones = {} if self._plan is None else self._plan.zones
        return next(iter(zones.values())) if len(zones) == 1 else zones.get(interface or "", 0)

    def finish(self) -> None:
        self._take(self._dissector.finish())

    def _take(self, packets: Iterable[Decoded]) -> None:
        for decoded in packets:
            if self._talks is not None:
                self._talks.add(decoded)
            elif self.pairing is not None:
                self.pairing.add(decoded, self._frames)
            else:
                self._recording.add(decoded, self._frames)

    @property
    def unread(self) -> Counter[str]:
        return self._dissector.unread

    def judged(self) -> _Judged:
        judgement = self._recording.judge(self._dissector.heard, self._book.ordered)
        plan = self._plan
        if plan is None:
            return _Judged([judgement.store], complete=True, unfinished=0, forged=judgement.forged)
        missing = _absent(plan, self._ports, self._recording.present, self._book)
        asked = plan.hosts(plan.targets).size * sum(
            int(np.count_nonzero(self._ports[listed])) for listed in plan.ports.values()
        )
        sources: list[OutcomeSource] = [judgement.store, *missing]
        if plan.complete:
            return _Judged(sources, complete=True, unfinished=0, forged=judgement.forged)
        decided: list[OutcomeSource] = [OnlyDecided(source) for source in sources]
        known = sum(len(outcomes) for outcomes in in_address_order(decided))
        return _Judged(decided, complete=False, unfinished=max(0, asked - known), forged=judgement.forged)


def _known_plan(path: str | PathLike[str]) -> Plan | None:
    """The plan beside a capture; None where there is none that can be read, as will be said later."""
    try:
        return None if path == "-" else read_plan(path)
    except CaptureError:
        return None


def _mask(ports: Iterable[int]) -> NDArray[np.bool_]:
    mask = np.zeros(_PORTS, dtype=np.bool_)
    mask[list(ports)] = True
    return mask


def _ports_of_plan(plan: Plan | None) -> NDArray[np.bool_]:
    if plan is None:
        return _mask([GHOST_PORT])
    return _mask({port for listed in plan.ports.values() for port in listed})


def _key(plan: Plan, book: AddressBook) -> CookieKey:
    from scanner.core.stragglers import MOST_PASSES  # noqa: PLC0415 - for those who have a plan

    hosts = plan.hosts(plan.sources)
    sources = hosts.ipv4 | AddressSet.from_addresses(book.ipv6(*hosts.ipv6.at(np.arange(hosts.ipv6.size))))
    return CookieKey(bytes.fromhex(plan.key), sources, most_tries(plan.retries + 1) + MOST_PASSES, book)


def _absent(
    plan: Plan,
    wanted: NDArray[np.bool_],
    present: Callable[[AddressSet], AddressSet],
    book: AddressBook,
) -> Iterator[Absent]:
    """Targets that were never asked, and why."""
    ports = {
        protocol: tuple(port for port in listed if wanted[port]) for protocol, listed in plan.ports.items()
    }
    found = [
        (book.numbers(plan.hosts(plan.no_route)), Reason.NO_ROUTE),
        (book.numbers(plan.hosts(plan.silent)), Reason.NO_RESPONSE),
    ]
    # Where it was not found out who is there, silence proves nothing.
    if plan.resolved:
        on_link = plan.hosts(plan.on_link)
        for hosts, why in (
            (Hosts(on_link.ipv4), Reason.NO_ARP_RESPONSE),
            (Hosts(ipv6=on_link.ipv6), Reason.NO_ND_RESPONSE),
        ):
            numbers = book.numbers(hosts)
            found.append((numbers - present(numbers), why))
    return (absent(addresses, why, ports) for addresses, why in found if addresses)
