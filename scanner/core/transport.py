"""The flows of a lane: one probe to many addresses and ports, and which of them a claim belongs to.

Both ways lead through the cookie, so that nothing has to be remembered a probe.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanner.core import cookie
from scanner.core.addresses import AddressSet
from scanner.core.rules import Claims, sequence_agrees
from scanner.core.template import Field, Stamper, Template


@dataclass(frozen=True, slots=True)
class Matched:
    """Claims that name a task of this lane, one element each.

    row: int64, which claim. task: int64. attempt: int64, the try it answers.
    genuine: bool; False where the cookie is wrong or that try was never sent: forged, and of no effect.
    """

    row: NDArray[np.int64]
    task: NDArray[np.int64]
    attempt: NDArray[np.int64]
    genuine: NDArray[np.bool_]


def echoes(claims: Claims) -> NDArray[np.bool_]:
    """Which claims may be probes to ourselves that came in again, as they do on loopback: no reply at all.

    A SYN or a datagram to a high port looks like an answer; but to ports of ours, answers go elsewhere.
    """
    to_itself: NDArray[np.bool_] = claims.target == claims.prober
    return to_itself & ~cookie.is_source_port(claims.target_port, claims.prober_port)


class TransportFlows:
    """TCP or UDP probes from one source to addresses × ports.

    A task is `address index · ports + port index`.
    """

    def __init__(
        self,
        *,
        template: Template,
        protocol: int,
        source: int,
        addresses: AddressSet,
        ports: tuple[int, ...],
        key: bytes,
        capacity: int,
    ) -> None:
        """`ports` in order, without repeats; `key` 16 bytes; `capacity` most packets a batch."""
        self._stamper = Stamper(template, capacity)
        self._sequenced = Field.SEQUENCE in template.fields
        self.protocol = protocol
        self.source = source
        self.addresses = addresses
        self.ports: NDArray[np.uint16] = np.array(ports, dtype=np.uint16)
        self._key = key

    @property
    def tasks(self) -> int:
        """How many."""
        return self.addresses.size * len(self.ports)

    def targets(self, tasks: NDArray[np.int64]) -> tuple[NDArray[np.uint32], NDArray[np.uint16]]:
        """Address and port of tasks."""
        if len(self.ports) == 1:
            return self.addresses.at(tasks), np.full(len(tasks), self.ports[0], dtype=np.uint16)
        index, port = np.divmod(tasks, len(self.ports))
        return self.addresses.at(index), self.ports[port]

    def stamp(self, tasks: NDArray[np.int64], attempt: int) -> NDArray[np.uint8]:
        """The probes of one try: `(N, L)` uint8, valid until the next call."""
        destinations, ports = self.targets(tasks)
        flow = cookie.flows(self._key, self.source, destinations, ports, self.protocol)
        values: dict[Field, NDArray[np.unsignedinteger] | int] = {
            Field.SOURCE: self.source,
            Field.DESTINATION: destinations,
            Field.SOURCE_PORT: cookie.source_ports(flow.offset, ports, attempt),
            Field.DESTINATION_PORT: ports,
        }
        if self._sequenced:
            values[Field.SEQUENCE] = flow.sequence
        return self._stamper.stamp(len(tasks), values)

    def match(self, claims: Claims, tries: NDArray[np.uint8]) -> Matched:
        """Find the tasks that claims name, given how often each task was asked."""
        row = np.flatnonzero((claims.protocol == self.protocol) & (claims.prober == self.source))
        row = row[~echoes(claims.take(row))]
        row, address, port = self._find(claims, row)
        if not len(row):
            nothing = np.empty(0, dtype=np.int64)
            return Matched(row=nothing, task=nothing, attempt=nothing, genuine=nothing.astype(np.bool_))
        mine = claims.take(row)
        task = address * len(self.ports) + port
        flow = cookie.flows(self._key, self.source, mine.target, mine.target_port, self.protocol)
        attempt = cookie.attempts(flow.offset, mine.target_port, mine.prober_port).astype(np.int64)
        genuine = (attempt >= 0) & (attempt < tries[task]) & sequence_agrees(mine, flow.sequence)
        return Matched(row=row, task=task, attempt=attempt, genuine=genuine)

    def _find(
        self, claims: Claims, row: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Rows whose target and port are ours, with the indexes of both."""
        address = self.addresses.index_of(claims.target[row])
        wanted = claims.target_port[row]
        port = np.minimum(np.searchsorted(self.ports, wanted), len(self.ports) - 1)
        ours = (address >= 0) & (self.ports[port] == wanted)
        return row[ours], address[ours], port[ours]
