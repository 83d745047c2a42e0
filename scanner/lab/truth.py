"""What a sweep of a network of the lab must say, as columns: one row an address."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from scanner.lab.behaviours import Behaviour, Hardware, Outcome, Responder
from scanner.model import REASONS, Protocol, State

STATES: tuple[State, ...] = tuple(State)
"""States by code: `STATES[code]`."""

RESPONDERS: tuple[Responder | None, ...] = (None, *Responder)
"""Responders by code: `RESPONDERS[code]`."""

HARDWARE: tuple[Hardware, ...] = tuple(Hardware)
"""Who answers for hardware addresses, by code: `HARDWARE[code]`."""


class Record(TypedDict):
    """One row, under the names that a `Verdict` has them by; `macs` are what answers for its hardware."""

    ip: str
    proto: str
    port: int
    state: str
    reason: str
    responder: str | None
    certain: bool
    macs: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """The addresses of one network, in words.

    network: which. zone: the interface of its addresses, where they are link-local.
    router: who refuses in front of it; empty where nobody does.
    router_mac, twin_mac: hardware addresses of the router and of who has duplicates, on-link; else None.
    own_hardware: whether hosts have hardware addresses of their own, and not the router's.
    """

    network: IPv4Network | IPv6Network
    zone: str | None
    router: str
    router_mac: str | None
    twin_mac: str
    own_hardware: bool

    def address(self, offset: int) -> str:
        """The address at a place of the network, with its zone."""
        return zoned(self.network[offset], self.zone)

    def responder(self, role: Responder | None, offset: int) -> str | None:
        """Who sends the deciding reply, None where nobody does."""
        if role is None:
            return None
        return self.address(offset) if role is Responder.TARGET else self.router

    def macs(self, who: Hardware, offset: int) -> tuple[str, ...]:
        """The hardware addresses that answer for an address, none where it is not on-link."""
        if self.router_mac is None or who is Hardware.NOBODY:
            return ()
        own = mac_of(self.network[offset]) if self.own_hardware else self.router_mac
        return {
            Hardware.OWN: (own,), Hardware.ROUTER: (self.router_mac,), Hardware.TWO: (own, self.twin_mac)
        }[who]  # fmt: skip


def mac_of(address: IPv4Address | IPv6Address) -> str:
    """The hardware address that belongs to an address: locally administered, the last four bytes of it."""
    return "02:00:" + address.packed[-4:].hex(":")


def zoned(address: IPv4Address | IPv6Address, zone: str | None) -> str:
    """The address with its zone (RFC 4007 section 11), where it needs one."""
    return str(address) if zone is None else f"{address}%{zone}"


@dataclass(frozen=True, slots=True)
class Truth:
    """The ground truth for one network, protocol and port, ascending by address.

    offsets: `(N,)` int64, addresses as their distance from the network's first.
    states: `(N,)` uint8, positions in `STATES`.
    reasons: `(N,)` uint8, positions in `model.REASONS`.
    responders: `(N,)` uint8, who sends the reply that decides, positions in `RESPONDERS`.
    hardware: `(N,)` uint8, who answers for its hardware address, positions in `HARDWARE`.
    certain: `(N,)` bool, False where packets are lost or answers limited, so that a sweep
        may see less than the truth.
    """

    naming: Naming
    protocol: Protocol
    port: int
    offsets: NDArray[np.int64]
    states: NDArray[np.uint8]
    reasons: NDArray[np.uint8]
    responders: NDArray[np.uint8]
    hardware: NDArray[np.uint8]
    certain: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.offsets)

    def records(self) -> Iterator[Record]:
        """The rows as dictionaries, ready for JSON."""
        columns = (self.offsets, self.states, self.reasons, self.responders, self.hardware, self.certain)
        for offset, state, reason, role, who, certain in zip(*(c.tolist() for c in columns), strict=True):
            yield {
                "ip": self.naming.address(offset),
                "proto": self.protocol.value,
                "port": self.port,
                "state": STATES[state].value,
                "reason": REASONS[reason].value,
                "responder": self.naming.responder(RESPONDERS[role], offset),
                "certain": certain,
                "macs": list(self.naming.macs(HARDWARE[who], offset)),
            }


class Columns:
    """The columns of a `Truth` while they are filled in."""

    def __init__(self, size: int) -> None:
        self._states = np.zeros(size, dtype=np.uint8)
        self._reasons = np.zeros(size, dtype=np.uint8)
        self._responders = np.zeros(size, dtype=np.uint8)
        self._hardware = np.zeros(size, dtype=np.uint8)
        self._certain = np.ones(size, dtype=np.bool_)

    def fill(self, rows: slice | NDArray[np.int64], behaviour: Behaviour, outcome: Outcome) -> None:
        """Give these rows a behaviour, and what comes of it."""
        self._states[rows] = STATES.index(outcome.state)
        self._reasons[rows] = REASONS.index(outcome.reason)
        self._responders[rows] = RESPONDERS.index(outcome.responder)
        self._hardware[rows] = HARDWARE.index(behaviour.hardware)
        self._certain[rows] = behaviour.certain

    def open(self, rows: NDArray[np.int64], outcome: Outcome) -> None:
        """Have somebody listen at these rows, whose hardware stays as it is."""
        self._states[rows] = STATES.index(outcome.state)
        self._reasons[rows] = REASONS.index(outcome.reason)
        self._responders[rows] = RESPONDERS.index(outcome.responder)

    def truth(self, naming: Naming, protocol: Protocol, port: int, offsets: NDArray[np.int64]) -> Truth:
        """The rows of these addresses."""
        return Truth(
            naming=naming,
            protocol=protocol,
            port=port,
            offsets=offsets,
            states=self._states[offsets],
            reasons=self._reasons[offsets],
            responders=self._responders[offsets],
            hardware=self._hardware[offsets],
            certain=self._certain[offsets],
        )
