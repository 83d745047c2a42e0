"""The neighbour solicitation: ARP's question, asked in IPv6 (RFC 4861, 4.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scapy.packet import Packet

NEIGHBOUR_SOLICITATION = "neighbour-solicitation"
"""Its name among the stock templates."""


def neighbour_solicitation() -> Packet:
    """The solicitation as a Scapy packet; all addresses are the engine's to fill.

    A hop limit of 255 proves to whoever is asked that no router was on the way (RFC 4861, 7.1.1).
    """
    from scapy.layers.inet6 import (  # noqa: PLC0415 - a fifth of a second, only when compiling
        ICMPv6ND_NS,
        ICMPv6NDOptSrcLLAddr,
        IPv6,
    )

    return IPv6(hlim=255, src="::", dst="::") / ICMPv6ND_NS(tgt="::") / ICMPv6NDOptSrcLLAddr()
