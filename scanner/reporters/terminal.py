"""For a terminal: a table drawn by rich.

The law: the screen stays readable however large the sweep was, and so does memory; what a
service says of itself is text, never markup. rich is imported when there is something to draw.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import IO

from scanner.contracts import Format
from scanner.model import State, Verdict
from scanner.reporters import write_all
from scanner.reporters.text import ABSENT, HEADINGS, cells, escape, remarks, thousands, where

MOST_ROWS = 1000
"""Records that are shown; of more, the first."""

_COLOURS = {
    State.OPEN: "bold red",
    State.UP: "bold red",
    State.UNFILTERED: "yellow",
    State.CLOSED: "green",
    State.FILTERED: "yellow",
    State.OPEN_FILTERED: "yellow",
    State.DOWN: "dim",
}
_WIDTH = 100
_STATE = HEADINGS.index("STATE")


class TerminalReporter:
    """Shows records; coloured if the stream is a terminal."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._rows: list[Verdict] = []
        self._more = 0

    def write(self, verdicts: Iterable[Verdict]) -> None:
        """Take in records; nothing is drawn before the end."""
        for verdict in verdicts:
            if len(self._rows) < MOST_ROWS:
                self._rows.append(verdict)
            else:
                self._more += 1

    def close(self) -> None:
        """Draw. Raises OSError as the stream does."""
        if self._rows:
            write_all(self._stream, self._drawn().encode("utf-8", "replace"))
        self._stream.flush()

    def _drawn(self) -> str:
        from rich.box import SIMPLE_HEAD  # noqa: PLC0415 - 45 ms that only those who draw should pay
        from rich.console import Console  # noqa: PLC0415
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        isatty = self._stream.isatty()
        drawn = io.StringIO()
        console = Console(
            file=drawn, force_terminal=True if isatty else None, width=None if isatty else _WIDTH
        )
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        rows = list(map(cells, self._rows))
        # A column in which nobody has anything only takes room.
        kept = [index for index, column in enumerate(zip(*rows, strict=True)) if set(column) != {ABSENT}]
        for index in kept:
            table.add_column(HEADINGS[index], overflow="fold")
        for verdict, row in zip(self._rows, rows, strict=True):
            colour = _COLOURS[verdict.state]
            table.add_row(*(Text(row[index], style=colour if index == _STATE else "") for index in kept))
        console.print(table)
        if self._more:
            console.print(Text(f"… and {thousands(self._more)} more", style="dim"))
        for line in _footnotes(self._rows):
            console.print(Text(line, style="dim"))
        return drawn.getvalue()


TERMINAL = Format(
    name="terminal",
    summary="a coloured table of the first 1000 records, as wide as the terminal",
    reporter=TerminalReporter,
)


def ghostport_reporters() -> tuple[Format, ...]:
    """As `scanner.plugins.hooks` asks."""
    return (TERMINAL,)


def _footnotes(verdicts: list[Verdict]) -> Iterator[str]:
    """What else the records say, once each: a column of it would leave no room for the others."""
    spoken_of: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        for remark in remarks(verdict):
            spoken_of.setdefault(remark, []).append(verdict)
    for remark, (first, *others) in spoken_of.items():
        more = f" and {thousands(len(others))} more" if others else ""
        yield f"{escape(first.ip)} {where(first.proto, first.port)}{more}: {remark}"
