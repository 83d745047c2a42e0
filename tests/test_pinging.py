"""Who is up is asked first, where that is wanted; and nobody takes those probes for the sweep's."""

from __future__ import annotations

import msgspec
import pytest

from scanner import Reason, State, read_capture, sweep
from scanner.core.addresses import parse_address
from scanner.pinging import COMMON_PORTS
from scanner.wire.behaviours import by_port, closed_port, icmp_error, open_port, silent
from scanner.wire.memory import Conditions, SimulatedNetwork

PORTS = "400-403"


def network(**more) -> SimulatedNetwork:
    place = SimulatedNetwork(gateway="10.9.0.1", gateway6="fd00:9::1", **more)
    place.place("10.0.0.0/29", closed_port())
    place.place("10.0.0.1", open_port())
    place.place("10.0.0.2", silent())
    place.place("10.0.0.3", silent(), answers_ping=False)
    place.place("10.0.0.4", by_port({443: closed_port()}, otherwise=silent()), answers_ping=False)
    place.place("10.0.0.5", icmp_error(3, 1, parse_address("10.9.0.1")), answers_ping=False)
    place.place("fd00::/126", closed_port())
    place.place("fd00::3", silent(), answers_ping=False)
    return place


def states(result, address: str) -> set[tuple[State, Reason]]:
    return {(verdict.state, verdict.reason) for verdict in result if verdict.ip == address}


@pytest.mark.parametrize("name", ["x.pcap", "x.pcapng"])
def test_who_answers_nothing_is_down_and_left_alone(tmp_path, name):
    place = network()
    capture = tmp_path / name

    result = sweep(
        ["10.0.0.0/29", "fd00::/126"], ports=PORTS, protocols=["tcp"], ping=True, network=place,
        evidence=capture,
    ).result()  # fmt: skip

    assert states(result, "10.0.0.0") == {(State.CLOSED, Reason.RESET)}
    assert states(result, "10.0.0.1") == {(State.OPEN, Reason.SYN_ACK)}
    assert states(result, "10.0.0.2") == {(State.FILTERED, Reason.NO_RESPONSE)}, "up, by its echo reply"
    assert states(result, "10.0.0.3") == {(State.DOWN, Reason.NO_RESPONSE)}
    assert states(result, "10.0.0.4") == {(State.FILTERED, Reason.NO_RESPONSE)}, "up, by its reset"
    assert states(result, "10.0.0.5") == {(State.DOWN, Reason.NO_RESPONSE)}, "a router spoke, not the host"
    assert states(result, "fd00::3") == {(State.DOWN, Reason.NO_RESPONSE)}
    assert states(result, "fd00::1") == {(State.CLOSED, Reason.RESET)}
    assert place.received("10.0.0.3") == 3 * 2, "three tries of two SYNs, and no port"
    again = read_capture(capture)
    assert [msgspec.json.encode(v) for v in again] == [msgspec.json.encode(v) for v in result]
    assert again.forged == result.forged == 0


def test_common_ports_that_are_swept_are_not_asked_twice(tmp_path):
    place = network()
    swept = ",".join(map(str, COMMON_PORTS[:3]))

    result = sweep(
        "10.0.0.0", ports=swept, protocols=["tcp"], ping=True, network=place, evidence=tmp_path / "x.pcap"
    ).result()

    assert [verdict.tries for verdict in result] == [1, 1, 1]
    assert [v.tries for v in read_capture(tmp_path / "x.pcap")] == [1, 1, 1]


def test_on_a_link_of_ours_nobody_is_pinged():
    place = SimulatedNetwork()
    place.place("10.0.0.0/29", closed_port())

    sweep("10.0.0.0/29", protocols=["tcp"], ping=True, network=place).result()

    assert place.received("10.0.0.1") == 1


def test_under_loss_whoever_is_up_is_found():
    place = network(conditions=Conditions(probe_loss=0.2, reply_loss=0.2))

    result = sweep(
        "10.0.0.0/31", ports=PORTS, protocols=["tcp"], ping=True, retries=5, network=place
    ).result()

    assert {verdict.state for verdict in result} == {State.CLOSED, State.OPEN}


def test_stopped_while_it_asks_who_is_up_it_has_no_verdicts(tmp_path):
    place = network()
    planned = sweep(
        "10.0.0.0/29", ports=PORTS, protocols=["tcp"], ping=True, network=place, evidence=tmp_path / "x.pcap"
    )
    planned.watch = lambda progress: planned.stop() if progress.probes else None

    result = planned.result()

    assert not result.complete
    assert result.unfinished == 32
    assert read_capture(tmp_path / "x.pcap").unfinished == 32
