"""What fuzzing asks: whatever a capture holds, reading it ends, and raises no error but this package's own.

An input's first byte says how the rest is taken: as a file, or as frames of a link type in a sound file, so
that more of what is tried gets as far as the packets.
"""

from __future__ import annotations

import io
import struct
import tempfile

import numpy as np

from scanner.core.selection import Selection
from scanner.model import GhostportError
from scanner.reading import read_captures
from scanner.reporters.conversations import ConversationTextReporter
from scanner.reporters.jsonl import JsonlReporter
from scanner.reporters.text import TextReporter

USUAL_PORT, PER_PROBER, TALKS = 0x80, 0x40, 0x20
"""Ask about that port alone; for a verdict for each prober; for conversations in place of verdicts."""

AS_FILE = 0x0F

LINK_TYPES = (1, 101, 113, 276, 0, 9, 51, 239, 104, 117)


def one_input(data: bytes) -> None:
    """Read an input as a user would."""
    if not data:
        return
    with tempfile.NamedTemporaryFile() as file:
        file.write(as_file(data))
        file.flush()
        ports = None if data[0] & USUAL_PORT else np.ones(1 << 16, dtype=np.bool_)
        try:
            reading = read_captures(
                [file.name],
                selection=Selection(ports=ports),
                conversations=bool(data[0] & TALKS),
                per_prober=bool(data[0] & PER_PROBER),
                fault=lambda _: None,
                warn=lambda _: None,
            )
        except GhostportError:
            return
        for reporter in (JsonlReporter, TextReporter):
            out = reporter(io.BytesIO())
            out.write(reading.result)
            out.close()
        table = ConversationTextReporter(io.BytesIO())
        table.write(reading.talks())
        table.close()


def as_file(data: bytes) -> bytes:
    """The file that an input stands for."""
    kind = data[0] & AS_FILE
    if kind >= len(LINK_TYPES):
        return data[1:]
    frames, rest, moment = b"", data[1:], 0
    while rest:
        # The first two bytes of each are its length, and how long after the one before it came.
        length, rest = rest[0], rest[1:]
        frame, rest = rest[:length], rest[length:]
        moment += 1 + (length & 3) * 7_000_000
        frames += struct.pack("<IIII", *divmod(moment, 10**9), len(frame), len(frame)) + frame
    return struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, LINK_TYPES[kind]) + frames
