"""A sweep, from what is wanted to what was found: the library's front door.

    from scanner import sweep

    for verdict in sweep("10.50.0.0/16"):          # open ports at once, the rest at the end
        print(verdict.ip, verdict.proto, verdict.state, verdict.reason)

    result = sweep("10.50.0.0/16", ports="401,3493", protocols=["tcp"]).result()

Nothing is printed, and nothing sent before the iteration begins.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from math import inf
from os import PathLike
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from scanner.contracts import Conversation, Frames, Network, Probe, Sent, Sources, Wire, WireStatistics
from scanner.core.addresses import AddressSet, format_addresses, parse_address
from scanner.core.hosts import Hosts
from scanner.core.ipv6 import looks_like_ipv6, parse_ipv6
from scanner.core.lane import Lane
from scanner.core.outcomes import Absent, OutcomeSource, absent
from scanner.core.pacing import TokenBucket
from scanner.core.ports import ports_of
from scanner.core.rate import RateController
from scanner.core.records import verdicts
from scanner.core.rules import Rank
from scanner.core.scope import Scope
from scanner.core.siphash import KEY_BYTES
from scanner.core.targets import parse_targets
from scanner.engine import Engine, Flight, Heard, Recorder, Traffic
from scanner.flights import (
    Manned,
    Secrets,
    follow_up,
    longest_packet,
    man,
    port_flights,
    reach,
    require_room,
)
from scanner.gate import Gate
from scanner.model import TRANSPORTS, CaptureError, Protocol, Reason, Service, UsageError, Verdict, WireKind
from scanner.pinging import ping_flights, up
from scanner.planning import (
    DEFAULT_RETRIES,
    DEFAULT_WAIT,
    Path,
    Request,
    SweepPlan,
    by_protocol,
    make_plan,
)
from scanner.plugins.audience import Audience
from scanner.plugins.probes import probe_named
from scanner.recording import Course, Recording
from scanner.reporters import pieces
from scanner.result import OnlyDecided, Result, not_open, only_open
from scanner.wire.machine import this_machine

if TYPE_CHECKING:
    from scanner.plugins.registry import Plugins
    from scanner.plugins.sinks import Sinks


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a sweep has come.

    fraction: of the work that there would be if nobody answered, 0 to 1. probes: sent so far.
    answered, open, targets: how many. elapsed: seconds.
    """

    fraction: float
    probes: int
    answered: int
    open: int
    targets: int
    elapsed: float


Watcher = Callable[[Progress], None]

_REPORT_EVERY = 0.05
"""Seconds between two reports of progress."""


def sweep(  # noqa: PLR0913 - keywords, each with a default
    targets: str | Iterable[str],
    *,
    ports: str | Iterable[int] = "401",
    protocols: Iterable[str] | None = None,
    probes: Iterable[str | Probe] = (),
    exclude: str | Iterable[str] = (),
    rate: float | Literal["auto"] = "auto",
    max_rate: float = inf,
    max_per_host: float | None = None,
    retries: int = DEFAULT_RETRIES,
    wait: float = DEFAULT_WAIT,
    interface: str | None = None,
    source_ip: str | None = None,
    wire: str = "auto",
    no_arp: bool = False,
    ping: bool = False,
    seed: int | None = None,
    evidence: str | PathLike[str] | None = None,
    identify: bool = False,
    plugins: Plugins | None = None,
    scope: Scope | None = None,
    network: Network | None = None,
) -> Sweep:
    """Plan a sweep. It runs when the `Sweep` is iterated, or its `result` asked for.

    Args:
        targets: an address, a CIDR or a range, or several of them in a list.
        ports: as on the command line (`"401,3493,8000-8100"`), or numbers.
        protocols: "tcp", "udp" or both; both where None, unless there are probes.
        probes: others than the usual ones: names of built-in ones or of those that `plugins` have, as on the
            command line ("ack", "udp-payload:FILE"), or probes themselves; one for each protocol.
        exclude: what is not probed, in the same forms as targets.
        rate: packets a second; "auto" for as many as get through, `float("inf")` for as many as the kernel
            carries.
        max_rate: packets a second that are never exceeded.
        max_per_host: packets a second that are never exceeded towards one address. Where None there is such
            a limit only if many ports are asked at rate "auto".
        retries: probes after the first, for targets that stay silent; up to twice as many where replies
            are seen to get lost.
        wait: seconds, the longest time to wait for a reply to one probe.
        interface: leave by this one; the route's own where None.
        source_ip: leave from this address of ours; the route's own where None.
        wire: the way out: "ring" past the kernel's stack, "raw" through it, "scapy" on systems other than
            Linux, or "auto", which takes what fits each interface.
        no_arp: find no neighbours; the kernel sends, and finds them itself.
        ping: first ask who is up behind routers, and leave the others alone.
        seed: of the order in which targets are probed; at random where None.
        evidence: a pcap to write every probe and reply to, with the plan beside it as JSON.
        identify: connect to open TCP ports, when all are found, to learn which service each is.
        plugins: whose hooks are told of the sweep, and whose identifiers are asked, besides the built-in
            ones; `scanner.plugins.Plugins()` are those that are installed.
        scope: what may be probed; private, loopback and link-local addresses where None.
        network: another network than this machine's, such as `scanner.wire.memory.SimulatedNetwork`.

    Raises:
        UsageError: something asked for cannot be. ScopeRefused: a target may not be probed.
    """
    network = network or this_machine()
    asking = [probe_named(each, plugins) if isinstance(each, str) else each for each in probes]
    chosen = by_protocol(asking)
    request = Request(
        targets=_parsed(targets, network),
        ports=ports_of(ports),
        protocols=_protocols((() if chosen else TRANSPORTS) if protocols is None else protocols),
        probes=chosen,
        excluded=_parsed(exclude, network),
        rate=None if rate == "auto" else rate,
        max_rate=max_rate,
        max_per_host=max_per_host,
        retries=retries,
        wait=wait,
        interface=interface,
        sources=sources_of(source_ip),
        wire=_wire(wire),
        no_arp=no_arp,
        ping=ping,
    )
    return Sweep(
        request,
        network=network,
        seed=seed,
        evidence=evidence,
        identify=identify,
        plugins=plugins,
        scope=scope,
    )


def sources_of(text: str | None) -> Sources:
    """What `--source-ip` says. Raises UsageError where that is no address."""
    if text is None:
        return Sources()
    if looks_like_ipv6(text):
        return Sources(ipv6=parse_ipv6(text))
    return Sources(ipv4=parse_address(text))


def _parsed(texts: str | Iterable[str], network: Network) -> Hosts:
    return parse_targets([texts] if isinstance(texts, str) else texts, network.zone)


def _wire(name: str) -> WireKind:
    if name not in set(WireKind):
        msg = f"unknown wire {name!r}: there are {', '.join(WireKind)}"
        raise UsageError(msg)
    return WireKind(name)


def _protocols(names: Iterable[str]) -> tuple[Protocol, ...]:
    wanted = {names} if isinstance(names, str) else set(names)
    unknown = wanted - set(TRANSPORTS)
    if unknown:
        msg = f"unknown protocol {sorted(unknown)[0]!r}: tcp and udp can be swept"
        raise UsageError(msg)
    return tuple(protocol for protocol in TRANSPORTS if protocol in wanted)


class Sweep:
    """A sweep that is planned, under way, or over. It runs once.

    plan: who will be asked, along which path. watch: called with the progress now and then, where set.
    evidence_error: what ended the evidence early, if something did. rate: what adapts it, if anything does.
    sinks: where evidence goes besides, if set. unidentified: open ports that there was no time to identify.
    """

    def __init__(
        self,
        request: Request,
        *,
        network: Network,
        seed: int | None = None,
        evidence: str | PathLike[str] | None = None,
        scope: Scope | None = None,
        identify: bool = False,
        plugins: Plugins | None = None,
    ) -> None:
        """Plan it. Raises as `sweep`."""
        self.plan: SweepPlan = make_plan(request, network, scope or Scope.private())
        require_room(self.plan)
        self.watch: Watcher | None = None
        self.evidence_error: CaptureError | None = None
        self.sinks: Sinks | None = None
        self.unidentified = 0
        self.rate = None if request.rate is not None else RateController(most=request.max_rate)
        self._network = network
        self._secrets = Secrets(
            seed=secrets.randbits(63) if seed is None else seed, key=secrets.token_bytes(KEY_BYTES)
        )
        self._evidence_path = evidence
        self._identify = identify
        self._plugins = plugins
        self._audience = Audience(plugins)
        self._services: dict[tuple[str, int], Service] = {}
        self._wires: dict[str, Wire] = {}
        self._lanes: list[Lane] = []
        self._absent: list[Absent] = []
        self._course = Course(no_route=self.plan.no_route)
        self._begun = False
        self._stop = False
        self._report_due = float("-inf")
        self._statistics = WireStatistics()
        self._traffic = Traffic()

    def stop(self) -> None:
        """End the sweep at the next turn; what was learnt stays. May be called from a signal handler."""
        self._stop = True

    @property
    def targets(self) -> int:
        """Addresses × protocols × ports that get a verdict."""
        request = self.plan.request
        return self.plan.addresses.size * request.questions

    @property
    def statistics(self) -> WireStatistics:
        """What went over all wires, and what the kernel dropped; known when the sweep is over."""
        return self._statistics

    @property
    def unread(self) -> Counter[str]:
        """Frames that came in and could not be read, by why."""
        return self._traffic.unread

    def __iter__(self) -> Iterator[Verdict]:
        """Verdicts as they become final.

        An open port can never become anything else and is given at once; every other verdict may yet be
        changed by a stronger reply, and follows in order of address when nothing is left to wait for.

        Raises:
            WireError: the wire failed. `result` then has what was learnt.
        """
        try:
            for verdict in self._finals():
                self._audience.final([verdict])
                yield verdict
        finally:
            self._ended()

    def _finals(self) -> Iterator[Verdict]:
        for heard in self._run():
            replies = heard.replies
            tasks = np.sort(replies.task[replies.rank == Rank.OPEN])
            if isinstance(heard.lane, Lane) and len(tasks) and not self._identify:
                yield from verdicts(heard.lane.outcomes_of(tasks), self.plan.book.texts)
        result = self._found()
        if self._identify:
            yield from result.verdicts(only_open)
        yield from result.verdicts(not_open)

    def result(self) -> Result:
        """Run the sweep to its end, unless it has, and give the whole result.

        Raises:
            WireError: the wire failed; called again, it gives what was learnt.
        """
        if not self._begun:
            try:
                for _ in self._run():
                    pass
                if self._audience.wants_verdicts:
                    for piece in pieces(self._found()):
                        self._audience.final(piece)
            finally:
                self._ended()
        return self._found()

    def _found(self) -> Result:
        decided = sum(lane.answered for lane in self._lanes) + sum(source.size for source in self._absent)
        sources: list[OutcomeSource] = [*self._lanes, *self._absent]
        complete = self._course.complete
        if not complete:
            sources = [OnlyDecided(source) for source in sources]
        return Result(
            sources,
            complete=complete,
            unfinished=0 if complete else self.targets - decided,
            forged=sum(lane.forged for lane in self._lanes),
            services=self._services,
            names=self.plan.book.texts if self.plan.has_ipv6 else format_addresses,
        )

    def _ended(self) -> None:
        seconds = (self._network.clock.wall() - self._course.started) / 1e9
        self._audience.ended(complete=self._course.complete, probes=self._traffic.probes, seconds=seconds)

    def _run(self) -> Iterator[Heard]:
        if self._begun:
            msg = "a sweep runs once: plan another"
            raise UsageError(msg)
        self._begun = True
        course, clock = self._course, self._network.clock
        course.started = clock.wall()
        request = self.plan.request
        self._audience.started(self.targets, request.ports, tuple(request.kinds))
        with ExitStack() as closing:
            closing.callback(self._close_wires)
            longest = longest_packet(self.plan)
            for path in self.plan.paths:
                if path.hop.interface not in self._wires:
                    wire = self._network.open(path.hop, self.plan.probes, longest)
                    self._wires[path.hop.interface] = wire
            recording = self._record()
            if recording is not None:
                closing.callback(self._conclude, recording)
            if self.sinks is not None:
                closing.callback(self.sinks.close)
            engine = Engine(
                gate=Gate(self.plan.scope, self.plan.next_hops),
                clock=clock,
                bucket=TokenBucket(self.plan.request.highest_rate if self.rate is None else self.rate.rate),
                rate=self.rate,
                record=self._recorder(recording),
                stopped=lambda: self._stop,
                book=self.plan.book if self.plan.has_ipv6 else None,
                rules=self.plan.request.rules,
            )
            self._traffic = engine.traffic
            self._give_up(self.plan.no_route, Reason.NO_ROUTE)
            flights = self._resolve(engine)
            self._lanes = [flight.lane for flight in flights if isinstance(flight.lane, Lane)]
            yield from self._listen(engine, flights)
            if not self._stop and follow_up(flights, self.plan.request, self._secrets):
                yield from self._listen(engine, flights)
            course.complete = not self._stop
            self._report(flights)
        if self._identify and course.complete:
            self._find_services()

    def _recorder(self, recording: Recording | None) -> Recorder | None:
        """Where evidence goes: a capture, sinks, both or nowhere."""
        sinks = self.sinks
        if recording is None or sinks is None:
            return sinks.write if sinks else recording.write if recording else None

        def record(
            wire: Wire, sent: Sequence[Sent], frames: Frames | None, replies: NDArray[np.int64]
        ) -> None:
            recording.write(wire, sent, frames, replies)
            sinks.write(wire, sent, frames, replies)

        return record

    def _find_services(self) -> None:
        """Ask open TCP ports who they are, once the sweep's own packets are through."""
        from scanner.identifying import identify  # noqa: PLC0415 - for those who identify
        from scanner.plugins.registry import Plugins  # noqa: PLC0415 - pluggy

        gate = Gate(self.plan.scope, self.plan.next_hops)

        def converse(address: str, port: int, seconds: float) -> Conversation:
            hop = self.plan.hop_to(address)
            return gate.connect(self._network, hop, address, port, seconds)

        opened = [(v.ip, v.port) for v in self._found().verdicts(only_open) if v.proto is Protocol.TCP]
        found = identify(
            opened, converse, self._plugins or Plugins(load_installed=False), stopped=lambda: self._stop
        )
        self._services, self.unidentified = found.services, found.left

    def _listen(self, engine: Engine, flights: list[Flight]) -> Iterator[Heard]:
        for heard in engine.run(flights):
            self._report(flights)
            if heard is not None:
                yield heard

    def _record(self) -> Recording | None:
        if self._evidence_path is None:
            return None
        recording = Recording(self._evidence_path, self.plan, self._secrets, self._wires)
        recording.write_plan(self._course)
        return recording

    def _resolve(self, engine: Engine) -> list[Flight]:
        """Find out who is there, and give the flights that ask them; none where the sweep was stopped."""
        request = self.plan.request
        reached = []
        for path in self.plan.paths:
            hop = path.hop
            known = {} if hop.gateway is None else self._network.neighbours(hop.interface, hop.version)
            wire = self._wires[hop.interface]
            reached.append(reach(path, wire, known, request, self._secrets, self.plan.book, self.rate))
        asking = [each.flight for each in reached if each.flight is not None]
        for _ in engine.run(asking):
            self._report(asking)
        if self._stop:
            return []
        self._course.resolved = True
        # They hear on: a second answer for an address may come late.
        flights = asking.copy()
        manned = [(each.path, man(each)) for each in reached]
        for _, those in manned:
            self._give_up_absent(those)
        if request.ping:
            manned = self._ping(engine, manned)
        for path, those in manned:
            wire = self._wires[path.hop.interface]
            flights += port_flights(path, those, wire, request, self._secrets, self.plan.book, self.rate)
        return flights

    def _ping(self, engine: Engine, manned: list[tuple[Path, Manned]]) -> list[tuple[Path, Manned]]:
        """Ask who is up behind routers; the others are down."""
        request, book = self.plan.request, self.plan.book
        asking = [
            flight
            for path, those in manned
            for flight in ping_flights(
                path, those, self._wires[path.hop.interface], request, self._secrets, book
            )
        ]
        for _ in engine.run(asking):
            self._report(asking)
        left: list[tuple[Path, Manned]] = []
        if self._stop:
            return left
        for path, those in manned:
            there = up(asking, those.addresses) if path.hop.gateway is not None else those.addresses
            silent = those.addresses - there
            self._course.silent |= silent
            self._give_up(silent, Reason.NO_RESPONSE)
            left.append((path, replace(those, addresses=there)))
        return left

    def _give_up_absent(self, manned: Manned) -> None:
        if manned.why is Reason.NO_ROUTE:
            self._course.no_route |= manned.absent
        self._give_up(manned.absent, manned.why)

    def _give_up(self, addresses: AddressSet, why: Reason) -> None:
        request = self.plan.request
        if addresses:
            self._absent.append(absent(addresses, why, request.kinds))

    def _report(self, flights: list[Flight]) -> None:
        self._audience.sent(self._traffic.probes)
        if self.watch is None:
            return
        now = self._network.clock.steady()
        if now < self._report_due and not self._course.complete:
            return
        self._report_due = now + _REPORT_EVERY
        lanes = [flight.lane for flight in flights]
        total = sum(len(lane.ledger.state) for lane in lanes)
        done = sum(lane.schedule.progress * len(lane.ledger.state) for lane in lanes)
        self.watch(
            Progress(
                fraction=1.0 if self._course.complete else done / total if total else 0.0,
                probes=self._traffic.probes,
                answered=sum(lane.answered for lane in self._lanes),
                open=sum(lane.open for lane in self._lanes),
                targets=self.targets,
                elapsed=(self._network.clock.wall() - self._course.started) / 1e9,
            )
        )

    def _conclude(self, recording: Recording) -> None:
        self._course.ended = self._network.clock.wall()
        recording.close(self._course)
        self.evidence_error = recording.error

    def _close_wires(self) -> None:
        parts = [wire.statistics() for wire in self._wires.values()]
        self._statistics = WireStatistics(
            sent=sum(part.sent for part in parts),
            send_refused=sum(part.send_refused for part in parts),
            received=sum(part.received for part in parts),
            receive_dropped=sum(part.receive_dropped for part in parts),
        )
        for wire in self._wires.values():
            wire.close()
