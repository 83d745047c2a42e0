"""The progress bar of a sweep: on standard error, and only when that is a terminal."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import TaskID

    from scanner.sweeping import Progress

_REFRESH = 0.1
_STEPS = 1000


class ProgressBar:
    """Shows how far a sweep has come; does nothing where nobody looks."""

    def __init__(self, *, wanted: bool) -> None:
        """`wanted`: as far as the user is concerned."""
        self._drawn = wanted and sys.stderr.isatty()
        self._last = 0.0

    def __enter__(self) -> ProgressBar:
        if self._drawn:
            # rich takes a twentieth of a second to import: only when it draws.
            from rich.console import Console  # noqa: PLC0415
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f} %"),
                TextColumn("{task.fields[counts]}"),
                TimeElapsedColumn(),
                console=Console(stderr=True),
                auto_refresh=False,
            )
            self._bar.start()
            self._task: TaskID = self._bar.add_task("sweeping", total=_STEPS, counts="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._drawn:
            self._bar.stop()
            self._drawn = False

    def show(self, progress: Progress) -> None:
        """Draw, unless that was done a moment ago."""
        if not self._drawn:
            return
        now = time.monotonic()
        if progress.fraction < 1 and now - self._last < _REFRESH:
            return
        self._last = now
        answered = f"{progress.answered} of {progress.targets} answered"
        counts = f"{progress.open} open · {answered} · {progress.probes} probes"
        self._bar.update(self._task, completed=progress.fraction * _STEPS, counts=counts, refresh=True)
