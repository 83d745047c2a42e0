"""Hosts of the lab's small profile that the cases ask; `scanner.lab.profiles` says what they do.

Scripted ones take addresses of its silent hosts, the first of `10.50.2.0/28`.
"""

from __future__ import annotations

from scanner.lab.behaviours import Outcome, Responder
from scanner.model import Protocol, Reason, State

TCP, UDP, BOTH = (Protocol.TCP,), (Protocol.UDP,), (Protocol.TCP, Protocol.UDP)

OPEN_TCP = ("10.50.0.9", "10.50.0.12", "10.50.0.18")
OPEN_UDP = ("10.50.0.6", "10.50.0.7", "10.50.0.23")
CLOSED = ("10.50.0.10", "10.50.0.11")
SILENT = "10.50.2.15"
UDP_SILENT = "10.50.2.16"
RESET_BY_FIREWALL = "10.50.2.145"
SILENT_ROUTER = "10.50.3.33"
EXPIRED = ("10.50.3.17", "10.50.3.18")
ROUTED_NOWHERE = ("10.50.3.49", "10.50.3.50", "10.50.3.51")
REFUSED_BY_TARGET = (
    "10.50.2.33", "10.50.2.49", "10.50.2.65", "10.50.2.81", "10.50.2.97", "10.50.2.113", "10.50.2.129",
)  # fmt: skip
REFUSED_BY_ROUTER = (
    "10.50.2.161", "10.50.2.177", "10.50.2.193", "10.50.2.209", "10.50.2.225", "10.50.2.241", "10.50.3.1",
)  # fmt: skip
NO_ROUTE = "10.60.0.1"

SPLIT_HANDSHAKE = Outcome(State.OPEN, Reason.SPLIT_HANDSHAKE_SYN, Responder.TARGET)


def by_router(reason: Reason) -> Outcome:
    """The outcome where a router refuses."""
    return Outcome(State.FILTERED, reason, Responder.ROUTER)
