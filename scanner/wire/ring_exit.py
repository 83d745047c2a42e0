"""One exit of the wire for Ethernet devices: link headers, and a transmit ring of its own."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from scanner.contracts import Arrival, Batch, Launch, Sent
from scanner.model import UsageError, WireError
from scanner.wire.framer import Framer
from scanner.wire.interface import Interface
from scanner.wire.transmit_ring import TransmitRing, slot_size_for


class RingExit:
    """A `scanner.contracts.Exit` of one Ethernet interface; for one thread at a time.

    sent, refused: packets, so far. Raises as `TransmitRing`.
    """

    def __init__(self, interface: Interface, longest: int | None, *, apart: bool) -> None:
        """`longest`: most bytes a packet will have, the MTU unless it is said. `apart`: as `TransmitRing`."""
        self._name = interface.name
        # By turns, as the next batch is framed while one is on its way.
        self._framer, self._next_framer = (
            Framer(interface.name, interface.mac, interface.mtu) for _ in range(2)
        )
        self._longest = self._framer.header_length + min(
            interface.mtu if longest is None else longest, interface.mtu
        )
        self._ring: TransmitRing | None = TransmitRing(
            interface.name, slot_size_for(self._longest), apart=apart
        )
        self._staged: NDArray[np.uint8] | None = None
        self.sent = 0
        self.refused = 0

    def send(self, batch: Batch) -> Sent:
        """As `PacketRing.send`."""
        return self.stage(batch)()()

    def stage(self, batch: Batch) -> Launch:
        """As `scanner.contracts.Exit`."""
        ring = self._open_ring()
        if batch.next_hops is None:
            raise UsageError(f"packets on {self._name} need next hops (hardware addresses)")
        frames = self._framer.frame(batch, batch.next_hops)
        if frames.shape[1] > self._longest:
            raise UsageError(
                f"frames of {frames.shape[1]} bytes; the ring was made for up to {self._longest}"
            )
        ring.load(frames)
        self._staged = frames
        return partial(self._launch, frames)

    def _launch(self, frames: NDArray[np.uint8]) -> Arrival:
        ring = self._open_ring()
        if frames is not self._staged:
            msg = "another batch was staged after this one"
            raise RuntimeError(msg)
        self._staged = None
        ring.begin()
        self._framer, self._next_framer = self._next_framer, self._framer
        return partial(self._arrived, frames)

    def _arrived(self, frames: NDArray[np.uint8]) -> Sent:
        times = self._open_ring().end()
        self.sent += len(times)
        self.refused += len(frames) - len(times)
        return Sent(frames=frames[: len(times)], times=times)

    def _open_ring(self) -> TransmitRing:
        if self._ring is None:
            raise WireError(f"the wire on {self._name} is closed")
        return self._ring

    def close(self) -> None:
        """Give the ring back; twice is fine."""
        ring, self._ring = self._ring, None
        if ring is not None:
            ring.close()
