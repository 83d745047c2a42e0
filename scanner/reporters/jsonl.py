"""JSON Lines: one record a line, keys in the order of `Verdict`'s fields, absent facts null."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import IO

import msgspec

from scanner.contracts import Format
from scanner.core.outcomes import Outcomes
from scanner.core.records import Names
from scanner.core.texts import Piece, lines
from scanner.model import Verdict
from scanner.reporters import encodable_service, pieces, write_all
from scanner.reporters.columns import Cells, Cutter


class JsonlReporter:
    """Writes records as JSON Lines (https://jsonlines.org), UTF-8."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._encoder = msgspec.json.Encoder()

    def write(self, verdicts: Iterable[Verdict]) -> None:
        """Append records. Raises OSError as the stream does."""
        for piece in pieces(verdicts):
            try:
                text = self._encoder.encode_lines(piece)
            except UnicodeEncodeError:
                text = self._encoder.encode_lines([_encodable(verdict) for verdict in piece])
            write_all(self._stream, text)

    def write_outcomes(self, outcomes: Iterable[Outcomes], names: Names) -> None:
        """As `contracts.ColumnReporter`. Raises OSError as the stream does."""
        cutter = Cutter(self._encoder.encode)
        for piece in outcomes:
            for count, fields in cutter.cut(piece, names):
                write_all(self._stream, lines(_line(fields), count))

    def close(self) -> None:
        """Flush; the format has no end."""
        self._stream.flush()


JSONL = Format(
    name="jsonl",
    summary="a record a line as JSON, absent facts null",
    reporter=JsonlReporter,
    suffix=".jsonl",
)


def ghostport_reporters() -> tuple[Format, ...]:
    """As `scanner.plugins.hooks` asks."""
    return (JSONL,)


def _line(fields: dict[str, Cells]) -> Iterator[Piece]:
    """The pieces of the lines of some records."""
    mark = b"{"
    for name, cells in fields.items():
        key = b'%s"%s":' % (mark, name.encode())
        mark = b","
        if name == "prober":
            # Records that are not one prober's have no such key.
            yield from cells.between(key + b'"', b'"', b"")
        else:
            quote = b'"' if cells.text else b""
            yield from cells.between(key + quote, quote, key + b"null")
    yield b"}\n"


def _encodable(verdict: Verdict) -> Verdict:
    """The same record; what a service said of itself in text that UTF-8 can hold."""
    if verdict.service is None:
        return verdict
    return msgspec.structs.replace(verdict, service=encodable_service(verdict.service))
