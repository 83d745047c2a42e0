"""Comma-separated values (RFC 4180): a header, then a record a line, absent facts empty.

What a service says of itself, and replies that were superseded, are JSON in one cell. A cell that a
spreadsheet would compute is defused with an apostrophe
(https://owasp.org/www-community/attacks/CSV_Injection).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import IO

import msgspec

from scanner.contracts import Format
from scanner.core.outcomes import Outcomes
from scanner.core.records import Names
from scanner.core.texts import Piece, lines
from scanner.model import ProberVerdict, Service, Superseded, Verdict
from scanner.reporters import encodable_service, pieces, write_all
from scanner.reporters.columns import Cells, Cutter

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class CsvReporter:
    """Writes records as comma-separated values, UTF-8; the header even where there are none."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._headed = False

    def write(self, verdicts: Iterable[Verdict]) -> None:
        """Append records. Raises OSError as the stream does."""
        self._write_header()
        for piece in pieces(verdicts):
            self._write_rows(map(_row, piece))

    def write_outcomes(self, outcomes: Iterable[Outcomes], names: Names) -> None:
        """As `contracts.ColumnReporter`. Raises OSError as the stream does."""
        self._write_header()
        # None of these cells can be a formula, and quotes are in the JSON alone.
        cutter = Cutter(_quoted)
        for piece in outcomes:
            for count, fields in cutter.cut(piece, names):
                write_all(self._stream, lines(_line(fields), count))

    def close(self) -> None:
        """Flush."""
        self._write_header()
        self._stream.flush()

    def _write_header(self) -> None:
        if not self._headed:
            self._headed = True
            self._write_rows([ProberVerdict.__struct_fields__])

    def _write_rows(self, rows: Iterable[Iterable[object]]) -> None:
        text = io.StringIO(newline="")
        csv.writer(text).writerows(rows)
        write_all(self._stream, text.getvalue().encode())


CSV = Format(name="csv", summary="comma-separated values with a header", reporter=CsvReporter, suffix=".csv")


def ghostport_reporters() -> tuple[Format, ...]:
    """As `scanner.plugins.hooks` asks."""
    return (CSV,)


def _line(fields: dict[str, Cells]) -> Iterator[Piece]:
    """The pieces of the lines of some records."""
    mark = b""
    for cells in fields.values():
        yield from cells.between(mark, b"", mark)
        mark = b","
    yield b"\r\n"


def _quoted(steps: tuple[Superseded, ...]) -> bytes:
    """JSON in a cell (RFC 4180, 2)."""
    return b'"' + msgspec.json.encode(steps).replace(b'"', b'""') + b'"' if steps else b"[]"


def _row(verdict: Verdict) -> tuple[object, ...]:
    return (
        _cell(verdict.ip),
        verdict.proto,
        verdict.port,
        verdict.state,
        verdict.reason,
        verdict.ttl,
        verdict.rtt_ms,
        _cell(verdict.responder),
        verdict.tries,
        _cell(verdict.time),
        None if verdict.service is None else _json(verdict.service),
        verdict.note,
        verdict.hint,
        None if verdict.superseded is None else msgspec.json.encode(verdict.superseded).decode(),
        verdict.mac,
        verdict.oui,
        _cell(verdict.prober) if isinstance(verdict, ProberVerdict) else None,
    )


def _cell(text: str | None) -> str | None:
    """A text as a cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text and text.startswith(_FORMULA) else text


def _json(service: Service) -> str:
    """Begins with a brace, so that it is no formula."""
    return msgspec.json.encode(encodable_service(service)).decode()
