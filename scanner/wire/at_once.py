"""What wires have in common that do not send while something else is done."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from scanner.contracts import Arrival, Batch, Exit, Launch, Sent


class SendsAtOnce:
    """The one exit of a `scanner.contracts.Wire`: what is launched has left by the time of its arrival."""

    @abstractmethod
    def send(self, batch: Batch) -> Sent:
        """As `scanner.contracts.Exit`."""

    @property
    def exits(self) -> Sequence[Exit]:
        """Itself."""
        return (self,)

    def stage(self, batch: Batch) -> Launch:
        """As `scanner.contracts.Exit`."""
        return partial(self._launch, replace(batch, packets=batch.packets.copy()))

    def _launch(self, batch: Batch) -> Arrival:
        sent = self.send(batch)
        return lambda: sent
