"""What a network exposes, as a test looks at it: verdicts to assert on, and tables to read when it fails."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path

from scanner.model import Protocol, State, UsageError, Verdict
from scanner.reporters.text import TextReporter, summary, thousands, where
from scanner.result import Result, responders

MOST_ROWS = 50
"""Targets that a message shows; of more, the first."""

_SHORT = 5
_FORMS = 'write "10.0.0.1", "10.0.0.0/24", "10.0.0.1 401" or "10.0.0.1 401/tcp"'


class Findings(list[Verdict]):
    """Records, as a list; its text is short."""

    def __repr__(self) -> str:
        shown = [f"{_name(v)} {v.state} ({v.reason})" for v in self[:_SHORT]]
        more = [f"… {thousands(len(self) - _SHORT)} more"] if len(self) > _SHORT else []
        return f"[{', '.join(shown + more)}]"


class Exposure:
    """What was found of every target.

    title: what was asked. result: the library's own. evidence: the capture that shows it.
    """

    def __init__(self, title: str, result: Result, evidence: Path) -> None:
        self.title = title
        self.result = result
        self.evidence = evidence

    def __iter__(self) -> Iterator[Verdict]:
        """All records, by address, protocol and port."""
        return iter(self.result)

    def open(self) -> Findings:
        """The records of open ports."""
        return Findings(self.result.open())

    def responders(self) -> Findings:
        """The records of targets for which anything came back, from them or from a router on the way."""
        return Findings(self.result.verdicts(responders))

    def of(self, *targets: str) -> Findings:
        """The records of some targets, written as for `assert_only_open`."""
        wanted = _expectations(targets)
        return Findings(verdict for verdict in self if any(each.covers(verdict) for each in wanted))

    def assert_only_open(self, *allowed: str) -> None:
        """Nothing is open but what is allowed; not all of that need be.

        Args:
            allowed: an address or a CIDR each, with a port and a protocol or without:
                "10.0.0.1", "10.0.0.0/24 401", "10.0.0.1 401/tcp".

        Raises:
            AssertionError: something else is; the message has a table of it.
        """
        __tracebackhide__ = True
        expected = _expectations(allowed)
        others = [v for v in self.result.open() if not any(each.covers(v) for each in expected)]
        if others:
            rest = f"allowed: {', '.join(allowed) or 'nothing'}"
            raise AssertionError(f"open, but not allowed: {_names(others)}\n{table(others)}{rest}")

    def assert_open(self, *required: str) -> None:
        """Each of these is open, whatever else is.

        Args:
            required: written as for `assert_only_open`; of a CIDR every address that was asked.

        Raises:
            AssertionError: one is not, or was never asked; the message has a table of them.
        """
        __tracebackhide__ = True
        expected = _expectations(required)
        asked = [[v for v in self if each.covers(v)] for each in expected]
        never = [text for text, found in zip(required, asked, strict=True) if not found]
        if never:
            raise AssertionError(f"never asked: {', '.join(never)}; the sweep was of {self.title}")
        shut = [v for found in asked for v in found if v.state is not State.OPEN]
        if shut:
            raise AssertionError(f"not open, but required: {_names(shut)}\n{table(shut)}".rstrip())

    def summary(self) -> str:
        """Counts by port, state and reason, in one line."""
        return "; ".join(" ".join(line.split()) for line in summary(self.result.tally())) or "no targets"

    def report(self) -> str:
        """All that a reader of a failure wants to see."""
        # The open ones first, in a table that may be cut off.
        rows = sorted(self.responders(), key=lambda verdict: verdict.state is not State.OPEN)
        return (
            f"{self.title}: {self.summary()}\n{table(rows)}"
            f"evidence: {self.evidence} (read it with: ghostport read {self.evidence})"
        )

    def __repr__(self) -> str:
        return f"<Exposure of {self.title}: {self.summary()}>"


@dataclass(frozen=True, slots=True)
class _Expectation:
    network: IPv4Network | IPv6Network
    port: int | None
    protocol: str | None

    def covers(self, verdict: Verdict) -> bool:
        return (
            self.port in {None, verdict.port}
            and self.protocol in {None, verdict.proto}
            and ip_address(verdict.ip) in self.network
        )


def _expectations(texts: Iterable[str]) -> list[_Expectation]:
    return [_expectation(text) for text in texts]


def _expectation(text: str) -> _Expectation:
    where, _, service = text.strip().partition(" ")
    port, _, protocol = service.strip().partition("/")
    if (port and not port.isdecimal()) or protocol not in {"", *Protocol}:
        raise UsageError(f"{text!r} is no target of a sweep; {_FORMS}")
    try:
        network = ip_network(where, strict=False)
    except ValueError:
        raise UsageError(f"{text!r} is no target of a sweep; {_FORMS}") from None
    return _Expectation(network, int(port) if port else None, protocol or None)


def difference(op: str, left: object, right: object) -> list[str] | None:
    """How two lists of records differ, for pytest; None where that is not the question."""
    if op != "==" or not isinstance(left, Findings) or not isinstance(right, list):
        return None
    lines = [f"{left!r} == {Findings(right)!r}" if _records(right) else f"{left!r} == {right!r}"]
    parts = ((left, right, "not expected"), (right, left, "expected, but missing"))
    for these, those, what in parts:
        only = [each for each in these if each not in those]
        if only and _records(only):
            lines += ["", f"{what}: {_names(only)}", *table(only).splitlines()]
    return lines


def _records(values: list[Verdict]) -> bool:
    return all(isinstance(value, Verdict) for value in values)


def table(verdicts: list[Verdict]) -> str:
    """Records as a table, with their reasons; empty where there are none."""
    stream = io.BytesIO()
    reporter = TextReporter(stream)
    reporter.write(verdicts[:MOST_ROWS])
    reporter.close()
    more = len(verdicts) - MOST_ROWS
    return stream.getvalue().decode() + (f"… and {thousands(more)} more\n" if more > 0 else "")


def _name(verdict: Verdict) -> str:
    return f"{verdict.ip} {where(verdict.proto, verdict.port)}"


def _names(verdicts: list[Verdict]) -> str:
    more = f" and {thousands(len(verdicts) - _SHORT)} more" if len(verdicts) > _SHORT else ""
    return ", ".join(map(_name, verdicts[:_SHORT])) + more
