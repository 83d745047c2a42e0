"""The road to simulated hosts: it loses packets, and delays, doubles and reorders them.

Everything random comes from a seed, and each kind of chance has a generator of its own, so the
same packets meet the same luck however they were cut into batches.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanner.wire.clock import NANOSECONDS
from scanner.wire.memory_wire import Arrival


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the road does to packets.

    probe_loss, reply_loss: the chance that a packet is lost on its way out, or back.
    duplication: the chance that a reply arrives twice. delay: the round trip in seconds.
    jitter: up to so many seconds more, evenly spread. reordering: the chance that a reply
    takes a detour of one to three further round trips (delay + jitter), so that later ones
    overtake it.
    """

    probe_loss: float = 0.0
    reply_loss: float = 0.0
    duplication: float = 0.0
    delay: float = 0.001
    jitter: float = 0.0
    reordering: float = 0.0


class Road:
    """Out and back, under some conditions."""

    def __init__(self, seed: int, conditions: Conditions) -> None:
        """Nothing is on its way yet."""
        self._conditions = conditions
        streams = np.random.SeedSequence(seed).spawn(5)
        self._out, self._back, self._twice, self._jitter, self._detour = map(np.random.default_rng, streams)

    def lost(self, count: int) -> NDArray[np.bool_]:
        """Which of the next so many packets are lost on their way out."""
        lost: NDArray[np.bool_] = self._out.random(count) < self._conditions.probe_loss
        return lost

    def arrivals(self, ethertype: int, mac: bytes, packet: bytes, moment: int) -> Iterator[Arrival]:
        """What arrives, and when, of a reply to a packet that left at `moment` (ns since the epoch)."""
        road = self._conditions
        copies = 2 if self._twice.random() < road.duplication else 1
        for _ in range(copies):
            wait = road.delay + road.jitter * self._jitter.random()
            if self._detour.random() < road.reordering:
                wait += (1 + 2 * self._detour.random()) * (road.delay + road.jitter)
            if self._back.random() >= road.reply_loss:
                yield Arrival(moment + round(wait * NANOSECONDS), ethertype, mac, packet)
