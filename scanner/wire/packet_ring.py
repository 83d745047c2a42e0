"""The wire for Ethernet devices: AF_PACKET rings both ways, Linux only.

Frames go past the queueing discipline (PACKET_QDISC_BYPASS), so a capture running on this
host does not see them leave; what `send` reports is what left, byte for byte.
"""

from __future__ import annotations

from threading import Thread

from scanner.contracts import Batch, Frames, Sent, WireStatistics
from scanner.model import UsageError, WireError
from scanner.wire.ethernet import HEADER_LENGTH, Framer
from scanner.wire.interface import ARPHRD_ETHER, Interface
from scanner.wire.receive_ring import ReceiveRing, RingOptions
from scanner.wire.transmit_ring import TransmitRing, slot_size_for


class PacketRing:
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
        self._receive_ring = ReceiveRing(interface, options=options)
        self._interface = self._receive_ring.interface
        self._transmit_ring: TransmitRing | None = None
        self._sent = 0
        self._refused = 0
        try:
            _require_ethernet(self._interface)
            mtu = self._interface.mtu
            self._framer = Framer(interface, self._interface.mac, mtu)
            self._longest = HEADER_LENGTH + min(mtu if longest is None else longest, mtu)
            self._transmit_ring = TransmitRing(interface, slot_size_for(self._longest))
        except BaseException:
            self.close()
            raise

    @property
    def link_type(self) -> int:
        """LINKTYPE_ETHERNET."""
        return self._receive_ring.link_type

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

    def receive(self, timeout: float) -> Frames:
        """See `ReceiveRing.receive`."""
        return self._receive_ring.receive(timeout)

    def statistics(self) -> WireStatistics:
        """Counters so far."""
        received, dropped = self._receive_ring.counts()
        return WireStatistics(
            sent=self._sent, send_refused=self._refused, received=received, receive_dropped=dropped
        )

    def fileno(self) -> int:
        """See `ReceiveRing.fileno`."""
        return self._receive_ring.fileno()

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
