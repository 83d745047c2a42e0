"""What the command line tells people, as lines of text. Says; decides nothing."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from scanner.core.addresses import AddressSet, format_address
from scanner.core.ipv6 import format_ipv6
from scanner.core.ports import format_ports
from scanner.model import Protocol
from scanner.reporters.text import escape, thousands
from scanner.result import Result

if TYPE_CHECKING:
    # Whoever reads a capture need not wait for what sweeps.
    from scanner.core.conversations import Conversations
    from scanner.core.rate import RateController
    from scanner.planning import Path, Request, SweepPlan
    from scanner.reading import Reading
    from scanner.sweeping import Sweep

_MOST_NAMED = 4


def about_sweep(plan: SweepPlan, *, verbose: bool) -> Iterator[str]:
    """One line on what is about to be swept, and a line on whatever is left out."""
    yield f"sweeping {_named(plan, plan.addresses)}: {_asked(plan)}"
    if plan.skipped:
        named = _named(plan, plan.skipped)
        yield f"not probed: {named}: network or broadcast addresses of this host's own links"
    if plan.no_route:
        yield f"down, no route: {_named(plan, plan.no_route)}"
    if verbose:
        yield from (_path(plan, path) for path in plan.paths)


def dry_run(plan: SweepPlan) -> Iterator[str]:
    """What would be sent, where, and how long it would take."""
    from scanner.core.rate import START_RATE  # noqa: PLC0415 - for those who sweep

    request = plan.request
    yield from about_sweep(plan, verbose=True)
    tries = request.retries + 1
    most = thousands(plan.probes * tries)
    yield f"probes: {thousands(plan.probes)} at first; {most} if every target stayed silent"
    adaptive = request.rate is None
    rate = min(START_RATE if adaptive else math.inf, request.highest_rate)
    rate = min(rate, request.per_host * sum(path.addresses.size for path in plan.paths))
    if math.isinf(rate):
        yield "time: as fast as the kernel carries, and the waiting for replies"
    else:
        # While nothing has answered, every try is waited for in full, unless all of them take longer.
        once = plan.probes / rate
        longest = tries * max(once, request.wait)
        # The rate grows where there are answers, and stays where it began where there are none.
        at_most = "at most " if adaptive else ""
        yield f"time: {at_most}{_duration(once)} if all answered at once; {_duration(longest)} if nothing did"
    yield "nothing was sent"


def about_result(sweep: Sweep, result: Result, elapsed: float, *, verbose: bool) -> Iterator[str]:
    """How it went."""
    statistics = sweep.statistics
    targets, sent = _several(sweep.targets, "target"), _several(statistics.sent, "packet")
    yield f"{targets} in {elapsed:.2f} s; {sent} sent"
    if statistics.send_refused or statistics.receive_dropped:
        sending, receiving = thousands(statistics.send_refused), thousands(statistics.receive_dropped)
        yield f"kernel drops, healed by retries: {sending} on sending, {receiving} on receiving"
    yield from about_reading(result)
    if verbose:
        if sweep.rate is not None:
            yield _pace(sweep.rate)
        yield f"frames received: {thousands(statistics.received)}"
        for name, count in sorted(sweep.unread.items()):
            yield f"frames not read, {name}: {thousands(count)}"


def about_reading(result: Result) -> Iterator[str]:
    """What was left out of account."""
    if result.forged:
        yield f"forged or late replies, ignored: {thousands(result.forged)}"


def nothing_probed(reading: Reading, ports: str | None) -> Iterator[str]:
    """What to try where there is no verdict at all."""
    asked = "the ports asked about" if ports else "port 401"
    yield (
        f"no probe to {asked} in {_several(reading.frames, 'frame')}; "
        "-p all asks about every port, --conversations who talked at all"
    )


def about_conversations(conversations: Conversations) -> Iterator[str]:
    """What was left out of account."""
    if conversations.left_out:
        packets = _several(conversations.left_out, "packet")
        yield f"more conversations than can be held; left out: {packets} of others"
    if conversations.unheard:
        sides = _several(conversations.unheard, "side")
        yield f"more was said than can be held; first bytes that are not known: those of {sides}"


def about_frames(reading: Reading) -> Iterator[str]:
    """What was read, and what was not."""
    yield f"frames read: {thousands(reading.frames)}"
    yield from not_read(reading)


def not_read(reading: Reading) -> Iterator[str]:
    """What was not read, by the reason."""
    for name, count in sorted(reading.unread.items()):
        yield f"frames not read, {name}: {thousands(count)}"


def unfinished(result: Result) -> str:
    """That it was cut short, as a fault."""
    have = "has" if result.unfinished == 1 else "have"
    return f"cut short: {_several(result.unfinished, 'target')} {have} no verdict"


def sink_failed(name: str) -> str:
    """That a sink did not take all of the evidence, as a fault."""
    return f"evidence sink {name}: did not take everything; the evidence there is incomplete"


def unidentified(count: int) -> str:
    """That there was no time to identify all services, as a fault."""
    was = "was" if count == 1 else "were"
    return f"cut short: {_several(count, 'open port')} {was} not identified"


def about_evidence(path: str) -> Iterator[str]:
    """Where the evidence lies."""
    yield f"evidence: {path}, its plan: {path}.json; read it back with: ghostport read {path}"


def _asked(plan: SweepPlan) -> str:
    request = plan.request
    asked = ", ".join(_named_kind(request, protocol, ports) for protocol, ports in request.kinds.items())
    return f"{asked}; {_rate(request)}, {request.retries} {'retry' if request.retries == 1 else 'retries'}"


def _named_kind(request: Request, protocol: Protocol, ports: tuple[int, ...]) -> str:
    by = f" by {escape(request.probes[protocol].name)}" if protocol in request.probes else ""
    return f"{protocol}{by}" if protocol is Protocol.ICMP else f"{protocol} {format_ports(ports)}{by}"


def _rate(request: Request) -> str:
    most = request.highest_rate
    if request.rate is None:
        rate = "auto rate" if math.isinf(most) else f"auto rate up to {most:g} packets/s"
    else:
        rate = "full rate" if math.isinf(most) else f"{most:g} packets/s"
    return rate if math.isinf(request.per_host) else f"{rate}, {request.per_host:g} to one host"


def _pace(rate: RateController) -> str:
    """How fast it went, and what was lost."""
    most = thousands(round(max(rate.peak, rate.rate if not rate.peak else 0)))
    loss = f"{rate.loss:.1%} of tries lost".replace("%", " %") if rate.loss else "no loss seen"
    cuts = f", halved {_several(rate.cuts, 'time')}" if rate.cuts else ""
    return f"rate: up to {most} packets/s, {loss}{cuts}"


def _several(count: int, noun: str) -> str:
    return f"{thousands(count)} {noun}" + ("" if count == 1 else "s")


def _path(plan: SweepPlan, path: Path) -> str:
    hop = path.hop
    if hop.gateway is not None:
        gateway = format_address(hop.gateway) if hop.version == 4 else format_ipv6(hop.gateway)
        through = f"through {gateway}"
    elif hop.loopback:
        through = "to this host itself"
    else:
        through = "on-link"
    source = format_address(hop.source) if hop.version == 4 else format_ipv6(hop.source)
    return f"path: {_count(path.addresses)} by {hop.interface} from {source} {through}"


def _named(plan: SweepPlan, addresses: AddressSet) -> str:
    named = list(itertools.islice(plan.book.written(addresses), _MOST_NAMED + 1))
    rest = len(addresses.ranges()) - _MOST_NAMED
    more = f" and {max(rest, 1)} more ranges" if len(named) > _MOST_NAMED else ""
    return f"{', '.join(named[:_MOST_NAMED])}{more} ({_count(addresses)})"


def _count(addresses: AddressSet) -> str:
    return "1 address" if addresses.size == 1 else f"{thousands(addresses.size)} addresses"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
