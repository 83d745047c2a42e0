"""What a sweep of the lab must say, as columns: one row an address."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from scanner.lab.behaviours import Outcome, Responder
from scanner.lab.topology import ROUTER
from scanner.model import REASONS, Protocol, State

STATES: tuple[State, ...] = tuple(State)
"""States by code: `STATES[code]`."""


class Record(TypedDict):
    """One row, under the names that a `Verdict` has them by."""

    ip: str
    proto: str
    port: int
    state: str
    reason: str
    responder: str | None
    certain: bool


@dataclass(frozen=True, slots=True)
class Truth:
    """The ground truth for one protocol and port, ascending by address.

    addresses: `(N,)` uint32, host byte order.
    states: `(N,)` uint8, positions in `STATES`.
    reasons: `(N,)` uint8, positions in `model.REASONS`.
    responders: `(N,)` uint32, who sends the reply that decides; 0 where nobody does.
    certain: `(N,)` bool, False where packets are lost or answers limited, so that a sweep
        may see less than the truth.
    """

    protocol: Protocol
    port: int
    addresses: NDArray[np.uint32]
    states: NDArray[np.uint8]
    reasons: NDArray[np.uint8]
    responders: NDArray[np.uint32]
    certain: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.addresses)

    def records(self) -> Iterator[Record]:
        """The rows as dictionaries, ready for JSON."""
        columns = (self.addresses, self.states, self.reasons, self.responders, self.certain)
        for address, state, reason, responder, certain in zip(*(c.tolist() for c in columns), strict=True):
            yield {
                "ip": str(IPv4Address(address)),
                "proto": self.protocol.value,
                "port": self.port,
                "state": STATES[state].value,
                "reason": REASONS[reason].value,
                "responder": str(IPv4Address(responder)) if responder else None,
                "certain": certain,
            }


class Columns:
    """The columns of a `Truth` while they are filled in."""

    def __init__(self, addresses: NDArray[np.uint32]) -> None:
        self._addresses = addresses
        self._states = np.zeros(len(addresses), dtype=np.uint8)
        self._reasons = np.zeros(len(addresses), dtype=np.uint8)
        self._responders = np.zeros(len(addresses), dtype=np.uint32)
        self._certain = np.ones(len(addresses), dtype=np.bool_)

    def fill(self, rows: slice | NDArray[np.int64], outcome: Outcome, *, certain: bool) -> None:
        """Give these rows an outcome."""
        self._states[rows] = STATES.index(outcome.state)
        self._reasons[rows] = REASONS.index(outcome.reason)
        self._certain[rows] = certain
        if outcome.responder is Responder.TARGET:
            self._responders[rows] = self._addresses[rows]
        else:
            self._responders[rows] = responder_of(outcome, 0)

    def truth(self, protocol: Protocol, port: int) -> Truth:
        """The columns as they are; fill no more after this."""
        return Truth(
            protocol, port, self._addresses, self._states, self._reasons, self._responders, self._certain
        )


def responder_of(outcome: Outcome, target: int) -> int:
    """Who sends the deciding reply; 0 where nobody does."""
    if outcome.responder is None:
        return 0
    return target if outcome.responder is Responder.TARGET else int(ROUTER)
