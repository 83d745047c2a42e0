"""Captures read: a sweep's own with its plan, without it, damaged, cut off, with others' traffic in it."""

from __future__ import annotations

import io
import json
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner import CaptureError, Protocol, Reason, State, UsageError, Verdict, read_capture, sweep
from scanner.capture.evidence import plan_path
from scanner.wire.behaviours import closed_port, forged_reset, open_port, silent, together
from scanner.wire.memory import SimulatedNetwork

_FILE_HEADER = 24
_RECORD_HEADER = struct.Struct("<IIII")


@pytest.fixture(scope="module")
def swept(tmp_path_factory) -> tuple[Path, list[Verdict]]:
    """A capture with its plan, and the verdicts: eight closed, four open, four silent, four down."""
    capture = tmp_path_factory.mktemp("swept") / "sweep.pcap"
    network = SimulatedNetwork(seed=3)
    network.place("10.0.0.0/29", closed_port())
    network.place("10.0.0.8/30", open_port(b"hello"))
    network.place("10.0.0.12/30", together(silent(), forged_reset()))
    planned = sweep(
        "10.0.0.0-10.0.0.19", ports="401-402", retries=1, seed=5, evidence=capture, network=network
    )
    return capture, list(planned.result())


@pytest.fixture
def capture(swept, tmp_path) -> Path:
    """A copy of the capture and its plan, to be spoilt."""
    for path in (swept[0], plan_path(swept[0])):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    copied: Path = tmp_path / swept[0].name
    return copied


def change_plan(capture: Path, **changes: object) -> None:
    path = plan_path(capture)
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_with_its_plan_the_verdicts_are_those_of_the_sweep(swept):
    capture, verdicts = swept

    result = read_capture(capture)

    assert list(result) == verdicts
    assert (result.complete, result.unfinished, result.forged) == (True, 0, 4 * 2 * 2)
    assert {v.reason for v in verdicts} == {
        Reason.RESET, Reason.PORT_UNREACH, Reason.SYN_ACK, Reason.UDP_RESPONSE, Reason.NO_RESPONSE,
        Reason.NO_ARP_RESPONSE,
    }  # fmt: skip


def test_without_its_plan_all_that_was_probed_gets_the_same_verdict(swept, capture):
    plan_path(capture).unlink()

    result = read_capture(capture, ports="401-402")

    # Who did not answer ARP was never probed: a capture alone cannot know that it was meant to be.
    assert list(result) == [v for v in swept[1] if v.state is not State.DOWN]
    assert result.complete


@pytest.mark.parametrize(
    ("ports", "wanted"), [(None, {401, 402}), ("402", {402}), ([401], {401}), (range(402, 9000), {402})]
)
def test_ports_choose_what_is_spoken_of(swept, ports, wanted):
    result = read_capture(swept[0], ports=ports)

    assert list(result) == [v for v in swept[1] if v.port in wanted]


def test_a_capture_of_unknown_origin_is_asked_about_port_401(swept, capture):
    plan_path(capture).unlink()

    assert list(read_capture(capture)) == [v for v in swept[1] if v.port == 401 and v.state is not State.DOWN]


@pytest.mark.parametrize("ports", ["x", "0", [70000], []])
def test_ports_that_are_none(swept, ports):
    with pytest.raises(UsageError):
        read_capture(swept[0], ports=ports)


def test_from_standard_input_there_is_no_plan(swept, monkeypatch):
    stdin = io.TextIOWrapper(io.BytesIO(swept[0].read_bytes()))
    monkeypatch.setattr(sys, "stdin", stdin)

    assert [v for v in read_capture("-", ports="401-402") if v.state is State.OPEN] == [
        v for v in swept[1] if v.state is State.OPEN
    ]


def test_a_sweep_that_was_cut_short(swept, capture):
    change_plan(capture, complete=False)

    result = read_capture(capture)

    assert not result.complete
    assert list(result) == [v for v in swept[1] if v.reason is not Reason.NO_RESPONSE]
    assert result.unfinished == sum(v.reason is Reason.NO_RESPONSE for v in swept[1])


def test_where_nobody_was_asked_to_the_end_silence_is_no_absence(swept, capture):
    change_plan(capture, complete=False, resolved=False)

    result = read_capture(capture)

    assert not [v for v in result if v.state is State.DOWN]
    assert result.unfinished == len(swept[1]) - len(list(result))


@pytest.mark.parametrize("source", ["10.0.0.0/16", "fd00::/112"])
def test_a_plan_with_sources_without_number_is_refused(capture, source):
    """Whose probes they are is found out for each source on its own."""
    change_plan(capture, sources=[source])

    with pytest.raises(CaptureError, match="65536 sources, more than 1024"):
        read_capture(capture)


def test_with_another_key_nothing_in_it_is_ours(capture):
    """Of UDP probes only the port could tell, and one in thousands is as the other key would have it."""
    change_plan(capture, key="00" * 16)

    verdicts = [v for v in read_capture(capture) if v.proto is Protocol.TCP]
    assert verdicts
    assert {v.reason for v in verdicts} == {Reason.NO_ARP_RESPONSE}


def test_from_another_source_nothing_in_it_is_ours(capture):
    change_plan(capture, sources=["192.0.2.77"])

    assert {v.reason for v in read_capture(capture)} == {Reason.NO_ARP_RESPONSE}


def merge(*captures: Path) -> bytes:
    """One capture of the frames of several, by time."""
    records = []
    for capture in captures:
        data = capture.read_bytes()
        at = _FILE_HEADER
        while at < len(data):
            seconds, nanoseconds, length, _ = _RECORD_HEADER.unpack_from(data, at)
            end = at + _RECORD_HEADER.size + length
            records.append(((seconds, nanoseconds), data[at:end]))
            at = end
    records.sort(key=lambda record: record[0])
    return captures[0].read_bytes()[:_FILE_HEADER] + b"".join(data for _, data in records)


def test_others_traffic_in_the_capture_changes_nothing(swept, capture, tmp_path):
    """Another sweep of the same targets at the same time, from the same address, that found all closed.

    By TCP: 32 bits tell its probes from ours for sure, the ports of UDP only nearly so.
    """
    other = tmp_path / "other.pcap"
    network = SimulatedNetwork(seed=4)
    network.place("10.0.0.0/26", closed_port())
    sweep("10.0.0.0/26", ports="401-402", protocols="tcp", evidence=other, network=network).result()

    capture.write_bytes(merge(capture, other))

    # Only who is there was learnt from the other: those answer ARP after all.
    ours = [v for v in read_capture(capture) if v.state is not State.DOWN]
    assert ours == [v for v in swept[1] if v.state is not State.DOWN]


@pytest.mark.parametrize("cut", [1, 7, 20, 300])
def test_a_capture_that_is_cut_off_is_read_as_far_as_it_goes(capture, cut):
    data = capture.read_bytes()
    capture.write_bytes(data[:-cut])
    warnings: list[str] = []

    part = {(v.ip, v.proto, v.port): v for v in read_capture(capture, warn=warnings.append)}

    assert len(warnings) == 1
    assert str(capture) in warnings[0]
    assert "\n" not in warnings[0]
    assert len(part) > 40
    with pytest.raises(CaptureError) as error:
        read_capture(capture)
    assert str(error.value) == warnings[0]


def nowhere(capture: Path) -> None:
    capture.unlink()


def empty(capture: Path) -> None:
    capture.write_bytes(b"")


def text(capture: Path) -> None:
    capture.write_text("this is not a capture\n" * 10)


def folder(capture: Path) -> None:
    capture.unlink()
    capture.mkdir()


def torn_plan(capture: Path) -> None:
    plan_path(capture).write_bytes(plan_path(capture).read_bytes()[:-20])


def foreign_plan(capture: Path) -> None:
    plan_path(capture).write_text('{"format": "other/1"}')


def plan_with_a_lie(capture: Path) -> None:
    change_plan(capture, targets=["ups.example"])


@pytest.mark.parametrize(
    "spoil",
    [nowhere, empty, text, folder, torn_plan, foreign_plan, plan_with_a_lie],
    ids=lambda f: f.__name__,
)
def test_what_cannot_be_read_is_named_in_one_line(capture: Path, spoil: Callable[[Path], None]):
    spoil(capture)

    with pytest.raises(CaptureError) as error:
        read_capture(capture)
    assert str(error.value).startswith(str(capture))
    assert "\n" not in str(error.value)


def test_a_path_may_be_text_or_path(swept):
    assert list(read_capture(str(swept[0]))) == list(read_capture(swept[0]))


def test_an_empty_sweep_reads_as_nothing(swept, capture):
    capture.write_bytes(capture.read_bytes()[:_FILE_HEADER])

    plan_path(capture).unlink()

    assert list(read_capture(capture)) == []
    assert read_capture(capture).tally() == {}


@settings(max_examples=60)
@given(data=st.data())
def test_hostile_bytes_give_verdicts_or_one_kind_of_error(swept, tmp_path_factory, data):
    original = swept[0].read_bytes()
    spoilt = bytearray(original)
    for _ in range(data.draw(st.integers(1, 8))):
        spoilt[data.draw(st.integers(0, len(spoilt) - 1))] = data.draw(st.integers(0, 255))
    tail = data.draw(st.binary(max_size=64))
    path = tmp_path_factory.mktemp("hostile") / "x.pcap"
    path.write_bytes(bytes(spoilt) + tail)
    if data.draw(st.booleans()):
        plan_path(path).write_bytes(plan_path(swept[0]).read_bytes())

    try:
        result = read_capture(path, ports="401-402", warn=lambda _: None)
    except CaptureError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        for verdict in result:
            assert verdict.port in {401, 402}
            assert verdict.proto in Protocol
