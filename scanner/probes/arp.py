"""The ARP request: is this on-link address there, and at which hardware address (RFC 826)?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scanner.core.addresses import format_address

if TYPE_CHECKING:
    from scapy.packet import Packet


def arp_request(source_mac: bytes, source: int) -> Packet:
    """The request as a Scapy packet; the address asked for is the engine's to fill."""
    from scapy.layers.l2 import ARP  # noqa: PLC0415 - a fifth of a second, only when compiling

    return ARP(
        op="who-has", hwsrc=source_mac.hex(":"), psrc=format_address(source), hwdst="00:00:00:00:00:00"
    )
