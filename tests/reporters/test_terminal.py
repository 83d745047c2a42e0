from __future__ import annotations

import io
import re
import subprocess
import sys
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.contracts import ReporterFactory
from scanner.model import ProberVerdict, Protocol, Reason, Service, State, Superseded, Verdict
from scanner.reporters import terminal
from scanner.reporters.terminal import TerminalReporter

FACTORY: ReporterFactory = TerminalReporter

SGR = re.compile(r"\x1b\[[0-9;]*m")


class Screen(io.BytesIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def screen(monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")


def verdict(last: int, state: State = State.OPEN, reason: Reason = Reason.SYN_ACK, **facts: Any) -> Verdict:
    address = f"10.50.{last >> 8}.{last & 255}"
    usual: dict[str, Any] = {"responder": address, "ttl": 64, "rtt_ms": 0.5}
    return Verdict(ip=address, proto=Protocol.TCP, port=401, state=state, reason=reason, **usual | facts)


def report(verdicts, stream: io.BytesIO | None = None) -> str:
    stream = stream or io.BytesIO()
    reporter = TerminalReporter(stream)
    reporter.write(verdicts)
    assert stream.getvalue() == b""
    reporter.close()
    assert not stream.closed
    return stream.getvalue().decode()


def addresses(drawn: str) -> list[str]:
    return re.findall(r"(?m)^ ?(10\.[0-9.]+) ", SGR.sub("", drawn))


def test_records_are_shown_in_the_order_given_without_empty_columns():
    closed = verdict(7, State.CLOSED, Reason.RESET)
    drawn = report([verdict(9), closed, verdict(3)])
    assert addresses(drawn) == ["10.50.0.9", "10.50.0.7", "10.50.0.3"]
    assert "REASON" in drawn
    assert "RESPONDER" not in drawn
    assert "SERVICE" not in drawn


def test_a_responder_that_is_not_the_target_has_its_column():
    drawn = report([verdict(9), verdict(8, State.FILTERED, Reason.HOST_UNREACH, responder="10.49.0.2")])
    assert "RESPONDER" in drawn
    assert "10.49.0.2" in drawn


def test_what_else_is_known_stands_below_once():
    before = Superseded(
        state=State.CLOSED, reason=Reason.RESET, ttl=64, responder="10.50.0.9", time="2024-01-01T00:00:00Z"
    )
    quiet: dict[str, Any] = {"hint": "one-way"}
    drawn = report([verdict(9, superseded=(before,)), *(verdict(last, **quiet) for last in (1, 2, 3))])
    assert drawn.splitlines()[-2:] == [
        "10.50.0.9 401/tcp: before: closed (reset) from 10.50.0.9 at 2024-01-01T00:00:00Z",
        "10.50.0.1 401/tcp and 2 more: hint: one-way",
    ]


def test_probers_have_a_column_where_there_are_some():
    facts = msgspec.structs.asdict(verdict(9))
    drawn = report([verdict(8), ProberVerdict(**facts, prober="10.49.0.1")])
    assert "PROBER" in drawn
    assert "10.49.0.1" in drawn
    assert "PROBER" not in report([verdict(8)])


def test_without_records_nothing_is_drawn():
    assert report([]) == ""


def test_rows_are_bounded(monkeypatch):
    monkeypatch.setattr(terminal, "MOST_ROWS", 3)
    drawn = report([verdict(last) for last in range(10)])
    assert len(addresses(drawn)) == 3
    assert "… and 7 more" in drawn
    assert "more" not in report([verdict(last) for last in range(3)])


def test_colours_on_a_terminal_only():
    assert "\x1b" not in report([verdict(1)])
    assert "\x1b[1;31mopen" in report([verdict(1)], stream=Screen())


MARKUP = "[bold]loud[/bold] :smile: [link=http://x]y[/link] [/]"


def test_markup_and_emoji_of_a_service_mean_nothing():
    drawn = report([verdict(1, service=Service(name="x", product=MARKUP, confidence=1))])
    assert all(word in drawn for word in ("[bold]loud[/bold]", ":smile:", "[link=http://x]y[/link]", "[/]"))


@given(st.text(st.characters(), max_size=50))
def test_whatever_a_service_says_cannot_reach_the_terminal(banner):
    drawn = report([verdict(1, service=Service(name="x", product=banner, confidence=1))], stream=Screen())
    assert SGR.sub("", drawn).replace("\n", "").isprintable()


def test_rich_is_imported_only_to_draw():
    code = "import sys, scanner.reporters.terminal; sys.exit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
