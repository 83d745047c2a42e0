"""Hosts with IPv6 addresses, of cases whose scene has them: what each does, and what must be said of it.

ICMPv6 codes are those of RFC 4443, section 3.1.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from scanner.lab.behaviours import (
    TCP_CLOSED,
    TCP_OPEN,
    TCP_SILENT,
    UDP_CLOSED,
    UDP_OPEN,
    UDP_SILENT,
    Hook,
    Outcome,
    Responder,
    Rule,
)
from scanner.model import Protocol, Reason, State

NETWORK6 = "fd50::/64"


@dataclass(frozen=True, slots=True)
class Host6:
    """One host: `does`, in words; what comes of it; the rule that its packets meet.

    A host that is neither local nor forwarded is not there, and its router says nothing.
    """

    address: str
    does: str
    tcp: Outcome
    udp: Outcome
    rule: Rule | None = None
    is_local: bool = True
    is_forwarded: bool = False

    def outcome(self, protocol: Protocol) -> Outcome:
        """What must be said."""
        return self.tcp if protocol is Protocol.TCP else self.udp

    @property
    def is_listening(self) -> bool:
        """Whether its ports are open."""
        return self.tcp == TCP_OPEN


_REFUSALS = (
    ("no-route", Reason.NO_ROUTE),
    ("admin-prohibited", Reason.ADMIN_PROHIBITED),
    ("addr-unreachable", Reason.ADDR_UNREACH),
    ("port-unreachable", Reason.PORT_UNREACH),
    ("policy-fail", Reason.POLICY),
    ("reject-route", Reason.REJECT_ROUTE),
)


def _refusing(place: Responder, number: int, word: str, reason: Reason) -> Host6:
    refused = Outcome(State.FILTERED, reason, place)
    is_local = place is Responder.TARGET
    udp = UDP_CLOSED if is_local and reason is Reason.PORT_UNREACH else refused
    rule = Rule(Hook.INPUT if is_local else Hook.FORWARD, f"reject with icmpv6 type {word}")
    prefix = "fd50::1" if is_local else "fd50::2"
    does = f"its own firewall, {word}" if is_local else f"the router's firewall, {word}"
    return Host6(f"{prefix}:{number}", does, refused, udp, rule, is_local, not is_local)


_EXPIRED = Outcome(State.FILTERED, Reason.TIME_EXCEEDED, Responder.ROUTER)

OPEN6 = tuple(Host6(f"fd50::{last}", "a listener", TCP_OPEN, UDP_OPEN) for last in ("a", "b"))
CLOSED6 = (Host6("fd50::c", "nobody listens", TCP_CLOSED, UDP_CLOSED),)
SILENT6 = (
    Host6("fd50::d", "drops all", TCP_SILENT, UDP_SILENT, Rule(Hook.INPUT, "drop")),
    Host6("fd50::e", "not there", TCP_SILENT, UDP_SILENT, is_local=False),
)
REFUSED6_BY_TARGET = tuple(
    _refusing(Responder.TARGET, number, *refusal) for number, refusal in enumerate(_REFUSALS)
)
REFUSED6_BY_ROUTER = tuple(
    _refusing(Responder.ROUTER, number, *refusal) for number, refusal in enumerate(_REFUSALS)
)
EXPIRED6 = (
    Host6("fd50::3:1", "beyond the hop limit", _EXPIRED, _EXPIRED,
          Rule(Hook.PREROUTING, "ip6 hoplimit set 1"), is_local=False, is_forwarded=True),
)  # fmt: skip

HOSTS6 = (*OPEN6, *CLOSED6, *SILENT6, *REFUSED6_BY_TARGET, *REFUSED6_BY_ROUTER, *EXPIRED6)

SCRIPTED6 = tuple(f"fd50::4:{last:x}" for last in range(1, 16))
"""Where nobody is but a script."""

_PRIORITIES = {Hook.PREROUTING: "mangle", Hook.INPUT: "filter", Hook.FORWARD: "filter"}


def addresses(hosts: Iterable[Host6]) -> tuple[str, ...]:
    """Their addresses."""
    return tuple(host.address for host in hosts)


def rules6(hosts: Iterable[Host6]) -> str:
    """Input for `nft -f`: what each host does. Neighbour discovery is left alone."""
    listed = [(host.address, host.rule) for host in hosts if host.rule is not None]
    chains = [
        f"chain {hook} {{ type filter hook {hook} priority {priority};\n"
        + "".join(
            f"ip6 daddr {address} meta l4proto {{ tcp, udp }} {rule.statement};\n"
            for address, rule in listed
            if rule.hook is hook
        )
        + "}"
        for hook, priority in _PRIORITIES.items()
    ]
    return "\n".join(["table ip6 hosts {", *chains, "}", ""])
