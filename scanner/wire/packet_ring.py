"""The wire for Ethernet devices: AF_PACKET rings both ways, Linux only.

Frames go past the queueing discipline (PACKET_QDISC_BYPASS), so a capture running on this
host does not see them leave; what `send` reports is what left, byte for byte.
"""

from __future__ import annotations

from collections.abc import Sequence

from scanner.contracts import Batch, Exit, Launch, Sent
from scanner.model import WireError
from scanner.wire.interface import ARPHRD_ETHER, Interface
from scanner.wire.receive_ring import RingOptions
from scanner.wire.ring_exit import RingExit
from scanner.wire.ring_wire import RingWire


class PacketRing(RingWire):
    """A `scanner.contracts.Wire` over one Ethernet interface.

    Raises UsageError without CAP_NET_RAW, WireError where the interface is gone, down, or
    is no Ethernet device.
    """

    def __init__(
        self,
        interface: str,
        options: RingOptions | None = None,
        longest: int | None = None,
        exits: int = 1,
    ) -> None:
        """Open the rings; `longest` is the most bytes a packet will have, the MTU unless it is said.

        Short slots are kinder to the processor's caches. `exits`: where there are several, a process
        apart sends by each.
        """
        super().__init__(interface, options)
        self._exits: list[RingExit] = []
        try:
            _require_ethernet(self._interface)
            for _ in range(exits):
                self._exits.append(RingExit(self._interface, longest, apart=exits > 1))
        except BaseException:
            self.close()
            raise

    @property
    def exits(self) -> Sequence[Exit]:
        """As many as were asked for."""
        return self._exits

    def stage(self, batch: Batch) -> Launch:
        """As `scanner.contracts.Exit`, by the first exit."""
        return self._exits[0].stage(batch)

    def send(self, batch: Batch) -> Sent:
        """Send the first frames of the batch for which there is room, by the first exit.

        A full ring or a congested device (ENOBUFS) makes it fewer; the rest counts as
        refused. Raises WireError where the interface is down or gone, UsageError for a batch
        without next hops or longer than the MTU.
        """
        return self._exits[0].send(batch)

    def _counted(self) -> tuple[int, int]:
        return sum(each.sent for each in self._exits), sum(each.refused for each in self._exits)

    def close(self) -> None:
        """Give the rings back; twice is fine."""
        for each in self._exits:
            each.close()
        self._receive_ring.close()


def _require_ethernet(interface: Interface) -> None:
    if interface.hardware_type != ARPHRD_ETHER:
        raise WireError(f"{interface.name} is no Ethernet device; use the raw IP wire there")
