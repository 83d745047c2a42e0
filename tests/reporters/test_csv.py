from __future__ import annotations

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.contracts import ReporterFactory
from scanner.model import ProberVerdict, Protocol, Reason, Service, State, Superseded, Verdict
from scanner.reporters.csv import CsvReporter

FACTORY: ReporterFactory = CsvReporter

HEADER = (
    b"ip,proto,port,state,reason,ttl,rtt_ms,responder,tries,time,service,note,hint,superseded,mac,oui,prober"
    b"\r\n"
)


def verdict(**facts) -> Verdict:
    facts = {"ip": "10.50.0.1", "reason": Reason.SYN_ACK, "state": State.OPEN} | facts
    return Verdict(proto=Protocol.TCP, port=401, **facts)


def report(*batches) -> bytes:
    stream = io.BytesIO()
    reporter = CsvReporter(stream)
    for batch in batches:
        reporter.write(batch)
    reporter.close()
    assert not stream.closed
    return stream.getvalue()


def test_a_header_and_a_record_a_line_with_absent_facts_empty():
    full = verdict(
        ttl=64,
        rtt_ms=0.25,
        responder="10.50.0.1",
        tries=1,
        time="2024-01-01T00:00:00Z",
        service=Service(name="nut", confidence=1),
    )
    assert report([full], [verdict(state=State.FILTERED, reason=Reason.NO_RESPONSE, tries=3)]) == (
        HEADER
        + b"10.50.0.1,tcp,401,open,syn-ack,64,0.25,10.50.0.1,1,2024-01-01T00:00:00Z,"
        + b'"{""name"":""nut"",""product"":null,""version"":null,""confidence"":1,""evidence"":""""}"'
        + b",,,,,,\r\n"
        + b"10.50.0.1,tcp,401,filtered,no-response,,,,3,,,,,,,,\r\n"
    )


def test_the_header_is_there_once_and_without_records_too():
    assert report() == report([]) == HEADER
    assert report([verdict()], [verdict()]).count(HEADER) == 1


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_cell_that_could_be_a_formula_is_defused(start):
    text = report([verdict(ip=f"{start}1", responder=f"{start}2", time=f"{start}3")]).decode()
    [_, row] = csv.reader(io.StringIO(text, newline=""))
    assert (row[0], row[7], row[9]) == (f"'{start}1", f"'{start}2", f"'{start}3")


@given(st.text(st.characters(codec="utf-8")), st.none() | st.text(st.characters(codec="utf-8")))
def test_whatever_a_service_says_is_json_in_one_cell(name, product):
    text = report([verdict(service=Service(name=name, product=product, confidence=0.5))]).decode()
    [_, row] = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert len(row) == 17
    assert json.loads(row[10]) == {
        "name": name, "product": product, "version": None, "confidence": 0.5, "evidence": "",
    }  # fmt: skip
    assert row[10].startswith("{")


def test_lone_surrogates_do_not_stop_it():
    text = report([verdict(service=Service(name="\udc80", confidence=1, evidence="\udc81"))]).decode()
    found = json.loads(list(csv.reader(io.StringIO(text)))[1][10])
    assert (found["name"], found["evidence"]) == ("\\udc80", "\\udc81")


def test_what_else_is_known_has_cells_of_its_own():
    before = Superseded(
        state=State.CLOSED, reason=Reason.RESET, ttl=9, responder="10.50.0.1", time="2024-01-01T00:00:00Z"
    )
    facts = {name: getattr(verdict(), name) for name in Verdict.__struct_fields__}
    facts |= {"note": "open-inferred", "hint": "one-way", "superseded": (before,)}
    text = report([ProberVerdict(**facts, prober="=1")]).decode()
    [_, row] = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert (row[11], row[12], row[-1]) == ("open-inferred", "one-way", "'=1")
    assert json.loads(row[13]) == [
        {
            "state": "closed",
            "reason": "reset",
            "ttl": 9,
            "responder": "10.50.0.1",
            "time": "2024-01-01T00:00:00Z",
        }
    ]
