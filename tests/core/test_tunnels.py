"""Tunnels, against what tshark dissects, and their numbers."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from scapy.contrib.geneve import GENEVE, GeneveOptions
from scapy.contrib.mpls import MPLS
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPerror, UDPerror
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt
from scapy.layers.l2 import ARP, GRE, Dot1Q
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw
from scapy.utils import wrpcap

from scanner.core import tunnels
from scanner.core.packets import NO_TUNNEL
from scanner.core.tunnels import DEEPEST
from scanner.model import CaptureError
from tests.core.dissection import Dissection, dissected, ether, pick

LEFT, RIGHT = "192.0.2.1", "192.0.2.2"
LEFT6, RIGHT6 = "2001:db8:1::1", "2001:db8:1::2"
SYN = TCP(sport=51000, dport=401, flags="S", seq=0x80000000)
SYN_ACK = TCP(sport=401, dport=51000, flags="SA", seq=5, ack=0x80000001)
ANSWER = UDP(sport=401, dport=51000) / b"hello"
FOUR, SIX = IP(src="10.0.0.1", dst="10.50.3.4", ttl=9), IPv6(src="2001:db8::1", dst="2001:db8::2", hlim=9)
IPV4, IPV6, BRIDGED, LABELLED = 0x0800, 0x86DD, 0x6558, 0x8847
LABELS = MPLS(label=1000, s=0) / MPLS(label=1001, s=1)


def v4(**header: Any) -> Packet:
    return IP(src=LEFT, dst=RIGHT, ttl=200, **header)


def v6(**header: Any) -> Packet:
    return IPv6(src=LEFT6, dst=RIGHT6, hlim=200, **header)


def erspan2() -> Packet:
    return GRE(proto=0x88BE, seqnum_present=1, sequence_number=7) / Raw(b"\x10\x05\x18\x09" + bytes(4))


def erspan3(frame_type: int = 0, more: bool = False) -> Packet:
    last = bytes([frame_type << 2, more])
    return GRE(proto=0x22EB, seqnum_present=1, sequence_number=7) / Raw(
        b"\x20\x05\x18\x09" + bytes(6) + last + bytes(8 * more)
    )


def teredo(*indications: bytes, sport: int = 9, dport: int = 3544) -> Packet:
    return v4() / UDP(sport=sport, dport=dport) / Raw(b"".join(indications))


def gtp(flags: int, rest: bytes = b"", size: int = 0) -> Packet:
    """A header of GTP; `size`: bytes of the packet behind it."""
    head = bytes([flags, 255]) + (len(rest) + size).to_bytes(2, "big") + b"\0\0\0\7" + rest
    return v4() / UDP(sport=2152, dport=2152) / Raw(head)


def pptp(flags: int, rest: bytes) -> Packet:
    return v4(proto=47) / Raw(bytes([flags >> 8, flags & 0xFF, 0x88, 0x0B]) + b"\0\x2c\0\7" + rest)


def l2tp(flags: int, *fields: int) -> Packet:
    words = b"".join(field.to_bytes(2, "big") for field in (flags, *fields))
    return v4() / UDP(sport=1701, dport=1701) / Raw(words + b"\xff\3\0\x21")


TCP_SIZE = 40
"""Of FOUR / SYN."""

IP_TUNNELS = {
    "4 in 4": (v4(proto=4), IP),
    "6 in 4": (v4(proto=41), IPv6),
    "4 in 6": (v6(nh=4), IP),
    "6 in 6": (v6(nh=41), IPv6),
    "6 in 6 behind options": (v6(nh=60) / IPv6ExtHdrDestOpt(nh=41), IPv6),
    "GRE": (v4() / GRE(proto=IPV4), IP),
    "GRE with key": (v4() / GRE(proto=IPV6, key_present=1, key=77), IPv6),
    "GRE with all": (
        v4() / GRE(proto=IPV4, chksum_present=1, key_present=1, key=7, seqnum_present=1, sequence_number=9),
        IP,
    ),
    "GRE over IPv6": (v6(nh=47) / GRE(proto=IPV4), IP),
    "GRE with labels": (v4() / GRE(proto=LABELLED) / LABELS, IP),
    "Geneve": (v4() / UDP(sport=9, dport=6081) / GENEVE(vni=8, proto=IPV4), IP),
    "MPLS in IP": (v4(proto=137) / LABELS, IP),
    "VXLAN-GPE": (v4() / UDP(sport=9, dport=4790) / Raw(b"\x0c\0\0\2\0\0\7\0"), IPv6),
    "PPP in GRE": (v4(proto=47) / Raw(b"\0\0\x88\x0b\0\x21"), IP),
    "PPTP": (pptp(0x3001, b"\0\0\0\1\xff\3\0\x21"), IP),
    "PPTP with acknowledgement": (pptp(0x3081, b"\0\0\0\1\0\0\0\1\x21"), IP),
    "L2TP": (l2tp(2, 7, 1), IP),
    "L2TP with all": (l2tp(0x4A02, 58, 7, 1, 1, 1, 2, 0xFFFF), IP),
    "Teredo": (teredo(), IPv6),
    "Teredo from the server": (teredo(sport=3544, dport=9), IPv6),
    "Teredo with its origin": (teredo(b"\0\0" + bytes(6)), IPv6),
    "Teredo with both": (teredo(b"\0\1\2\3idkey" + bytes(9), b"\0\0" + bytes(6)), IPv6),
}
GTP_TUNNELS = {
    "GTP": gtp(0x30, size=TCP_SIZE),
    "GTP with a number": gtp(0x32, b"\0\7\0\0", TCP_SIZE),
    "GTP with extensions": gtp(0x34, b"\0\0\0\x85" + b"\1\x10\1\x85" + b"\2" + bytes(7), TCP_SIZE),
}
BRIDGES = {
    "bridged GRE": v4() / GRE(proto=BRIDGED),
    "VXLAN": v4() / UDP(sport=9, dport=4789) / VXLAN(vni=9, flags=8),
    "VXLAN of Linux": v4() / UDP(sport=9, dport=8472, chksum=0) / VXLAN(vni=9, flags=8),
    "VXLAN over IPv6": v6() / UDP(sport=9, dport=4789) / VXLAN(vni=9, flags=8),
    "bridged Geneve": v4()
    / UDP(sport=9, dport=6081)
    / GENEVE(vni=8, proto=BRIDGED, options=[GeneveOptions(classid=1, type=2, data=b"12345678")]),
    "bridged VXLAN-GPE": v4() / UDP(sport=9, dport=4790) / Raw(b"\x0c\0\0\3\0\0\7\0"),
    "EtherIP": v4(proto=97) / Raw(b"\x30\0"),
    "ERSPAN I": v4() / GRE(proto=0x88BE),
    "ERSPAN II": v4() / erspan2(),
    "ERSPAN III": v4() / erspan3(),
    "ERSPAN III with more": v4() / erspan3(more=True),
}


def packets() -> dict[str, Packet]:
    found = {}
    for name, (tunnel, version) in IP_TUNNELS.items():
        for transport in (SYN, ANSWER):
            found[f"{name}, {transport.name}"] = ether(tunnel / (FOUR if version is IP else SIX) / transport)
    for name, tunnel in GTP_TUNNELS.items():
        found[name] = ether(tunnel / FOUR / SYN)
    for name, tunnel in BRIDGES.items():
        for ip in (FOUR, SIX):
            for kind, bridged in (("", ether(ip / SYN)), (", tagged", ether(Dot1Q(vlan=5) / ip / ANSWER))):
                found[f"{ip.name} in {name}{kind}"] = ether(tunnel / bridged)
    for name, tunnel in list(BRIDGES.items())[:2]:
        found[f"{name}, 6 in 4 in there"] = ether(tunnel / ether(v4(proto=41) / SIX / SYN))
    return found


PACKETS = packets()


@pytest.mark.parametrize("name", PACKETS)
def test_what_is_in_a_tunnel_is_read(name: str) -> None:
    found = dissected(PACKETS[name])
    [row] = found.kept
    inside = FOUR if row["version"] == 4 else SIX
    assert pick(row, "source", "destination", "ttl") == (inside.src, inside.dst, 9)
    assert (row["tunnel"] == NO_TUNNEL) == ("ERSPAN" in name)
    assert row["data"] == (b"hello" if row["kind"] == "udp" else b"")
    assert found.unread.total() == 0


FIELDS = [
    "frame.protocols",
    *("ip.src", "ip.dst", "ip.ttl", "ipv6.src", "ipv6.dst", "ipv6.hlim"),
    *("tcp.srcport", "tcp.dstport", "tcp.seq_raw", "udp.srcport", "udp.dstport"),
]


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_tshark_reads_the_same(tmp_path: Path) -> None:
    path = tmp_path / "tunnels.pcap"
    wrpcap(str(path), list(PACKETS.values()))
    options = [option for name in FIELDS for option in ("-e", name)]
    found = subprocess.run(
        [
            "tshark",
            "-n",
            "-r",
            path,
            "-T",
            "fields",
            "-E",
            "occurrence=l",
            "-d",
            "udp.port==8472,vxlan",
            *options,
        ],
        capture_output=True,
        check=True,
        text=True,
    )
    expected = [
        innermost(dict(zip(FIELDS, line.split("\t"), strict=True))) for line in found.stdout.splitlines()
    ]
    rows = sorted(dissected(*PACKETS.values()).kept, key=lambda row: row["frame"])
    names = ("kind", "source", "destination", "ttl", "source_port", "destination_port", "sequence")
    assert [pick({"sequence": None, **row}, *names) for row in rows] == expected


def innermost(fields: dict[str, str]) -> tuple[Any, ...]:
    layers = fields["frame.protocols"].split(":")
    version = [layer for layer in layers if layer in {"ip", "ipv6"}][-1]
    kind = [layer for layer in layers if layer in {"tcp", "udp"}][-1]
    addresses = fields[f"{version}.src"], fields[f"{version}.dst"]
    ttl = fields["ip.ttl" if version == "ip" else "ipv6.hlim"]
    ports = (fields[f"{kind}.{end}port"] for end in ("src", "dst"))
    sequence = int(fields["tcp.seq_raw"]) if kind == "tcp" else None
    return kind, *addresses, int(ttl), *map(int, ports), sequence


def test_icmp_errors_from_inside() -> None:
    error = (
        IP(src="10.9.9.9", dst="10.0.0.1") / ICMP(type=3, code=1) / IPerror(src="10.0.0.1", dst="10.50.3.4")
    )
    [row] = dissected(ether(v4() / GRE() / error / UDPerror(sport=9, dport=401))).kept
    assert pick(row, "kind", "source", "quoted_destination", "destination_port", "tunnel") == (
        "icmp",
        "10.9.9.9",
        "10.50.3.4",
        401,
        1,
    )


# --- numbers ------------------------------------------------------------------------------------


def numbered(*frames: Packet) -> list[int]:
    rows = sorted(dissected(*frames).kept, key=lambda row: row["frame"])
    assert len(rows) == len(frames)
    return [row["tunnel"] for row in rows]


def turned(tunnel: Packet) -> Packet:
    """The same tunnel, the other way."""
    other = tunnel.copy()
    other.src, other.dst = tunnel.dst, tunnel.src
    return other


@pytest.mark.parametrize("name", IP_TUNNELS)
def test_both_ways_through_a_tunnel_have_one_number(name: str) -> None:
    tunnel, version = IP_TUNNELS[name]
    inside = FOUR if version is IP else SIX
    assert numbered(ether(tunnel / inside / SYN), ether(turned(tunnel) / inside / SYN_ACK)) == [1, 1]


def test_tunnels_that_differ_have_numbers_that_differ() -> None:
    def gre(**header: Any) -> Packet:
        return GRE(proto=IPV4, **header)

    different = [
        FOUR / SYN,
        v4() / FOUR / SYN,
        v4() / gre() / FOUR / SYN,
        v4() / gre(key_present=1, key=1) / FOUR / SYN,
        v4() / gre(key_present=1, key=2) / FOUR / SYN,
        IP(src=LEFT, dst="192.0.2.3") / gre() / FOUR / SYN,
        IP(src=RIGHT, dst=RIGHT) / gre() / FOUR / SYN,
        v6() / FOUR / SYN,
        IPv6(src=LEFT6, dst="2001:db8:1::3") / FOUR / SYN,
        v4() / v4() / FOUR / SYN,
        v4() / v4() / gre() / FOUR / SYN,
        v4() / UDP(dport=4789) / VXLAN(vni=1, flags=8) / ether(FOUR / SYN),
        v4() / UDP(dport=4789) / VXLAN(vni=2, flags=8) / ether(FOUR / SYN),
        v4() / UDP(dport=6081) / GENEVE(vni=1, proto=IPV4) / FOUR / SYN,
    ]
    found = numbered(*(ether(packet) for packet in different))
    assert found[0] == NO_TUNNEL
    assert sorted(found) == list(range(len(different)))
    assert numbered(*(ether(packet) for packet in different * 2)) == found * 2


@pytest.mark.parametrize("tunnel", GTP_TUNNELS.values(), ids=GTP_TUNNELS)
def test_a_phones_packets_have_one_number_whatever_key_each_way_has(tunnel: Packet) -> None:
    other = turned(tunnel)
    other[Raw].load = other[Raw].load[:4] + b"\0\0\0\x63" + other[Raw].load[8:]
    assert numbered(ether(tunnel / FOUR / SYN), ether(other / FOUR / SYN_ACK)) == [1, 1]


def test_any_relay_may_carry_6to4() -> None:
    there, back = IPv6(src="2002:c000:201::1", dst=SIX.dst), IPv6(src=SIX.dst, dst="2002:c000:201::1")
    relays = (IP(src=LEFT, dst="192.88.99.1", proto=41), IP(src="192.0.2.77", dst=LEFT, proto=41))
    assert numbered(ether(relays[0] / there / SYN), ether(relays[1] / back / SYN_ACK)) == [1, 1]


def test_what_a_mirror_port_or_a_router_hands_on_is_in_no_tunnel() -> None:
    wccp = [GRE(proto=0x883E), GRE(proto=0x883E) / Raw(b"\1\x32\0\0")]
    frames = [
        ether(v4() / erspan2() / ether(FOUR / SYN)),
        *(ether(v4() / kind / FOUR / SYN) for kind in wccp),
    ]
    assert numbered(*frames) == [NO_TUNNEL] * 3
    assert numbered(ether(v4(proto=4) / v4() / erspan2() / ether(FOUR / SYN))) == [1]


def test_a_vxlan_is_one_network_whichever_hosts_carry_it() -> None:
    networks = [
        ether(
            IP(src=f"192.0.2.{host}", dst=RIGHT) / UDP(dport=port) / VXLAN(vni=1, flags=8) / ether(FOUR / SYN)
        )
        for host, port in ((1, 4789), (2, 4789), (3, 8472))
    ]
    assert numbered(*networks) == [1, 1, 1]


def test_a_tunnel_keeps_its_number() -> None:
    found = Dissection()
    for number in (1, 2, 1, 3):
        found.add([bytes(ether(IP(src=LEFT, dst=f"192.0.2.{number}") / GRE() / FOUR / SYN))])
    assert [row["tunnel"] for row in found.kept] == [1, 2, 1, 3]


def test_what_is_dropped_needs_no_number() -> None:
    outer = [IPv6(src=LEFT6, dst=f"2001:db8:2::{number:x}") for number in range(9)]
    found = dissected(
        *(ether(tunnel / FOUR / TCP(sport=1, dport=2)) for tunnel in outer), ether(v6() / FOUR / SYN)
    )
    assert [row["tunnel"] for row in found.kept] == [1]
    assert len(found.book) == 0, "the ends of tunnels are not numbered either"


def test_too_many_tunnels_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnels, "MOST_TUNNELS", 2)
    with pytest.raises(CaptureError, match="more than 2 tunnels"):
        dissected(*(ether(IP(dst=f"192.0.2.{number}") / FOUR / SYN) for number in range(3)))


# --- what is none -------------------------------------------------------------------------------


def kinds(found: Dissection) -> list[tuple[Any, ...]]:
    return [pick(row, "kind", "source_port", "destination_port", "tunnel") for row in found.kept]


def test_whoever_asks_for_a_carrying_port_gets_the_outer_datagram_too() -> None:
    frame = PACKETS["IP in VXLAN"]
    assert kinds(dissected(frame, ports=[4789, 401])) == [("tcp", 51000, 401, 1), ("udp", 9, 4789, 0)]
    assert kinds(dissected(frame, ports=[4789])) == [("udp", 9, 4789, 0)]


def test_what_merely_uses_that_port_is_a_datagram() -> None:
    frames = [
        ether(v4() / UDP(sport=401, dport=4789) / body)
        for body in (b"", b"hello", VXLAN(vni=1, flags=0) / ether(FOUR / SYN), bytes(60), b"\x08" * 60)
    ]
    found = dissected(*frames)
    assert kinds(found) == [("udp", 401, 4789, 0)] * len(frames)
    assert found.unread.total() == 0


WHOLE = bytes(FOUR / SYN)


@pytest.mark.parametrize(
    ("port", "body"),
    [
        (4790, b"\x08\0\0\1\0\0\7\0" + WHOLE),
        (4790, b"\x0c\0\0\4\0\0\7\0" + WHOLE),
        (2152, b"\x30\1\0\x28\0\0\0\7" + WHOLE),
        (2152, b"\x20\xff\0\x28\0\0\0\7" + WHOLE),
        (2152, b"\x30\xff\0\x29\0\0\0\7" + WHOLE),
        (2152, b"\x34\xff\0\x30\0\0\0\7\0\0\0\x85\0\0\0\0" + WHOLE),
        (2152, b"\x34\xff\1\0\0\0\0\7\0\0\0\x85" + b"\1\0\0\x85" * 50 + WHOLE),
        (3544, bytes(SIX / SYN) + b"more"),
        (3544, b"\0\1\xff\xff" + bytes(60)),
        (3544, WHOLE),
        (1701, b"\xc8\2\0\x28\0\7\0\1" + WHOLE),
        (1701, b"\0\3\0\7\0\1\xff\3\0\x21" + WHOLE),
        (1701, b"\2\2\0\7\0\1\xff\xff\xff\3\0\x21" + WHOLE),
    ],
    ids=[
        "GPE without protocol",
        "GPE, NSH",
        "GTP, echo",
        "GTP, another version",
        "GTP, longer than it is",
        "GTP, extension without end",
        "GTP, too many extensions",
        "IPv6 and more",
        "Teredo, cut",
        "Teredo, IPv4",
        "L2TP, control",
        "L2TP, version 3",
        "L2TP, offset beyond the end",
    ],
)
def test_what_is_no_tunnel_whatever_its_port(port: int, body: bytes) -> None:
    found = dissected(ether(v4() / UDP(sport=401, dport=port) / Raw(body)))
    assert kinds(found) == [("udp", 401, port, 0)]
    assert found.unread.total() == 0


def test_what_an_authentication_header_vouches_for_is_read() -> None:
    vouched = bytes([6, 4, 0, 0]) + bytes(20)
    found = dissected(ether(IP(src=FOUR.src, dst=FOUR.dst, proto=51) / Raw(vouched) / SYN))
    assert kinds(found) == [("tcp", 51000, 401, NO_TUNNEL)]
    assert found.kept[0]["data"] == b""
    cut = dissected(ether(IP(src=FOUR.src, dst=FOUR.dst, proto=51) / Raw(vouched[:11])))
    assert (cut.kept, cut.unread.total()) == ([], 1)
    [row] = dissected(ether(v4(proto=51) / Raw(bytes([4, 4, 0, 0]) + bytes(20)) / FOUR / SYN)).kept
    assert pick(row, "source", "tunnel") == (FOUR.src, 1)


@pytest.mark.parametrize(
    "packet",
    [
        v4() / GRE(proto=IPV4, version=1) / FOUR / SYN,
        v4() / GRE(proto=0x880B) / FOUR / SYN,
        v4() / GRE(proto=IPV4, routing_present=1) / FOUR / SYN,
        v4() / GRE(proto=0x0806) / ARP(),
        v4() / GRE(proto=0) / FOUR / SYN,
        v4(proto=47) / Raw(b"\0\0\x08"),
        v4(proto=47) / Raw(b"\0\0\x08\0"),
        v4() / GRE(proto=0x88BE, seqnum_present=1) / Raw(bytes(8)) / ether(FOUR / SYN),
        v4() / erspan3(frame_type=1) / ether(FOUR / SYN),
        v4() / GRE(proto=0x22EB) / Raw(b"\x10" + bytes(11)) / ether(FOUR / SYN),
    ],
    ids=[
        "PPTP",
        "PPP",
        "routing",
        "ARP",
        "type 0",
        "cut",
        "empty",
        "ERSPAN 0",
        "frame type 1",
        "ERSPAN II as III",
    ],
)
def test_a_tunnel_that_cannot_be_read_is_counted(packet: Packet) -> None:
    found = dissected(ether(packet))
    assert (found.kept, found.unread) == ([], {"tunnel that carries no IP": 1})


def test_erspan_may_mirror_ip_alone() -> None:
    for inside in (FOUR, SIX):
        [row] = dissected(ether(v4() / erspan3(frame_type=2) / inside / SYN)).kept
        assert pick(row, "source", "destination_port") == (inside.src, 401)


def test_the_other_version_is_malformed() -> None:
    found = dissected(ether(v4(proto=4) / SIX / SYN), ether(v4(proto=41) / FOUR / SYN))
    assert (found.kept, found.unread) == ([], {"malformed IPv4 header": 1, "malformed IPv6 header": 1})


def test_tunnels_are_looked_into_only_so_deep() -> None:
    def nested(depth: int) -> Packet:
        packet: Packet = FOUR / SYN
        for _ in range(depth):
            packet = v4() / packet
        return ether(packet)

    [row] = dissected(nested(DEEPEST)).kept
    assert pick(row, "source", "tunnel") == ("10.0.0.1", 1)
    found = dissected(nested(DEEPEST + 1))
    assert (found.kept, found.unread) == ([], {"in too many tunnels": 1})


def test_padding_is_in_no_tunnel() -> None:
    short = bytes(ether(v4(proto=4, len=20 + 20) / IP(src="10.0.0.1", dst="10.50.3.4", proto=6))) + bytes(SYN)
    found = dissected(short)
    assert (found.kept, found.unread) == ([], {"cut off in the transport header": 1})


@pytest.mark.parametrize("length", [8 + 8 + 20 + 19, 8 + 8 + 19, 8 + 7, 8, 7])
def test_what_is_behind_the_datagram_is_in_no_tunnel(length: int) -> None:
    """UDP may be shorter than its packet; the rest is of nobody."""
    bridged = b"\x08" + bytes(7) + bytes(ether(FOUR / SYN))
    for port, body in ((2152, b"\x30\xff\0\x28\0\0\0\7" + WHOLE), (4789, bridged)):
        found = dissected(ether(v4() / UDP(sport=9, dport=port, len=length) / Raw(body)))
        assert found.kept == []


def test_a_tunnel_is_read_as_far_as_it_was_captured() -> None:
    """Also where its own header says how long it is."""
    for carried in (gtp(0x30, size=440), gtp(0x34, b"\0\0\0\x85\1\x10\x09\0", size=440)):
        frame = bytes(ether(carried / FOUR / SYN / Raw(bytes(400))))
        whole, cut = dissected(frame), dissected(frame[:-400])
        assert [row["destination_port"] for row in cut.kept] == [401]
        assert kinds(cut) == kinds(whole)
