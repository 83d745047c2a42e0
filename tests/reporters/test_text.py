from __future__ import annotations

import io
from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.contracts import ReporterFactory
from scanner.model import ProberVerdict, Protocol, Reason, Service, State, Superseded, Verdict
from scanner.reporters.text import (
    TextReporter,
    escape,
    milliseconds,
    printable,
    remarked,
    service_text,
    shared_macs,
    summary,
)

FACTORY: ReporterFactory = TextReporter

NUT = Service(name="nut", confidence=1)


def verdict(ip: str, **facts: Any) -> Verdict:
    usual: dict[str, Any] = {
        "proto": Protocol.TCP,
        "port": 401,
        "state": State.OPEN,
        "reason": Reason.SYN_ACK,
    }
    return Verdict(ip=ip, **usual | facts)


def report(*batches) -> str:
    stream = io.BytesIO()
    reporter = TextReporter(stream)
    for batch in batches:
        reporter.write(batch)
    reporter.close()
    assert not stream.closed
    return stream.getvalue().decode()


TABLE = """\
ADDRESS          PORT       STATE          REASON                     RTT  TTL  RESPONDER        SERVICE
10.50.0.9        401/tcp    open           syn-ack               0.043 ms   64  -                nut
10.50.0.2        401/tcp    filtered       admin-prohibited       12.3 ms   63  10.50.255.254    -
10.50.0.3        401/udp    open|filtered  no-response                  -    -  -                -
"""


def test_a_table_in_the_order_given():
    table = report(
        [
            verdict("10.50.0.9", ttl=64, rtt_ms=0.0432, responder="10.50.0.9", service=NUT),
            verdict(
                "10.50.0.2", state=State.FILTERED, reason=Reason.ADMIN_PROHIBITED, ttl=63, rtt_ms=12.345,
                responder="10.50.255.254",
            ),
        ],
        [verdict("10.50.0.3", proto=Protocol.UDP, state=State.OPEN_FILTERED, reason=Reason.NO_RESPONSE)],
    )  # fmt: skip
    assert table == TABLE


BEFORE = Superseded(
    state=State.CLOSED, reason=Reason.RESET, ttl=64, responder="10.50.0.7", time="2024-01-01T00:00:00.000001Z"
)
REMARKED = """\
ADDRESS          PORT       STATE          REASON                     RTT  TTL  RESPONDER        SERVICE
10.50.0.7        401/tcp    open           syn-ack                      -    -  -                -
  before: closed (reset) from 10.50.0.7 at 2024-01-01T00:00:00.000001Z
10.50.0.8        401/tcp    open           syn-ack                      -    -  -                -
  note: open-inferred
  hint: one-way
"""


def test_what_else_a_record_says_stands_under_it():
    rows = [
        verdict("10.50.0.7", superseded=(BEFORE,)),
        verdict("10.50.0.8", note="open-inferred", hint="one-way"),
    ]
    assert report(rows) == REMARKED


def by(prober: str) -> ProberVerdict:
    return ProberVerdict(**msgspec.structs.asdict(verdict("10.50.0.7")), prober=prober)


@pytest.mark.parametrize("rows", [[verdict("10.50.0.1"), by("10.49.0.1")], [by("10.49.0.1")]])
def test_probers_have_a_column_where_there_are_some(rows):
    heading, *lines = report(rows, [verdict("10.50.0.9")], [by("fe80::1")]).splitlines()
    assert heading.split()[-2:] == ["SERVICE", "PROBER"]
    at = heading.index("PROBER")
    assert [line[at:] for line in lines if line.startswith("10.50.0.7")] == ["10.49.0.1", "fe80::1"]


def test_columns_grow_and_never_shrink():
    rows = report([verdict("fe80::1234:5678:9abc:def0")], [verdict("10.0.0.1")]).splitlines()
    assert len({row.index("401/tcp") for row in rows[1:]}) == 1
    assert rows[0].index("PORT") == rows[1].index("401/tcp")


def test_without_records_there_is_no_table():
    assert report() == report([]) == ""


def test_more_records_than_a_piece_have_one_heading():
    assert report(iter([verdict("10.0.0.1")] * 20_000)).count("ADDRESS") == 1


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("plain text, ünïcödé", "plain text, ünïcödé"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("two\r\nlines\x85", "two\\x0d\\x0alines\\x85"),
        ("C1 \x9b2J", "C1 \\x9b2J"),
        ("\u202eright to left\u2028", "\\u202eright to left\\u2028"),
        ("\udc80", "\\udc80"),
        ("\U000e0041", "\\U000e0041"),
        ("back\\slash", "back\\\\slash"),
        ("a" * 201, "a" * 200 + "…"),
    ],
)
def test_text_from_the_network_is_escaped(text, escaped):
    assert escape(text) == escaped


@given(st.lists(st.text(st.characters()), min_size=4, max_size=4), st.booleans())
def test_whatever_a_service_says_is_printable_and_on_its_line(texts, terse):
    name, product, version, evidence = texts
    facts = {} if terse else {"product": product, "version": version}
    service = Service(name=name, evidence=evidence, confidence=0.2, **facts)
    table = report([verdict("10.0.0.1", service=service), verdict("10.0.0.2")])
    assert table.count("\n") == 3
    assert table.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("service", "text"),
    [
        (
            Service(name="nut", product="upsd", version="2.8.0", confidence=1.0, evidence="VER"),
            "nut upsd 2.8.0",
        ),
        (Service(name="ssh", version="2.0", confidence=0.5), "ssh 2.0"),
        (Service(name="nut", confidence=0.49), "nut?"),
        (
            Service(name="unknown", confidence=0, evidence='a "b"\n' + "x" * 99),
            f'unknown? "a \\"b\\"\\x0a{"x" * 54}"',
        ),
    ],
)
def test_a_service_in_few_words(service, text):
    assert service_text(service) == text


@pytest.mark.parametrize(
    ("rtt", "text"),
    [
        (0.0, "0.000 ms"), (0.0432, "0.043 ms"), (0.25, "0.250 ms"), (1.236, "1.24 ms"), (12.345, "12.3 ms"),
        (123.6, "124 ms"), (3000.0, "3000 ms"),
    ],
)  # fmt: skip
def test_round_trip_times(rtt, text):
    assert milliseconds(rtt) == text


TCP, UDP = Protocol.TCP, Protocol.UDP


def test_the_summary_counts_states_with_reasons():
    counts = {
        (TCP, 401, State.FILTERED, Reason.ADMIN_PROHIBITED): 256,
        (UDP, 401, State.OPEN_FILTERED, Reason.NO_RESPONSE): 65_536,
        (TCP, 401, State.CLOSED, Reason.RESET): 64_012,
        (TCP, 401, State.FILTERED, Reason.NO_RESPONSE): 256,
        (TCP, 401, State.OPEN, Reason.SYN_ACK): 500,
        (TCP, 3493, State.FILTERED, Reason.HOST_UNREACH): 3,
        (TCP, 3493, State.FILTERED, Reason.NO_RESPONSE): 1_000,
        (TCP, 3493, State.DOWN, Reason.NO_ROUTE): 0,
    }
    assert summary(counts) == [
        "401/tcp   500 open (syn-ack) · 64 012 closed (reset) · "
        "512 filtered (no-response 256, admin-prohibited 256)",
        "3493/tcp  1 003 filtered (no-response 1 000, host-unreach 3)",
        "401/udp   65 536 open|filtered (no-response)",
    ]


def test_nothing_has_no_summary():
    assert summary({}) == []
    assert remarked({}, {}) == []


def test_remarks_are_counted():
    assert remarked({"open-inferred": 1}, {"one-way": 1_000}) == [
        "open-inferred: 1 target",
        "one-way: 1 000 targets",
    ]


def test_a_fault_is_one_line_whatever_it_quotes():
    assert printable("C:\\a – b") == "C:\\a – b"
    assert printable("a\x1b[2J\nb\u202e\udc80" + "x" * 300) == "a\\x1b[2J\\x0ab\\u202e\\udc80" + "x" * 300


def test_hardware_addresses_that_answer_for_many_are_named():
    assert shared_macs(Counter({0x02000A340001: 7})) == []
    assert shared_macs(Counter({0x02000A340001: 1200, 5: 2})) == [
        "02:00:0a:34:00:01 answered for 1 200 addresses: proxy ARP, or a host of many addresses"
    ]
    assert len(shared_macs(Counter(dict.fromkeys(range(9), 8)))) == 4
