"""Which wire serves which hop.

Of their own accord, Ethernet devices get packet rings. Loopback, where injected frames are dropped as
martians, devices without Ethernet, and Ethernet where the kernel is to find the neighbours, get raw IP
sockets. Systems without packet sockets get those of Scapy.
"""

from __future__ import annotations

import socket

from scanner.contracts import Hop, Wire
from scanner.model import UsageError, WireKind
from scanner.wire.packet_ring import PacketRing
from scanner.wire.raw_ip import RawIP
from scanner.wire.receive_ring import RingOptions
from scanner.wire.scapy_socket import ScapySocket


def open_wire(
    hop: Hop, options: RingOptions | None = None, longest: int | None = None, exits: int = 1
) -> Wire:
    """The wire to the targets behind `hop`, for packets of up to `longest` bytes.

    `exits`: how many threads would like to send at once; not every wire lets them.

    Raises UsageError, saying how to mend it, without the privilege, or where the hop asks for a wire
    that this system or this device does not have; WireError where the interface is gone or down.
    """
    match _kind(hop):
        case WireKind.RING:
            return PacketRing(hop.interface, options, longest, exits)
        case WireKind.RAW:
            return RawIP(hop.interface, options)
        case _:
            return ScapySocket(hop.interface, hop.mac, hop.mtu)


def _kind(hop: Hop) -> WireKind:
    has_packet_sockets = hasattr(socket, "AF_PACKET")
    if hop.wire is WireKind.AUTO:
        if not has_packet_sockets:
            return WireKind.SCAPY
        return WireKind.RAW if hop.mac is None else WireKind.RING
    if hop.wire is not WireKind.SCAPY and not has_packet_sockets:
        msg = f"--wire {hop.wire} needs packet sockets (AF_PACKET), which are of Linux; take --wire scapy"
        raise UsageError(msg)
    return hop.wire
