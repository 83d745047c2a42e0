"""Where the network layer begins, link layer by link layer.

The frames are built by Scapy, or spelt out as the standards have them; tshark is the oracle.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from itertools import product
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.contrib.mpls import MPLS
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, LLC, SNAP, CookedLinux, CookedLinuxV2, Dot1AD, Dot1Q, Dot3, Ether, Loopback
from scapy.layers.ppp import HDLC, PPP, PPPoE, PPPoED
from scapy.packet import Packet, Raw

from scanner.core import link
from scanner.core.linktypes import LINK_TYPES
from scanner.model import CaptureError

ETHERNET, NULL, RAW, SLL, SLL2, NFLOG, PFLOG, PKTAP = 1, 0, 101, 113, 276, 239, 117, 258
NETWORK = {link.IPV4, link.IPV6, link.ARP}
Found = tuple[int, int]


def found(frames: list[bytes], link_type: int, gap: bytes = b"") -> list[Found]:
    """Offset in its frame, and EtherType, of each network layer."""
    buffer = np.frombuffer(b"".join(gap + frame for frame in frames) + gap, dtype=np.uint8)
    lengths = np.array([len(frame) for frame in frames], dtype=np.int64)
    starts = np.cumsum(lengths + len(gap)) - lengths
    network, ethertype = link.network_layer(buffer, starts, lengths, link_type)
    assert network.dtype == np.int64
    assert ethertype.dtype == np.uint16
    return list(zip((network - starts).tolist(), ethertype.tolist(), strict=True))


def read(frame: bytes, link_type: int, gap: bytes = b"") -> Found | None:
    """Offset and EtherType of what the decoder would go on to read, None if it would read nothing."""
    [(offset, ethertype)] = found([frame], link_type, gap)
    return (offset, ethertype) if ethertype in NETWORK and offset < len(frame) else None


datagram = IP(src="10.0.0.1", dst="10.0.0.2") / TCP()
ipv6 = IPv6(src="fe80::1", dst="fe80::2") / TCP()
V4, V6 = bytes(datagram), bytes(ipv6)
MACS: dict[str, Any] = {"src": "02:00:00:00:00:01", "dst": "02:00:00:00:00:02"}
ether = Ether(**MACS)
arp = ARP(hwsrc="02:00:00:00:00:01", psrc="10.0.0.1", pdst="10.0.0.2")
tag, outer, priority = Dot1Q(vlan=7, prio=5), Dot1AD(vlan=4095), Dot1Q(vlan=0, prio=3)
session, discovery = PPPoE(sessionid=5), PPPoED(code=9)
label, last = MPLS(label=1000, s=0, ttl=9), MPLS(label=1001, s=1, ttl=9)
llc_snap = LLC(dsap=0xAA, ssap=0xAA, ctrl=3) / SNAP()


def typed(ethertype: int) -> Packet:
    return Ether(**MACS, type=ethertype)


def sll(protocol: int, device: int = 1) -> bytes:
    return struct.pack(">HHHQH", 0, device, 6, 0x020000000001_0000, protocol)


def sll2(protocol: int, device: int = 1) -> bytes:
    return struct.pack(">HHIHBBQ", protocol, 0, 1, device, 0, 6, 0x020000000001_0000)


def attribute(kind: int, value: bytes, order: str, length: int | None = None) -> bytes:
    padding = bytes(-len(value) % 4)
    return struct.pack(f"{order}HH", len(value) + 4 if length is None else length, kind) + value + padding


def nflog(family: int, order: str) -> bytes:
    """Everything up to the payload: header, prefix, marks, as libpcap writes them."""
    known = (
        attribute(1, b"\x08\0\1\0", order) + attribute(10, b"odd\0\0", order) + attribute(5, bytes(4), order)
    )
    return struct.pack(">BBH", family, 0, 30) + known


def nflogged(family: int, order: str, packet: bytes) -> bytes:
    return nflog(family, order) + attribute(9, packet, order)


def pflog(length: int, family: int) -> bytes:
    return (struct.pack("BBBB", length, family, 1, 0) + b"em0").ljust((length + 3) & ~3, b"\0")


def pktap(link_type: int, record: int = 1, flags: int = 1, length: int = 108) -> bytes:
    return struct.pack("<III24sI", length, record, link_type, b"en0", flags).ljust(length, b"\0")


def cisco(ethertype: int, address: int = 0x0F) -> bytes:
    return struct.pack(">BBH", address, 0, ethertype)


def ipnet(family: int, packet: bytes) -> bytes:
    return struct.pack(">BBHIIIII", 2, family, 0, len(packet), 1, 0, 0, 0) + packet


def snap(ethertype: int) -> bytes:
    return b"\xaa\xaa\3\0\0\0" + struct.pack(">H", ethertype)


def control_word(inner: bytes) -> bytes:
    return bytes(typed(0x8847) / last) + struct.pack(">HH", 0, 77) + inner


def macsec(control: int) -> bytes:
    return bytes(typed(0x88E5)) + struct.pack(">BBI", control, 0, 9) + bytes(8 if control & 0x20 else 0)


def isl(inner: bytes) -> bytes:
    """VLAN 100, untagged by any other means: address and type, source, length, LLC, and what is Cisco's."""
    address = bytes.fromhex("01000c0000 00 00000c123456")
    return address + struct.pack(">H", len(inner) + 12) + b"\xaa\xaa\3\0\0\x0c\0\xc8" + bytes(4) + inner


WORD = struct.Struct(">I").pack
HOST = struct.Struct("<I").pack
INNER = bytes.fromhex("001b21000003 001b21000004")

# Link type, frame, and what is in front of its network layer: the offset is its length.
IPV4_FRAMES: dict[str, tuple[int, bytes]] = {
    "ethernet": (1, bytes(ether / datagram)),
    "802.1Q": (1, bytes(ether / tag / datagram)),
    "802.1ad": (1, bytes(ether / outer / tag / datagram)),
    "priority tag": (1, bytes(ether / priority / datagram)),
    "0x9100": (1, bytes(typed(0x9100) / tag / datagram)),
    "0x9200": (1, bytes(typed(0x9200) / tag / datagram)),
    "eight tags": (1, bytes(ether / tag / tag / tag / tag / tag / tag / tag / tag / datagram)),
    "LLC/SNAP": (1, bytes(Dot3(**MACS) / llc_snap / datagram)),
    "LLC": (1, bytes(Dot3(**MACS) / Raw(b"\6\6\3") / datagram)),
    "LLC/SNAP in a VLAN": (1, bytes(typed(0x8100) / Raw(struct.pack(">HH", 7, 48) + snap(0x800)) / datagram)),
    "PPPoE": (1, bytes(ether / session / PPP() / datagram)),
    "PPPoE in a VLAN": (1, bytes(ether / tag / session / PPP() / datagram)),
    "PPPoE with a short protocol": (1, bytes(ether / session / Raw(b"\x21") / datagram)),
    "one label": (1, bytes(typed(0x8847) / last / datagram)),
    "labels in a VLAN": (
        1,
        bytes(Ether(**MACS) / Dot1Q(vlan=7, type=0x8847) / label / label / last / datagram),
    ),
    "upstream label": (1, bytes(typed(0x8848) / last / datagram)),
    "labels in PPPoE": (1, bytes(ether / session / Raw(b"\x02\x81") / label / last / datagram)),
    "sixteen labels": (1, bytes(typed(0x8847)) + bytes(label) * 15 + bytes(last) + V4),
    "pseudowire": (1, control_word(INNER + b"\x08\0" + V4)),
    "pseudowire without control word": (1, bytes(typed(0x8847) / last) + INNER + b"\x08\0" + V4),
    "provider backbone": (1, bytes(typed(0x88E7)) + b"\0\0\0\7" + INNER + b"\x08\0" + V4),
    "VN-Tag": (1, bytes(typed(0x8926)) + b"\0\7\0\5\x08\0" + V4),
    "VN-Tag and VLAN": (1, bytes(typed(0x8926)) + b"\0\7\0\5\x81\0\0\7\x08\0" + V4),
    "E-Tag": (1, bytes(typed(0x893F)) + b"\0\0\0\7\0\0\x08\0" + V4),
    "Cisco metadata": (1, bytes(typed(0x8909)) + b"\1\1\0\1\0\7\x08\0" + V4),
    "802.1CB": (1, bytes(typed(0xF1C1)) + b"\0\0\0\5\x08\0" + V4),
    "802.1CB in a VLAN": (1, bytes(ether / Dot1Q(vlan=7, type=0xF1C1)) + b"\0\0\0\5\x08\0" + V4),
    "MACsec in the clear": (1, macsec(0) + b"\x08\0" + V4),
    "MACsec with its channel": (1, macsec(0x23) + b"\x08\0" + V4),
    "VLAN in MACsec": (1, macsec(0) + b"\x81\0\0\7\x08\0" + V4),
    "ISL": (1, isl(INNER + b"\x08\0" + V4)),
    "VLAN in ISL": (1, isl(INNER + b"\x81\0\0\7\x08\0" + V4)),
    "LLC/SNAP, jumbo": (1, bytes(typed(0x8870)) + snap(0x800) + V4),
    "VLAN in a pseudowire": (1, control_word(INNER + b"\x81\0\0\7\x08\0" + V4)),
    "token ring": (6, b"\x10\x40" + INNER + snap(0x800) + V4),
    "token ring with a route": (
        6,
        b"\x10\x40" + INNER[:6] + b"\x82" + INNER[7:] + b"\6\0\0\x11\0\x20" + snap(0x800) + V4,
    ),
    "SLIP": (8, b"\1\x40" + bytes(14) + V4),
    "PPP": (9, bytes(HDLC() / PPP() / datagram)),
    "PPP without framing": (9, bytes(PPP() / datagram)),
    "PPP with a short protocol": (9, b"\xff\3\x21" + V4),
    "PPP, all compressed": (9, b"\x21" + V4),
    "FDDI": (10, b"\x50" + INNER + snap(0x800) + V4),
    "raw 12": (12, V4),
    "raw 14": (14, V4),
    "PPP serial": (50, bytes(HDLC() / PPP() / datagram)),
    "PPP serial, Cisco": (50, cisco(0x800) + V4),
    "PPP serial, Cisco broadcast": (50, cisco(0x800, 0x8F) + V4),
    "PPPoE alone": (51, bytes(session / PPP() / datagram)),
    "ATM": (100, snap(0x800) + V4),
    "raw": (101, V4),
    "Cisco HDLC": (104, cisco(0x800) + V4),
    "labels in Cisco HDLC": (104, cisco(0x8847) + bytes(label / last) + V4),
    "Frame Relay": (107, b"\x18\x41\3\xcc" + V4),
    "Frame Relay, long address": (107, b"\x18\x40\x40\x41\3\xcc" + V4),
    "Frame Relay, SNAP": (107, b"\x18\x41\3\0\x80\0\0\0\x08\0" + V4),
    "Frame Relay, Cisco": (107, b"\x18\x41\x08\0" + V4),
    "loop": (108, WORD(2) + V4),
    "ENC": (109, HOST(2) + WORD(0x1001) + HOST(0x800) + V4),
    "ENC, big-endian": (109, WORD(2) + WORD(0x1001) + WORD(0x800) + V4),
    "SLL": (113, bytes(CookedLinux() / datagram)),
    "SLL with a tag": (113, bytes(CookedLinux() / tag / datagram)),
    "SLL, LLC": (113, sll(4) + snap(0x800) + V4),
    "SLL, PPP": (113, sll(7, 512) + b"\xff\3\0\x21" + V4),
    "SLL, PPPoE": (113, sll(0x8864) + bytes(session / PPP() / datagram)),
    "SLL, labels": (113, sll(0x8847) + bytes(last) + V4),
    "SLL, GRE": (113, sll(0x800, 778) + V4),
    "SLL, Ethernet in GRE": (113, sll(0x6558, 778) + INNER + b"\x08\0" + V4),
    "SLL, no link layer": (113, sll(0x800, 65534) + V4),
    "SLL, Frame Relay": (113, sll(0, 770) + b"\x18\x41\3\xcc" + V4),
    "PFLOG": (117, pflog(61, 2) + V4),
    "PFLOG, later": (117, pflog(100, 2) + V4),
    "Fibre Channel": (122, b"\x10\0" + INNER[:6] + b"\x10\0" + INNER[6:] + snap(0x800) + V4),
    "IEEE 1394": (138, bytes(16) + b"\x08\0" + V4),
    "PPP, pppd": (166, b"\1\3\0\x21" + V4),
    "PPP with a direction": (204, b"\1\xff\3\0\x21" + V4),
    "Cisco HDLC with a direction": (205, b"\1" + cisco(0x800) + V4),
    "Frame Relay with a direction": (206, b"\1\x18\x41\3\xcc" + V4),
    "ipnet": (226, ipnet(2, V4)),
    "raw IPv4": (228, V4),
    "NFLOG": (239, nflogged(2, "<", V4)),
    "NFLOG, big-endian": (239, nflogged(2, ">", V4)),
    "PKTAP, Ethernet": (258, pktap(1) + bytes(ether / tag / datagram)),
    "PKTAP, raw": (258, pktap(12) + V4),
    "PKTAP, loopback": (258, pktap(0) + HOST(2) + V4),
    "PKTAP, longer": (258, pktap(1, length=156) + bytes(ether / datagram)),
    "SLL2": (276, bytes(CookedLinuxV2(proto=0x0800) / datagram)),
    "SLL2 with a tag": (276, bytes(CookedLinuxV2(proto=0x8100) / tag / datagram)),
    "SLL2, LLC": (276, sll2(4) + snap(0x800) + V4),
    "SLL2, GRE": (276, sll2(0x800, 778) + V4),
    "null": (0, bytes(Loopback() / datagram)),
    "null, big-endian": (0, WORD(2) + V4),
}
IPV6_FRAMES: dict[str, tuple[int, bytes]] = {
    "ethernet": (1, bytes(ether / ipv6)),
    "802.1Q": (1, bytes(ether / tag / ipv6)),
    "LLC/SNAP": (1, bytes(Dot3(**MACS) / llc_snap / ipv6)),
    "PPPoE": (1, bytes(ether / session / PPP() / ipv6)),
    "labels": (1, bytes(typed(0x8847) / label / last / ipv6)),
    "pseudowire": (1, control_word(INNER + b"\x86\xdd" + V6)),
    "PPP": (9, bytes(HDLC() / PPP() / ipv6)),
    "raw": (101, V6),
    "raw 12": (12, V6),
    "raw 14": (14, V6),
    "Cisco HDLC": (104, cisco(0x86DD) + V6),
    "Frame Relay": (107, b"\x18\x41\3\x8e" + V6),
    "Frame Relay, Cisco": (107, b"\x18\x41\x86\xdd" + V6),
    "PFLOG": (117, pflog(61, 24) + V6),
    "PFLOG, macOS": (117, pflog(61, 30) + V6),
    "ENC": (109, HOST(24) + bytes(8) + V6),
    "SLL": (113, bytes(CookedLinux() / ipv6)),
    "ipnet": (226, ipnet(26, V6)),
    "raw IPv6": (229, V6),
    "NFLOG": (239, nflogged(10, "<", V6)),
    "SLL2": (276, bytes(CookedLinuxV2(proto=0x86DD) / ipv6)),
    **{f"null {family}": (0, HOST(family) + V6) for family in (10, 24, 28, 30)},
    **{f"null {family}, big-endian": (0, WORD(family) + V6) for family in (24, 28, 30)},
    **{f"loop {family}": (108, WORD(family) + V6) for family in (24, 28, 30)},
}
ARP_FRAMES: dict[str, tuple[int, bytes]] = {
    "ethernet": (1, bytes(ether / arp)),
    "802.1Q": (1, bytes(ether / tag / arp)),
    "802.1ad": (1, bytes(ether / outer / tag / arp)),
    "LLC/SNAP": (1, bytes(Dot3(**MACS) / llc_snap / arp)),
    "pseudowire": (1, control_word(INNER + b"\x08\6" + bytes(arp))),
    "SLL": (113, bytes(CookedLinux() / arp)),
    "SLL2": (276, bytes(CookedLinuxV2(proto=0x0806) / arp)),
}
FRAMES = {
    **{f"{name}, IPv4": (*case, V4, link.IPV4) for name, case in IPV4_FRAMES.items()},
    **{f"{name}, IPv6": (*case, V6, link.IPV6) for name, case in IPV6_FRAMES.items()},
    **{f"{name}, ARP": (*case, bytes(arp), link.ARP) for name, case in ARP_FRAMES.items()},
}

# Frames without a network layer that is read.
OTHERS: dict[str, tuple[int, bytes]] = {
    "PPPoE discovery": (1, bytes(ether / discovery)),
    "PPPoE, not data": (1, bytes(ether / PPPoE(sessionid=5, code=0xA7) / PPP() / datagram)),
    "PPPoE, another version": (1, bytes(ether / PPPoE(sessionid=5, version=2) / PPP() / datagram)),
    "LCP in PPPoE": (1, bytes(ether / session / PPP(proto=0xC021) / datagram)),
    "LLDP": (1, bytes(typed(0x88CC) / datagram)),
    "neither type nor length": (1, bytes(typed(1501) / Raw(snap(0x800)) / datagram)),
    "no room for LLC": (1, bytes(typed(2) / Raw(snap(0x800)) / datagram)),
    "STP": (1, bytes(Dot3(**MACS) / LLC(dsap=0x42, ssap=0x42, ctrl=3) / Raw(bytes(35)))),
    "Novell": (1, bytes(Dot3(**MACS) / Raw(b"\xff\xff" + bytes(30)))),
    "SNAP of another organization": (1, bytes(Dot3(**MACS) / Raw(b"\xaa\xaa\3\0\0\x0c\x08\0") / datagram)),
    "CDP": (1, bytes.fromhex("01000ccccccc 00000c123456 0020 aaaa03 00000c 2000") + bytes(24)),
    "ISL of something": (1, isl(bytes(60))),
    "MACsec, encrypted": (1, macsec(0x0C) + b"\x08\0" + V4),
    "MACsec, changed": (1, macsec(0x04) + b"\x08\0" + V4),
    "MACsec, another version": (1, macsec(0x80) + b"\x08\0" + V4),
    "too many tags": (
        1,
        bytes(typed(0x8100)) + bytes(Dot1Q(vlan=1, type=0x8100)) * 40 + bytes(Dot1Q(vlan=1)) + V4,
    ),
    "no last label": (1, bytes(typed(0x8847)) + bytes(label) * 40 + V4),
    "label, then no IP": (1, bytes(typed(0x8847) / last) + b"\x10" + V4),
    "label, then Ethernet that is none": (1, bytes(typed(0x8847) / last) + INNER + b"\x08\0" + bytes(40)),
    "pseudowire of something": (1, control_word(bytes(60))),
    "pseudowire, IP that is none": (1, control_word(INNER + b"\x08\0" + bytes(40))),
    "pseudowire, flags": (1, bytes(typed(0x8847) / last) + b"\x01\0\0\0" + INNER + b"\x08\0" + V4),
    "token ring, not data": (6, b"\x10\0" + INNER + snap(0x800) + V4),
    "FDDI, not data": (10, b"\x41" + INNER + snap(0x800) + V4),
    "raw, no version": (101, b"\x55" + V4),
    "raw IPv4, IPv6": (228, V6),
    "raw IPv6, IPv4": (229, V4),
    "PPP, IPCP": (9, b"\xff\3\x80\x21" + V4),
    "PPP, Cisco, keepalive": (50, cisco(0x8035) + V4),
    "Frame Relay, LMI": (107, b"\0\1\3\x08\0" + V4),
    "Frame Relay, address of a byte": (107, b"\x19\3\xcc" + V4),
    "null, OSI": (0, HOST(7) + V4),
    "null, IPv4 says IPv6": (0, HOST(30) + V4),
    "null, IPv6 says IPv4": (0, HOST(2) + V6),
    "loop, little-endian": (108, HOST(2) + V4),
    "SLL, IPX": (113, sll(1) + V4),
    "SLL, mysterious": (113, sll(3) + V4),
    "SLL, netlink": (113, sll(0x800, 824) + V4),
    "SLL, radiotap": (113, sll(0x800, 803) + V4),
    "SLL2, netlink": (276, sll2(0x800, 824) + V4),
    "PFLOG, another family": (117, pflog(61, 7) + V4),
    "PFLOG, too short": (117, pflog(28, 2) + V4),
    "ipnet, another family": (226, ipnet(7, V4)),
    "PKTAP, no packet": (258, pktap(1, record=0) + bytes(ether / datagram)),
    "PKTAP, version 2": (258, pktap(1, flags=0x80000) + bytes(ether / datagram)),
    "PKTAP, another link type": (258, pktap(105) + bytes(ether / datagram)),
    "NFLOG, another family": (239, nflogged(7, "<", V4)),
    "NFLOG, another version": (239, b"\2\1" + nflogged(2, "<", V4)[2:]),
    "NFLOG, family and packet disagree": (239, nflogged(10, "<", V4)),
    "NFLOG, no payload": (239, nflog(2, "<")),
    "NFLOG, length 0": (239, b"\2\0\0\0" + attribute(1, b"", "<", length=0) + attribute(9, V4, "<")),
    "NFLOG, length lies": (239, b"\2\0\0\0" + attribute(1, b"", "<", length=60000) + attribute(9, V4, "<")),
    "NFLOG, too many": (239, b"\2\0\0\0" + attribute(2, bytes(4), "<") * 100 + attribute(9, V4, "<")),
}


CASES: dict[str, tuple[int, bytes]] = {**{name: case[:2] for name, case in FRAMES.items()}, **OTHERS}


@pytest.mark.parametrize("name", FRAMES)
def test_finds_the_network_layer(name: str) -> None:
    link_type, frame, datagram, ethertype = FRAMES[name]
    assert frame.endswith(datagram), "the case itself is sound"
    assert read(frame, link_type) == (len(frame) - len(datagram), ethertype)


@pytest.mark.parametrize("vendor", ["4cecef", "60a44c", "45b05e"])
@pytest.mark.parametrize("data", [b"\x08\0" + V4, b"\x81\0\0\7\x08\0" + V4])
def test_a_frame_behind_labels_whose_address_begins_as_ip_does(vendor: str, data: bytes) -> None:
    """RFC 4928, 2, warns of that; tshark takes it for IP."""
    labels = bytes(typed(0x8847) / last)
    frame = labels + bytes.fromhex(vendor) + b"\xfe\1\2" + INNER[6:] + data
    assert read(frame, ETHERNET) == (len(frame) - len(V4), link.IPV4)
    for packet, ethertype in ((V4, link.IPV4), (V6, link.IPV6)):
        assert read(labels + packet[:39], ETHERNET) == (len(labels), ethertype), "cut, and IP for all that"


@pytest.mark.parametrize("name", OTHERS)
def test_anything_else_is_none(name: str) -> None:
    link_type, frame = OTHERS[name]
    assert read(frame, link_type) is None


def test_every_link_type_is_tried() -> None:
    assert {link_type for link_type, *_ in FRAMES.values()} == set(LINK_TYPES)


def test_frames_of_one_call_do_not_see_each_other() -> None:
    """All frames of a link type at once, in an order that mixes them, are read as each is alone."""
    for link_type in LINK_TYPES:
        cases = [frame for kind, frame in CASES.values() if kind == link_type]
        frames = [frame for pair in product(cases, repeat=2) for frame in pair]
        alone = {frame: read(frame, link_type) for frame in cases}
        together = found(frames, link_type, gap=b"\x45\x08\0\x81\0")
        assert len(together) == len(frames)
        for frame, (offset, ethertype) in zip(frames, together, strict=True):
            expected = alone[frame]
            if expected is None:
                assert ethertype not in NETWORK or offset >= len(frame)
            else:
                assert (offset, ethertype) == expected


NOISE = [b"", b"\x45" * 160, b"\x08\0" * 80, b"\xff\3\0\x21" * 40, b"\1" * 160, b"\x88\x47" * 80]


@pytest.mark.parametrize("name", FRAMES)
def test_cut_off_at_every_byte(name: str) -> None:
    """What is cut off is not made up from the bytes behind, and what there is is read as before."""
    link_type, frame, datagram, ethertype = FRAMES[name]
    header = len(frame) - len(datagram)
    # Of what may be ARP in a pseudowire, its first four bytes are looked at, of IP the first.
    needed = header + (4 if name == "pseudowire, ARP" else 1)
    for length in range(len(frame)):
        cut = frame[:length]
        [alone, *others] = [found([cut], link_type, gap) for gap in NOISE]
        [(offset, kind)] = alone
        if length >= needed:
            assert (offset, kind) == (header, ethertype)
        else:
            assert kind not in NETWORK or offset >= length
        for other in others:
            assert other == alone or all(at >= length for [(at, _)] in (alone, other))


@pytest.mark.parametrize("link_type", sorted(LINK_TYPES))
def test_no_frames_and_empty_frames(link_type: int) -> None:
    assert found([], link_type) == []
    for gap in NOISE:
        assert all(offset >= 0 for offset, _ in found([b"", b"", b""], link_type, gap))


SAMPLES = [frame for _, frame in CASES.values()]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    frame = bytearray(draw(st.sampled_from(SAMPLES)))
    for _ in range(draw(st.integers(0, 3))):
        frame[draw(st.integers(0, min(len(frame), 60) - 1))] = draw(st.integers(0, 255))
    return bytes(frame[: draw(st.integers(0, len(frame)))])


@settings(max_examples=400)
@given(
    st.lists(damaged() | st.binary(max_size=80), max_size=5),
    st.sampled_from(sorted(LINK_TYPES)),
    st.binary(max_size=3),
    st.binary(max_size=3),
)
def test_any_bytes_are_read_alike_wherever_they_lie(
    frames: list[bytes], link_type: int, gap: bytes, other: bytes
) -> None:
    """Nothing raises, nothing begins before its frame, and neighbours do not matter."""
    results = found(frames, link_type, gap)
    assert len(results) == len(frames)
    for frame, (offset, ethertype) in zip(frames, results, strict=True):
        assert offset >= 0
        expected = read(frame, link_type, other)
        assert ((offset, ethertype) if ethertype in NETWORK and offset < len(frame) else None) == expected


# --- link types that are not read ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("link_type", "name"),
    [
        (105, "105 (IEEE802_11)"),
        (127, "127 (IEEE802_11_RADIOTAP)"),
        (143, "143 (DOCSIS)"),
        (147, "147 (USER0)"),
        (162, "162 (USER15)"),
        (192, "192 (PPI)"),
        (201, "201 (BLUETOOTH_HCI_H4_WITH_PHDR)"),
        (220, "220 (USB_LINUX_MMAPPED)"),
        (4321, "4321"),
    ],
)
def test_other_link_types_are_refused_by_name(link_type: int, name: str) -> None:
    with pytest.raises(CaptureError) as refused:
        found([bytes(ether / datagram)], link_type)
    message = str(refused.value)
    assert message.startswith(f"link type {name} is not supported; supported are Ethernet, Linux cooked")
    assert "\n" not in message


# --- tshark -------------------------------------------------------------------------------------


def section(frames: list[tuple[int, bytes]], order: str) -> bytes:
    """A section of a pcapng file, an interface for each frame, so that each may have its own link type."""

    def block(kind: int, body: bytes) -> bytes:
        body += bytes(-len(body) % 4)
        length = struct.pack(f"{order}I", len(body) + 12)
        return struct.pack(f"{order}I", kind) + length + body + length

    file = block(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1))
    for link_type, _ in frames:
        file += block(1, struct.pack(f"{order}HHI", link_type, 0, 0))
    for n, (_, frame) in enumerate(frames):
        file += block(6, struct.pack(f"{order}IIIII", n, 0, 0, len(frame), len(frame)) + frame)
    return file


def tshark(path: Path) -> list[Found | None]:
    """Where tshark finds the first IPv4, IPv6 or ARP of each frame."""
    command = ["tshark", "-n", "-r", str(path), "-T", "pdml"]
    said = subprocess.run(command, check=True, capture_output=True).stdout
    kinds = {"ip": link.IPV4, "ipv6": link.IPV6, "arp": link.ARP}
    results: list[Found | None] = []
    for packet in ET.fromstring(said).iter("packet"):  # noqa: S314 - tshark wrote it
        network = [
            (int(layer.attrib["pos"]), kinds[layer.attrib["name"]]) for layer in packet if is_network(layer)
        ]
        # Its IPv4 reader hands on to that of IPv6 what says that it is version 6.
        first = [kind for at, kind in network if at == network[0][0]]
        results.append((network[0][0], first[-1]) if network else None)
    return results


def is_network(layer: ET.Element) -> bool:
    """Whether this is a layer that tshark did not give up for being of another version."""
    bogus = {f"{name}.bogus_{name}_version" for name in ("ip", "ipv6")}
    return layer.get("name") in {"ip", "ipv6", "arp"} and not any(
        field.get("name") in bogus for field in layer.iter("field")
    )


UNKNOWN_TO_TSHARK = {
    "0x9200, IPv4",
    "SLIP, IPv4",
    "PPP, pppd, IPv4",
    "Cisco HDLC with a direction, IPv4",
    "Frame Relay with a direction, IPv4",
    "null 10, IPv6",
}
TSHARK_READS_NEVERTHELESS = {
    "PPPoE, not data",
    "PPPoE, another version",
    "pseudowire, flags",
    "null, IPv6 says IPv4",
    "raw IPv4, IPv6",
    "Frame Relay, address of a byte",
    "SLL, radiotap",
    "PFLOG, too short",
    "PKTAP, version 2",
    "NFLOG, another family",
    "NFLOG, another version",
    "NFLOG, family and packet disagree",
    "NFLOG, too many",
}


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_tshark_finds_the_same(tmp_path: Path) -> None:
    little = [name for name in CASES if "big-endian" not in name]
    big = [name for name in CASES if "big-endian" in name]
    path = tmp_path / "frames.pcapng"
    path.write_bytes(
        section([CASES[name] for name in little], "<") + section([CASES[name] for name in big], ">")
    )
    theirs = dict(zip([*little, *big], tshark(path), strict=True))
    # The byte that tells the direction is no part of the frame to tshark.
    assert theirs.pop("PPP with a direction, IPv4") == (4, link.IPV4)
    ours = {name: read(CASES[name][1], CASES[name][0]) for name in theirs}
    differing = {name: (ours[name], theirs[name]) for name in theirs if ours[name] != theirs[name]}
    assert {name for name, (_, other) in differing.items() if other is None} == UNKNOWN_TO_TSHARK
    assert {name for name, (own, _) in differing.items() if own is None} == TSHARK_READS_NEVERTHELESS
    assert len(differing) == len(UNKNOWN_TO_TSHARK | TSHARK_READS_NEVERTHELESS)


@pytest.mark.skipif(shutil.which("tcpdump") is None, reason="tcpdump is not installed")
@pytest.mark.parametrize("name", ["SLIP, IPv4", "PPP, pppd, IPv4", "PFLOG, IPv4", "ENC, IPv4", "FDDI, IPv4"])
def test_tcpdump_reads_it_too(name: str, tmp_path: Path) -> None:
    link_type, frame, *_ = FRAMES[name]
    path = tmp_path / "frame.pcap"
    header = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, link_type)
    path.write_bytes(header + struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame)
    said = subprocess.run(["tcpdump", "-nr", str(path)], check=True, capture_output=True, text=True).stdout
    assert "IP 10.0.0.1.20 > 10.0.0.2.80: Flags [S]" in said
