"""The flows of a lane: one probe to many addresses and ports, and which of them a claim belongs to.

Both ways lead through the cookie, so that nothing has to be remembered a probe.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scanner.core import cookie
from scanner.core.addresses import AddressSet
from scanner.core.book import AddressBook
from scanner.core.ipv6 import high_in_zone
from scanner.core.packets import ICMP
from scanner.core.rules import Claims, sequence_agrees
from scanner.core.template import Field, Stamper, Template, Value


@dataclass(frozen=True, slots=True)
class Matched:
    """Claims that name a task of this lane, one element each.

    claims: those claims. task: int64. attempt: int64, the try it answers.
    genuine: bool; False where the cookie is wrong or that try was never sent: forged, and of no effect.
    """

    claims: Claims
    task: NDArray[np.int64]
    attempt: NDArray[np.int64]
    genuine: NDArray[np.bool_]


def echoes(claims: Claims) -> NDArray[np.bool_]:
    """Which claims may be probes to ourselves that came in again, as they do on loopback: no reply at all.

    A SYN or a datagram to a high port looks like an answer; but to ports of ours, answers go elsewhere.
    """
    to_itself: NDArray[np.bool_] = claims.target == claims.prober
    if not to_itself.any():
        return to_itself
    return to_itself & ~cookie.is_source_port(claims.target_port, claims.prober_port)


def flows_of(
    key: bytes,
    source: int,
    targets: NDArray[np.uint32],
    ports: NDArray[np.uint16],
    protocol: int,
    book: AddressBook | None,
) -> cookie.Flows:
    """What the key makes of targets of one version of IP, given as numbers, those of IPv6 of a book."""
    if book is None:
        flow = cookie.flows(key, source, targets, ports, protocol)
    else:
        _, high, low = book.halves(np.array([source], dtype=np.uint32))
        _, *halves = book.halves(targets)
        ours = int(high[0]), int(low[0])
        flow = cookie.ipv6_flows(key, ours, (halves[0], halves[1]), ports, protocol)
    # An echo's number has half the bits that others have.
    return replace(flow, sequence=flow.sequence & np.uint32(0xFFFF)) if protocol == ICMP else flow


def on_wire(book: AddressBook, numbers: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """IPv6 addresses as a template holds them."""
    _, high, low = book.halves(numbers)
    return np.stack([high_in_zone(high, 0), low], axis=1)


SEQUENCED = (Field.SEQUENCE, Field.ACKNOWLEDGEMENT, Field.INITIATE_TAG, Field.ECHO_SEQUENCE)
"""Fields that hold the cookie's number, where a packet has them."""


class TransportFlows:
    """Probes from one source to addresses × ports.

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
        book: AddressBook | None = None,
    ) -> None:
        """`ports` in order, without repeats; `key` 16 bytes; `capacity` most packets a batch.

        `book`: the addresses are of IPv6, and `source` and `addresses` its numbers.
        """
        self._stamper = Stamper(template, capacity)
        self._book = book
        self._sequenced = [field for field in SEQUENCED if field in template.fields]
        self.protocol = protocol
        self.source = source
        self.addresses = addresses
        self.ports: NDArray[np.uint16] = np.array(ports, dtype=np.uint16)
        self._key = key
        self._own: NDArray[np.uint32] = np.array([source], dtype=np.uint32)

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
        flow = self._flows(destinations, ports)
        only = len(self.ports) == 1
        values: dict[Field, Value] = {
            Field.SOURCE: self.source if self._book is None else on_wire(self._book, self._own),
            Field.DESTINATION: destinations if self._book is None else on_wire(self._book, destinations),
            Field.SOURCE_PORT: cookie.source_ports(flow.offset, self._told(ports), attempt),
            Field.DESTINATION_PORT: int(self.ports[0]) if only else ports,
        }
        for field in self._sequenced:
            values[field] = flow.sequence
        return self._stamper.stamp(len(tasks), values)

    def match(self, claims: Claims, tries: NDArray[np.uint8]) -> Matched:
        """Find the tasks that claims name, given how often each task was asked."""
        mine = claims.where((claims.protocol == self.protocol) & (claims.prober == self.source))
        mine, task = self._find(mine.where(~echoes(mine)))
        flow = self._flows(mine.target, mine.target_port)
        ports = self._told(mine.target_port)
        attempt = cookie.attempts(flow.offset, ports, mine.prober_port).astype(np.int64)
        genuine = (attempt >= 0) & (attempt < tries[task]) & sequence_agrees(mine, flow.sequence)
        return Matched(claims=mine, task=task, attempt=attempt, genuine=genuine)

    def _flows(self, targets: NDArray[np.uint32], ports: NDArray[np.uint16]) -> cookie.Flows:
        return flows_of(self._key, self.source, targets, self._told(ports), self.protocol, self._book)

    def _told(self, ports: NDArray[np.uint16]) -> NDArray[np.uint16]:
        """Ports of ours, as shortly as they can be told: the only one once."""
        return self.ports if len(self.ports) == 1 else ports

    def _find(self, claims: Claims) -> tuple[Claims, NDArray[np.int64]]:
        """Those whose target and port are ours, and the tasks they name."""
        address = self.addresses.index_of(claims.target)
        wanted = claims.target_port
        if len(self.ports) == 1:
            task, ours = address, (address >= 0) & (wanted == self.ports[0])
        else:
            port = np.minimum(np.searchsorted(self.ports, wanted), len(self.ports) - 1)
            task, ours = address * len(self.ports) + port, (address >= 0) & (self.ports[port] == wanted)
        return claims.where(ours), task[ours]
