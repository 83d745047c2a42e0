"""The verdict table, line by line and then exhaustively, against the table written out a second time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPerror, TCPerror, UDPerror
from scapy.packet import Packet

from scanner.core.addresses import parse_address
from scanner.core.decode import decode_untrusted
from scanner.core.outcomes import PROTOCOLS
from scanner.core.packets import Decoded
from scanner.core.rules import (
    ICMP_RULES,
    TCP_RULES,
    UDP_RULES,
    Check,
    Claims,
    Rank,
    Rules,
    reason_code,
    sequence_agrees,
    state_of,
)
from scanner.model import REASONS, Protocol, Reason, State

PROBER, TARGET, ROUTER = "10.0.0.1", "10.50.3.4", "10.9.9.9"
SEQUENCE = 0x89ABCDEF
RULES = Rules()

Said = tuple[State, Reason] | None


def decoded(packets: Iterable[Packet | bytes]) -> Decoded:
    frames = [bytes(packet) for packet in packets]
    lengths = np.array([len(frame) for frame in frames], dtype=np.int64)
    buffer = np.frombuffer(b"".join(frames), dtype=np.uint8)
    times = 5_000 + np.arange(len(frames), dtype=np.int64)
    return decode_untrusted(buffer, np.cumsum(lengths) - lengths, lengths, times, 101)


def claims_of(packets: Iterable[Packet | bytes]) -> Claims:
    return RULES.claims(decoded(packets))


def said(packets: Sequence[Packet | bytes]) -> list[Said]:
    """What each packet says of its port, None for nothing."""
    claims = claims_of(packets)
    found: list[Said] = [None] * len(packets)
    for frame, rank, protocol, reason in zip(
        claims.frame.tolist(),
        claims.rank.tolist(),
        claims.protocol.tolist(),
        claims.reason.tolist(),
        strict=True,
    ):
        assert found[frame] is None, "one packet, one claim"
        found[frame] = state_of(rank, PROTOCOLS[protocol]), REASONS[reason]
    return found


def segment(flags: str | int, ack: int = (SEQUENCE + 1) & 0xFFFFFFFF) -> Packet:
    return IP(src=TARGET, dst=PROBER, ttl=57) / TCP(sport=401, dport=51000, flags=flags, seq=7, ack=ack)


def icmp(protocol: str, kind: int, code: int, sender: str = ROUTER) -> bytes:
    """An error that quotes a probe, RFC 792; built by hand, there are 200 000 of them."""
    quoted = {"tcp": QUOTED_SYN, "udp": QUOTED_DATAGRAM}[protocol]
    start = ICMP_START[sender]
    return start + bytes([kind, code]) + bytes(6) + quoted


QUOTED_IP = IP(src=PROBER, dst=TARGET, ttl=1, len=44)
QUOTED_SYN = bytes(QUOTED_IP / TCP(sport=51000, dport=401, seq=SEQUENCE))[:28]
QUOTED_DATAGRAM = bytes(QUOTED_IP / UDP(sport=51000, dport=401))
ICMP_START = {
    sender: bytes(IP(src=sender, dst=PROBER, ttl=250, proto=1, len=20 + 8 + 28))
    for sender in (TARGET, ROUTER)
}

OPEN, CLOSED, FILTERED = State.OPEN, State.CLOSED, State.FILTERED


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        (segment("SA"), (OPEN, Reason.SYN_ACK)),
        (segment("S"), (OPEN, Reason.SPLIT_HANDSHAKE_SYN)),
        (segment("RA"), (CLOSED, Reason.RESET)),
        (segment("R"), None),
        (segment("A"), None),
        (segment("FA"), None),
        (segment("PA"), None),
        (segment(0), None),
        (segment("SAEC"), (OPEN, Reason.SYN_ACK)),
        (segment("SRA"), (CLOSED, Reason.RESET)),
        (segment("SR"), None),
        (IP(src=TARGET, dst=PROBER) / UDP(sport=401, dport=51000), (OPEN, Reason.UDP_RESPONSE)),
        (IP(src=TARGET, dst=PROBER) / UDP(sport=401, dport=51000) / b"x", (OPEN, Reason.UDP_RESPONSE)),
        *(
            (icmp(protocol, 3, code, sender), (FILTERED, reason))
            for protocol in ("tcp", "udp")
            for sender in (TARGET, ROUTER)
            for code, reason in (
                (0, Reason.NET_UNREACH),
                (1, Reason.HOST_UNREACH),
                (2, Reason.PROTO_UNREACH),
                (9, Reason.NET_PROHIBITED),
                (10, Reason.HOST_PROHIBITED),
                (13, Reason.ADMIN_PROHIBITED),
            )
        ),
        (icmp("udp", 3, 3, TARGET), (CLOSED, Reason.PORT_UNREACH)),
        (icmp("udp", 3, 3, ROUTER), (FILTERED, Reason.PORT_UNREACH)),
        (icmp("tcp", 3, 3, TARGET), (FILTERED, Reason.PORT_UNREACH)),
        (icmp("tcp", 3, 3, ROUTER), (FILTERED, Reason.PORT_UNREACH)),
        *(
            (icmp(protocol, 11, code, sender), (FILTERED, Reason.TIME_EXCEEDED))
            for protocol in ("tcp", "udp")
            for sender in (TARGET, ROUTER)
            for code in (0, 1, 255)
        ),
        *(
            (icmp(protocol, 3, code), None)
            for protocol in ("tcp", "udp")
            for code in (4, 5, 6, 7, 8, 11, 12, 14)
        ),
        *((icmp(protocol, kind, 0), None) for protocol in ("tcp", "udp") for kind in (4, 5, 8, 12)),
        *((icmp(protocol, 0, 0), (State.UP, Reason.ECHO_REPLY)) for protocol in ("tcp", "udp")),
    ],
)
def test_a_line_of_the_table(packet: Packet | bytes, expected: Said) -> None:
    assert said([packet]) == [expected]


def test_every_combination_of_tcp_flags() -> None:
    expected: list[Said] = []
    for flags in range(256):
        syn, reset, ack = bool(flags & 2), bool(flags & 4), bool(flags & 16)
        verdict: Said = None
        if reset:
            verdict = (CLOSED, Reason.RESET) if ack else None
        elif syn:
            verdict = (OPEN, Reason.SYN_ACK if ack else Reason.SPLIT_HANDSHAKE_SYN)
        expected.append(verdict)
    assert said([segment(flags) for flags in range(256)]) == expected


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("sender", [TARGET, ROUTER], ids=["target", "router"])
def test_every_type_and_code_of_icmp(protocol: str, sender: str) -> None:
    words = (
        "net-unreach host-unreach proto-unreach port-unreach - - - - - net-prohibited host-prohibited - - "
    )
    words += "admin-prohibited"
    unreachable = {code: Reason(word) for code, word in enumerate(words.split()) if word != "-"}
    expected: list[Said] = []
    for kind in range(256):
        for code in range(256):
            verdict: Said = None
            if kind == 11:
                verdict = FILTERED, Reason.TIME_EXCEEDED
            elif kind == code == 0:
                verdict = State.UP, Reason.ECHO_REPLY
            elif kind == 3 and code in unreachable:
                closed = code == 3 and protocol == "udp" and sender == TARGET
                verdict = CLOSED if closed else FILTERED, unreachable[code]
            expected.append(verdict)
    assert (
        said([icmp(protocol, kind, code, sender) for kind in range(256) for code in range(256)]) == expected
    )


# --- what a claim names -------------------------------------------------------------------------


def row(claims: Claims) -> dict[str, int]:
    assert len(claims) == 1
    return {name: getattr(claims, name).tolist()[0] for name in claims.__slots__}


FLOW = {
    "frame": 0,
    "times": 5000,
    "prober": parse_address(PROBER),
    "target": parse_address(TARGET),
    "prober_port": 51000,
    "target_port": 401,
    "responder": parse_address(TARGET),
    "ttl": 57,
}


@pytest.mark.parametrize(
    ("flags", "check"), [("SA", Check.ACKNOWLEDGED), ("RA", Check.RESET), ("S", Check.NONE)], ids=str
)
def test_a_segment_names_the_probe_it_acknowledges(flags: str, check: Check) -> None:
    found = row(claims_of([segment(flags)]))
    assert {name: found[name] for name in FLOW} == FLOW
    assert (found["protocol"], found["sequence"], found["check"]) == (6, SEQUENCE, check)


def test_an_acknowledgement_of_zero_wraps() -> None:
    assert row(claims_of([segment("SA", ack=0)]))["sequence"] == 0xFFFFFFFF


def test_a_datagram_names_its_flow() -> None:
    found = row(claims_of([IP(src=TARGET, dst=PROBER, ttl=57) / UDP(sport=401, dport=51000)]))
    assert {name: found[name] for name in FLOW} == FLOW
    assert (found["protocol"], found["check"]) == (17, Check.NONE)


@pytest.mark.parametrize(
    ("quoted", "protocol", "sequence", "check"),
    [
        (TCPerror(sport=51000, dport=401, seq=SEQUENCE), 6, SEQUENCE, Check.SEQUENCE),
        (UDPerror(sport=51000, dport=401, len=8, chksum=0), 17, 8 << 16, Check.NONE),
    ],
)
def test_an_error_names_the_probe_it_quotes(
    quoted: Packet, protocol: int, sequence: int, check: Check
) -> None:
    outer = IP(src=ROUTER, dst=PROBER, ttl=250) / ICMP(type=11) / IPerror(src=PROBER, dst=TARGET, ttl=1)
    found = row(claims_of([outer / quoted]))
    assert {name: found[name] for name in FLOW} == {**FLOW, "responder": parse_address(ROUTER), "ttl": 250}
    assert (found["protocol"], found["sequence"], found["check"]) == (protocol, sequence, check)


def test_columns_have_the_types_they_promise() -> None:
    for claims in (claims_of([]), claims_of([segment("SA"), icmp("udp", 3, 3), icmp("tcp", 11, 0)])):
        assert {name: getattr(claims, name).dtype.name for name in claims.__slots__} == {
            "frame": "int64",
            "times": "int64",
            "protocol": "uint8",
            "prober": "uint32",
            "target": "uint32",
            "prober_port": "uint16",
            "target_port": "uint16",
            "tunnel": "uint32",
            "sequence": "uint32",
            "check": "uint8",
            "rank": "uint8",
            "reason": "uint8",
            "responder": "uint32",
            "ttl": "uint8",
        }
    assert len(claims_of([])) == 0


def test_claims_of_a_mixture_keep_to_their_packets() -> None:
    packets: list[Packet | bytes] = [
        icmp("tcp", 3, 1),
        segment("A"),
        segment("RA"),
        icmp("udp", 3, 3, TARGET),
        segment("SA"),
    ] * 3
    claims = claims_of(packets)
    assert sorted(claims.frame.tolist()) == [at for at in range(15) if at % 5 != 1]
    assert (claims.times == 5_000 + claims.frame).all()
    assert said(packets) == [said([packet])[0] for packet in packets]


def test_some_and_all_of_several() -> None:
    claims = claims_of([segment("SA"), segment("RA"), segment("S")])
    both = Claims.concatenate([claims.take(np.array([2])), claims.take(claims.frame < 2)])
    assert both.frame.tolist() == [2, 0, 1]
    assert both.check.tolist() == [Check.NONE, Check.ACKNOWLEDGED, Check.RESET]


# --- the sequence number ------------------------------------------------------------------------


@given(
    st.sampled_from([0, 1, 2, SEQUENCE, 0xFFFFFFFE, 0xFFFFFFFF]),
    st.integers(-3, 3) | st.integers(0, 0xFFFFFFFF),
    st.sampled_from(Check),
)
def test_sequence_agrees(expected: int, distance: int, check: Check) -> None:
    claims = claims_of([segment("SA", ack=(expected + 1 + distance) & 0xFFFFFFFF)])
    claims.check[:] = check
    exact = distance == 0
    agrees = {
        Check.NONE: True,
        Check.SEQUENCE: exact,
        Check.ACKNOWLEDGED: exact,
        Check.RESET: distance in {0, -1},
        Check.REFLECTED: True,  # where the rule is applied it becomes SEQUENCE
    }[check]
    if distance > 3:
        agrees |= check == Check.RESET and distance == 0xFFFFFFFF
    assert sequence_agrees(claims, np.array([expected], dtype=np.uint32)).tolist() == [agrees]


@pytest.mark.parametrize("check", [Check.ACKNOWLEDGED, Check.RESET])
def test_data_that_came_with_a_syn_may_be_acknowledged_too(check: Check) -> None:
    claims = claims_of([segment("SA", ack=ack) for ack in (11, 12, 14, 15)])
    claims.check[:] = check
    expected, size = np.full(4, 10, dtype=np.uint32), np.full(4, 3, dtype=np.uint32)
    assert sequence_agrees(claims, expected, size).tolist() == [True, True, True, False]


def test_what_decides_nothing_yet_tells_of_others() -> None:
    packets = [segment(flags, ack=101) for flags in ("A", "R", "PA", "SA", "FA", "RA", "S")]
    found = RULES.asides(decoded(packets))
    ends = [getattr(found, name).tolist() for name in ("frame", "prober", "responder", "check", "sequence")]
    us, them, number = parse_address(PROBER), parse_address(TARGET), 7 - 1
    # What the target may have said, and what the prober may have: one packet can be either.
    assert sorted(zip(*ends, strict=True)) == [
        (0, us, them, Check.NONE, 0),
        (0, them, them, Check.SEQUENCE, number),
        (1, us, them, Check.NONE, 0),
        (1, them, them, Check.SEQUENCE, number),
        (2, us, them, Check.NONE, 0),
        (2, them, them, Check.SEQUENCE, number),
        (4, us, them, Check.NONE, 0),
        (5, them, them, Check.SEQUENCE, number),
    ]
    assert set(found.rank.tolist()) == {Rank.UNANSWERED}


ICMPV6 = {
    (1, 0): Reason.NO_ROUTE,
    (1, 1): Reason.ADMIN_PROHIBITED,
    (1, 2): Reason.BEYOND_SCOPE,
    (1, 3): Reason.ADDR_UNREACH,
    (1, 4): Reason.PORT_UNREACH,
    (1, 5): Reason.POLICY,
    (1, 6): Reason.REJECT_ROUTE,
    **{(3, code): Reason.TIME_EXCEEDED for code in range(8)},
    (4, 1): Reason.PROTO_UNREACH,
}


@pytest.mark.parametrize("kind", [(kind, code) for kind in range(6) for code in range(8)], ids=str)
@pytest.mark.parametrize("protocol", [6, 17])
@pytest.mark.parametrize("from_target", [True, False])
def test_icmpv6_by_type_and_code(kind: tuple[int, int], protocol: int, from_target: bool) -> None:
    """RFC 4443: type 3 is time exceeded, and no port is unreachable by it."""
    found = decoded([icmp("tcp" if protocol == 6 else "udp", 3, 1, TARGET if from_target else ROUTER)])
    six = replace(
        found.icmp,
        ip=replace(found.icmp.ip, version=np.array([6], dtype=np.uint8)),
        type=np.array([kind[0]], dtype=np.uint8),
        code=np.array([kind[1]], dtype=np.uint8),
    )
    claims = RULES.claims(replace(found, icmp=six))
    said = [REASONS[code] for code in claims.reason.tolist()]
    assert said == ([ICMPV6[kind]] if kind in ICMPV6 else [])
    if said:
        closed = kind == (1, 4) and protocol == 17 and from_target
        assert claims.rank.tolist() == [Rank.CLOSED if closed else Rank.FILTERED]


def test_sequence_agrees_claim_by_claim() -> None:
    claims = claims_of([segment(flags, ack=ack) for flags in ("SA", "RA", "S") for ack in (9, 10, 11)])
    agreed = sequence_agrees(claims, np.full(9, 9, dtype=np.uint32))
    assert agreed.dtype == np.bool_
    assert agreed.tolist() == [False, True, False, True, True, False, True, True, True]
    assert sequence_agrees(claims_of([]), np.empty(0, dtype=np.uint32)).tolist() == []


# --- words --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rank", "tcp", "udp"),
    [
        (Rank.UNANSWERED, State.FILTERED, State.OPEN_FILTERED),
        (Rank.FILTERED, State.FILTERED, State.FILTERED),
        (Rank.CLOSED, State.CLOSED, State.CLOSED),
        (Rank.OPEN, State.OPEN, State.OPEN),
        (Rank.DOWN, State.DOWN, State.DOWN),
    ],
)
def test_state_of(rank: Rank, tcp: State, udp: State) -> None:
    assert (state_of(rank, Protocol.TCP), state_of(int(rank), Protocol.UDP)) == (tcp, udp)


def test_reason_codes_lead_back() -> None:
    assert [REASONS[reason_code(reason)] for reason in Reason] == list(Reason)


def test_no_two_rules_speak_of_one_packet() -> None:
    for flags in range(256):
        assert sum(flags & rule.set == rule.set and not flags & rule.clear for rule in TCP_RULES) <= 1
    for protocol in Protocol:
        for version, kind in ((4, 3), (4, 11), (6, 1), (6, 3), (6, 4)):
            for code in range(256):
                for sender in (True, False):
                    speaking = [
                        rule
                        for rule in ICMP_RULES
                        if (rule.version, rule.probe, rule.type) == (version, protocol, kind)
                        and rule.code in {None, code}
                        and rule.from_target in {None, sender}
                    ]
                    assert len(speaking) <= 1
    assert len(UDP_RULES) == 1
