"""A format that says of each state how many targets have it, and of each service."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import IO

from scanner.contracts import Format
from scanner.model import Verdict


class TallyReporter:
    """Counts records, and writes a line for each kind."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._counts: Counter[str] = Counter()

    def write(self, verdicts: Iterable[Verdict]) -> None:
        """Count records."""
        for verdict in verdicts:
            self._counts[verdict.state] += 1
            if verdict.service is not None:
                self._counts[f"service {verdict.service.name}"] += 1

    def close(self) -> None:
        """Write the counts."""
        for kind, count in sorted(self._counts.items()):
            self._stream.write(f"{count}\t{kind}\n".encode())


TALLY = Format(name="tally", summary="how many of each", reporter=TallyReporter, suffix=".tally")
