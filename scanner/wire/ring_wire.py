"""What wires have in common whose way in is a receive ring: all but the way out."""

from __future__ import annotations

from scanner.contracts import Frames
from scanner.wire.receive_ring import ReceiveRing, RingOptions


class RingWire:
    """The receiving half of a `scanner.contracts.Wire`.

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

    def fileno(self) -> int:
        """See `ReceiveRing.fileno`."""
        return self._receive_ring.fileno()
