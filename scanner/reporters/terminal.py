"""For a terminal: a table of who answered, drawn by rich, and the counts.

The law: the screen stays readable however large the sweep was, and so does memory. Open
ports are shown first of all; answers that say "closed" or "filtered" only while they are few.
rich is imported when there is something to draw.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import IO

from scanner.model import State, Verdict
from scanner.reporters import write_all
from scanner.reporters.text import HEADINGS, Tally, cells, summary, thousands

MOST_OPEN = 1000
"""Open ports that are shown."""

MOST_OTHERS = 64
"""Other answers that are shown; where there are more, none is."""

_COLOURS = {
    State.OPEN: "bold red",
    State.CLOSED: "green",
    State.FILTERED: "yellow",
    State.OPEN_FILTERED: "yellow",
    State.DOWN: "dim",
}
_WIDTH = 100


class TerminalReporter:
    """Shows the targets that answered, and counts all.

    Args:
        stream: binary; coloured if it is a terminal.
        tally: where given, its counts are shown in place of those of the records that went by.
    """

    def __init__(self, stream: IO[bytes], tally: Tally | None = None) -> None:
        self._stream = stream
        self._tally = tally
        self._counted = Tally()
        self._open: list[tuple[int, Verdict]] = []
        self._others: list[tuple[int, Verdict]] = []
        self._opened = self._answered = 0

    def write(self, verdicts: Iterable[Verdict]) -> None:
        """Take in records; nothing is drawn before the end."""
        for verdict in verdicts:
            self._counted.add(verdict)
            if verdict.state is State.OPEN:
                self._opened += 1
                if len(self._open) < MOST_OPEN:
                    self._open.append((self._opened + self._answered, verdict))
            elif verdict.responder is not None:
                self._answered += 1
                if len(self._others) < MOST_OTHERS:
                    self._others.append((self._opened + self._answered, verdict))

    def close(self) -> None:
        """Draw. Raises OSError as the stream does."""
        write_all(self._stream, self._drawn().encode("utf-8", "replace"))
        self._stream.flush()

    def _drawn(self) -> str:
        from rich.box import SIMPLE_HEAD  # noqa: PLC0415 - 45 ms that only those who draw should pay
        from rich.console import Console  # noqa: PLC0415
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        isatty = self._stream.isatty()
        console = Console(
            file=io.StringIO(), force_terminal=True if isatty else None, width=None if isatty else _WIDTH
        )
        others = self._others if self._answered <= MOST_OTHERS else []
        rows = [verdict for _, verdict in sorted(self._open + others, key=lambda shown: shown[0])]
        if rows:
            table = Table(box=SIMPLE_HEAD, pad_edge=False)
            columns = list(zip(*map(cells, rows), strict=True))
            # A column in which nobody has anything only takes room.
            kept = [index for index, column in enumerate(columns) if set(column) != {"-"}]
            for index in kept:
                table.add_column(HEADINGS[index], overflow="fold")
            for verdict, row in zip(rows, zip(*columns, strict=True), strict=True):
                # Text, never markup: what a service says of itself is not ours to interpret.
                colour = _COLOURS[verdict.state]
                table.add_row(*(Text(row[index], style=colour if index == 2 else "") for index in kept))
            console.print(table)
        for line in self._notes():
            console.print(Text(line, style="dim"), soft_wrap=True)
        for line in summary((self._tally or self._counted).counts):
            console.print(Text(line), soft_wrap=True)
        file = console.file
        return file.getvalue() if isinstance(file, io.StringIO) else ""

    def _notes(self) -> list[str]:
        """What is not shown."""
        notes = []
        if self._opened > len(self._open):
            notes.append(f"… and {thousands(self._opened - len(self._open))} more open ports")
        if self._answered > MOST_OTHERS:
            notes.append(f"{thousands(self._answered)} others answered, and are only counted")
        return notes
