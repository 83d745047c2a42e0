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
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from os import PathLike

import numpy as np
from numpy.typing import NDArray

from scanner.capture.evidence import Evidence, Plan, write_plan
from scanner.contracts import ETHERTYPE_ARP, Frames, Network, Sent, Wire, WireStatistics
from scanner.core.addresses import AddressSet, format_address
from scanner.core.arplane import ArpLane
from scanner.core.lane import Lane
from scanner.core.outcomes import PROTOCOLS, Absent, OutcomeSource
from scanner.core.pacing import TokenBucket
from scanner.core.ports import parse_ports
from scanner.core.rtt import RoundTrip
from scanner.core.rules import Rank, reason_code
from scanner.core.scope import Scope
from scanner.core.siphash import KEY_BYTES
from scanner.core.targets import parse_targets
from scanner.core.template import Template
from scanner.core.transport import TransportFlows
from scanner.engine import BATCH, Engine, Flight, Heard, Traffic
from scanner.gate import Gate
from scanner.model import CaptureError, Protocol, Reason, UsageError, Verdict
from scanner.planning import DEFAULT_RATE, DEFAULT_RETRIES, DEFAULT_WAIT, PROBES, Path, Request, SweepPlan, make_plan
from scanner.probes.arp import arp_request
from scanner.probes.compiler import compile_arp, compile_probe
from scanner.result import Result, not_open
from scanner.wire.linux import LinuxNetwork

_IP_PROTOCOLS = {protocol: number for number, protocol in PROTOCOLS.items()}


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


def sweep(
    targets: str | Iterable[str],
    *,
    ports: str | Iterable[int] = "401",
    protocols: Iterable[str] = ("tcp", "udp"),
    exclude: str | Iterable[str] = (),
    rate: float = DEFAULT_RATE,
    retries: int = DEFAULT_RETRIES,
    wait: float = DEFAULT_WAIT,
    interface: str | None = None,
    source_ip: str | None = None,
    seed: int | None = None,
    evidence: str | PathLike[str] | None = None,
    network: Network | None = None,
) -> Sweep:
    """Plan a sweep. It runs when the `Sweep` is iterated, or its `result` asked for.

    Args:
        targets: addresses, CIDRs, ranges; one text of several separated by spaces or commas is not taken,
            several are a list.
        ports: as on the command line (`"401,3493,8000-8100"`), or numbers.
        protocols: "tcp", "udp" or both.
        exclude: what is not probed, in the same forms as targets.
        rate: packets a second; `float("inf")` for as many as the kernel carries.
        retries: probes after the first, for targets that stay silent.
        wait: seconds, the longest time to wait for a reply to one probe.
        interface, source_ip: leave by this interface, from this address of ours.
        seed: of the order in which targets are probed; at random where None.
        evidence: a pcap to write every probe and reply to, with the plan beside it as JSON.
        network: another network than this machine's, such as `scanner.wire.memory.SimulatedNetwork`.

    Raises:
        UsageError: something asked for cannot be. ScopeRefused: a target may not be probed.
    """
    request = Request(
        targets=_parsed(targets),
        ports=parse_ports(ports) if isinstance(ports, str) else parse_ports(",".join(map(str, ports))),
        protocols=_protocols(protocols),
        excluded=_parsed(exclude),
        rate=rate,
        retries=retries,
        wait=wait,
        interface=interface,
        source=None if source_ip is None else parse_targets([source_ip]).ranges()[0][0],
    )
    return Sweep(request, network=network or LinuxNetwork(), seed=seed, evidence=evidence)


def _parsed(texts: str | Iterable[str]) -> AddressSet:
    return parse_targets([texts] if isinstance(texts, str) else texts)


def _protocols(names: Iterable[str]) -> tuple[Protocol, ...]:
    wanted = {names} if isinstance(names, str) else set(names)
    unknown = wanted - set(Protocol)
    if unknown:
        msg = f"unknown protocol {sorted(unknown)[0]!r}: tcp and udp can be swept"
        raise UsageError(msg)
    return tuple(protocol for protocol in Protocol if protocol in wanted)


class Sweep:
    """A sweep that is planned, under way, or over. It runs once.

    plan: who will be asked, along which path.
    """

    def __init__(
        self,
        request: Request,
        *,
        network: Network,
        seed: int | None = None,
        evidence: str | PathLike[str] | None = None,
        watch: Watcher | None = None,
        scope: Scope | None = None,
    ) -> None:
        """Plan it. `watch` is called with the progress after every turn of the engine."""
        self.plan: SweepPlan = make_plan(request, network, scope or Scope.private())
        self.watch = watch
        self.evidence_error: CaptureError | None = None
        self._network = network
        self._clock = network.clock
        self._seed = secrets.randbits(63) if seed is None else seed
        self._key = secrets.token_bytes(KEY_BYTES)
        self._evidence_path = evidence
        self._evidence: Evidence | None = None
        self._wires: dict[str, Wire] = {}
        self._lanes: list[Lane] = []
        self._arp_lanes: list[ArpLane] = []
        self._absent: list[Absent] = []
        self._no_route = self.plan.no_route
        self._stop = False
        self._resolved = False
        self._ended = False
        self._begun = False
        self._statistics: list[WireStatistics] = []
        self._traffic: Traffic | None = None
        self._started = 0

    def stop(self) -> None:
        """End the sweep at the next turn; what was learnt stays. May be called from a signal handler."""
        self._stop = True

    @property
    def targets(self) -> int:
        """Addresses × protocols × ports that get a verdict."""
        return self.plan.addresses.size * len(self.plan.request.ports) * len(self.plan.request.protocols)

    @property
    def statistics(self) -> WireStatistics:
        """What went over all wires, and what the kernel dropped."""
        parts = self._statistics or [wire.statistics() for wire in self._wires.values()]
        return WireStatistics(
            sent=sum(part.sent for part in parts),
            send_refused=sum(part.send_refused for part in parts),
            received=sum(part.received for part in parts),
            receive_dropped=sum(part.receive_dropped for part in parts),
        )

    @property
    def unread(self) -> Counter[str]:
        """Frames that came in and could not be read, by why."""
        return self._traffic.unread if self._traffic else Counter()

    def __iter__(self) -> Iterator[Verdict]:
        """Verdicts as they become final.

        An open port can never become anything else and is given at once; every other verdict may yet be
        changed by a stronger reply, and follows in order of address when nothing is left to wait for.

        Raises:
            WireError: the wire failed. `result` then has what was learnt.
        """
        for heard in self._run():
            replies = heard.replies
            tasks = np.sort(replies.task[replies.rank == Rank.OPEN])
            if isinstance(heard.lane, Lane) and len(tasks):
                yield from heard.lane.outcomes_of(tasks).verdicts()
        yield from self.result().verdicts(not_open)

    def result(self) -> Result:
        """Run the sweep to its end, unless it has, and give the whole result.

        Raises:
            WireError: the wire failed; called again, it gives what was learnt.
        """
        if not self._begun:
            for _ in self._run():
                pass
        absent = sum(source.size for source in self._absent)
        answered = sum(len(lane.ledger.state) - lane.ledger.unanswered for lane in self._lanes)
        sources: list[OutcomeSource] = [*self._lanes, *self._absent]
        return Result(
            sources,
            complete=self._ended,
            unfinished=0 if self._ended else self.targets - answered - absent,
            forged=sum(lane.forged for lane in self._lanes),
        )

    def _run(self) -> Iterator[Heard]:
        if self._begun:
            msg = "a sweep runs once: plan another"
            raise UsageError(msg)
        self._begun = True
        self._started = self._clock.wall()
        with ExitStack() as closing:
            for path in self.plan.paths:
                if path.hop.interface not in self._wires:
                    wire = self._network.open(path.hop)
                    closing.callback(wire.close)
                    self._wires[path.hop.interface] = wire
            if self._evidence_path is not None:
                self._evidence = closing.enter_context(Evidence(self._evidence_path, self._link_type()))
                self._write_plan()
            closing.callback(self._conclude)
            engine = Engine(
                gate=Gate(self.plan.scope, self.plan.next_hops),
                clock=self._clock,
                bucket=TokenBucket(self.plan.request.rate),
                record=self._record if self._evidence else None,
                stopped=lambda: self._stop,
            )
            self._traffic = engine.traffic
            if self.plan.no_route:
                self._give_up(self.plan.no_route, Reason.NO_ROUTE)
            flights: list[Flight] = []
            resolved = self._resolve()
            for _ in engine.run([flight for _, flight in resolved if flight is not None]):
                self._report(engine)
            if self._stop:
                return
            self._resolved = True
            for path, flight in resolved:
                flights += self._flights(path, flight)
            for heard in engine.run(flights):
                self._report(engine)
                if heard is not None:
                    yield heard
            self._ended = not self._stop
            self._report(engine)

    def _link_type(self) -> int:
        kinds = {wire.link_type for wire in self._wires.values()}
        if len(kinds) > 1:
            names = ", ".join(sorted(self._wires))
            msg = f"--evidence: {names} have different link layers, and a pcap holds one; sweep them one by one"
            raise UsageError(msg)
        return kinds.pop()

    def _resolve(self) -> list[tuple[Path, Flight | None]]:
        """For each path the flight that asks for hardware addresses, where some have to be asked for."""
        resolved: list[tuple[Path, Flight | None]] = []
        for path in self.plan.paths:
            hop = path.hop
            wanted = path.addresses if hop.gateway is None else AddressSet.of([(hop.gateway, hop.gateway)])
            known = hop.gateway is not None and hop.gateway in self._network.neighbours(hop.interface)
            if hop.mac is None or known:
                resolved.append((path, None))
                continue
            lane = ArpLane(
                compile_arp(arp_request(hop.mac, hop.source)),
                source=hop.source,
                source_mac=hop.mac,
                addresses=wanted,
                seed=self._seed,
                attempts=self.plan.request.retries + 1,
                round_trip=RoundTrip(self.plan.request.wait),
                capacity=min(BATCH, wanted.size),
            )
            self._arp_lanes.append(lane)
            broadcast = np.full(6, 0xFF, dtype=np.uint8)
            resolved.append((path, Flight(lane, self._wires[hop.interface], ETHERTYPE_ARP, broadcast)))
        return resolved

    def _flights(self, path: Path, resolved: Flight | None) -> list[Flight]:
        """The flights that ask the ports of a path's targets, now that it is known who is there."""
        hop, addresses = path.hop, path.addresses
        hops: NDArray[np.uint8] | None = None
        if resolved is not None and isinstance(resolved.lane, ArpLane):
            there = resolved.lane.answered()
            if hop.on_link:
                self._give_up(addresses - there, Reason.NO_ARP_RESPONSE)
                addresses, hops = there, resolved.lane.mac_of(there)
            elif there:
                hops = resolved.lane.mac_of(there)[0]
            else:
                self._no_route |= addresses
                self._give_up(addresses, Reason.NO_ROUTE)
                addresses = there
        elif hop.mac is not None and hop.gateway is not None:
            mac = self._network.neighbours(hop.interface)[hop.gateway]
            hops = np.frombuffer(mac, dtype=np.uint8)
        if not addresses:
            return []
        round_trip = RoundTrip(self.plan.request.wait)
        return [
            self._flight(path, addresses, hops, lane_of)
            for lane_of in self._lane_kinds(hop.source, addresses, round_trip)
        ]

    def _lane_kinds(self, source: int, addresses: AddressSet, round_trip: RoundTrip) -> Iterator[Lane]:
        """A lane for each protocol, and each payload that some of the ports want."""
        for protocol in self.plan.request.protocols:
            probe = PROBES[protocol]
            by_payload: dict[bytes, list[int]] = {}
            for port in self.plan.request.ports:
                by_payload.setdefault(probe.payload(port), []).append(port)
            for ports in by_payload.values():
                template: Template = compile_probe(probe, ports[0])
                flows = TransportFlows(
                    template=template,
                    protocol=_IP_PROTOCOLS[protocol],
                    source=source,
                    addresses=addresses,
                    ports=tuple(ports),
                    key=self._key,
                    capacity=min(BATCH, addresses.size * len(ports)),
                )
                yield Lane(
                    flows, seed=self._seed, attempts=self.plan.request.retries + 1, round_trip=round_trip
                )

    def _flight(self, path: Path, addresses: AddressSet, hops: NDArray[np.uint8] | None, lane: Lane) -> Flight:
        self._lanes.append(lane)
        return Flight(lane, self._wires[path.hop.interface], next_hops=hops)

    def _give_up(self, addresses: AddressSet, reason: Reason) -> None:
        if addresses:
            request = self.plan.request
            asked = [(_IP_PROTOCOLS[protocol], port) for protocol in request.protocols for port in request.ports]
            self._absent.append(Absent(addresses, asked, reason_code(reason)))

    def _report(self, engine: Engine) -> None:
        if self.watch is None:
            return
        lanes = self._lanes or self._arp_lanes
        total = sum(len(lane.ledger.state) for lane in lanes)
        done = sum(lane.schedule.progress * len(lane.ledger.state) for lane in lanes)
        self.watch(
            Progress(
                fraction=1.0 if self._ended else done / total if total else 0.0,
                probes=engine.traffic.probes,
                answered=sum(len(lane.ledger.state) - lane.ledger.unanswered for lane in self._lanes),
                open=sum(lane.open for lane in self._lanes),
                targets=self.targets,
                elapsed=(self._clock.wall() - self._started) / 1e9,
            )
        )

    def _record(self, sent: Sent | None, frames: Frames, replies: NDArray[np.int64]) -> None:
        """Write evidence; where that fails, go on without: what is on disk stays readable."""
        if self._evidence is None or self.evidence_error is not None:
            return
        try:
            self._evidence.write(sent, frames, replies)
        except CaptureError as error:
            self.evidence_error = error

    def _conclude(self) -> None:
        self._statistics = [wire.statistics() for wire in self._wires.values()]
        if self._evidence is not None:
            try:
                self._write_plan()
            except CaptureError as error:
                self.evidence_error = self.evidence_error or error

    def _write_plan(self) -> None:
        assert self._evidence_path is not None  # noqa: S101 - for the type checker
        plan, request = self.plan, self.plan.request
        write_plan(
            self._evidence_path,
            Plan(
                version=version("ghostport"),
                seed=self._seed,
                key=self._key.hex(),
                protocols=list(request.protocols),
                ports={protocol: list(request.ports) for protocol in request.protocols},
                targets=_written(plan.addresses),
                excluded=_written(request.excluded | plan.skipped),
                no_route=_written(self._no_route),
                on_link=[text for path in plan.paths if path.hop.on_link for text in _written(path.addresses)],
                sources=sorted({format_address(path.hop.source) for path in plan.paths}),
                retries=request.retries,
                wait=request.wait,
                rate=None if np.isinf(request.rate) else request.rate,
                started=_iso(self._started),
                ended=_iso(self._clock.wall()) if self._statistics else None,
                resolved=self._resolved,
                complete=self._ended,
                interfaces=sorted(self._wires),
            ),
        )


def _written(addresses: AddressSet) -> list[str]:
    return [
        format_address(first) if first == last else f"{format_address(first)}-{format_address(last)}"
        for first, last in addresses.ranges()
    ]


def _iso(moment: int) -> str:
    return f"{np.datetime64(moment, 'ns').astype('M8[us]')}Z"
