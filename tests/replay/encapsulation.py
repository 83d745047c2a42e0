"""Encapsulations: how a packet is carried over Ethernet where it does not travel bare.

Pure: bytes in, frames out. Scapy builds the headers. Frames are filled up to 60 bytes, as network cards do,
so that behind a short packet there is something that is not its payload.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scapy.packet import Packet

_SHORTEST = 60
"""IEEE 802.3, less the frame check sequence."""

_ETHERNET = 14
_TAG = 4
_TAGS = {0x8100, 0x88A8}
_ETHERTYPES = {4: 0x0800, 6: 0x86DD}
_PPP_PROTOCOLS = {4: 0x0021, 6: 0x0057}


class Encapsulation(enum.StrEnum):
    """What is known."""

    VLAN = "vlan"
    QINQ = "qinq"
    PRIORITY_TAG = "priority-tag"
    MPLS = "mpls"
    PPPOE = "pppoe"
    GRE = "gre"
    GRE_KEYED = "gre-keyed"
    GRETAP = "gretap"
    IPIP = "ipip"
    SIT = "sit"
    IPV4_IN_IPV6 = "ipv4-in-ipv6"
    ERSPAN = "erspan"


@dataclass(frozen=True, slots=True)
class End:
    """One end of a link or tunnel."""

    mac: str
    ipv4: str
    ipv6: str


PROBER_END = End("02:00:00:00:04:01", "192.0.2.1", "2001:db8::1")
TARGET_END = End("02:00:00:00:04:02", "192.0.2.2", "2001:db8::2")
"""Nobody's addresses (RFC 5737, RFC 3849): kernels leave such frames alone."""


def wrapped(kind: Encapsulation, packet: bytes, source: End, destination: End) -> bytes:
    """The frame that carries an IP packet; for ERSPAN, one that carries a whole frame."""
    frame = _HEADERS[kind](packet[0] >> 4, source, destination)
    return bytes(frame / packet).ljust(_SHORTEST, b"\0")


def unwrapped(kind: Encapsulation, frame: bytes) -> bytes:
    """The IP packet in a frame, perhaps with something behind it. The kernel may have taken off a tag."""
    at = _ETHERNET
    if kind in {Encapsulation.VLAN, Encapsulation.QINQ, Encapsulation.PRIORITY_TAG}:
        while int.from_bytes(frame[at - 2 : at]) in _TAGS:
            at += _TAG
        return frame[at:]
    return frame[len(_HEADERS[kind](4, PROBER_END, TARGET_END)) :]


def _ether(source: End, destination: End, ethertype: int) -> Packet:
    from scapy.layers.l2 import Ether

    return Ether(src=source.mac, dst=destination.mac, type=ethertype)


def _vlan(version: int, source: End, destination: End) -> Packet:
    from scapy.layers.l2 import Dot1Q

    return _ether(source, destination, 0x8100) / Dot1Q(vlan=401, type=_ETHERTYPES[version])


def _qinq(version: int, source: End, destination: End) -> Packet:
    from scapy.layers.l2 import Dot1AD, Dot1Q

    service = _ether(source, destination, 0x88A8) / Dot1AD(vlan=100, type=0x8100)
    return service / Dot1Q(vlan=401, type=_ETHERTYPES[version])


def _priority_tag(version: int, source: End, destination: End) -> Packet:
    from scapy.layers.l2 import Dot1Q

    return _ether(source, destination, 0x8100) / Dot1Q(vlan=0, prio=5, type=_ETHERTYPES[version])


def _mpls(_version: int, source: End, destination: End) -> Packet:
    from scapy.contrib.mpls import MPLS

    labels = MPLS(label=100, s=0, ttl=64) / MPLS(label=401, s=1, ttl=64)
    return _ether(source, destination, 0x8847) / labels


def _pppoe(version: int, source: End, destination: End) -> Packet:
    from scapy.layers.ppp import PPP, PPPoE

    session = PPPoE(sessionid=401) / PPP(proto=_PPP_PROTOCOLS[version])
    return _ether(source, destination, 0x8864) / session


def _gre(version: int, source: End, destination: End) -> Packet:
    from scapy.layers.l2 import GRE

    return _over_ipv4(source, destination, 47) / GRE(proto=_ETHERTYPES[version])


def _gre_keyed(version: int, source: End, destination: End) -> Packet:
    from scapy.layers.l2 import GRE

    options = GRE(key_present=1, seqnum_present=1, key=401, sequence_number=7, proto=_ETHERTYPES[version])
    return _over_ipv4(source, destination, 47) / options


def _gretap(version: int, source: End, destination: End) -> Packet:
    from scapy.layers.l2 import GRE

    outer = _over_ipv4(source, destination, 47) / GRE(proto=0x6558)
    return outer / _ether(source, destination, _ETHERTYPES[version])


def _ipip(_version: int, source: End, destination: End) -> Packet:
    return _over_ipv4(source, destination, 4)


def _sit(_version: int, source: End, destination: End) -> Packet:
    return _over_ipv4(source, destination, 41)


def _ipv4_in_ipv6(_version: int, source: End, destination: End) -> Packet:
    from scapy.layers.inet6 import IPv6

    return _ether(source, destination, 0x86DD) / IPv6(src=source.ipv6, dst=destination.ipv6, nh=4)


def _erspan(_version: int, source: End, destination: End) -> Packet:
    from scapy.layers.l2 import GRE
    from scapy.packet import Raw

    header = GRE(seqnum_present=1, sequence_number=1, proto=0x88BE)
    # Version 1 (type II), session 401, nothing else (draft-foschiano-erspan, 4.2).
    return _over_ipv4(source, destination, 47) / header / Raw(b"\x10\x00\x01\x91\x00\x00\x00\x00")


def _over_ipv4(source: End, destination: End, protocol: int) -> Packet:
    from scapy.layers.inet import IP

    return _ether(source, destination, 0x0800) / IP(src=source.ipv4, dst=destination.ipv4, proto=protocol)


_HEADERS: dict[Encapsulation, Callable[[int, End, End], Packet]] = {
    Encapsulation.VLAN: _vlan,
    Encapsulation.QINQ: _qinq,
    Encapsulation.PRIORITY_TAG: _priority_tag,
    Encapsulation.MPLS: _mpls,
    Encapsulation.PPPOE: _pppoe,
    Encapsulation.GRE: _gre,
    Encapsulation.GRE_KEYED: _gre_keyed,
    Encapsulation.GRETAP: _gretap,
    Encapsulation.IPIP: _ipip,
    Encapsulation.SIT: _sit,
    Encapsulation.IPV4_IN_IPV6: _ipv4_in_ipv6,
    Encapsulation.ERSPAN: _erspan,
}
