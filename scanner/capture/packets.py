"""Packets of a pcapng file as frames, whose times are worked out when somebody asks for them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scanner.capture.interfaces import Clock
from scanner.capture.late import LateFrames
from scanner.contracts import Frames, Rows


class Packets(LateFrames):
    """Frames of some of the packets that a clock has."""

    __slots__ = ("_clock", "_original", "_rows")

    _clock: Clock
    _original: NDArray[np.int64]
    _rows: NDArray[np.int64]

    def __init__(
        self,
        buffer: NDArray[np.uint8],
        starts: NDArray[np.int64],
        lengths: NDArray[np.int64],
        original: NDArray[np.int64],
        clock: Clock,
        rows: NDArray[np.int64],
        link_type: int,
        interface: str | None,
    ) -> None:
        """`original`: bytes on the wire, as the file has it. `rows`: which of the clock's. Rest: `Frames`."""
        super().__init__(
            buffer=buffer,
            starts=starts,
            lengths=lengths,
            link_type=link_type,
            interface=interface,
            _original=original,
            _clock=clock,
            _rows=rows,
        )

    @property
    def times(self) -> NDArray[np.int64]:
        """As in `Frames`."""
        return self._clock.times(self._rows)

    @property
    def original_lengths(self) -> NDArray[np.int64]:
        """As in `Frames`."""
        return np.maximum(self._original, self.lengths)

    def times_of(self, rows: Rows) -> NDArray[np.int64]:
        """As `Frames.times_of`."""
        return self._clock.times(self._rows[rows])

    def only(self, rows: Rows) -> Frames:
        """As `Frames.only`."""
        return Packets(
            self.buffer,
            self.starts[rows],
            self.lengths[rows],
            self._original[rows],
            self._clock,
            self._rows[rows],
            self.link_type,
            self.interface,
        )
