"""Records of a pcap as frames, whose headers are read when somebody asks for what only they tell.

Where frames lie follows from where records begin. Of most frames of a large capture nobody wants to know
more, so their headers are left alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scanner.capture.late import LateFrames
from scanner.capture.words import columns
from scanner.contracts import Frames, Rows

HEADER_LENGTH = 16
_SECOND = 1_000_000_000


class Records(LateFrames):
    """Frames, each with its record's header in front of it in the buffer."""

    __slots__ = ("order", "unit")

    order: str
    unit: int

    def __init__(
        self,
        buffer: NDArray[np.uint8],
        starts: NDArray[np.int64],
        lengths: NDArray[np.int64],
        link_type: int,
        order: str,
        unit: int,
    ) -> None:
        """`order`: `<` or `>`, of the headers. `unit`: ns of a fraction. The others as in `Frames`."""
        super().__init__(
            buffer=buffer,
            starts=starts,
            lengths=lengths,
            link_type=link_type,
            interface=None,
            order=order,
            unit=unit,
        )

    @property
    def times(self) -> NDArray[np.int64]:
        """As in `Frames`."""
        return self.times_of(slice(None))

    @property
    def original_lengths(self) -> NDArray[np.int64]:
        """As in `Frames`."""
        return np.maximum(self._words(slice(None))[:, 3].astype(np.int64), self.lengths)

    def times_of(self, rows: Rows) -> NDArray[np.int64]:
        """As `Frames.times_of`; a fraction of a second and more is added up as it stands."""
        seconds, fractions = self._words(rows)[:, :2].T.astype(np.int64)
        times: NDArray[np.int64] = seconds * _SECOND + fractions * self.unit
        return times

    def only(self, rows: Rows) -> Frames:
        """As `Frames.only`."""
        return Records(
            self.buffer, self.starts[rows], self.lengths[rows], self.link_type, self.order, self.unit
        )

    def _words(self, rows: Rows) -> NDArray[np.uint32]:
        """The headers of some, `(N, 4)`: seconds, fraction, length, original length."""
        return columns(self.buffer, self.starts[rows] - HEADER_LENGTH, 4, self.order)
