"""What every floor speaks of: verdicts, their states and reasons, and the errors.

Frozen values only. This file does not know how a verdict comes about; the rules
are in `scanner.core.rules`, the words are nmap's.
"""

from __future__ import annotations

import enum
from typing import ClassVar

import msgspec


class Protocol(enum.StrEnum):
    """What a target is asked over: the transport of a port, or ICMP, which has none."""

    TCP = "tcp"
    UDP = "udp"
    SCTP = "sctp"
    ICMP = "icmp"


TRANSPORTS = (Protocol.TCP, Protocol.UDP)
"""What a sweep asks over unless it is told otherwise."""


class WireKind(enum.StrEnum):
    """A way out of this machine, as it is asked for."""

    AUTO = "auto"
    RING = "ring"
    RAW = "raw"
    SCAPY = "scapy"


class State(enum.StrEnum):
    """What a verdict says of one address, protocol and port; of one address alone where ICMP asked."""

    OPEN = "open"
    UP = "up"
    UNFILTERED = "unfiltered"
    CLOSED = "closed"
    FILTERED = "filtered"
    OPEN_FILTERED = "open|filtered"
    DOWN = "down"


class Reason(enum.StrEnum):
    """Why a verdict was given, in nmap's words where nmap has one.

    The position in this list is the code by which arrays name a reason.
    """

    NO_RESPONSE = "no-response"
    SYN_ACK = "syn-ack"
    SPLIT_HANDSHAKE_SYN = "split-handshake-syn"
    RESET = "reset"
    UDP_RESPONSE = "udp-response"
    PORT_UNREACH = "port-unreach"
    NET_UNREACH = "net-unreach"
    HOST_UNREACH = "host-unreach"
    PROTO_UNREACH = "proto-unreach"
    NET_PROHIBITED = "net-prohibited"
    HOST_PROHIBITED = "host-prohibited"
    ADMIN_PROHIBITED = "admin-prohibited"
    TIME_EXCEEDED = "time-exceeded"
    NO_ARP_RESPONSE = "no-arp-response"
    NO_ROUTE = "no-route"
    ADDR_UNREACH = "addr-unreach"
    BEYOND_SCOPE = "beyond-scope"
    POLICY = "policy"
    REJECT_ROUTE = "reject-route"
    NO_ND_RESPONSE = "no-nd-response"
    INIT_ACK = "init-ack"
    ABORT = "abort"
    ECHO_REPLY = "echo-reply"


REASONS: tuple[Reason, ...] = tuple(Reason)
"""Reasons by code: `REASONS[code]`."""


Kind = tuple[Protocol, int, State, Reason]
"""What targets are counted by: protocol, port, state and reason."""


class Superseded(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A reply that said less than the one that decided, and came before it."""

    state: State
    reason: Reason
    ttl: int
    responder: str
    time: str | None


class Service(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    r"""What an identifier found out about the service on an open port.

    name: the protocol, in the word that IANA or nmap has for it ("nut", "ssh"), or "unknown". product and
    version: as far as the service says. confidence: from 0 to 1, how sure that is. evidence: what the
    service sent, as text; bytes that are not UTF-8 as `\x80`. All of it comes from the network.
    """

    name: str
    product: str | None = None
    version: str | None = None
    confidence: float
    evidence: str = ""


class Verdict(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The record of one target: what is written, printed and handed to library users.

    `port` is 0 where the protocol has none. `ttl`, `rtt_ms` and `responder` belong to the reply that
    decided and are None where none did. `responder` is who sent that reply: the target itself, or a router.
    `rtt_ms` is in milliseconds, from the probe that was answered. `tries` counts the
    probes that left for this target. `time` is ISO 8601 in UTC: of the deciding reply,
    else of the last probe, else None. A capture without times has none of it, nor `rtt_ms`.

    `service` is what an identifier made of an open port, None where none was asked or none knew.
    `note` is what else the packets betray, and no state: "open-inferred" where the prober's own reset or
    acknowledgement shows that a SYN/ACK came which was not captured; "address-conflict" where two hardware
    addresses answered for the target. `hint` says why there may be no reply.
    `superseded` are replies that said less, in order of time: a refusal before an accept.
    `mac` is the hardware address that answered for a target on a link of ours, `oui` its first three bytes,
    which say who made it.
    """

    ip: str
    proto: Protocol
    port: int
    state: State
    reason: Reason
    ttl: int | None = None
    rtt_ms: float | None = None
    responder: str | None = None
    tries: int = 0
    time: str | None = None
    service: Service | None = None
    note: str | None = None
    hint: str | None = None
    superseded: tuple[Superseded, ...] | None = None
    mac: str | None = None
    oui: str | None = None


class ProberVerdict(Verdict, frozen=True, kw_only=True, gc=False):
    """The record of one target as one prober, of several in a capture, found it."""

    prober: str


class GhostportError(Exception):
    """Base of all that this package raises on purpose: one line, and an exit code."""

    exit_code: ClassVar[int] = 2


class UsageError(GhostportError):
    """What was asked for cannot be done; the message names it and how to mend it."""


class ScopeRefused(GhostportError):
    """A target lies outside what may be probed."""

    exit_code = 3


class WireError(GhostportError):
    """The wire failed while in use; what was learnt before is kept."""

    exit_code = 4


class CaptureError(GhostportError):
    """A capture, or the plan beside it, cannot be read."""


class RoomError(CaptureError):
    """A capture has more of something than can be held."""
