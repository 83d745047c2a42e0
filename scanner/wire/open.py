"""Which wire serves which hop.

Ethernet devices get packet rings. Loopback, where injected frames are dropped as martians,
and devices without Ethernet get a raw IP socket.
"""

from __future__ import annotations

from scanner.contracts import Hop, Wire
from scanner.wire.packet_ring import PacketRing
from scanner.wire.raw_ip import RawIP
from scanner.wire.receive_ring import RingOptions


def open_wire(hop: Hop, options: RingOptions | None = None, longest: int | None = None) -> Wire:
    """The wire to the targets behind `hop`, for packets of up to `longest` bytes.

    Raises UsageError, saying how to mend it, without CAP_NET_RAW; WireError where the
    interface is gone or down.
    """
    if hop.mac is not None:
        return PacketRing(hop.interface, options, longest)
    return RawIP(hop.interface, options)
