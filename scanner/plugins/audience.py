"""Who is told how a sweep goes: the plugins that have functions for it, if there are any."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from scanner.model import Verdict

if TYPE_CHECKING:
    from scanner.plugins.registry import Plugins


class Audience:
    """Tells of one sweep; costs nothing where nobody listens."""

    def __init__(self, plugins: Plugins | None) -> None:
        """None: nobody."""
        self._plugins = plugins
        self._told = 0
        self._begun = False
        self._counts = plugins is not None and plugins.listens("ghostport_batch_sent")
        self.wants_verdicts = plugins is not None and plugins.listens("ghostport_verdict_final")

    def started(self, targets: int, ports: tuple[int, ...], protocols: tuple[str, ...]) -> None:
        """It begins."""
        if self._plugins is not None:
            self._begun = True
            self._plugins.tell("ghostport_sweep_started", targets=targets, ports=ports, protocols=protocols)

    def sent(self, probes: int) -> None:
        """So many have left in all."""
        if self._counts and self._plugins is not None and probes > self._told:
            self._plugins.tell_sent(probes - self._told)
            self._told = probes

    def final(self, verdicts: Sequence[Verdict]) -> None:
        """These will not change."""
        if self.wants_verdicts and self._plugins is not None:
            self._plugins.tell_verdicts(verdicts)

    def ended(self, *, complete: bool, probes: int, seconds: float) -> None:
        """It is over; waits a while for those who have not heard everything."""
        if self._begun and self._plugins is not None:
            self._begun = False
            self._plugins.tell_sent(0, last=True)
            self._plugins.tell("ghostport_sweep_ended", complete=complete, probes=probes, seconds=seconds)
            self._plugins.settle()
