"""JSON Lines: one record a line, keys in the order of `Verdict`'s fields, absent facts null."""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO

import msgspec

from scanner.contracts import Format
from scanner.model import Verdict
from scanner.reporters import encodable_service, pieces, write_all


class JsonlReporter:
    """Writes records as JSON Lines (https://jsonlines.org), UTF-8."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._encoder = msgspec.json.Encoder()

    def write(self, verdicts: Iterable[Verdict]) -> None:
        """Append records. Raises OSError as the stream does."""
        for piece in pieces(verdicts):
            try:
                lines = self._encoder.encode_lines(piece)
            except UnicodeEncodeError:
                lines = self._encoder.encode_lines([_encodable(verdict) for verdict in piece])
            write_all(self._stream, lines)

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


def _encodable(verdict: Verdict) -> Verdict:
    """The same record; what a service said of itself in text that UTF-8 can hold."""
    if verdict.service is None:
        return verdict
    return msgspec.structs.replace(verdict, service=encodable_service(verdict.service))
