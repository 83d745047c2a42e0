"""The record of a sweep as it happens: its evidence, and the plan beside it.

A full disk ends the record, not the sweep: what is on disk stays readable, and the fault is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike

import numpy as np
from numpy.typing import NDArray

from scanner.capture.evidence import Evidence, Plan, WrittenRules, is_pcapng, write_plan
from scanner.contracts import Frames, Sent, Wire
from scanner.core.addresses import AddressSet, format_range
from scanner.core.hosts import Hosts
from scanner.core.ipv6 import format_ipv6_range
from scanner.flights import Secrets
from scanner.model import CaptureError, UsageError
from scanner.planning import SweepPlan


@dataclass(slots=True)
class Course:
    """How a sweep has gone so far, as its plan will say. Times in ns; see `capture.evidence.Plan`."""

    no_route: AddressSet
    silent: AddressSet = field(default_factory=AddressSet.empty)
    started: int = 0
    ended: int | None = None
    resolved: bool = False
    complete: bool = False


class Recording:
    """Writes evidence.

    error: what ended the record early, once something has.
    """

    def __init__(
        self, path: str | PathLike[str], plan: SweepPlan, secrets: Secrets, wires: Mapping[str, Wire]
    ) -> None:
        """Open the files for what goes over these wires, by interface.

        Raises UsageError where they cannot be written, or one pcap cannot hold it all.
        """
        interfaces = [(name, wire.link_type) for name, wire in wires.items()]
        if not is_pcapng(path) and (
            len({link_type for _, link_type in interfaces}) > 1 or (plan.has_ipv6 and len(interfaces) > 1)
        ):
            names = ", ".join(sorted(wires))
            msg = f"{path}: one pcap cannot tell the links of {names} apart: name the evidence FILE.pcapng"
            raise UsageError(msg)
        self._places = {id(wire): place for place, wire in enumerate(wires.values())}
        self._path = path
        self._plan = plan
        self._secrets = secrets
        self._evidence = Evidence(path, interfaces)
        self.error: CaptureError | None = None

    def write(
        self, wire: Wire, sent: Sequence[Sent], frames: Frames | None, replies: NDArray[np.int64]
    ) -> None:
        """Append probes that left over a wire, and the replies among frames that came in."""
        if self.error is None:
            try:
                self._evidence.write(sent, frames, replies, self._places[id(wire)])
            except CaptureError as error:
                self.error = error

    def write_plan(self, course: Course) -> None:
        """Write the plan, again as often as need be. Raises CaptureError where that fails."""
        from importlib import metadata  # noqa: PLC0415 - a fiftieth of a second, for evidence alone

        plan, request = self._plan, self._plan.request
        on_link = (path.addresses for path in plan.paths if path.hop.on_link and path.hop.mac is not None)
        zones: dict[str, int] = {}
        if plan.has_ipv6:
            zones = {name: zone for zone, name in plan.zones.items()}
            for path in plan.paths:
                # As the engine has it: loopback, of number 1, lends itself to the others.
                zones[path.hop.interface] = max(path.zone, zones.get(path.hop.interface, 0))
        write_plan(
            self._path,
            Plan(
                version=metadata.version("ghostport"),
                seed=self._secrets.seed,
                key=self._secrets.key.hex(),
                protocols=list(request.kinds),
                ports={protocol: list(ports) for protocol, ports in request.kinds.items()},
                rules={protocol: WrittenRules.of(rules) for protocol, rules in request.rules.items()},
                targets=[*plan.book.written(plan.addresses)],
                excluded=_written(request.excluded | Hosts(plan.skipped), plan.zones),
                no_route=[*plan.book.written(course.no_route)],
                silent=[*plan.book.written(course.silent)],
                on_link=[text for addresses in on_link for text in plan.book.written(addresses)],
                sources=plan.book.texts(np.unique([path.source for path in plan.paths]).astype(np.uint32)),
                retries=request.retries,
                wait=request.wait,
                rate=None if np.isinf(request.highest_rate) else request.highest_rate,
                started=_iso(course.started),
                ended=None if course.ended is None else _iso(course.ended),
                resolved=course.resolved,
                complete=course.complete,
                interfaces=sorted({path.hop.interface for path in plan.paths}),
                zones=zones,
                lent=sorted(name for name, zone in zones.items() if plan.zones[zone] != name),
            ),
        )

    def close(self, course: Course) -> None:
        """Write the plan for the last time and close the capture; a fault is kept in `error`."""
        try:
            self._evidence.close()
            self.write_plan(course)
        except CaptureError as error:
            self.error = self.error or error


def _written(hosts: Hosts, zones: Mapping[int, str]) -> list[str]:
    return [
        *(format_range(first, last) for first, last in hosts.ipv4.ranges()),
        *(format_ipv6_range(first, last, zones) for first, last in hosts.ipv6.ranges),
    ]


def _iso(moment: int) -> str:
    return f"{np.datetime64(moment, 'ns').astype('M8[us]')}Z"
