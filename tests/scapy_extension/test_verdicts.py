"""Verdicts as a Scapy user sees them."""

from __future__ import annotations

import io

from scanner import sweep
from scanner.scapy_extension.verdicts import Verdicts
from scanner.wire.behaviours import closed_port
from scanner.wire.memory import SimulatedNetwork


def verdicts() -> Verdicts:
    network = SimulatedNetwork()
    network.place("10.0.0.0/30", closed_port())
    return Verdicts(sweep("10.0.0.0/30", ports="401,402", protocols="tcp", network=network).result())


def test_it_is_a_sequence():
    found = verdicts()

    assert len(found) == 8
    assert list(found) == [found[n] for n in range(8)] == found[:]
    assert found[-1] in found
    assert (found.open(), found.result.complete) == ([], True)


def test_it_sums_itself_up():
    assert repr(verdicts()) == "401/tcp  4 closed (reset)\n402/tcp  4 closed (reset)"


def test_it_is_printed_where_standard_output_takes_text_alone(monkeypatch):
    printed = io.StringIO()
    monkeypatch.setattr("sys.stdout", printed)

    verdicts().show()

    assert len(printed.getvalue().splitlines()) == 9
