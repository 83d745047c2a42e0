"""Sweeps of IPv6 in memory: each behaviour its verdict, on link and behind a router, whatever is lost."""

from __future__ import annotations

import msgspec
import pytest

from scanner import Protocol, Reason, State, read_capture, sweep
from scanner.core.ipv6 import parse_ipv6
from scanner.model import TRANSPORTS
from scanner.wire.behaviours import (
    Behaviour,
    behind_options,
    closed_port,
    forged_reset,
    forged_syn_ack,
    icmp_error,
    open_port,
    silent,
    split_handshake,
    together,
)
from scanner.wire.memory import Conditions, SimulatedNetwork

GATEWAY = "fe80::99%memory"
ROUTER = parse_ipv6("fd00::ff")
Says = tuple[State, Reason]

BEHAVIOURS: dict[str, tuple[Behaviour, Says, Says]] = {
    "fd00::1:0": (closed_port(), (State.CLOSED, Reason.RESET), (State.CLOSED, Reason.PORT_UNREACH)),
    "fd00::1:1": (open_port(b"x"), (State.OPEN, Reason.SYN_ACK), (State.OPEN, Reason.UDP_RESPONSE)),
    "fd00::1:2": (
        behind_options(closed_port()),
        (State.CLOSED, Reason.RESET), (State.CLOSED, Reason.PORT_UNREACH),
    ),
    "fd00::1:3": (
        silent(), (State.FILTERED, Reason.NO_RESPONSE), (State.OPEN_FILTERED, Reason.NO_RESPONSE),
    ),
    "fd00::1:4": (
        split_handshake(),
        (State.OPEN, Reason.SPLIT_HANDSHAKE_SYN), (State.OPEN_FILTERED, Reason.NO_RESPONSE),
    ),
    "fd00::1:5": (
        together(forged_syn_ack(), forged_reset()),
        (State.FILTERED, Reason.NO_RESPONSE), (State.OPEN_FILTERED, Reason.NO_RESPONSE),
    ),
    "fe80::77%memory": (
        open_port(), (State.OPEN, Reason.SYN_ACK), (State.OPEN, Reason.UDP_RESPONSE),
    ),
}  # fmt: skip
"""Who does what; and what is true of their TCP and their UDP port."""

ERRORS: dict[tuple[int, int], Reason] = {
    (1, 0): Reason.NO_ROUTE,
    (1, 1): Reason.ADMIN_PROHIBITED,
    (1, 2): Reason.BEYOND_SCOPE,
    (1, 3): Reason.ADDR_UNREACH,
    (1, 4): Reason.PORT_UNREACH,
    (1, 5): Reason.POLICY,
    (1, 6): Reason.REJECT_ROUTE,
    (3, 0): Reason.TIME_EXCEEDED,
    (4, 1): Reason.PROTO_UNREACH,
}
"""What a router says (RFC 4443, 3), and the reason that follows."""


def network(conditions: Conditions | None, gateway: str | None) -> SimulatedNetwork:
    built = SimulatedNetwork(seed=1, conditions=conditions, source6="fd00::9", gateway6=gateway)
    for target, (behaviour, _, _) in BEHAVIOURS.items():
        built.place(target, behaviour)
    for place, (kind, code) in enumerate(ERRORS):
        built.place(f"fd00::2:{place}", icmp_error(kind, code, responder=ROUTER))
    return built


def truth() -> dict[tuple[str, Protocol], Says]:
    expected = {
        (target, protocol): says
        for target, (_, tcp, udp) in BEHAVIOURS.items()
        for protocol, says in ((Protocol.TCP, tcp), (Protocol.UDP, udp))
    }
    for place, reason in enumerate(ERRORS.values()):
        expected |= {(f"fd00::2:{place}", protocol): (State.FILTERED, reason) for protocol in TRANSPORTS}
    return expected


ROUGH = Conditions(probe_loss=0.2, reply_loss=0.2, duplication=0.2, delay=0.01, jitter=0.01, reordering=0.2)


@pytest.mark.parametrize("gateway", [GATEWAY, None], ids=["routed", "on-link"])
@pytest.mark.parametrize("conditions", [None, ROUGH], ids=["smooth", "rough"])
def test_every_behaviour_gets_its_verdict_and_evidence_says_the_same(tmp_path, conditions, gateway):
    place = network(conditions, gateway)
    targets = [*BEHAVIOURS, f"fd00::2:0-fd00::2:{len(ERRORS) - 1}"]

    result = sweep(targets, network=place, retries=12, evidence=tmp_path / "x.pcap").result()

    assert {(v.ip, v.proto): (v.state, v.reason) for v in result} == truth()
    by_router = {v.responder for v in result if v.ip.startswith("fd00::2:")}
    assert by_router == {"fd00::ff"}
    again = read_capture(tmp_path / "x.pcap")
    assert list(map(msgspec.json.encode, again)) == list(map(msgspec.json.encode, result))


def test_on_our_own_link_who_does_not_answer_is_down_and_not_probed():
    place = network(None, None)
    place.place("fd00::3:1", open_port(), answers_arp=False)

    found = sweep(["fd00::3:0", "fd00::3:1", "fe80::78%memory"], protocols=["tcp"], network=place).result()

    assert {(v.state, v.reason) for v in found} == {(State.DOWN, Reason.NO_ND_RESPONSE)}
    assert len(list(found)) == 3
    assert place.received("fd00::3:1") == 0
