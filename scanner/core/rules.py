"""The rules: which packet says what of a port. Data in one table, and the functions that apply it to columns.

A rule knows nothing of sweeps or captures: it turns a reply into a claim about the probe it answers.
Whether that probe was sent is found out elsewhere (`transport.py` by cookie, `flowtable.py` from a capture),
and which of several claims wins, in `ledger.py`.

Sources: RFC 9293 section 3.10.7.3 (a reset is looked at before a SYN, and must acknowledge ours),
RFC 1122 section 4.1.3.4 and 4.2.3.9, RFC 1812 section 5.2.7; nmap's reason words and verdicts.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanner.core.columns import Columns
from scanner.core.decode import TCP, UDP, Datagrams, Decoded, IcmpErrors
from scanner.model import REASONS, Protocol, Reason, State

FIN, SYN, RST, PSH, ACK = (1 << bit for bit in range(5))


class Rank(enum.IntEnum):
    """What is known of a target, as arrays hold it; a higher rank is never given up for a lower one."""

    UNANSWERED = 0
    FILTERED = 1
    CLOSED = 2
    OPEN = 3
    DOWN = 4


class Check(enum.IntEnum):
    """How far a claim can be held against the sequence number of the probe it names."""

    NONE = 0
    """Addresses and ports only."""
    SEQUENCE = 1
    """The number must be the probe's."""
    RESET = 2
    """The probe's, or one less: some stacks acknowledge a SYN with its own number when they reset."""


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
class IcmpRule:
    """An ICMP error that quotes a probe. code None: any. from_target: sent by the probed address itself."""

    probe: Protocol
    type: int
    code: int | None
    from_target: bool | None
    rank: Rank
    reason: Reason


TCP_RULES = (
    TcpRule(set=RST | ACK, clear=0, rank=Rank.CLOSED, reason=Reason.RESET, check=Check.RESET),
    TcpRule(set=SYN | ACK, clear=RST, rank=Rank.OPEN, reason=Reason.SYN_ACK, check=Check.SEQUENCE),
    TcpRule(set=SYN, clear=RST | ACK, rank=Rank.OPEN, reason=Reason.SPLIT_HANDSHAKE_SYN, check=Check.NONE),
)
UDP_RULES = (UdpRule(rank=Rank.OPEN, reason=Reason.UDP_RESPONSE),)

_UNREACHABLE = 3
_TIME_EXCEEDED = 11
_PORT_UNREACHABLE = 3
_FILTERED_BY_CODE = {
    0: Reason.NET_UNREACH,
    1: Reason.HOST_UNREACH,
    2: Reason.PROTO_UNREACH,
    9: Reason.NET_PROHIBITED,
    10: Reason.HOST_PROHIBITED,
    13: Reason.ADMIN_PROHIBITED,
}
ICMP_RULES = (
    *(
        IcmpRule(probe, _UNREACHABLE, code, None, Rank.FILTERED, reason)
        for probe in Protocol
        for code, reason in _FILTERED_BY_CODE.items()
    ),
    IcmpRule(Protocol.TCP, _UNREACHABLE, _PORT_UNREACHABLE, None, Rank.FILTERED, Reason.PORT_UNREACH),
    IcmpRule(Protocol.UDP, _UNREACHABLE, _PORT_UNREACHABLE, False, Rank.FILTERED, Reason.PORT_UNREACH),
    IcmpRule(Protocol.UDP, _UNREACHABLE, _PORT_UNREACHABLE, True, Rank.CLOSED, Reason.PORT_UNREACH),
    *(IcmpRule(probe, _TIME_EXCEEDED, None, None, Rank.FILTERED, Reason.TIME_EXCEEDED) for probe in Protocol),
)

UNANSWERED_STATE = {Protocol.TCP: State.FILTERED, Protocol.UDP: State.OPEN_FILTERED}
"""What no response after all tries means."""

_STATES: dict[int, State] = {
    Rank.FILTERED: State.FILTERED,
    Rank.CLOSED: State.CLOSED,
    Rank.OPEN: State.OPEN,
    Rank.DOWN: State.DOWN,
}


def state_of(rank: int, protocol: Protocol) -> State:
    """The state that a rank stands for."""
    return UNANSWERED_STATE[protocol] if rank == Rank.UNANSWERED else _STATES[rank]


def reason_code(reason: Reason) -> int:
    """The number of a reason in arrays; `REASONS[number]` is the way back."""
    return REASONS.index(reason)


@dataclass(frozen=True, slots=True)
class Claims(Columns):
    """What replies say, one element a reply: which probe each claims to answer, and what follows if it does.

    frame: int64, which frame of the input; times: int64 ns.
    protocol: uint8 IP protocol of the probe. prober, target: uint32. prober_port, target_port: uint16.
    sequence: uint32, the probe's sequence number by this reply; check: uint8, a `Check`.
    rank: uint8, a `Rank`. reason: uint8, position in `REASONS`.
    responder: uint32, ttl: uint8: of the reply itself.
    """

    frame: NDArray[np.int64]
    times: NDArray[np.int64]
    protocol: NDArray[np.uint8]
    prober: NDArray[np.uint32]
    target: NDArray[np.uint32]
    prober_port: NDArray[np.uint16]
    target_port: NDArray[np.uint16]
    sequence: NDArray[np.uint32]
    check: NDArray[np.uint8]
    rank: NDArray[np.uint8]
    reason: NDArray[np.uint8]
    responder: NDArray[np.uint32]
    ttl: NDArray[np.uint8]


class Rules:
    """The table, laid out for lookup by array."""

    def __init__(self) -> None:
        """Lay it out."""
        flags = np.arange(256)
        self._tcp = np.full(256, -1, dtype=np.int64)
        for number, rule in reversed(list(enumerate(TCP_RULES))):
            self._tcp[(flags & rule.set == rule.set) & (flags & rule.clear == 0)] = number
        self._tcp_rank = np.array([rule.rank for rule in TCP_RULES], dtype=np.uint8)
        self._tcp_reason = np.array([reason_code(rule.reason) for rule in TCP_RULES], dtype=np.uint8)
        self._tcp_check = np.array([rule.check for rule in TCP_RULES], dtype=np.uint8)
        # By probe (TCP, UDP), sender (another, the target), type, code.
        self._icmp = np.full((2, 2, 256, 256), -1, dtype=np.int16)
        for number, icmp_rule in enumerate(ICMP_RULES):
            probe = int(icmp_rule.probe is Protocol.UDP)
            sender = slice(None) if icmp_rule.from_target is None else int(icmp_rule.from_target)
            code = slice(None) if icmp_rule.code is None else icmp_rule.code
            self._icmp[probe, sender, icmp_rule.type, code] = number
        self._icmp_rank = np.array([rule.rank for rule in ICMP_RULES], dtype=np.uint8)
        self._icmp_reason = np.array([reason_code(rule.reason) for rule in ICMP_RULES], dtype=np.uint8)

    def claims(self, decoded: Decoded) -> Claims:
        """All that the replies among some packets claim, in no particular order."""
        return Claims.concatenate(
            (self._from_tcp(decoded), self._from_udp(decoded), self._from_icmp(decoded.icmp))
        )

    def _from_tcp(self, decoded: Decoded) -> Claims:
        tcp = decoded.tcp
        number = self._tcp[tcp.flags]
        rows = np.flatnonzero(number >= 0)
        number = number[rows]
        return _reply(
            tcp.ip,
            rows,
            protocol=TCP,
            ports=(tcp.destination_port, tcp.source_port),
            sequence=tcp.acknowledgement[rows] - np.uint32(1),
            verdict=(self._tcp_rank[number], self._tcp_reason[number], self._tcp_check[number]),
        )

    def _from_udp(self, decoded: Decoded) -> Claims:
        udp = decoded.udp
        rule = UDP_RULES[0]
        count = len(udp.ip)
        return _reply(
            udp.ip,
            np.arange(count),
            protocol=UDP,
            ports=(udp.destination_port, udp.source_port),
            sequence=np.zeros(count, dtype=np.uint32),
            verdict=(
                np.full(count, rule.rank, dtype=np.uint8),
                np.full(count, reason_code(rule.reason), dtype=np.uint8),
                np.full(count, Check.NONE, dtype=np.uint8),
            ),
        )

    def _from_icmp(self, icmp: IcmpErrors) -> Claims:
        from_target = icmp.ip.source == icmp.destination
        is_udp = icmp.protocol == UDP
        number = self._icmp[is_udp.astype(np.intp), from_target.astype(np.intp), icmp.type, icmp.code]
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
            sequence=icmp.sequence[rows],
            check=np.where(is_udp[rows], Check.NONE, Check.SEQUENCE).astype(np.uint8),
            rank=self._icmp_rank[number],
            reason=self._icmp_reason[number],
            responder=icmp.ip.source[rows],
            ttl=icmp.ip.ttl[rows],
        )


def _reply(
    ip: Datagrams,
    rows: NDArray[np.int64],
    *,
    protocol: int,
    ports: tuple[NDArray[np.uint16], NDArray[np.uint16]],
    sequence: NDArray[np.uint32],
    verdict: tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]],
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
        sequence=sequence,
        check=check,
        rank=rank,
        reason=reason,
        responder=ip.source[rows],
        ttl=ip.ttl[rows],
    )


def sequence_agrees(claims: Claims, expected: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Which claims name the sequence number `(N,)` of their probe, as far as each one's check asks."""
    behind = expected - np.uint32(1)
    exact = claims.sequence == expected
    lenient = exact | (claims.sequence == behind)
    agreed: NDArray[np.bool_] = np.select(
        [claims.check == Check.SEQUENCE, claims.check == Check.RESET], [exact, lenient], default=True
    )
    return agreed
