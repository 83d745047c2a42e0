"""The rules: which packet says what of a port. Data in one table, and the functions that apply it to columns.

A rule knows nothing of sweeps or captures: it turns a reply into a claim about the probe it answers.
Whether that probe was sent is found out elsewhere (`transport.py` by cookie, `flowtable.py` from a capture),
and which of several claims wins, in `ledger.py`.

Sources: RFC 9293 section 3.10.7.3 (a reset is looked at before a SYN, and must acknowledge ours),
RFC 1122 section 4.1.3.4 and 4.2.3.9, RFC 1812 section 5.2.7; nmap's reason words and verdicts.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scanner.core.columns import Columns
from scanner.core.packets import (
    ABORT,
    ICMP,
    INIT_ACK,
    SCTP,
    TCP,
    UDP,
    Datagrams,
    Decoded,
    Echoes,
    IcmpErrors,
    SctpPackets,
)
from scanner.model import REASONS, Protocol, Reason, State

FIN, SYN, RST, PSH, ACK = (1 << bit for bit in range(5))


class Rank(enum.IntEnum):
    """What is known of a target, as arrays hold it; a higher rank is never given up for a lower one."""

    UNANSWERED = 0
    FILTERED = 1
    CLOSED = 2
    OPEN = 3
    DOWN = 4
    UNFILTERED = 5
    """Something came through, which tells nothing more: the answer to an ACK."""


class Check(enum.IntEnum):
    """How far a claim can be held against the sequence number of the probe it names."""

    NONE = 0
    """Addresses and ports only."""
    SEQUENCE = 1
    """The number must be the probe's."""
    ACKNOWLEDGED = 2
    """The SYN is acknowledged, and perhaps data that came with it (RFC 7413, 4.2.2)."""
    RESET = 3
    """Likewise, or one less: some stacks acknowledge a SYN with its own number when they reset."""
    REFLECTED = 4
    """The reply's own number must be the one that the probe acknowledged (RFC 9293, 3.10.7.1)."""


@dataclass(frozen=True, slots=True)
class TcpRule:
    """A TCP reply: flags that must be set, flags that must not be."""

    set: int
    clear: int
    rank: Rank
    reason: Reason
    check: Check


@dataclass(frozen=True, slots=True)
class UdpRule:
    """A UDP reply: any datagram."""

    rank: Rank
    reason: Reason


@dataclass(frozen=True, slots=True)
class SctpRule:
    """An SCTP reply that begins with a chunk of that type (RFC 9260, 3.2)."""

    chunk: int
    rank: Rank
    reason: Reason


@dataclass(frozen=True, slots=True)
class EchoRule:
    """An ICMP echo reply (RFC 792; RFC 4443, 4.2)."""

    rank: Rank
    reason: Reason


@dataclass(frozen=True, slots=True)
class IcmpRule:
    """An ICMP error that quotes a probe.

    version: of IP. code None: any. from_target: sent by the probed address itself.
    """

    version: int
    probe: Protocol
    type: int
    code: int | None
    from_target: bool | None
    rank: Rank
    reason: Reason


TCP_RULES = (
    TcpRule(set=RST | ACK, clear=0, rank=Rank.CLOSED, reason=Reason.RESET, check=Check.RESET),
    TcpRule(set=SYN | ACK, clear=RST, rank=Rank.OPEN, reason=Reason.SYN_ACK, check=Check.ACKNOWLEDGED),
    TcpRule(set=SYN, clear=RST | ACK, rank=Rank.OPEN, reason=Reason.SPLIT_HANDSHAKE_SYN, check=Check.NONE),
)
UDP_RULES = (UdpRule(rank=Rank.OPEN, reason=Reason.UDP_RESPONSE),)

ACK_RULES = (TcpRule(set=RST, clear=0, rank=Rank.UNFILTERED, reason=Reason.RESET, check=Check.REFLECTED),)
SCTP_RULES = (
    SctpRule(chunk=INIT_ACK, rank=Rank.OPEN, reason=Reason.INIT_ACK),
    SctpRule(chunk=ABORT, rank=Rank.CLOSED, reason=Reason.ABORT),
)
ECHO_RULES = (EchoRule(rank=Rank.OPEN, reason=Reason.ECHO_REPLY),)

_PORT_UNREACHABLE = {4: (3, 3), 6: (1, 4)}
"""Type and code by IP version: closed where the target itself says so of a datagram, else filtered."""

_FILTERED = {
    # RFC 792; RFC 1122, 3.2.2.1; RFC 1812, 5.2.7.1
    (4, 3, 0): Reason.NET_UNREACH,
    (4, 3, 1): Reason.HOST_UNREACH,
    (4, 3, 2): Reason.PROTO_UNREACH,
    (4, 3, 9): Reason.NET_PROHIBITED,
    (4, 3, 10): Reason.HOST_PROHIBITED,
    (4, 3, 13): Reason.ADMIN_PROHIBITED,
    (4, 11, None): Reason.TIME_EXCEEDED,
    # RFC 4443, 3.1, 3.3 and 3.4
    (6, 1, 0): Reason.NO_ROUTE,
    (6, 1, 1): Reason.ADMIN_PROHIBITED,
    (6, 1, 2): Reason.BEYOND_SCOPE,
    (6, 1, 3): Reason.ADDR_UNREACH,
    (6, 1, 5): Reason.POLICY,
    (6, 1, 6): Reason.REJECT_ROUTE,
    (6, 3, None): Reason.TIME_EXCEEDED,
    (6, 4, 1): Reason.PROTO_UNREACH,
}
"""By IP version, type and code (None: any)."""

ICMP_RULES = (
    *(
        IcmpRule(version, probe, kind, code, None, Rank.FILTERED, reason)
        for probe in Protocol
        for (version, kind, code), reason in _FILTERED.items()
    ),
    *(
        IcmpRule(version, probe, *kind, from_target, rank, Reason.PORT_UNREACH)
        for version, kind in _PORT_UNREACHABLE.items()
        for probe, from_target, rank in (
            (Protocol.TCP, None, Rank.FILTERED),
            (Protocol.UDP, False, Rank.FILTERED),
            (Protocol.UDP, True, Rank.CLOSED),
            (Protocol.SCTP, None, Rank.FILTERED),
        )
    ),
)

RULE_KINDS: dict[Protocol, type[TcpRule | UdpRule | SctpRule | EchoRule]] = {
    Protocol.TCP: TcpRule,
    Protocol.UDP: UdpRule,
    Protocol.SCTP: SctpRule,
    Protocol.ICMP: EchoRule,
}
"""Of what kind the rules of a protocol are."""

Reply = TcpRule | UdpRule | SctpRule | EchoRule


@dataclass(frozen=True, slots=True)
class ReplyRules:
    """What replies to a probe say: data, and all that there is to know of it.

    replies: what counts as one, all of the kind that belongs to the probe's protocol; of TCP rules the first
    that fits decides. set, clear: flags that a TCP probe has, and has not, by which captures know it.

    ICMP errors need no rules: they mean the same whatever they answer. Nor does silence: what that means
    depends on the protocol alone (`SILENCE`).
    """

    replies: tuple[Reply, ...]
    set: int = SYN
    clear: int = ACK | RST


SILENCE = {
    Protocol.TCP: State.FILTERED,
    Protocol.UDP: State.OPEN_FILTERED,
    Protocol.SCTP: State.FILTERED,
    Protocol.ICMP: State.DOWN,
}
"""What no response after all tries means."""

SYN_REPLIES = ReplyRules(TCP_RULES)
UDP_REPLIES = ReplyRules(UDP_RULES)
ACK_REPLIES = ReplyRules(ACK_RULES, set=ACK, clear=SYN | RST | FIN)
SCTP_REPLIES = ReplyRules(SCTP_RULES)
ECHO_REPLIES = ReplyRules(ECHO_RULES)

_STATES: dict[int, State] = {
    Rank.FILTERED: State.FILTERED,
    Rank.CLOSED: State.CLOSED,
    Rank.OPEN: State.OPEN,
    Rank.DOWN: State.DOWN,
    Rank.UNFILTERED: State.UNFILTERED,
}


def state_of(rank: int, protocol: Protocol) -> State:
    """The state that a rank stands for."""
    if rank == Rank.UNANSWERED:
        return SILENCE[protocol]
    if rank == Rank.OPEN and protocol is Protocol.ICMP:
        return State.UP
    return _STATES[rank]


def reason_code(reason: Reason) -> int:
    """The number of a reason in arrays; `REASONS[number]` is the way back."""
    return REASONS.index(reason)


_NUMBERS = {Protocol.TCP: TCP, Protocol.UDP: UDP, Protocol.SCTP: SCTP, Protocol.ICMP: ICMP}
_PLACES = {protocol: place for place, protocol in enumerate(_NUMBERS)}


def _by_number(values: Mapping[Protocol, int], otherwise: int) -> NDArray[np.int8]:
    """Values by IP protocol number."""
    table = np.full(256, otherwise, dtype=np.int8)
    for protocol, value in values.items():
        table[_NUMBERS[protocol]] = value
    return table


_PLACE_OF = _by_number(_PLACES, -1)
# Of what an error quotes at least, eight bytes, TCP's sequence number is part, and an echo's; an SCTP
# packet's first chunk, which has the tag, is not.
_QUOTED_CHECK = _by_number({Protocol.TCP: Check.SEQUENCE, Protocol.ICMP: Check.SEQUENCE}, Check.NONE).astype(
    np.uint8
)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Claims(Columns):
    """What replies say, one element a reply: which probe each claims to answer, and what follows if it does.

    frame: int64, which frame of the input; times: int64 ns.
    protocol: uint8 IP protocol of the probe. prober, target: uint32. prober_port, target_port: uint16.
    tunnel: uint32, which one it came in. sequence: uint32, the probe's sequence number by this reply;
    check: uint8, a `Check`. rank: uint8, a `Rank`. reason: uint8, position in `REASONS`.
    responder: uint32, ttl: uint8: of the reply itself.
    """

    frame: NDArray[np.int64]
    times: NDArray[np.int64]
    protocol: NDArray[np.uint8]
    prober: NDArray[np.uint32]
    target: NDArray[np.uint32]
    prober_port: NDArray[np.uint16]
    target_port: NDArray[np.uint16]
    tunnel: NDArray[np.uint32]
    sequence: NDArray[np.uint32]
    check: NDArray[np.uint8]
    rank: NDArray[np.uint8]
    reason: NDArray[np.uint8]
    responder: NDArray[np.uint32]
    ttl: NDArray[np.uint8]

    @staticmethod
    def none() -> Claims:
        """No claims."""
        wide, narrow = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.uint32)
        port, byte = np.empty(0, dtype=np.uint16), np.empty(0, dtype=np.uint8)
        return Claims(
            wide, wide, byte, narrow, narrow, port, port, narrow, narrow, *(byte,) * 3, narrow, byte
        )


class Rules:
    """The table, laid out for lookup by array."""

    def __init__(self, own: Mapping[Protocol, ReplyRules] | None = None) -> None:
        """Lay it out. `own`: rules of probes that are not the usual ones of their protocol."""
        own = own or {}

        def replies(protocol: Protocol, usual: tuple[Reply, ...]) -> tuple[Reply, ...]:
            return own[protocol].replies if protocol in own else usual

        tcp = [rule for rule in replies(Protocol.TCP, TCP_RULES) if isinstance(rule, TcpRule)]
        flags = np.arange(256)
        self._tcp = np.full(256, -1, dtype=np.int64)
        for number, rule in reversed(list(enumerate(tcp))):
            self._tcp[(flags & rule.set == rule.set) & (flags & rule.clear == 0)] = number
        self._tcp_rank = np.array([rule.rank for rule in tcp], dtype=np.uint8)
        self._tcp_reason = np.array([reason_code(rule.reason) for rule in tcp], dtype=np.uint8)
        self._tcp_check = np.array([rule.check for rule in tcp], dtype=np.uint8)
        self._udp = [rule for rule in replies(Protocol.UDP, UDP_RULES) if isinstance(rule, UdpRule)]
        self._echo = [rule for rule in replies(Protocol.ICMP, ECHO_RULES) if isinstance(rule, EchoRule)]
        self._sctp = {
            rule.chunk: rule for rule in replies(Protocol.SCTP, SCTP_RULES) if isinstance(rule, SctpRule)
        }
        # By IP version (4, 6), protocol of the probe, sender (another, the target), type, code.
        self._icmp = np.full((2, len(_NUMBERS), 2, 256, 256), -1, dtype=np.int16)
        for number, icmp_rule in enumerate(ICMP_RULES):
            probe = _PLACES[icmp_rule.probe]
            sender = slice(None) if icmp_rule.from_target is None else int(icmp_rule.from_target)
            code = slice(None) if icmp_rule.code is None else icmp_rule.code
            self._icmp[int(icmp_rule.version == 6), probe, sender, icmp_rule.type, code] = number
        self._icmp_rank = np.array([rule.rank for rule in ICMP_RULES], dtype=np.uint8)
        self._icmp_reason = np.array([reason_code(rule.reason) for rule in ICMP_RULES], dtype=np.uint8)

    def claims(self, decoded: Decoded) -> Claims:
        """All that the replies among some packets claim, in no particular order."""
        return Claims.concatenate(
            (
                self._from_tcp(decoded),
                self._from_udp(decoded),
                self._from_sctp(decoded.sctp),
                self._from_echoes(decoded.echoes),
                self._from_icmp(decoded.icmp),
            )
        )

    def asides(self, decoded: Decoded) -> Claims:
        """Segments that decide nothing, and yet tell of others: claims of no rank.

        The prober's bare ACK or its reset, at the number behind its SYN, says that the target answered:
        nothing else brings them about (RFC 9293, 3.10.7.3). The target's segments that no rule knows say
        that its side was captured.
        """
        tcp = decoded.tcp
        bare = (tcp.flags & (SYN | RST | ACK | FIN) == ACK) & (tcp.size == 0)
        prober = np.flatnonzero(bare | (tcp.flags & (SYN | RST) == RST))
        target = np.flatnonzero(self._tcp[tcp.flags] < 0)
        nothing = (Rank.UNANSWERED, reason_code(Reason.NO_RESPONSE))
        answers, own = (
            _reply(
                tcp.ip,
                rows,
                protocol=TCP,
                ports=(tcp.destination_port, tcp.source_port),
                sequence=sequence,
                verdict=tuple(np.full(len(rows), value, dtype=np.uint8) for value in (*nothing, check)),
            )
            for rows, sequence, check in (
                (target, np.zeros(len(target), dtype=np.uint32), Check.NONE),
                (prober, tcp.sequence[prober] - np.uint32(1), Check.SEQUENCE),
            )
        )
        turned = {
            "prober": "target",
            "target": "prober",
            "prober_port": "target_port",
            "target_port": "prober_port",
        }
        own = replace(own, **{name: getattr(own, other) for name, other in turned.items()})
        return Claims.concatenate([answers, own])

    def _from_tcp(self, decoded: Decoded) -> Claims:
        tcp = decoded.tcp
        number = self._tcp[tcp.flags]
        rows = np.flatnonzero(number >= 0)
        number = number[rows]
        sequence = tcp.acknowledgement[rows] - np.uint32(1)
        check = self._tcp_check[number]
        reflected = check == Check.REFLECTED
        if reflected.any():
            sequence = np.where(reflected, tcp.sequence[rows], sequence)
            check = np.where(reflected, np.uint8(Check.SEQUENCE), check)
        return _reply(
            tcp.ip,
            rows,
            protocol=TCP,
            ports=(tcp.destination_port, tcp.source_port),
            sequence=sequence,
            verdict=(self._tcp_rank[number], self._tcp_reason[number], check),
        )

    def _from_udp(self, decoded: Decoded) -> Claims:
        udp = decoded.udp
        rows = np.arange(len(udp.ip) if self._udp else 0)
        return _reply(
            udp.ip,
            rows,
            protocol=UDP,
            ports=(udp.destination_port, udp.source_port),
            sequence=np.zeros(len(rows), dtype=np.uint32),
            verdict=_all_of(self._udp[0] if self._udp else None, Check.NONE, len(rows)),
        )

    def _from_sctp(self, sctp: SctpPackets) -> Claims:
        found = []
        for chunk, rule in self._sctp.items():
            rows = np.flatnonzero(sctp.chunk == chunk)
            found.append(
                _reply(
                    sctp.ip,
                    rows,
                    protocol=SCTP,
                    ports=(sctp.destination_port, sctp.source_port),
                    sequence=sctp.tag[rows],
                    verdict=_all_of(rule, Check.SEQUENCE, len(rows)),
                )
            )
        return Claims.concatenate(found) if found else Claims.none()

    def _from_echoes(self, echoes: Echoes) -> Claims:
        rows = np.flatnonzero(echoes.reply) if self._echo else np.empty(0, dtype=np.int64)
        nowhere = np.zeros(len(echoes.ip), dtype=np.uint16)
        return _reply(
            echoes.ip,
            rows,
            protocol=ICMP,
            ports=(echoes.identifier, nowhere),
            sequence=echoes.sequence[rows].astype(np.uint32),
            verdict=_all_of(self._echo[0] if self._echo else None, Check.SEQUENCE, len(rows)),
        )

    def _from_icmp(self, icmp: IcmpErrors) -> Claims:
        from_target = icmp.ip.source == icmp.destination
        place = _PLACE_OF[icmp.protocol]
        number = self._icmp[
            (icmp.ip.version == 6).astype(np.intp), place, from_target.astype(np.intp), icmp.type, icmp.code
        ]
        number = np.where(place >= 0, number, np.int16(-1))
        rows = np.flatnonzero(number >= 0)
        number = number[rows]
        return Claims(
            frame=icmp.ip.frame[rows],
            times=icmp.ip.times[rows],
            protocol=icmp.protocol[rows],
            prober=icmp.source[rows],
            target=icmp.destination[rows],
            prober_port=icmp.source_port[rows],
            target_port=icmp.destination_port[rows],
            tunnel=icmp.ip.tunnel[rows],
            sequence=icmp.sequence[rows],
            check=_QUOTED_CHECK[icmp.protocol[rows]],
            rank=self._icmp_rank[number],
            reason=self._icmp_reason[number],
            responder=icmp.ip.source[rows],
            ttl=icmp.ip.ttl[rows],
        )


def _all_of(
    rule: UdpRule | SctpRule | EchoRule | None, check: Check, count: int
) -> tuple[NDArray[np.uint8], ...]:
    """Rank, reason and check, the same for all."""
    values = (0, 0, 0) if rule is None else (rule.rank, reason_code(rule.reason), check)
    return tuple(np.full(count, value, dtype=np.uint8) for value in values)


def _reply(
    ip: Datagrams,
    rows: NDArray[np.int64],
    *,
    protocol: int,
    ports: tuple[NDArray[np.uint16], NDArray[np.uint16]],
    sequence: NDArray[np.uint32],
    verdict: tuple[NDArray[np.uint8], ...],
) -> Claims:
    """Claims of packets that the target itself sent: its source is the probe's destination."""
    rank, reason, check = verdict
    return Claims(
        frame=ip.frame[rows],
        times=ip.times[rows],
        protocol=np.full(len(rows), protocol, dtype=np.uint8),
        prober=ip.destination[rows],
        target=ip.source[rows],
        prober_port=ports[0][rows],
        target_port=ports[1][rows],
        tunnel=ip.tunnel[rows],
        sequence=sequence,
        check=check,
        rank=rank,
        reason=reason,
        responder=ip.source[rows],
        ttl=ip.ttl[rows],
    )


def sequence_agrees(
    claims: Claims, expected: NDArray[np.uint32], size: NDArray[np.uint32] | None = None
) -> NDArray[np.bool_]:
    """Which claims name the sequence number of their probe, as far as each one's check asks.

    Args:
        claims: N of them.
        expected: `(N,)` uint32, the probes' numbers.
        size: `(N,)` uint32, bytes of data that came with each SYN; None for none.
    """
    ahead = claims.sequence - expected
    if not ahead.any():
        return np.ones(len(ahead), dtype=np.bool_)
    acknowledged = ahead == 0 if size is None else ahead <= size
    agreed: NDArray[np.bool_] = np.select(
        [claims.check == Check.SEQUENCE, claims.check == Check.ACKNOWLEDGED, claims.check == Check.RESET],
        [ahead == 0, acknowledged, acknowledged | (ahead == np.uint32(0xFFFF_FFFF))],
        default=True,
    )
    return agreed
