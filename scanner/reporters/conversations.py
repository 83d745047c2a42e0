"""Conversations in each format: a table for people, JSON Lines, comma-separated values.

The law is that of the verdicts' reporters: what came from the network is escaped, no cell is a formula.
First bytes are printable ASCII already (`Conversation`).
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import IO

import msgspec

from scanner.core.conversation_states import STATES, ConversationState
from scanner.core.conversations import Conversation
from scanner.model import Service
from scanner.reporters import pieces, write_all
from scanner.reporters.text import ABSENT, MOST_PORTS, escape, thousands

HEADINGS = ("START (UTC)", "CLIENT", "SERVER", "STATE", "OUT B/PKT", "IN B/PKT", "FIRST BYTES")
"""What `cells` gives."""

_LEAST_WIDTHS = (19, 20, 20, 11, 9, 9, 0)
_RIGHT = frozenset((HEADINGS.index("OUT B/PKT"), HEADINGS.index("IN B/PKT")))
_SECONDS = len("2024-01-01T00:00:00")
_MOST_SHOWN = 32
"""Characters of first bytes in the table; half as many of each side where both said something."""
_CHARACTER = re.compile(r"\\x[0-9a-f]{2}|\\.|.", re.DOTALL)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class ConversationTextReporter:
    """Writes conversations as a table, UTF-8, as many as there are; columns grow but never shrink."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._widths: tuple[int, ...] = _LEAST_WIDTHS
        self._headed = False

    def write(self, conversations: Iterable[Conversation]) -> None:
        """Append conversations. Raises OSError as the stream does."""
        for piece in pieces(conversations):
            rows = [cells(conversation) for conversation in piece]
            lengths = [max(map(len, column)) for column in zip(*rows, strict=True)]
            self._widths = (*map(max, self._widths[:-1], lengths[:-1]), 0)
            if not self._headed:
                self._headed = True
                rows.insert(0, HEADINGS)
            write_all(self._stream, "".join(map(self._line, rows)).encode())

    def close(self) -> None:
        """Flush; without conversations there is no table."""
        self._stream.flush()

    def _line(self, row: tuple[str, ...]) -> str:
        aligned = [
            cell.rjust(width) if index in _RIGHT else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, self._widths, strict=True))
        ]
        return "  ".join(aligned).rstrip() + "\n"


class ConversationJsonlReporter:
    """Writes conversations as JSON Lines, UTF-8: keys in the order of the fields, absent facts null."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._encoder = msgspec.json.Encoder()

    def write(self, conversations: Iterable[Conversation]) -> None:
        """Append conversations. Raises OSError as the stream does."""
        for piece in pieces(conversations):
            write_all(self._stream, self._encoder.encode_lines(piece))

    def close(self) -> None:
        """Flush; the format has no end."""
        self._stream.flush()


class ConversationCsvReporter:
    """Writes conversations as comma-separated values (RFC 4180); the header even where there are none."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._headed = False

    def write(self, conversations: Iterable[Conversation]) -> None:
        """Append conversations. Raises OSError as the stream does."""
        self._write_header()
        for piece in pieces(conversations):
            self._write_rows(map(_row, piece))

    def close(self) -> None:
        """Flush."""
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


def cells(conversation: Conversation) -> tuple[str, ...]:
    """A conversation in words, one for each of HEADINGS."""
    server = f"{_end(conversation.server, conversation.server_port)}/{conversation.proto.value}"
    return (
        (conversation.start or ABSENT)[:_SECONDS].replace("T", " "),
        _end(conversation.client, conversation.client_port),
        server if conversation.tunnel is None else f"{server} in tunnel {conversation.tunnel}",
        conversation.state.value,
        _counts(conversation.bytes_out, conversation.packets_out),
        _counts(conversation.bytes_in, conversation.packets_in),
        _first_bytes(conversation.first_out, conversation.first_in),
    )


def summary(tally: Mapping[ConversationState, int], ports: Sequence[int]) -> str:
    """All of them in a line: `12 conversations with port 401: 9 syn-only, 2 established, 1 two-way`.

    States come by their counts. Of more than MOST_PORTS ports only the number is told.
    """
    total = sum(tally.values())
    count = "1 conversation" if total == 1 else f"{thousands(total) if total else 'no'} conversations"
    ordered = sorted((state for state in STATES if tally.get(state)), key=lambda state: -tally[state])
    states = ", ".join(f"{thousands(tally[state])} {state.value}" for state in ordered)
    return f"{count} with {_ports(ports)}{f': {states}' if states else ''}"


def _ports(ports: Sequence[int]) -> str:
    if len(ports) > MOST_PORTS:
        return f"{thousands(len(ports))} ports"
    return f"port{'' if len(ports) == 1 else 's'} {', '.join(map(str, ports))}"


def _end(address: str, port: int) -> str:
    text = escape(address)
    return f"[{text}]:{port}" if ":" in text else f"{text}:{port}"


def _counts(size: int, packets: int) -> str:
    return f"{thousands(size)}/{thousands(packets)}"


def _first_bytes(out: str, back: str) -> str:
    """What the client said first, and the server."""
    most = _MOST_SHOWN // 2 if out and back else _MOST_SHOWN
    said = [f"{sign} {_quoted(text, most)}" for sign, text in ((">", out), ("<", back)) if text]
    return " ".join(said) or ABSENT


def _quoted(text: str, most: int) -> str:
    r"""The beginning of a text in quotes; an escape such as `\x0d` is not cut through."""
    characters = _CHARACTER.findall(text.replace('"', '\\"'))
    shown = "".join(characters)
    if len(shown) <= most:
        return f'"{shown}"'
    while len(shown) > most:
        shown = shown[: -len(characters.pop())]
    return f'"{shown}"…'


def _row(conversation: Conversation) -> tuple[object, ...]:
    return tuple(map(_cell, msgspec.structs.astuple(conversation)))


def _cell(value: object) -> object:
    """A value as a cell that no spreadsheet takes for a formula; what is known of a server, as JSON."""
    if isinstance(value, Service):
        return msgspec.json.encode(value).decode()
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
