"""Staging for wires that do not send while something else is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from scanner.contracts import Arrival, Batch, Launch, Sent


def at_once(send: Callable[[Batch], Sent], batch: Batch) -> Launch:
    """A launch that sends; by the time of its arrival, all is done."""
    return partial(_launch, send, replace(batch, packets=batch.packets.copy()))


def _launch(send: Callable[[Batch], Sent], batch: Batch) -> Arrival:
    sent = send(batch)
    return lambda: sent
