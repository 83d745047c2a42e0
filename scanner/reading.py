"""Reading captures: the verdicts of what somebody probed, by the very rules of a sweep.

Where a sweep of ours left its plan beside the capture, that is used: only its own probes count, told by
their cookies, and targets of which a capture cannot speak (no route, nobody at home) get their verdict too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from os import PathLike

import numpy as np
from numpy.typing import NDArray

from scanner.capture import open_capture
from scanner.capture.evidence import Plan, read_plan
from scanner.core.addresses import AddressSet
from scanner.core.decode import decode_untrusted
from scanner.core.loss import most_tries
from scanner.core.outcomes import Absent, Outcomes, OutcomeSource
from scanner.core.ports import ports_of
from scanner.core.recorded import CookieKey, RecordedTraffic
from scanner.core.rules import Rank
from scanner.core.targets import parse_targets
from scanner.flights import absent
from scanner.model import Reason
from scanner.result import Result

_PORTS = 1 << 16


def read_capture(
    path: str | PathLike[str],
    *,
    ports: str | Iterable[int] | None = None,
    warn: Callable[[str], None] | None = None,
) -> Result:
    """Classify a recorded capture.

    Args:
        path: a pcap or pcapng file; `-` is standard input.
        ports: those to speak of, as on the command line or as numbers; None: those of the plan beside
            the capture, else 401.
        warn: called with one line where the capture is cut off; what could be read still counts.

    Raises:
        CaptureError: it cannot be read, or is no capture. UsageError: the ports are none.
    """
    plan = None if path == "-" else read_plan(path)
    wanted = _wanted(ports, plan)
    recording = RecordedTraffic(wanted, None if plan is None else _key(plan))
    for frames in open_capture(path, warn=warn):
        recording.add(
            decode_untrusted(frames.buffer, frames.starts, frames.lengths, frames.times, frames.link_type)
        )
    outcomes = recording.outcomes()
    sources: list[OutcomeSource] = [_Recorded(outcomes)]
    unfinished = 0
    if plan is not None:
        absent = _absent(plan, wanted, recording.present())
        sources += absent
        asked = parse_targets(plan.targets).size * sum(
            int(np.count_nonzero(wanted[listed])) for listed in plan.ports.values()
        )
        known = int(np.count_nonzero(outcomes.rank != Rank.UNANSWERED)) + sum(
            source.size for source in absent
        )
        unfinished = 0 if plan.complete else max(0, asked - known)
    return Result(
        sources, complete=plan is None or plan.complete, unfinished=unfinished, forged=recording.forged
    )


def _wanted(ports: str | Iterable[int] | None, plan: Plan | None) -> NDArray[np.bool_]:
    if ports is None:
        listed = sorted({port for some in plan.ports.values() for port in some}) if plan else [401]
    else:
        listed = list(ports_of(ports))
    wanted = np.zeros(_PORTS, dtype=np.bool_)
    wanted[listed] = True
    return wanted


def _key(plan: Plan) -> CookieKey:
    return CookieKey(bytes.fromhex(plan.key), parse_targets(plan.sources), most_tries(plan.retries + 1))


def _absent(plan: Plan, wanted: NDArray[np.bool_], present: AddressSet) -> list[Absent]:
    """Targets that were never asked, and why."""
    ports = {
        protocol: tuple(port for port in listed if wanted[port]) for protocol, listed in plan.ports.items()
    }
    # Where the ARP pass was cut short, silence proves nothing.
    silent = parse_targets(plan.on_link) - present if plan.resolved else AddressSet.empty()
    found = ((parse_targets(plan.no_route), Reason.NO_ROUTE), (silent, Reason.NO_ARP_RESPONSE))
    return [absent(addresses, why, ports) for addresses, why in found if addresses]


class _Recorded:
    """Outcomes in order of address, as a source."""

    def __init__(self, outcomes: Outcomes) -> None:
        self._outcomes = outcomes
        self.addresses = AddressSet.from_addresses(outcomes.address)
        _, counts = np.unique(outcomes.address, return_counts=True)
        self.density = int(counts.max(initial=0))

    def outcomes(self, first: int, last: int) -> Outcomes:
        """As `OutcomeSource`."""
        begin = np.searchsorted(self._outcomes.address, first, side="left")
        end = np.searchsorted(self._outcomes.address, last, side="right")
        return self._outcomes.take(np.arange(begin, end))
