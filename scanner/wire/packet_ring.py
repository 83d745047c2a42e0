"""The wire for Ethernet devices: AF_PACKET rings both ways, Linux only.

Frames go past the queueing discipline (PACKET_QDISC_BYPASS), so a capture running on this
host does not see them leave; what `send` reports is what left, byte for byte.
"""

from __future__ import annotations

from threading import Thread

from scanner.contracts import Batch, Sent
from scanner.model import UsageError, WireError
from scanner.wire.framer import Framer
from scanner.wire.interface import ARPHRD_ETHER, Interface
from scanner.wire.receive_ring import RingOptions
from scanner.wire.ring_wire import RingWire
from scanner.wire.transmit_ring import TransmitRing, slot_size_for


class PacketRing(RingWire):
    """A `scanner.contracts.Wire` over one Ethernet interface.

    Raises UsageError without CAP_NET_RAW, WireError where the interface is gone, down, or
    is no Ethernet device.
    """

    def __init__(
        self, interface: str, options: RingOptions | None = None, longest: int | None = None
    ) -> None:
        """Open the rings; `longest` is the most bytes a packet will have, the MTU unless it is said.

        Short slots are kinder to the processor's caches.
        """
        super().__init__(interface, options)
        self._transmit_ring: TransmitRing | None = None
        try:
            _require_ethernet(self._interface)
            mtu = self._interface.mtu
            self._framer = Framer(interface, self._interface.mac, mtu)
            self._longest = self._framer.header_length + min(mtu if longest is None else longest, mtu)
            self._transmit_ring = TransmitRing(interface, slot_size_for(self._longest))
        except BaseException:
            self.close()
            raise

    def send(self, batch: Batch) -> Sent:
        """Send the first frames of the batch for which there is room.

        A full ring or a congested device (ENOBUFS) makes it fewer; the rest counts as
        refused. Raises WireError where the interface is down or gone, UsageError for a batch
        without next hops or longer than the MTU.
        """
        if self._transmit_ring is None:
            raise WireError(f"the wire on {self._interface.name} is closed")
        if batch.next_hops is None:
            raise UsageError(f"packets on {self._interface.name} need next hops (hardware addresses)")
        frames = self._framer.frame(batch, batch.next_hops)
        if frames.shape[1] > self._longest:
            raise UsageError(
                f"frames of {frames.shape[1]} bytes; the ring was made for up to {self._longest}"
            )
        times = self._transmit_ring.send(frames)
        self._sent += len(times)
        self._refused += len(frames) - len(times)
        return Sent(frames=frames[: len(times)], times=times)

    def close(self) -> None:
        """Give the rings back; twice is fine."""
        transmit_ring, self._transmit_ring = self._transmit_ring, None
        if transmit_ring is None:
            self._receive_ring.close()
            return
        # Closing a packet socket waits until every processor has let go of it (synchronize_net), some 30 ms:
        # two at once take no longer than one.
        closing = Thread(target=transmit_ring.close)
        closing.start()
        self._receive_ring.close()
        closing.join()


def _require_ethernet(interface: Interface) -> None:
    if interface.hardware_type != ARPHRD_ETHER:
        raise WireError(f"{interface.name} is no Ethernet device; use the raw IP wire there")
