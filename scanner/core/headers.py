"""Where the fields of network and transport headers are, as they lie in a packet."""

from __future__ import annotations

import numpy as np

IPV4_BYTES = 20
IPV6_BYTES = 40
TCP_BYTES, MOST_TCP_BYTES = 20, 60
TCP_FLAGS_BYTES = 14
"""Of a TCP header, what must have been captured: all that is read of it."""
UDP_BYTES = 8
ICMP_BYTES = 8
SCTP_BYTES = 16
"""Of an SCTP packet: its header, and that of its first chunk."""
ARP_BYTES = 28
ADVERTISEMENT_BYTES = 32
PORTS_BYTES = 8
"""Of a transport header, what an ICMP error quotes at least (RFC 792): ports, and TCP's sequence number."""

# RFC 791, 3.1
IPV4 = np.dtype(
    {
        "names": ["version_ihl", "length", "identification", "fragment", "ttl", "protocol", "ends"],
        "formats": ["u1", ">u2", ">u2", ">u2", "u1", "u1", (">u4", 2)],
        "offsets": [0, 2, 4, 6, 8, 9, 12],
        "itemsize": IPV4_BYTES,
    }
)
# RFC 8200, 3
IPV6 = np.dtype(
    {
        "names": ["version", "length", "next", "hops", "ends"],
        "formats": ["u1", ">u2", "u1", "u1", (">u8", (2, 2))],
        "offsets": [0, 4, 6, 7, 8],
        "itemsize": IPV6_BYTES,
    }
)
# RFC 9293, 3.1
TCP = np.dtype(
    {
        "names": ["source_port", "destination_port", "sequence", "acknowledgement", "data_offset", "flags"],
        "formats": [">u2", ">u2", ">u4", ">u4", "u1", "u1"],
        "offsets": [0, 2, 4, 8, 12, 13],
        "itemsize": TCP_BYTES,
    }
)
# RFC 768; TCP has its ports in the same place, and its sequence number after them.
PORTS = np.dtype(
    {
        "names": ["source_port", "destination_port", "sequence", "length"],
        "formats": [">u2", ">u2", ">u4", ">u2"],
        "offsets": [0, 2, 4, 4],
        "itemsize": PORTS_BYTES,
    }
)
# RFC 9260, 3.1 and 3.2
SCTP = np.dtype(
    {
        "names": ["source_port", "destination_port", "tag", "chunk"],
        "formats": [">u2", ">u2", ">u4", "u1"],
        "offsets": [0, 2, 4, 12],
        "itemsize": SCTP_BYTES,
    }
)
# RFC 792, RFC 4443
ECHO = np.dtype(
    {
        "names": ["type", "code", "identifier", "sequence"],
        "formats": ["u1", "u1", ">u2", ">u2"],
        "offsets": [0, 1, 4, 6],
        "itemsize": ICMP_BYTES,
    }
)
# RFC 792, RFC 4443
ICMP = np.dtype(
    {"names": ["type", "code"], "formats": ["u1", "u1"], "offsets": [0, 1], "itemsize": ICMP_BYTES}
)
# RFC 826, for Ethernet and IPv4
ARP = np.dtype(
    {
        "names": ["kind", "operation", "sender", "target"],
        "formats": [">u8", ">u2", ">u4", ">u4"],
        "offsets": [0, 6, 14, 24],
        "itemsize": ARP_BYTES,
    }
)
# RFC 4861, 4.4, with the one option that matters (4.6.1)
ADVERTISEMENT = np.dtype(
    {
        "names": ["code", "flags", "target", "option"],
        "formats": ["u1", "u1", (">u8", 2), ">u2"],
        "offsets": [1, 4, 8, 24],
        "itemsize": ADVERTISEMENT_BYTES,
    }
)
