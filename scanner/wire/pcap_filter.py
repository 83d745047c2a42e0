"""The receive filter in the language of libpcap, for sockets that take no program of ours.

It lets in what `scanner.wire.bpf` does; pcap-filter(7) says how it is read.
"""

from __future__ import annotations

from collections.abc import Iterable

from scanner.core.cookie import LOWEST_SOURCE_PORT
from scanner.core.ip import AUTHENTICATION, EXTENSIONS, FRAGMENT
from scanner.core.packets import ARP_REPLY, ICMPV6, TCP, UDP
from scanner.wire.bpf import ICMPV6_REPLIES, SCTP, STEPPED_OVER


def replies_expression(lowest_port: int = LOWEST_SOURCE_PORT) -> str:
    """What may be a reply to a probe, on a link of any type that libpcap knows."""
    behind = "48 + 8 * ip6[41]"  # the one extension header that is stepped over counts its bytes in eights
    ports = f"ip6[{behind} + 2:2] >= {lowest_port}"
    stepped_over = _any(
        f"({_any_of('ip6[40]', (TCP, UDP, SCTP))}) and {ports}",
        f"ip6[40] = {ICMPV6} and ({_any_of(f'ip6[{behind}]', ICMPV6_REPLIES)})",
        f"ip6[40] = {FRAGMENT} and ip6[{behind} + 2:2] & 0xfff8 = 0",
        _any_of("ip6[40]", (header for header in EXTENSIONS if header != FRAGMENT)),
    )
    return _any(
        f"arp[6:2] = {ARP_REPLY}",
        f"dst portrange {lowest_port}-65535",
        "icmp and ip[6:2] & 0x1fff = 0",
        f"ip6[6] = {ICMPV6} and ({_any_of('ip6[40]', ICMPV6_REPLIES)})",
        f"ip6[6] = {FRAGMENT} and ip6[42:2] & 0xfff8 = 0",
        f"ip6[6] = {AUTHENTICATION}",
        f"({_any_of('ip6[6]', STEPPED_OVER)}) and ({stepped_over})",
    )


def _any(*conditions: str) -> str:
    return " or ".join(f"({condition})" for condition in conditions)


def _any_of(value: str, numbers: Iterable[int]) -> str:
    return _any(*(f"{value} = {number}" for number in numbers))
