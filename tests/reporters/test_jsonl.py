from __future__ import annotations

import io
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.contracts import ReporterFactory
from scanner.model import ProberVerdict, Protocol, Reason, Service, State, Superseded, Verdict
from scanner.reporters.jsonl import JsonlReporter

FACTORY: ReporterFactory = JsonlReporter

NUT = Service(name="nut", version="2.8.0", confidence=1.0)
FULL = Verdict(
    ip="10.50.0.1", proto=Protocol.TCP, port=401, state=State.OPEN, reason=Reason.SYN_ACK, ttl=64,
    rtt_ms=0.25, responder="10.50.0.1", tries=1, time="2024-01-01T00:00:00.000001Z", service=NUT,
)  # fmt: skip
BARE = Verdict(
    ip="10.50.0.2",
    proto=Protocol.UDP,
    port=401,
    state=State.OPEN_FILTERED,
    reason=Reason.NO_RESPONSE,
    tries=3,
)


def report(*batches) -> bytes:
    stream = io.BytesIO()
    reporter = JsonlReporter(stream)
    for batch in batches:
        reporter.write(batch)
    reporter.close()
    assert not stream.closed
    return stream.getvalue()


def test_a_record_is_a_line_with_all_keys_in_order():
    assert report([FULL, BARE]) == (
        b'{"ip":"10.50.0.1","proto":"tcp","port":401,"state":"open","reason":"syn-ack","ttl":64,"rtt_ms":0.25,'
        b'"responder":"10.50.0.1","tries":1,"time":"2024-01-01T00:00:00.000001Z","service":{"name":"nut","product":null,"version":"2.8.0","confidence":1.0,"evidence":""},'
        b'"note":null,"hint":null,"superseded":null,"mac":null,"oui":null}\n'
        b'{"ip":"10.50.0.2","proto":"udp","port":401,"state":"open|filtered","reason":"no-response","ttl":null,'
        b'"rtt_ms":null,"responder":null,"tries":3,"time":null,"service":null,"note":null,"hint":null,"superseded":null,"mac":null,"oui":null}\n'
    )


def test_superseded_replies_are_objects_and_a_prober_comes_last():
    before = Superseded(
        state=State.CLOSED, reason=Reason.RESET, ttl=64, responder="10.50.0.2", time="2024-01-01T00:00:00Z"
    )
    facts = msgspec.structs.asdict(BARE) | {"superseded": (before,)}
    line = report([ProberVerdict(**facts, prober="10.49.0.1")])
    assert line.endswith(
        b'"superseded":[{"state":"closed","reason":"reset","ttl":64,"responder":"10.50.0.2",'
        b'"time":"2024-01-01T00:00:00Z"}],"mac":null,"oui":null,"prober":"10.49.0.1"}\n'
    )


def test_batches_follow_each_other_and_may_be_iterators_longer_than_a_piece():
    lines = report(iter([FULL] * 20_000), [], iter([BARE])).splitlines()
    assert len(lines) == 20_001
    assert json.loads(lines[-1])["ip"] == "10.50.0.2"


def test_nothing_is_no_line():
    assert report([]) == b""


@given(st.lists(st.text(st.characters()), min_size=4, max_size=4))
def test_whatever_a_service_says_is_one_line_of_json(texts):
    name, product, version, evidence = texts
    service = Service(name=name, product=product, version=version, confidence=0.5, evidence=evidence)
    verdict = Verdict(
        ip="10.50.0.1", proto=Protocol.TCP, port=401, state=State.OPEN, reason=Reason.SYN_ACK, service=service
    )
    written = report([FULL, verdict])
    assert written.count(b"\n") == 2
    found = json.loads(written.splitlines()[1])["service"]
    assert found.pop("confidence") == 0.5
    assert list(found.values()) == [text.encode("utf-8", "backslashreplace").decode() for text in texts]


def test_a_stream_that_takes_little_at_once_gets_all():
    class Slow(io.BytesIO):
        def write(self, data, /):
            return super().write(bytes(data)[:7])

    stream = Slow()
    JsonlReporter(stream).write([FULL, BARE])
    assert stream.getvalue() == report([FULL, BARE])


def test_a_stream_that_takes_nothing_is_an_error():
    class Stuck(io.BytesIO):
        def write(self, data, /):
            return 0

    with pytest.raises(BlockingIOError):
        JsonlReporter(Stuck()).write([FULL])
