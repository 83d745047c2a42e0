"""What wires have in common whose way in is a receive ring: all but the way out."""

from __future__ import annotations

from abc import abstractmethod

from scanner.contracts import Frames, WireStatistics
from scanner.wire.receive_ring import ReceiveRing, RingOptions


class RingWire:
    """The receiving half of a `scanner.contracts.Wire`, and its counters.

    Raises UsageError without CAP_NET_RAW, WireError where the interface is gone or down.
    """

    def __init__(self, interface: str, options: RingOptions | None = None) -> None:
        """Open the receive ring."""
        self._receive_ring = ReceiveRing(interface, options=options)
        self._interface = self._receive_ring.interface

    @property
    def link_type(self) -> int:
        """LINKTYPE_ value of the frames; see `Interface.link_type`."""
        return self._receive_ring.link_type

    def receive(self, timeout: float) -> Frames:
        """See `ReceiveRing.receive`."""
        return self._receive_ring.receive(timeout)

    def statistics(self) -> WireStatistics:
        """Counters so far."""
        sent, refused = self._counted()
        received, dropped = self._receive_ring.counts()
        return WireStatistics(sent=sent, send_refused=refused, received=received, receive_dropped=dropped)

    @abstractmethod
    def _counted(self) -> tuple[int, int]:
        """Packets that left, and those that the kernel refused."""

    def fileno(self) -> int:
        """See `ReceiveRing.fileno`."""
        return self._receive_ring.fileno()
