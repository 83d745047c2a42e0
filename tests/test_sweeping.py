"""Sweeps of a network in memory: verdicts under every condition, and evidence that says the same."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import IO

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from scanner import Protocol, Reason, ScopeRefused, State, Sweep, UsageError, WireError, read_capture, sweep
from scanner.contracts import ETHERTYPE_ARP, ETHERTYPE_IPV4, Hop, Sources
from scanner.core.addresses import AddressSet, parse_address
from scanner.core.hosts import Hosts
from scanner.core.scope import Scope
from scanner.core.targets import parse_targets
from scanner.model import TRANSPORTS
from scanner.probes.udp import UDP
from scanner.sweeping import Progress
from scanner.wire.behaviours import (
    Behaviour,
    Probe,
    Reply,
    by_port,
    closed_port,
    forged_reset,
    forged_syn_ack,
    icmp_error,
    in_turn,
    late,
    open_port,
    repeated,
    silent,
    split_handshake,
    together,
)
from scanner.wire.memory import Conditions, MemoryWire, SimulatedNetwork
from scanner.wire.memory_wire import OWN_MAC, Arrival

ROUTER = parse_address("10.9.0.1")
GATEWAY = "10.9.0.1"

BEHAVIOURS: dict[str, tuple[Behaviour, tuple[State, Reason], tuple[State, Reason]]] = {
    "10.0.0.0/29": (closed_port(), (State.CLOSED, Reason.RESET), (State.CLOSED, Reason.PORT_UNREACH)),
    "10.0.0.8/30": (open_port(b"hello"), (State.OPEN, Reason.SYN_ACK), (State.OPEN, Reason.UDP_RESPONSE)),
    "10.0.0.12/30": (
        silent(), (State.FILTERED, Reason.NO_RESPONSE), (State.OPEN_FILTERED, Reason.NO_RESPONSE),
    ),
    "10.0.0.16/30": (
        icmp_error(3, 13, responder=ROUTER),
        (State.FILTERED, Reason.ADMIN_PROHIBITED), (State.FILTERED, Reason.ADMIN_PROHIBITED),
    ),
    "10.0.0.20/30": (
        split_handshake(),
        (State.OPEN, Reason.SPLIT_HANDSHAKE_SYN), (State.OPEN_FILTERED, Reason.NO_RESPONSE),
    ),
    "10.0.0.24/30": (
        together(forged_syn_ack(), forged_reset()),
        (State.FILTERED, Reason.NO_RESPONSE), (State.OPEN_FILTERED, Reason.NO_RESPONSE),
    ),
    "10.0.0.28/30": (
        repeated(together(icmp_error(3, 1, responder=ROUTER), late(open_port(), 0.01)), 3),
        (State.OPEN, Reason.SYN_ACK), (State.OPEN, Reason.UDP_RESPONSE),
    ),
}  # fmt: skip
"""Who does what; and what is true of their TCP and their UDP port."""


def network(
    seed: int = 0, conditions: Conditions | None = None, gateway: str | None = GATEWAY
) -> SimulatedNetwork:
    built = SimulatedNetwork(seed=seed, conditions=conditions, gateway=gateway)
    for target, (behaviour, _, _) in BEHAVIOURS.items():
        built.place(target, behaviour)
    return built


def truth() -> dict[tuple[str, Protocol], tuple[State, Reason]]:
    return {
        (f"10.0.0.{last}", protocol): says
        for target, (_, tcp, udp) in BEHAVIOURS.items()
        for last in range(*hosts(target))
        for protocol, says in ((Protocol.TCP, tcp), (Protocol.UDP, udp))
    }


def hosts(target: str) -> tuple[int, int]:
    network = ip_network(target)
    return int(network[0]) & 255, (int(network[-1]) & 255) + 1


def lines(verdicts) -> list[bytes]:
    return [msgspec.json.encode(verdict) for verdict in verdicts]


@pytest.mark.parametrize("gateway", [GATEWAY, None])
def test_every_behaviour_gets_its_verdict(gateway):
    result = sweep("10.0.0.0/27", network=network(gateway=gateway)).result()

    assert {(v.ip, v.proto): (v.state, v.reason) for v in result} == truth()
    assert result.complete
    assert result.unfinished == 0
    assert result.forged == 4 * 2 * 3


conditions = st.builds(
    Conditions,
    probe_loss=st.sampled_from([0.0, 0.1, 0.4]),
    reply_loss=st.sampled_from([0.0, 0.1, 0.4]),
    duplication=st.sampled_from([0.0, 0.3]),
    delay=st.sampled_from([0.0, 0.001, 0.15, 0.9]),
    jitter=st.sampled_from([0.0, 0.05, 0.8]),
    reordering=st.sampled_from([0.0, 0.3]),
)


@settings(max_examples=15)
@given(
    seed=st.integers(0, 2**32),
    conditions=conditions,
    gateway=st.sampled_from([GATEWAY, None]),
    ports=st.sampled_from(["401", "53,123,161,401-403", "33000,50000-50001"]),
    retries=st.integers(0, 4),
    wait=st.sampled_from([0.05, 1.0]),
    rate=st.sampled_from([30.0, 1000.0, float("inf")]),
    turns=st.sampled_from([None, 3, 10, 40]),
)
def test_evidence_read_back_says_what_the_sweep_said(  # noqa: PLR0917 - hypothesis hands over keywords
    tmp_path_factory, seed, conditions, gateway, ports, retries, wait, rate, turns
):
    capture = tmp_path_factory.mktemp("evidence") / "x.pcap"
    planned = sweep(
        ["10.0.0.0/27", "10.0.1.0/30"], ports=ports, retries=retries, wait=wait, rate=rate, seed=seed,
        evidence=capture, network=network(seed, conditions, gateway),
    )  # fmt: skip
    stop_after(planned, turns)

    result = planned.result()
    again = read_capture(capture)

    assert lines(again) == lines(result)
    assert (again.complete, again.unfinished) == (result.complete, result.unfinished)
    assert again.forged == result.forged
    assert again.tally() == result.tally()
    assert planned.evidence_error is None
    honest = truth()
    for verdict in result:
        true = honest.get((verdict.ip, verdict.proto))
        if verdict.state is State.OPEN:
            assert true is not None
            assert true[0] is State.OPEN
        elif true is not None and true[0] is State.CLOSED:
            assert verdict.reason in {true[1], Reason.NO_RESPONSE, Reason.NO_ARP_RESPONSE, Reason.NO_ROUTE}


def stop_after(planned: Sweep, turns: int | None) -> None:
    """Have the sweep stopped in its n-th turn."""
    seen: list[Progress] = []

    def watch(progress: Progress) -> None:
        seen.append(progress)
        if len(seen) == turns:
            planned.stop()

    planned.watch = watch


# --- how it runs ------------------------------------------------------------------------------


def test_open_ports_are_given_at_once_and_the_rest_in_order_at_the_end():
    slow = Conditions(delay=0.01)
    planned = sweep("10.0.0.0/27", network=network(conditions=slow), rate=100.0, seed=4)

    given_out = list(planned)

    states = [verdict.state for verdict in given_out]
    opened = states.count(State.OPEN)
    assert states[:opened] == [State.OPEN] * opened
    assert [v.ip for v in given_out[:opened]] != sorted(v.ip for v in given_out[:opened])
    rest = given_out[opened:]
    assert rest == [v for v in planned.result() if v.state is not State.OPEN]
    assert sorted(map(repr, given_out)) == sorted(map(repr, planned.result()))


def test_open_ports_are_given_before_the_end():
    clock = (place := network()).clock
    verdicts = iter(sweep("10.0.0.0/27", network=place))

    next(verdicts)
    at_first = clock.steady()
    list(verdicts)

    assert at_first < 0.1 < clock.steady()


def test_nothing_is_sent_before_the_iteration_begins():
    place = network()
    planned = sweep("10.0.0.0/29", network=place)
    assert place.received("10.0.0.1") == 0

    iter(planned)
    assert place.received("10.0.0.1") == 0

    planned.result()
    assert place.received("10.0.0.1") == 2


def test_only_the_silent_are_asked_again_each_try_later_than_the_one_before():
    place = network()
    place.place("10.0.0.1", in_turn(silent(), silent(), open_port()))

    result = sweep("10.0.0.0/27", network=place, retries=4).result()

    tries = {(v.ip, v.proto): v.tries for v in result}
    assert tries["10.0.0.0", Protocol.TCP] == 1
    assert tries["10.0.0.12", Protocol.TCP] == 5
    # Both protocols count towards its third packet.
    assert sorted(tries["10.0.0.1", protocol] for protocol in TRANSPORTS) in ([1, 2], [2, 2], [2, 3])
    assert place.received("10.0.0.12") == 2 * 5


def test_it_ends_when_the_last_has_answered():
    place = SimulatedNetwork(gateway=GATEWAY, conditions=Conditions(delay=0.02))
    place.place("10.0.0.0/24", closed_port())

    sweep("10.0.0.0/24", network=place, wait=60.0, retries=9, rate=float("inf")).result()

    assert place.clock.steady() < 0.1


def test_silence_is_waited_for_in_full():
    place = SimulatedNetwork(gateway=GATEWAY)

    sweep("10.0.0.0/28", network=place, wait=1.0, retries=2, rate=float("inf")).result()

    assert 3.0 <= place.clock.steady() < 3.05


def test_the_rate_is_kept():
    place = SimulatedNetwork(gateway=GATEWAY)
    place.place("10.0.0.0/25", closed_port())

    sweep("10.0.0.0/25", network=place, rate=200.0).result()

    assert 256 / 200 - 0.1 < place.clock.steady() < 256 / 200 + 0.1


def test_a_wire_with_little_room_gets_them_all_out_in_the_end():
    place = SimulatedNetwork(gateway=GATEWAY, room=3)
    place.place("10.0.0.0/26", closed_port())

    planned = sweep("10.0.0.0/26", network=place, rate=float("inf"))

    assert {v.state for v in planned.result()} == {State.CLOSED}
    assert planned.statistics.send_refused > 0
    assert planned.statistics.sent == 128 + 1


def test_the_same_seed_visits_in_the_same_order():
    def order(seed: int) -> list[str]:
        planned = sweep("10.0.0.0/24", network=everywhere_open(), seed=seed, protocols="tcp")
        return [verdict.ip for verdict in planned]

    assert order(1) == order(1)
    assert order(1) != order(2)
    assert sorted(order(1)) == sorted(order(2))


def everywhere_open() -> SimulatedNetwork:
    place = SimulatedNetwork(gateway=GATEWAY)
    place.place("10.0.0.0/24", open_port())
    return place


def test_progress_goes_from_nothing_to_all():
    planned = sweep("10.0.0.0/27", network=network(), rate=100.0)
    seen: list[Progress] = []
    planned.watch = seen.append

    planned.result()

    last = seen[-1]
    assert (last.fraction, last.targets) == (1.0, 64)
    assert last.answered == 64 - 2 * 4 - 4 - 2 * 4
    assert last.open == 2 * 4 + 4 + 2 * 4
    assert last.probes == planned.statistics.sent
    swept = seen[1:]
    assert [p.probes for p in swept] == sorted(p.probes for p in swept)
    assert [p.elapsed for p in swept] == sorted(p.elapsed for p in swept)
    assert all(0 <= p.fraction <= 1 for p in seen)


# --- cut short --------------------------------------------------------------------------------


def test_stopped_it_keeps_what_was_learnt_and_counts_what_was_not():
    planned = sweep("10.0.0.0/27", network=network(), rate=50.0, seed=1)
    stop_after(planned, 40)

    result = planned.result()

    known = list(result)
    assert not result.complete
    assert 0 < len(known) < 64
    assert result.unfinished == 64 - len(known)
    assert Reason.NO_RESPONSE not in {verdict.reason for verdict in known}


def test_stopped_before_it_began_nothing_is_known(tmp_path):
    planned = sweep("10.0.0.0/27", network=(place := network()), evidence=tmp_path / "x.pcap")
    planned.stop()

    result = planned.result()

    assert (list(result), result.unfinished, place.received("10.0.0.1")) == ([], 64, 0)
    assert read_capture(tmp_path / "x.pcap").unfinished == 64


class FailingNetwork(SimulatedNetwork):
    """Its wire fails after so many seconds."""

    def __init__(self, after: float) -> None:
        super().__init__(gateway=GATEWAY, conditions=Conditions(delay=0.01))
        self._after = after

    def open(self, hop: Hop, packets: int = 0, longest: int = 0) -> MemoryWire:
        wire = super().open(hop, packets, longest)
        received, place = wire.receive, self

        def receive(timeout: float):
            if place.clock.steady() > place._after:
                wire.fail("the cable is gone")
            return received(timeout)

        wire.receive = receive  # type: ignore[method-assign]
        return wire


def test_a_wire_that_fails_raises_and_leaves_what_was_learnt(tmp_path):
    place = FailingNetwork(after=0.3)
    place.place("10.0.0.0/24", closed_port())
    planned = sweep("10.0.0.0/24", network=place, rate=500.0, evidence=tmp_path / "x.pcap")

    with pytest.raises(WireError, match="the cable is gone"):
        planned.result()
    result = planned.result()

    assert 50 < len(list(result)) < 300
    assert result.unfinished == 512 - len(list(result))
    again = read_capture(tmp_path / "x.pcap")
    assert lines(again) == lines(result)
    assert again.unfinished == result.unfinished


def test_left_in_the_middle_the_evidence_is_closed_and_readable(tmp_path):
    capture = tmp_path / "x.pcap"
    planned = sweep("10.0.0.0/27", network=network(), rate=50.0, evidence=capture)
    with contextlib.closing(iter(planned)) as verdicts:  # type: ignore[type-var]
        next(verdicts)

    result = planned.result()

    assert not result.complete
    assert lines(read_capture(capture)) == lines(result)


class Disk:
    """Takes so many bytes and no more."""

    def __init__(self, file: IO[bytes], room: int) -> None:
        self._file = file
        self._room = room

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)

    def write(self, data: bytes) -> int:
        if self._file.tell() + len(data) > self._room:
            raise OSError(28, "No space left on device")
        return self._file.write(data)


def test_a_full_disk_ends_the_evidence_and_not_the_sweep(tmp_path, monkeypatch):
    capture = tmp_path / "x.pcap"
    opened = Path.open

    def on_a_small_disk(path: Path, *args: object, **options: object) -> object:
        file = opened(path, *args, **options)  # type: ignore[call-overload]
        return Disk(file, 2_000) if path == capture and args == ("wb",) else file

    monkeypatch.setattr(Path, "open", on_a_small_disk)
    # Without those that first seem filtered: their better answer may be what the disk had no room for.
    planned = sweep("10.0.0.0-10.0.0.27", network=network(), evidence=capture, rate=100.0)

    assert len(list(planned.result())) == 56
    assert planned.result().complete
    assert "No space left on device" in str(planned.evidence_error)
    partly = {(v.ip, v.proto): v.state for v in read_capture(capture) if v.responder}
    assert partly.items() <= {(v.ip, v.proto): v.state for v in planned.result()}.items()


# --- who is there -----------------------------------------------------------------------------


def test_on_our_own_link_who_does_not_answer_is_down_and_not_probed_further():
    place = network(gateway=None)
    place.place("10.0.0.1", closed_port(), answers_arp=False)

    result = sweep(["10.0.0.0/30", "10.0.7.7"], network=place, protocols=["tcp"], retries=1).result()

    assert [(v.ip, v.state, v.reason, v.tries, v.time) for v in result if v.state is State.DOWN] == [
        ("10.0.0.1", State.DOWN, Reason.NO_ARP_RESPONSE, 0, None),
        ("10.0.7.7", State.DOWN, Reason.NO_ARP_RESPONSE, 0, None),
    ]
    assert place.received("10.0.0.1") == 0


@pytest.mark.parametrize("asked", [{"wire": "raw"}, {"no_arp": True}])
def test_through_the_kernel_nobody_is_down(asked):
    place = SimulatedNetwork()
    place.place("10.0.0.4", closed_port())

    found = sweep("10.0.0.4-5", protocols=["tcp"], network=place, **asked).result()

    assert [(verdict.state, verdict.reason) for verdict in found] == [
        (State.CLOSED, Reason.RESET),
        (State.FILTERED, Reason.NO_RESPONSE),
    ]


def test_a_probe_longer_than_a_path_carries_is_refused_when_it_is_planned():
    class Narrow(SimulatedNetwork):
        def routes(
            self, targets: Hosts, interface: str | None, sources: Sources
        ) -> list[tuple[Hop | None, Hosts]]:
            found = super().routes(targets, interface, sources)
            return [(hop and dataclasses.replace(hop, mtu=30), reached) for hop, reached in found]

    with pytest.raises(UsageError, match=r"probes of 44 bytes are too long for memory \(MTU 30\)") as error:
        sweep("10.0.0.4", protocols=["tcp"], network=Narrow())
    assert "\n" not in str(error.value)


def test_behind_a_silent_gateway_there_is_no_route(tmp_path):
    place = network()
    place.place(GATEWAY, silent(), answers_arp=False)

    result = sweep("10.0.0.0/29", network=place, evidence=tmp_path / "x.pcap").result()

    assert {(v.state, v.reason) for v in result} == {(State.DOWN, Reason.NO_ROUTE)}
    assert result.complete
    assert place.received("10.0.0.1") == 0
    assert lines(read_capture(tmp_path / "x.pcap")) == lines(result)


class PartlyRouted(SimulatedNetwork):
    """Only 10.0.0.0/8 is routed, and 10.0.0.1 is not a host."""

    def routes(self, targets: Hosts, interface: str | None, sources: Sources):
        routed = targets & parse_targets(["10.0.0.0/8"])
        return [(None, targets - routed), *super().routes(routed, interface, sources)]

    def specials(self) -> AddressSet:
        return AddressSet.from_cidrs(["10.0.0.1/32"])


def test_what_has_no_route_is_down_and_what_is_special_is_left_out(tmp_path):
    place = PartlyRouted(gateway=GATEWAY)
    place.place("10.0.0.0/29", closed_port())
    planned = sweep(["10.0.0.0/30", "192.168.0.1"], network=place, evidence=tmp_path / "x.pcap")

    result = planned.result()

    assert [(v.ip, v.reason) for v in result if v.proto is Protocol.TCP] == [
        ("10.0.0.0", Reason.RESET),
        ("10.0.0.2", Reason.RESET),
        ("10.0.0.3", Reason.RESET),
        ("192.168.0.1", Reason.NO_ROUTE),
    ]
    assert place.received("10.0.0.1") == 0
    assert planned.targets == 8
    assert lines(read_capture(tmp_path / "x.pcap")) == lines(result)


def test_what_leaves_is_held_against_the_scope(monkeypatch):
    """Should the plan ever be wrong, the gate still is not."""
    planned = sweep("10.0.0.0/30", network=(place := network()))
    object.__setattr__(planned.plan.paths[0], "addresses", AddressSet.from_cidrs(["9.9.9.0/30"]))

    with pytest.raises(ScopeRefused, match=r"9\.9\.9\.0/30"):
        planned.result()
    assert place.received("9.9.9.1") == 0


def test_only_gateways_may_be_asked_for_outside_the_scope():
    """A gateway may have a public address, and ARP may ask for it; no probe goes there."""
    place = SimulatedNetwork(gateway="198.51.100.1")
    place.place("10.0.0.0/30", closed_port())
    seen: set[int] = set()
    carried = place.carry

    def carry(packets, ethertype, moment):
        seen.add(ethertype)
        return carried(packets, ethertype, moment)

    place.carry = carry  # type: ignore[method-assign]

    assert {v.state for v in sweep("10.0.0.0/30", network=place).result()} == {State.CLOSED}
    assert ETHERTYPE_ARP in seen
    assert place.received("198.51.100.1") == 0


class Loopback(SimulatedNetwork):
    """We are one of the targets, and what we send to ourselves comes in again."""

    def carry(self, packets, ethertype, moment):
        back = [
            Arrival(moment, ethertype, OWN_MAC, packet.tobytes())
            for packet in packets
            if ethertype == ETHERTYPE_IPV4 and packet[16:20].tobytes() == packet[12:16].tobytes()
        ]
        return [*back, *super().carry(packets, ethertype, moment)]


def test_our_own_probes_that_come_in_again_are_no_replies(tmp_path):
    place = Loopback(source="10.0.0.5", gateway=GATEWAY)
    place.place("10.0.0.5", by_port({33_000: open_port(), 60_000: silent()}))
    # Each port that a probe leaves from may be one that is asked: then its probe looks like an answer.
    ports = "1-20,16000-16600,32700-33300,49000-49500,60000-60400"
    planned = sweep(
        "10.0.0.5", ports=ports, network=place, retries=1, rate=float("inf"), evidence=tmp_path / "x.pcap"
    )

    result = planned.result()

    says = {(v.proto.value, v.port): v.state for v in result if v.state is not State.CLOSED}
    assert says == {
        ("tcp", 33_000): State.OPEN,
        ("udp", 33_000): State.OPEN,
        ("tcp", 60_000): State.FILTERED,
        ("udp", 60_000): State.OPEN_FILTERED,
    }
    assert {v.tries for v in result if v.state is State.CLOSED} == {1}
    assert result.forged == 0
    again = read_capture(tmp_path / "x.pcap")
    assert lines(again) == lines(result)
    assert again.forged == 0


# --- what is asked for ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ({"targets": "ups.example"}, "host names are not looked up"),
        ({"targets": []}, "no targets"),
        ({"targets": "10.0.0.1", "exclude": ["10.0.0.0/24"]}, "no targets"),
        ({"targets": "10.0.0.1", "ports": "x"}, "'x' is not a port"),
        ({"targets": "10.0.0.1", "ports": [70000]}, "port 70000 does not exist"),
        ({"targets": "10.0.0.1", "ports": []}, "port"),
        ({"targets": "10.0.0.1", "protocols": ["sctp"]}, "unknown protocol 'sctp': tcp and udp can be swept"),
        ({"targets": "10.0.0.1", "protocols": []}, "nothing to ask"),
        ({"targets": "10.0.0.1", "rate": 0.0}, "--rate 0"),
        ({"targets": "10.0.0.1", "rate": float("nan")}, "--rate nan"),
        ({"targets": "10.0.0.1", "retries": -1}, "--retries -1"),
        ({"targets": "10.0.0.1", "wire": "cable"}, "unknown wire 'cable': there are auto, ring, raw, scapy"),
        ({"targets": "10.0.0.1", "wait": float("inf")}, "--wait inf"),
        ({"targets": "10.0.0.1", "interface": "eth9"}, "there is no interface 'eth9'"),
        ({"targets": "10.0.0.1", "source_ip": "me"}, "'me' is not an IPv4 address"),
    ],
)
def test_what_cannot_be_is_refused_when_it_is_planned(words, complaint):
    with pytest.raises(UsageError, match=complaint.replace("|", r"\|")) as error:
        sweep(network=network(), **words)
    assert "\n" not in str(error.value)


def test_a_public_address_is_refused_when_it_is_planned():
    with pytest.raises(ScopeRefused, match=r"8\.8\.8\.8"):
        sweep(["10.0.0.1", "8.8.8.8"], network=network())


def test_evidence_that_cannot_be_written_is_refused_before_anything_is_sent(tmp_path):
    place = network()

    with pytest.raises(UsageError, match="the evidence cannot be written"):
        sweep("10.0.0.1", network=place, evidence=tmp_path).result()
    assert place.received("10.0.0.1") == 0


def test_forms_in_which_things_may_be_asked_for():
    def targets(**words) -> list[tuple[str, str, int]]:
        return [(v.ip, v.proto.value, v.port) for v in sweep(network=network(), **words).result()]

    both = [("10.0.0.1", "tcp", 401), ("10.0.0.1", "udp", 401)]
    assert targets(targets="10.0.0.1") == targets(targets=["10.0.0.1", "10.0.0.1/32"]) == both
    assert targets(targets=iter(["10.0.0.0/31"]), exclude="10.0.0.0") == both
    assert targets(targets="10.0.0.1", protocols="udp") == both[1:]
    assert targets(targets="10.0.0.1", protocols=(Protocol.UDP, "tcp")) == both
    assert targets(targets="10.0.0.1", protocols=["tcp"], ports=range(401, 403)) == [
        ("10.0.0.1", "tcp", 401),
        ("10.0.0.1", "tcp", 402),
    ]


def test_it_runs_once():
    planned = sweep("10.0.0.1", network=network())
    list(planned)

    with pytest.raises(UsageError, match="a sweep runs once"):
        next(iter(planned))
    assert len(list(planned.result())) == 2


def test_where_replies_get_lost_the_silent_are_asked_more_often_than_promised():
    """A loss of 19 % leaves four in 100 000 of six tries: too many for 20 000 hosts that all answer."""
    network = SimulatedNetwork(3, conditions=Conditions(probe_loss=0.1, reply_loss=0.1), gateway=GATEWAY)
    network.place("10.0.0.0/18", closed_port())
    network.place("10.0.64.0/24", silent())
    result = sweep(
        ["10.0.0.0/18", "10.0.64.0/24"], protocols=["tcp"], retries=5, rate=float("inf"), network=network
    ).result()
    tries = {verdict.ip: verdict.tries for verdict in result}
    assert {key[2:]: count for key, count in result.tally().items()} == {
        (State.CLOSED, Reason.RESET): 1 << 14,
        (State.FILTERED, Reason.NO_RESPONSE): 256,
    }
    assert 6 < tries["10.0.64.0"] <= 11
    assert max(tries.values()) == tries["10.0.64.0"]


@pytest.mark.parametrize("retries", [0, 2])
def test_where_nothing_gets_lost_nobody_is_asked_more_often(retries):
    network = SimulatedNetwork(3, gateway=GATEWAY)
    network.place("10.0.0.0/22", closed_port())
    network.place("10.0.4.0/28", silent())
    targets = ["10.0.0.0/22", "10.0.4.0/28"]
    result = sweep(targets, protocols=["tcp"], retries=retries, rate=float("inf"), network=network).result()
    assert {verdict.tries for verdict in result} == {1, retries + 1}


# --- limits a host ----------------------------------------------------------------------------


def limited(place: SimulatedNetwork, burst: int = 6, interval: float = 1.0) -> Behaviour:
    """All ports closed; of ICMP errors, a burst, and then one each interval, as Linux has it (a host)."""
    tokens: dict[int, tuple[float, float]] = {}
    refuse = closed_port()

    def behave(probe: Probe) -> Sequence[Reply]:
        now = place.clock.steady()
        had, since = tokens.get(probe.destination, (burst * interval, now))
        have = min(burst * interval, had + now - since)
        allowed = have >= interval
        tokens[probe.destination] = (have - interval * allowed, now)
        return refuse(probe) if allowed or probe.protocol == 6 else ()

    return behave


def test_a_limit_on_icmp_errors_makes_no_port_look_open(tmp_path):
    place = SimulatedNetwork(gateway=GATEWAY)
    place.place("10.0.0.0/30", limited(place))
    place.place("10.0.0.4/30", silent())
    place.place("10.0.0.8/29", by_port({401: open_port(b"hello")}))
    capture = tmp_path / "x.pcap"
    planned = sweep("10.0.0.0/28", ports="53,161,401-418", protocols=["udp"], network=place, evidence=capture)

    result = planned.result()

    states = {(v.ip, v.port): v.state for v in result}
    assert {states[f"10.0.0.{host}", port] for host in range(4) for port in (53, 161, *range(401, 419))} == {
        State.CLOSED
    }
    assert {states[f"10.0.0.{host}", 402] for host in range(4, 8)} == {State.OPEN_FILTERED}
    assert {states[f"10.0.0.{host}", 401] for host in range(8, 16)} == {State.OPEN}
    assert 10 < place.clock.steady() < 20, "about a second for each port beyond the first six"
    assert lines(read_capture(capture)) == lines(result)


def test_of_hosts_that_are_silent_or_asked_one_port_nothing_more_is_asked():
    place = SimulatedNetwork(gateway=GATEWAY)
    place.place("10.0.0.0/28", silent())
    place.place("10.0.0.5", closed_port())

    sweep("10.0.0.0/28", protocols=["udp"], network=place, wait=0.5).result()
    assert place.clock.steady() < 2.0

    begun = place.clock.steady()
    sweep("10.0.0.0/28", ports="401-403", protocols=["tcp"], network=place, wait=0.5).result()
    assert place.clock.steady() - begun < 2.0


def test_a_firewall_that_drops_is_not_waited_for_for_ever():
    place = SimulatedNetwork(gateway=GATEWAY)
    place.place("10.0.0.1", by_port({400: closed_port()}, otherwise=silent()))

    result = sweep("10.0.0.1", ports="400-599", protocols=["udp"], network=place).result()

    assert {v.state for v in result if v.port != 400} == {State.OPEN_FILTERED}
    assert place.clock.steady() < 30


def test_stopped_among_the_stragglers_it_is_incomplete():
    place = SimulatedNetwork(gateway=GATEWAY)
    place.place("10.0.0.1", limited(place))
    planned = sweep("10.0.0.1", ports="401-420", protocols=["udp"], network=place)
    seen: list[Progress] = []

    def watch(progress: Progress) -> None:
        seen.append(progress)
        if progress.answered >= 12:
            planned.stop()

    planned.watch = watch
    result = planned.result()

    assert not result.complete
    assert 12 <= len(list(result)) < 20
    assert result.unfinished == 20 - len(list(result))
    assert all(0 <= progress.fraction <= 1 for progress in seen)


@pytest.mark.parametrize("rate", ["auto", float("inf")])
def test_no_host_gets_more_than_its_share(rate):
    place = SimulatedNetwork(gateway=GATEWAY)
    place.place("10.0.0.0/29", closed_port())
    place.place("10.0.0.3", silent())
    times: dict[int, list[float]] = {}
    carried = place.carry

    def carry(packets: NDArray[np.uint8], ethertype: int, moment: int):
        if ethertype == ETHERTYPE_IPV4:
            for packet in packets:
                times.setdefault(int(packet[19]), []).append(moment / 1e9)
        return carried(packets, ethertype, moment)

    place.carry = carry  # type: ignore[method-assign]

    sweep("10.0.0.0/29", ports="400-429", network=place, rate=rate, max_per_host=100.0).result()

    assert {host: len(sent) for host, sent in times.items() if host != 3} == dict.fromkeys(
        [0, 1, 2, 4, 5, 6, 7], 60
    )
    assert len(times[3]) == 180
    for sent in times.values():
        for first, begin in enumerate(sent):
            for last in range(first, len(sent)):
                assert last - first + 1 <= 100.0 * (sent[last] - begin) + 2 + 1e-3


def test_a_probe_of_ones_own_asks_instead_of_the_built_in_one():
    """Whoever wants another packet hands in a probe."""
    shouting = dataclasses.replace(UDP, name="shout", payload=lambda _port: b"HELLO")
    heard = []

    def listening(packet):
        heard.append(packet.packet)
        return open_port()(packet)

    network = SimulatedNetwork()
    network.place("10.0.0.1", listening)

    verdicts = list(sweep("10.0.0.1", protocols=["tcp", "udp"], network=network, probes=[shouting]))

    assert [verdict.state for verdict in verdicts] == [State.OPEN, State.OPEN]
    assert sorted(packet.endswith(b"HELLO") for packet in heard) == [False, True]


def test_a_scope_of_ones_own_stands_for_the_private_one():
    network = SimulatedNetwork()
    network.place("203.0.113.0/24", closed_port())
    scope = Scope(parse_targets(["203.0.113.0/28"]))

    result = sweep("203.0.113.0/28", protocols="tcp", network=network, scope=scope).result()

    assert len(list(result)) == 16
    with pytest.raises(ScopeRefused, match="not in the authorised scope"):
        sweep("203.0.113.0/27", network=network, scope=scope)
    with pytest.raises(ScopeRefused, match="not in the authorised scope"):
        sweep("10.0.0.1", network=network, scope=scope)
