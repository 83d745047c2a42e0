"""What hosts of the lab do with a probe, and what a sweep must say of them: a declared table.

The law: a behaviour is data. It names how its prefix is routed, which nftables statements
meet its packets, who answers for its hardware address, and the outcome for TCP and for UDP. It
does not know where it is placed (see `profiles`), nor how rules are rendered (see `ruleset`).

ICMP codes are those of RFC 792, RFC 1122 section 3.2.2.1 and RFC 1812 section 5.2.7.1, those of
ICMPv6 of RFC 4443 section 3.1.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from types import MappingProxyType

from scanner.model import Protocol, Reason, State


class Responder(enum.StrEnum):
    """Who sends the reply that decides."""

    TARGET = "target"
    """The probed address itself."""
    ROUTER = "router"
    """The router in front of it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a sweep must say; `responder` is None where nothing answers."""

    state: State
    reason: Reason
    responder: Responder | None = None


class Hardware(enum.StrEnum):
    """Who answers for an address on the prober's own link, when its hardware address is asked for."""

    NOBODY = "nobody"
    OWN = "own"
    """The host itself."""
    ROUTER = "router"
    """The router, for it: proxy ARP (RFC 1027)."""
    TWO = "two"
    """Two hosts: a duplicate address (RFC 5227)."""


class Route(enum.StrEnum):
    """How the target namespace routes a prefix; but for the first three, ip-route(8)'s words."""

    LOCAL = "local"
    """Its own addresses."""
    FORWARDED = "forwarded"
    """To be passed on: errors come from the router."""
    NONE = "none"
    """Not at all: nobody is there."""
    BLACKHOLE = "blackhole"
    UNREACHABLE = "unreachable"
    PROHIBIT = "prohibit"
    THROW = "throw"


class Hook(enum.StrEnum):
    """Where in the kernel's path a rule stands: nft(8), "ADDRESS FAMILIES"."""

    PREROUTING = "prerouting"
    INPUT = "input"
    FORWARD = "forward"
    OUTPUT = "output"


@dataclass(frozen=True, slots=True)
class Rule:
    """One nftables statement for the packets of a prefix: those sent to it, on OUTPUT those from it."""

    hook: Hook
    statement: str


TCP_OPEN = Outcome(State.OPEN, Reason.SYN_ACK, Responder.TARGET)
UDP_OPEN = Outcome(State.OPEN, Reason.UDP_RESPONSE, Responder.TARGET)
TCP_CLOSED = Outcome(State.CLOSED, Reason.RESET, Responder.TARGET)
UDP_CLOSED = Outcome(State.CLOSED, Reason.PORT_UNREACH, Responder.TARGET)
TCP_SILENT = Outcome(State.FILTERED, Reason.NO_RESPONSE)
UDP_SILENT = Outcome(State.OPEN_FILTERED, Reason.NO_RESPONSE)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One way to treat probes; unless said otherwise, a host that is there and has no port open.

    certain: whether each probe meets its fate for sure. Where it does not, replies can be
        missing, and a sweep that asks too seldom may honestly say `no-response`.
    listening: whether somebody listens on the lab's ports, over TCP and UDP; the outcomes are of other
        ports, then.
    """

    name: str
    tcp: Outcome = TCP_CLOSED
    udp: Outcome = UDP_CLOSED
    route: Route = Route.LOCAL
    rules: tuple[Rule, ...] = ()
    certain: bool = True
    hardware: Hardware = Hardware.OWN
    listening: bool = False

    def outcome(self, protocol: Protocol) -> Outcome:
        """What a sweep must say of an address that behaves so."""
        return self.tcp if protocol is Protocol.TCP else self.udp


def refused_by_target(name: str, code: str, reason: Reason, icmp: str = "icmp") -> Behaviour:
    """The host's own firewall says that it cannot be reached.

    icmp: `icmp` or `icmpv6`. code: nftables' word for the code.
    """
    refused = Outcome(State.FILTERED, reason, Responder.TARGET)
    # From the target itself, port-unreach is what a closed UDP port says: no one can tell the difference.
    udp = UDP_CLOSED if reason is Reason.PORT_UNREACH else refused
    return Behaviour(name, tcp=refused, udp=udp, rules=(Rule(Hook.INPUT, _reject(icmp, code)),))


def refused_by_router(name: str, code: str, reason: Reason, icmp: str = "icmp") -> Behaviour:
    """A firewall on the way says that the host cannot be reached; `icmp` and `code` as above."""
    refused = Outcome(State.FILTERED, reason, Responder.ROUTER)
    return Behaviour(
        name,
        tcp=refused,
        udp=refused,
        route=Route.FORWARDED,
        rules=(Rule(Hook.FORWARD, _reject(icmp, code)),),
    )


REWRITTEN_CODES = MappingProxyType({"beyond-scope": (1, 2), "unknown-next-header": (4, 1)})
"""Types and codes of ICMPv6 that nftables has no word for to reject with.

Such a packet is marked and refused with another code; by the mark, which its answer takes over, `ruleset` has
the answer rewritten.
"""


def rewriting_mark(code: str) -> int:
    """The mark of packets whose answer is to be rewritten, and of the answer."""
    return 0x401 + list(REWRITTEN_CODES).index(code)


def _reject(icmp: str, code: str) -> str:
    if code in REWRITTEN_CODES:
        return f"meta mark set {rewriting_mark(code):#x} reject with icmpv6 type no-route"
    return f"reject with {icmp} type {code}"


def routed_nowhere(name: str, route: Route, reason: Reason, *, certain: bool = False) -> Behaviour:
    """The routing table itself refuses, and the kernel answers for the router.

    Over IPv4 its `ip_error` answers a prober five times at once and then once a second (net/ipv4/route.c,
    `ip_rt_error_burst` and `ip_rt_error_cost`, settable in the default namespace only):
    good for single addresses, and not certain. Over IPv6 there is no such limit.
    """
    refused = Outcome(State.FILTERED, reason, Responder.ROUTER)
    return Behaviour(name, tcp=refused, udp=refused, route=route, certain=certain)


CLOSED = Behaviour("closed")

OPEN = Behaviour("open", listening=True)

ITSELF = Behaviour("itself", hardware=Hardware.NOBODY)
"""The prober, of whom nobody asks for hardware."""

PROXIED = Behaviour("proxied", hardware=Hardware.ROUTER)

DUPLICATE = Behaviour("duplicate", hardware=Hardware.TWO)


def _nobody(name: str, reason: Reason) -> Behaviour:
    down = Outcome(State.DOWN, reason)
    return Behaviour(name, tcp=down, udp=down, route=Route.NONE, hardware=Hardware.NOBODY)


ABSENT = _nobody("absent", Reason.NO_ARP_RESPONSE)
ABSENT6 = _nobody("absent", Reason.NO_ND_RESPONSE)
UNROUTED = _nobody("unrouted", Reason.NO_ROUTE)

SILENT = Behaviour("silent", tcp=TCP_SILENT, udp=UDP_SILENT, rules=(Rule(Hook.INPUT, "drop"),))

UDP_ONLY_SILENT = Behaviour("udp-silent", udp=UDP_SILENT, rules=(Rule(Hook.INPUT, "meta l4proto udp drop"),))

RESET_BY_FIREWALL = Behaviour(
    "target-reset", rules=(Rule(Hook.INPUT, "meta l4proto tcp reject with tcp reset"),)
)

SILENT_ROUTER = Behaviour("router-silent", tcp=TCP_SILENT, udp=UDP_SILENT, route=Route.BLACKHOLE)

_EXPIRED = Outcome(State.FILTERED, Reason.TIME_EXCEEDED, Responder.ROUTER)


def _time_exceeded(statement: str) -> Behaviour:
    # With one hop left the router may not pass it on: type 11 code 0, of ICMPv6 type 3 code 0.
    return Behaviour(
        "router-time-exceeded",
        tcp=_EXPIRED,
        udp=_EXPIRED,
        route=Route.FORWARDED,
        rules=(Rule(Hook.PREROUTING, statement),),
    )


TIME_EXCEEDED = _time_exceeded("ip ttl set 1")
TIME_EXCEEDED6 = _time_exceeded("ip6 hoplimit set 1")

ANYCAST = Behaviour("subnet-router-anycast", tcp=TCP_SILENT, route=Route.NONE)
"""The first address of an IPv6 link, a router's by itself (RFC 4291 section 2.6.1): no resets there."""


def lossy(percent: float) -> Behaviour:
    """Hosts that lose this share of the packets in each direction."""
    drop = loss_statement(percent)
    return Behaviour("lossy", rules=(Rule(Hook.INPUT, drop), Rule(Hook.OUTPUT, drop)), certain=False)


def loss_statement(percent: float) -> str:
    """The nftables statement that drops this share of the packets it meets, to a hundredth of a percent."""
    return f"numgen random mod 10000 < {round(percent * 100)} drop"


def rate_limited(per_second: int, burst: int) -> Behaviour:
    """Hosts that together send no more resets and ICMP errors than this."""
    statement = (
        f"meta l4proto {{ tcp, icmp, icmpv6 }} limit rate over {per_second}/second burst {burst} packets drop"
    )
    return Behaviour("rate-limited", rules=(Rule(Hook.OUTPUT, statement),), certain=False)
