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
from scanner.wire.transmit_ring import SHORT_SLOT, TransmitRing, slot_size_for


class PacketRing:
    """A `scanner.contracts.Wire` over one Ethernet interface.

    Raises UsageError without CAP_NET_RAW, WireError where the interface is gone, down, or
    is no Ethernet device.
    """

    def __init__(self, interface: str, options: RingOptions | None = None) -> None:
        """Open the receive ring, and two transmit rings: for probes, and for frames up to the MTU.

        All are opened now, not when first needed: the network namespace a socket belongs to
        is that of the thread which opens it.
        """
        self._receive_ring = ReceiveRing(interface, options=options)
        self._interface = self._receive_ring.interface
        self._transmit_rings: list[TransmitRing] = []
        self._closed = False
        self._sent = 0
        self._refused = 0
        try:
            _require_ethernet(self._interface)
            self._framer = Framer(interface, self._interface.mac, self._interface.mtu)
            for slot_size in (SHORT_SLOT, slot_size_for(HEADER_LENGTH + self._interface.mtu)):
                self._transmit_rings.append(TransmitRing(interface, slot_size))
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
        self._require_open()
        if batch.next_hops is None:
            raise UsageError(f"packets on {self._interface.name} need next hops (hardware addresses)")
        frames = self._framer.frame(batch, batch.next_hops)
        times = self._ring_for(frames.shape[1]).send(frames)
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
        self._closed = True
        # Closing a packet socket waits for every processor to have let go of it (synchronize_net), some
        # 30 ms each: three at once take no longer than one.
        closes = [self._receive_ring.close, *(ring.close for ring in self._transmit_rings)]
        closing = [Thread(target=close) for close in closes]
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join()
        self._transmit_rings.clear()

    def _require_open(self) -> None:
        if self._closed:
            raise WireError(f"the wire on {self._interface.name} is closed")

    def _ring_for(self, frame_length: int) -> TransmitRing:
        short, long = self._transmit_rings
        return short if slot_size_for(frame_length) == SHORT_SLOT else long


def _require_ethernet(interface: Interface) -> None:
    if interface.hardware_type != ARPHRD_ETHER:
        raise WireError(f"{interface.name} is no Ethernet device; use the raw IP wire there")
