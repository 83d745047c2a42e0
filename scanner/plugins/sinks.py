"""Evidence sinks at work: what a sweep records, handed to plugins as well, in arrays of their own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from scanner.contracts import EvidenceSink, Frames, Sent, Sink, Wire
from scanner.model import UsageError
from scanner.plugins.isolation import PluginHangs
from scanner.plugins.registry import Plugin, Plugins


class Sinks:
    """The sinks of one sweep.

    failed: names of those that did not take everything.
    """

    def __init__(self, plugins: Plugins, wanted: Iterable[str]) -> None:
        """Open them. Raises UsageError: there is no such sink, or its words say nothing to it.

        wanted: `NAME` or `NAME:WHERE` each.
        """
        self._plugins = plugins
        self._open: list[tuple[EvidenceSink, Plugin, Sink]] = []
        for word in wanted:
            name, _, where = word.partition(":")
            declared = plugins.get(EvidenceSink, name, "--evidence-sink")
            owner = plugins.owner(declared)
            opened = plugins.ask(owner, f"--evidence-sink {name}:", partial(declared.open, where))
            if not callable(getattr(opened, "write", None)) or not callable(getattr(opened, "close", None)):
                raise UsageError(
                    f"--evidence-sink {name}: the plugin opened nothing that could be written to"
                )
            self._open.append((declared, owner, opened))

    @property
    def failed(self) -> list[str]:
        """Names of those that did not take everything."""
        return [declared.name for declared, owner, _ in self._open if owner.disabled]

    def write(
        self, wire: Wire, sent: Sequence[Sent], frames: Frames | None, replies: NDArray[np.int64]
    ) -> None:
        """As `scanner.engine.Recorder`; comes back before they have taken it."""
        batches = [(_frames_of(each, wire.link_type), True) for each in sent if len(each.times)]
        if frames is not None and len(replies):
            batches.append((_gathered(frames, replies), False))
        for _, owner, sink in self._open:
            for batch, left in batches:
                self._plugins.post(owner, "evidence sink", partial(sink.write, batch, sent=left))

    def close(self) -> None:
        """Close them, and wait a while for those that have not taken everything."""
        for _, owner, sink in self._open:
            self._plugins.post(owner, "evidence sink", sink.close)
            try:
                if owner.worker is not None and not owner.disabled:
                    owner.worker.settle(self._plugins.limit)
            except PluginHangs as error:
                self._plugins.disable(owner, "evidence sink", error)


def _frames_of(sent: Sent, link_type: int) -> Frames:
    count = len(sent.times)
    length = sent.frames.shape[1]
    lengths = np.full(count, length, dtype=np.int64)
    return Frames(
        buffer=sent.frames[:count].copy().reshape(-1),
        starts=np.arange(count, dtype=np.int64) * length,
        lengths=lengths,
        original_lengths=lengths,
        times=sent.times.copy(),
        link_type=link_type,
    )


def _gathered(frames: Frames, rows: NDArray[np.int64]) -> Frames:
    lengths = frames.lengths[rows]
    starts = np.cumsum(lengths) - lengths
    at = np.arange(int(lengths.sum()), dtype=np.int64) + np.repeat(frames.starts[rows] - starts, lengths)
    return Frames(
        buffer=frames.buffer[at],
        starts=starts,
        lengths=lengths,
        original_lengths=frames.original_lengths[rows],
        times=frames.times[rows],
        link_type=frames.link_type,
    )
