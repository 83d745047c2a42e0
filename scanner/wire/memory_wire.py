"""The wire without a cable: packets go to something in memory, in virtual time.

It keeps the contract of the real wires, strictly: what a `receive` or `send` gave is
overwritten by the next one, so code that holds on to it fails here and not in the field.
With nothing behind it, it swallows all at full speed, which measures what everything else
costs.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from scanner.contracts import Batch, Frames, Sent, WireStatistics
from scanner.model import WireError
from scanner.wire.at_once import SendsAtOnce
from scanner.wire.clock import NANOSECONDS, SimulatedClock
from scanner.wire.framer import Framer
from scanner.wire.interface import LINKTYPE_ETHERNET
from scanner.wire.tpacket_v3 import no_frames

OWN_MAC = b"\x02\x00\x00\x00\x00\x00"
"""The hardware address that a memory wire sends from, and replies come to."""

_SHORTEST_FRAME = 60  # Ethernet pads to this (IEEE 802.3, 3.2.8: 64 with the check sequence)
_SPOILT = 0xDB


@dataclass(frozen=True, slots=True)
class Arrival:
    """A packet on its way in: when it arrives (ns since the epoch), what, and from which MAC."""

    moment: int
    ethertype: int
    mac: bytes
    packet: bytes


class Carrier(Protocol):
    """What a memory wire leads to."""

    def carry(self, packets: NDArray[np.uint8], ethertype: int, moment: int) -> Sequence[Arrival]:
        """What comes back of `(N, L)` packets that leave at `moment` (ns since the epoch)."""


class MemoryWire(SendsAtOnce):
    """A `scanner.contracts.Wire` to a carrier, or, without one, into a sink.

    clock: virtual time; `receive` moves it on to the next arrival, or by its time-out.
    room: how many packets a `send` takes at most; None for all. mtu: longest packet in bytes.
    """

    def __init__(
        self,
        clock: SimulatedClock,
        carrier: Carrier | None = None,
        room: int | None = None,
        mtu: int = 1500,
    ) -> None:
        """Open the wire; nothing is on its way yet."""
        self._clock = clock
        self._carrier = carrier
        self._room = room
        self._framer = Framer("memory", OWN_MAC, mtu)
        self._no_hops = np.zeros(6, dtype=np.uint8)
        self._arrivals: list[tuple[int, int, Arrival]] = []
        self._count = 0
        self._given = np.empty(0, dtype=np.uint8)
        self._failure: str | None = None
        self._closed = False
        self._sent = 0
        self._refused = 0
        self._received = 0

    @property
    def link_type(self) -> int:
        """LINKTYPE_ETHERNET."""
        return LINKTYPE_ETHERNET

    def send(self, batch: Batch) -> Sent:
        """Send the batch, or its first `room` packets; the rest counts as refused.

        Raises UsageError where the batch is none or longer than the MTU.
        """
        self._require_working()
        hops = self._no_hops if batch.next_hops is None else batch.next_hops
        taken = len(batch) if self._room is None else min(self._room, len(batch))
        frames = self._framer.frame(batch, hops)[:taken]
        now = self._clock.wall()
        if self._carrier is not None:
            for arrival in self._carrier.carry(batch.packets[:taken], batch.ethertype, now):
                # The count keeps arrivals of one moment in the order in which they were sent.
                heapq.heappush(self._arrivals, (arrival.moment, self._count, arrival))
                self._count += 1
        self._sent += taken
        self._refused += len(batch) - taken
        return Sent(frames=frames, times=np.full(taken, now, dtype=np.int64))

    def receive(self, timeout: float) -> Frames:
        """All frames that have arrived; where there are none, move the clock on to the next.

        It is moved on by `timeout` seconds at most.
        """
        self._require_working()
        self._given[:] = _SPOILT
        now = self._clock.wall()
        deadline = now + math.ceil(max(0.0, timeout) * NANOSECONDS)
        upcoming = self._arrivals[0][0] if self._arrivals else deadline
        if upcoming > now:
            self._clock.advance_to(min(upcoming, deadline))
            now = self._clock.wall()
        arrived: list[Arrival] = []
        while self._arrivals and self._arrivals[0][0] <= now:
            arrived.append(heapq.heappop(self._arrivals)[2])
        self._received += len(arrived)
        return self._frames(arrived) if arrived else no_frames(self.link_type)

    def statistics(self) -> WireStatistics:
        """Counters so far; nothing is ever dropped on the way in."""
        self._require_open()
        return WireStatistics(sent=self._sent, send_refused=self._refused, received=self._received)

    def fileno(self) -> int:
        """-1: there is nothing to select on."""
        self._require_open()
        return -1

    def close(self) -> None:
        """Drop what is on its way; twice is fine."""
        self._closed = True
        self._arrivals.clear()

    def fail(self, message: str) -> None:
        """From now on `send` and `receive` raise WireError with this message, as a real wire may."""
        self._failure = message

    def _require_open(self) -> None:
        if self._closed:
            raise WireError("the wire in memory is closed")

    def _require_working(self) -> None:
        self._require_open()
        if self._failure is not None:
            raise WireError(self._failure)

    def _frames(self, arrived: list[Arrival]) -> Frames:
        frames = [
            (OWN_MAC + arrival.mac + arrival.ethertype.to_bytes(2, "big") + arrival.packet).ljust(
                _SHORTEST_FRAME, b"\0"
            )
            for arrival in arrived
        ]
        lengths = np.array([len(frame) for frame in frames], dtype=np.int64)
        self._given = np.frombuffer(bytearray(b"".join(frames)), dtype=np.uint8)
        return Frames(
            buffer=self._given,
            starts=np.cumsum(lengths) - lengths,
            lengths=lengths,
            original_lengths=lengths.copy(),
            times=np.array([arrival.moment for arrival in arrived], dtype=np.int64),
            link_type=self.link_type,
        )
