"""Where the network layer begins, link layer by link layer, against frames that Scapy built."""

from __future__ import annotations

import numpy as np
import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, LLC, SNAP, CookedLinux, CookedLinuxV2, Dot1AD, Dot1Q, Dot3, Ether, Loopback
from scapy.packet import Packet, Raw

from scanner.core import link
from scanner.model import CaptureError

ETHERNET, RAW, NULL, LOOP, SLL, IPV4_ONLY, SLL2 = 1, 101, 0, 108, 113, 228, 276


def found(frames: list[bytes], link_type: int) -> list[tuple[int, int]]:
    """Offset in its frame, and EtherType, of each network layer."""
    buffer = np.frombuffer(b"".join(frames), dtype=np.uint8)
    lengths = np.array([len(frame) for frame in frames], dtype=np.int64)
    starts = np.cumsum(lengths) - lengths
    network, ethertype = link.network_layer(buffer, starts, link_type)
    return list(zip((network - starts).tolist(), ethertype.tolist(), strict=True))


datagram = IP(src="10.0.0.1", dst="10.0.0.2") / TCP()
ipv6 = IPv6(src="fe80::1", dst="fe80::2") / TCP()
ether = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
arp = ARP(hwsrc="02:00:00:00:00:01", psrc="10.0.0.1", pdst="10.0.0.2")
tag, outer = Dot1Q(vlan=7, prio=5), Dot1AD(vlan=4095)


@pytest.mark.parametrize(
    ("packet", "link_type", "offset"),
    [
        (ether / datagram, ETHERNET, 14),
        (ether / tag / datagram, ETHERNET, 18),
        (ether / outer / tag / datagram, ETHERNET, 22),
        (Ether(src=ether.src, dst=ether.dst, type=0x9100) / tag / datagram, ETHERNET, 18),
        (ether / tag / tag / tag / datagram, ETHERNET, 26),
        (datagram, RAW, 0),
        (datagram, IPV4_ONLY, 0),
        (Loopback() / datagram, NULL, 4),
        (Raw(b"\0\0\0\2") / datagram, NULL, 4),
        (Loopback() / datagram, LOOP, 4),
        (CookedLinux() / datagram, SLL, 16),
        (CookedLinux() / tag / datagram, SLL, 20),
        (CookedLinuxV2(proto=0x0800) / datagram, SLL2, 20),
        (CookedLinuxV2(proto=0x8100) / tag / datagram, SLL2, 24),
    ],
)
def test_finds_ipv4(packet: Packet, link_type: int, offset: int) -> None:
    frame = bytes(packet)
    assert frame[offset] == 0x45, "the case itself is sound"
    assert found([frame], link_type) == [(offset, link.IPV4)]


@pytest.mark.parametrize(
    ("packet", "offset"),
    [(ether / arp, 14), (ether / tag / arp, 18), (ether / outer / tag / arp, 22)],
)
def test_finds_arp(packet: Packet, offset: int) -> None:
    assert found([bytes(packet)], ETHERNET) == [(offset, link.ARP)]


@pytest.mark.parametrize(
    ("packet", "link_type"),
    [
        (ether / ipv6, ETHERNET),
        (ipv6, RAW),
        (Loopback() / ipv6, NULL),
        (CookedLinux() / ipv6, SLL),
        (Dot3(src=ether.src, dst=ether.dst) / LLC() / SNAP() / datagram, ETHERNET),
        (ether / tag / tag / tag / tag / datagram, ETHERNET),
    ],
)
def test_anything_else_is_neither(packet: Packet, link_type: int) -> None:
    [(_, ethertype)] = found([bytes(packet)], link_type)
    assert ethertype not in {link.IPV4, link.ARP}


def test_each_frame_has_its_own_tags() -> None:
    packets = [ether / datagram, ether / tag / datagram, ether / arp, ether / outer / tag / arp]
    assert (
        found([bytes(packet) for packet in packets * 2], ETHERNET)
        == [
            (14, link.IPV4),
            (18, link.IPV4),
            (14, link.ARP),
            (22, link.ARP),
        ]
        * 2
    )


def test_a_header_at_the_end_of_the_buffer() -> None:
    frame = bytes(ether / outer / tag / datagram)
    for cut in range(22):
        [(offset, ethertype)] = found([frame[:cut]], ETHERNET)
        assert offset >= 14
        assert offset >= cut or ethertype not in {link.IPV4, link.ARP}


@pytest.mark.parametrize("link_type", sorted(link.LINK_LAYERS))
def test_no_frames(link_type: int) -> None:
    assert found([], link_type) == []


def test_unknown_link_type_is_named() -> None:
    with pytest.raises(CaptureError, match=r"^link type 105 is not supported; supported are 0, 1, .*276$"):
        found([], 105)
