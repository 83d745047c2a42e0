"""Conversations, as a table for people, as JSON lines, and as comma-separated values.

What was said is printable text already, in ASCII, whatever it was on the wire.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from typing import IO, Protocol

import msgspec

from scanner.core.conversation_states import ConversationState
from scanner.core.conversations import Conversation
from scanner.reporters import pieces, write_all
from scanner.reporters.text import ABSENT, thousands

_HEADINGS = ("START", "CLIENT", "SERVER", "STATE", "OUT", "IN", "SAID")
_LEAST_WIDTHS = (27, 21, 19, 11, 12, 12, 0)
_RIGHT = frozenset((_HEADINGS.index("OUT"), _HEADINGS.index("IN")))
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_MOST_SAID = 48


class ConversationWriter(Protocol):
    """One output format of conversations."""

    def write(self, conversations: Iterable[Conversation]) -> None:
        """Append some. Raises OSError as the stream does."""

    def close(self) -> None:
        """Write the end and flush; the stream itself stays open."""


class ConversationTable:
    """An aligned table; columns grow but never shrink. Bytes, and packets in parentheses."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._widths: tuple[int, ...] = _LEAST_WIDTHS
        self._headed = False

    def write(self, conversations: Iterable[Conversation]) -> None:
        """As `ConversationWriter`."""
        for piece in pieces(conversations):
            rows = [_cells(conversation) for conversation in piece]
            lengths = [max(map(len, column)) for column in zip(*rows, strict=True)]
            self._widths = tuple(map(max, self._widths, lengths))
            if not self._headed:
                self._headed = True
                rows.insert(0, _HEADINGS)
            write_all(self._stream, "".join(map(self._line, rows)).encode())

    def close(self) -> None:
        """As `ConversationWriter`."""
        self._stream.flush()

    def _line(self, row: tuple[str, ...]) -> str:
        aligned = [
            cell.rjust(width) if index in _RIGHT else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, self._widths, strict=True))
        ]
        return "  ".join(aligned).rstrip() + "\n"


class ConversationLines:
    """JSON lines, keys in the order of `Conversation`'s fields, absent facts null."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._encoder = msgspec.json.Encoder()

    def write(self, conversations: Iterable[Conversation]) -> None:
        """As `ConversationWriter`."""
        for piece in pieces(conversations):
            write_all(self._stream, self._encoder.encode_lines(piece))

    def close(self) -> None:
        """As `ConversationWriter`."""
        self._stream.flush()


class ConversationCells:
    """Comma-separated values: a header, then a line for each; formulas are defused."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._headed = False

    def write(self, conversations: Iterable[Conversation]) -> None:
        """As `ConversationWriter`."""
        self._write_header()
        for piece in pieces(conversations):
            self._write_rows([_cell(value) for value in msgspec.structs.astuple(one)] for one in piece)

    def close(self) -> None:
        """As `ConversationWriter`."""
        self._write_header()
        self._stream.flush()

    def _write_header(self) -> None:
        if not self._headed:
            self._headed = True
            self._write_rows([Conversation.__struct_fields__])

    def _write_rows(self, rows: Iterable[Iterable[object]]) -> None:
        text = io.StringIO(newline="")
        csv.writer(text).writerows(rows)
        write_all(self._stream, text.getvalue().encode())


def summary(tally: Mapping[ConversationState, int]) -> list[str]:
    """One line: how many conversations there are, and how far they got."""
    total = sum(tally.values())
    ordered = sorted(tally, key=lambda state: (-tally[state], state))
    states = ", ".join(f"{thousands(tally[state])} {state}" for state in ordered)
    return [f"{thousands(total)} conversation{'' if total == 1 else 's'}" + (f": {states}" if states else "")]


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _cells(one: Conversation) -> tuple[str, ...]:
    return (
        one.start,
        _end(one.client, one.client_port),
        f"{_end(one.server, one.server_port)}/{one.proto}",
        one.state.value,
        f"{one.bytes_out} ({one.packets_out})",
        f"{one.bytes_in} ({one.packets_in})",
        _said(one),
    )


def _said(one: Conversation) -> str:
    both = ((">", one.first_out), ("<", one.first_in))
    return " ".join(f"{arrow} {_short(text)}" for arrow, text in both if text) or ABSENT


def _end(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _short(said: str) -> str:
    return said if len(said) <= _MOST_SAID else f"{said[:_MOST_SAID]}…"
