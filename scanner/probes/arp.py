"""The ARP request: is this on-link address there, and at which hardware address (RFC 826)?"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scapy.packet import Packet

ARP_REQUEST = "arp-request"
"""Its name among the stock templates."""


def arp_request() -> Packet:
    """The request as a Scapy packet; all addresses but the unknown one are the engine's to fill."""
    from scapy.layers.l2 import ARP  # noqa: PLC0415 - a fifth of a second, only when compiling

    return ARP(op="who-has", hwdst="00:00:00:00:00:00")
