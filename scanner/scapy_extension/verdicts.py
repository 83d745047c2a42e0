"""Verdicts as a Scapy user looks at them: a list that sums itself up."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import IO, cast, overload

from scanner.model import Verdict
from scanner.reporters.text import TextReporter, summary
from scanner.result import Result, Tally


class _Printed:
    """Standard output as a stream of UTF-8; in a notebook it takes nothing but text."""

    def write(self, data: bytes | memoryview) -> int:
        sys.stdout.write(bytes(data).decode())
        return len(data)

    def flush(self) -> None:
        sys.stdout.flush()


class Verdicts(Sequence[Verdict]):
    """What was found of every target, by address, protocol and port.

    result: the same as the library gives it. Records are made when they are asked for.
    """

    def __init__(self, result: Result) -> None:
        self.result = result

    @cached_property
    def _records(self) -> list[Verdict]:
        return list(self.result)

    @cached_property
    def _tally(self) -> Tally:
        return self.result.tally()

    def __iter__(self) -> Iterator[Verdict]:
        return self.result.verdicts()

    def __len__(self) -> int:
        return self._tally.total()

    @overload
    def __getitem__(self, index: int) -> Verdict: ...
    @overload
    def __getitem__(self, index: slice) -> list[Verdict]: ...
    def __getitem__(self, index: int | slice) -> Verdict | list[Verdict]:
        return self._records[index]

    def open(self) -> list[Verdict]:
        """Those of open ports."""
        return self.result.open()

    def show(self) -> None:
        """Print them as a table."""
        reporter = TextReporter(cast("IO[bytes]", _Printed()))
        reporter.write(self)
        reporter.close()

    def __repr__(self) -> str:
        lines = summary(self._tally) or ["no verdicts"]
        if not self.result.complete:
            lines.append(f"incomplete: {self.result.unfinished} targets without a verdict")
        return "\n".join(lines)
