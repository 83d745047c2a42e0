"""Dissecting, against the packets that Scapy builds and bytes that nobody would build."""

from __future__ import annotations

import random
import struct
from collections import Counter
from ipaddress import IPv6Address
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.contrib.geneve import GENEVE
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPerror, IPOption_Router_Alert, TCPerror, UDPerror
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    IPerror6,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    IPv6ExtHdrSegmentRouting,
    Jumbo,
    PadN,
)
from scapy.layers.ipsec import AH
from scapy.layers.l2 import ARP, GRE, Dot1Q
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from scanner.core.packets import MIRRORED, NO_TUNNEL
from tests.core.dissection import ETHERNET, RAW, Dissection, Row, dissected, ether, pick

PROBER, TARGET, ROUTER = "10.0.0.1", "10.50.3.4", "10.9.9.9"
PROBER6, TARGET6, ROUTER6 = "2001:db8::1", "2001:db8:50::4", "2001:db8:9::9"
ENDS = ("source", "destination", "source_port", "destination_port")
SYN = TCP(sport=51000, dport=401, flags="S", seq=0x80000000)
ANSWER = UDP(sport=401, dport=51000) / b"hello"
EVERY = range(65536)


def four(transport: Packet, **header: Any) -> Packet:
    return ether(IP(**{"src": PROBER, "dst": TARGET, "ttl": 57, **header}) / transport)


def six(transport: Packet, **header: Any) -> Packet:
    return ether(IPv6(**{"src": PROBER6, "dst": TARGET6, "hlim": 57, **header}) / transport)


def only(*frames: bytes | Packet, **options: Any) -> Row:
    found = dissected(*frames, **options)
    assert found.unread.total() == 0
    [row] = found.kept
    return row


# --- what is kept -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrap", "ends", "version"), [(four, (PROBER, TARGET), 4), (six, (PROBER6, TARGET6), 6)], ids=["v4", "v6"]
)
def test_tcp_and_udp(wrap: Any, ends: tuple[str, str], version: int) -> None:
    identification = 77 if version == 4 else 0
    header = {"id": 77} if version == 4 else {}
    frames = [bytes(wrap(SYN / b"data", **header)).ljust(90, b"\xff"), bytes(wrap(ANSWER, **header))[:-2]]
    found = dissected(*frames)
    common = {
        "version": version,
        "source": ends[0],
        "destination": ends[1],
        "ttl": 57,
        "identification": identification,
        "tunnel": NO_TUNNEL,
    }
    assert found.kept == [
        {
            **{"kind": "tcp", "frame": 0, "times": 1000, **common, "source_port": 51000},
            **{"destination_port": 401, "sequence": 0x80000000, "acknowledgement": 0, "flags": 2},
            **{"size": 4, "data": b"data"},
        },
        {
            **{"kind": "udp", "frame": 1, "times": 1001, **common, "source_port": 401},
            **{"destination_port": 51000, "size": 5, "data": b"hel"},
        },
    ]


@pytest.mark.parametrize("wrap", [four, six])
def test_what_bears_on_no_wanted_port_is_dropped(wrap: Any) -> None:
    ports = [(401, 9), (9, 401), (400, 402), (0x9101, 0x0191), (0x0191, 0x9101), (401, 401)]
    frames = [
        wrap(transport(sport=source, dport=destination))
        for transport in (TCP, UDP)
        for source, destination in ports
    ]
    found = dissected(*frames)
    kept = [pair for pair in ports if 401 in pair]
    for kind in ("tcp", "udp"):
        rows = [row for row in found.kept if row["kind"] == kind]
        assert [pick(row, "source_port", "destination_port") for row in rows] == kept
    assert found.unread.total() == 0


def test_only_addresses_of_what_is_kept_are_numbered() -> None:
    unwanted = [six(TCP(sport=1, dport=2), dst=f"2001:db8::{number:x}") for number in range(9, 30)]
    found = dissected(*unwanted, six(SYN))
    assert len(found.book) == 2


def test_numbers_are_wanted_for_class_e_too() -> None:
    row = only(four(SYN, dst="240.0.0.9"))
    assert pick(row, *ENDS) == (PROBER, "240.0.0.9", 51000, 401)


def test_arp_is_read_too() -> None:
    row = only(ether(ARP(op=2, psrc=TARGET, pdst=PROBER)))
    assert pick(row, "kind", "operation") == ("arp", 2)


def test_frames_keep_their_rows_whatever_is_between() -> None:
    kinds = [four(SYN), six(SYN), four(TCP(dport=2)), ether(ARP()), ether(Dot1Q(vlan=2) / IP() / SYN)]
    order = random.Random(5).choices(range(len(kinds)), k=60)
    found = dissected(*(kinds[kind] for kind in order))
    rows = sorted(row["frame"] for row in found.kept)
    assert rows == [row for row, kind in enumerate(order) if kind != 2]
    assert all(row["times"] == 1000 + row["frame"] for row in found.kept)


def test_a_segment_captured_before_the_card_cut_it_up_has_no_length() -> None:
    for frame in (four(SYN / b"data", len=0), six(SYN / b"data", plen=0)):
        assert pick(only(frame), "size", "data") == (4, b"data")


def test_a_segment_is_read_where_its_flags_are_the_last_that_was_captured() -> None:
    """Of 68 bytes, as many as tcpdump once kept of a frame, an IPv6 header leaves these."""
    frame = bytes(six(TCP(sport=401, dport=51000, flags="SA", seq=5, ack=6) / b"and more"))
    row = only(frame[:68])
    assert (row["flags"], row["sequence"], row["acknowledgement"]) == (0x12, 5, 6)
    assert row["size"] == 8
    assert dissected(frame[:67]).unread == {"cut off in the transport header": 1}


@pytest.mark.parametrize(("length", "size"), [(None, 5), (65535, 5), (14, 5), (13, 5), (12, 4), (8, 0)])
def test_a_datagram_has_no_more_bytes_than_its_packet(length: int | None, size: int) -> None:
    for wrap in (four, six):
        assert only(wrap(UDP(sport=401, dport=51000, len=length) / b"hello"))["size"] == size


def test_a_segment_without_a_whole_header_is_none() -> None:
    for size in (14, 19):
        frame = bytes(four(Raw(bytes(SYN)[:size]), proto=6))
        assert dissected(frame).unread == {"cut off in the transport header": 1}
        assert dissected(frame + bytes(SYN)[size:]).unread == {"cut off in the transport header": 1}


def test_a_jumbogram_says_its_length_in_an_option() -> None:
    options = IPv6ExtHdrHopByHop(options=[Jumbo(jumboplen=100_000)])
    frame = six(options / UDP(sport=401, dport=51000, len=0) / b"hello", plen=0)
    assert pick(only(frame), "source_port", "data") == (401, b"hello")


# --- extension headers --------------------------------------------------------------------------

EXTENSIONS = {
    "hop-by-hop": IPv6ExtHdrHopByHop(options=[PadN(optdata=b"\0" * 20)]),
    "routing": IPv6ExtHdrRouting(addresses=[ROUTER6], segleft=1),
    "segment routing": IPv6ExtHdrSegmentRouting(addresses=[ROUTER6, TARGET6], segleft=1),
    "destination options": IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 4)]),
    "authentication": AH(payloadlen=4, spi=1, seq=1, icv=b"\xaa" * 12),
    "atomic fragment": IPv6ExtHdrFragment(offset=0, m=0, id=7),
}


def chained(names: list[str], transport: Packet) -> Packet:
    """Headers one behind the other; Scapy knows not all of their numbers."""
    numbers = {
        "hop-by-hop": 0,
        "routing": 43,
        "segment routing": 43,
        "destination options": 60,
        "authentication": 51,
        "atomic fragment": 44,
    }
    last = {TCP: 6, UDP: 17}[type(transport)]
    following = [numbers[name] for name in names[1:]] + [last]
    body = b""
    for name, number in zip(names, following, strict=True):
        body += bytes([number]) + bytes(EXTENSIONS[name])[1:]
    return six(Raw(body + bytes(transport)), nh=numbers[names[0]] if names else last)


@pytest.mark.parametrize("name", EXTENSIONS)
@pytest.mark.parametrize("transport", [SYN, ANSWER], ids=["tcp", "udp"])
def test_an_extension_header_is_stepped_over(name: str, transport: Packet) -> None:
    row = only(chained([name], transport))
    assert pick(row, "source", "destination") == (PROBER6, TARGET6), "as seen on the wire"
    assert 401 in pick(row, "source_port", "destination_port")
    assert row["data"] == bytes(transport.payload)


@given(st.lists(st.sampled_from(list(EXTENSIONS)), min_size=1, max_size=16))
def test_extension_headers_in_any_order(names: list[str]) -> None:
    row = only(chained(names, ANSWER))
    assert pick(row, *ENDS, "data") == (PROBER6, TARGET6, 401, 51000, b"hello")


@pytest.mark.parametrize("number", [135, 139, 140])
def test_mobility_hip_and_shim6_have_the_same_form(number: int) -> None:
    assert only(six(Raw(bytes([17, 1]) + bytes(14) + bytes(ANSWER)), nh=number))["data"] == b"hello"


def test_a_chain_without_end_is_malformed() -> None:
    found = dissected(chained(["destination options"] * 17, ANSWER))
    assert (found.kept, found.unread) == ([], {"malformed IPv6 header": 1})


@pytest.mark.parametrize("number", [50, 59, 1], ids=["ESP", "no next header", "ICMP"])
def test_what_else_ipv6_carries_is_counted(number: int) -> None:
    found = dissected(six(Raw(bytes(40)), nh=number))
    assert (found.kept, found.unread) == ([], {"other IP protocol": 1})


def test_an_echo_is_counted_where_nobody_asks_about_it() -> None:
    found = dissected(six(ICMPv6EchoRequest(data=b"x" * 60)))
    assert (found.kept, found.unread) == ([], {"ICMP echo": 1})


def test_icmpv6_in_ipv4_is_no_error_message() -> None:
    error = ICMPv6DestUnreach(code=4) / IPerror6(src=PROBER6, dst=TARGET6) / UDPerror(dport=401)
    found = dissected(four(Raw(bytes(error)), proto=58))
    assert (found.kept, found.unread) == ([], {"other IP protocol": 1})


# --- ICMP ---------------------------------------------------------------------------------------

QUOTED = TCPerror(sport=51000, dport=401, seq=0xFEDCBA98, flags="S")
QUOTED_ENDS = ("quoted_source", "quoted_destination", "source_port", "destination_port", "protocol")


def quoting6(message: Packet, quoted: Packet = QUOTED, extension: bytes = b"", **header: Any) -> Packet:
    protocol = 17 if UDPerror in quoted else 6
    inside = IPv6(**{"src": PROBER6, "dst": TARGET6, "nh": protocol, **header}) / Raw(
        extension + bytes(quoted)
    )
    return six(message / Raw(bytes(inside)), src=ROUTER6, dst=PROBER6, nh=58)


@pytest.mark.parametrize(
    ("message", "type_and_code"),
    [
        (ICMPv6DestUnreach(code=4), (1, 4)),
        (ICMPv6PacketTooBig(mtu=1280), (2, 0)),
        (ICMPv6TimeExceeded(code=0), (3, 0)),
        (ICMPv6ParamProblem(code=1, ptr=6), (4, 1)),
    ],
)
def test_icmpv6_errors(message: Packet, type_and_code: tuple[int, int]) -> None:
    row = only(quoting6(message))
    assert pick(row, "kind", "version", "source", "destination") == ("icmp", 6, ROUTER6, PROBER6)
    assert pick(row, "type", "code") == type_and_code
    assert pick(row, *QUOTED_ENDS, "sequence") == (PROBER6, TARGET6, 51000, 401, 6, 0xFEDCBA98)


@pytest.mark.parametrize(("kind", "code"), [(3, 3), (4, 0), (5, 1), (11, 0), (12, 0)], ids=str)
def test_icmpv4_errors(kind: int, code: int) -> None:
    quoted = IPerror(src=PROBER, dst=TARGET, options=[IPOption_Router_Alert()]) / QUOTED
    row = only(four(ICMP(type=kind, code=code) / quoted, src=ROUTER, dst=PROBER))
    assert pick(row, "kind", "version", "source", "type", "code") == ("icmp", 4, ROUTER, kind, code)
    assert pick(row, *QUOTED_ENDS, "sequence") == (PROBER, TARGET, 51000, 401, 6, 0xFEDCBA98)


def test_a_quoted_probe_may_have_extension_headers() -> None:
    extension = bytes([17, 0]) + bytes(6)
    row = only(quoting6(ICMPv6DestUnreach(), UDPerror(sport=9, dport=401), extension, nh=60))
    assert pick(row, *QUOTED_ENDS) == (PROBER6, TARGET6, 9, 401, 17)
    first = struct.pack(">BBHI", 6, 0, 0x0001, 99)
    assert only(quoting6(ICMPv6DestUnreach(), extension=first, nh=44))["protocol"] == 6


def test_an_error_about_another_port_is_dropped() -> None:
    quoted = IPerror(src=PROBER, dst=TARGET) / UDPerror(sport=5, dport=6)
    found = dissected(
        quoting6(ICMPv6DestUnreach(), UDPerror(sport=5, dport=6)), four(ICMP(type=3, code=3) / quoted)
    )
    assert (found.kept, found.unread.total()) == ([], 0)


LATER = struct.pack(">BBHI", 6, 0, 8 << 3 | 1, 99)


@pytest.mark.parametrize(
    "frame",
    [
        quoting6(ICMPv6DestUnreach(), extension=LATER, nh=44),
        quoting6(ICMPv6DestUnreach(), Raw(bytes(QUOTED)[:7]), nh=6),
        six(ICMPv6DestUnreach() / Raw(bytes(IP(src=PROBER, dst=TARGET) / QUOTED)), nh=58),
        four(ICMP(type=3, code=3) / Raw(bytes(IPv6(src=PROBER6, dst=TARGET6) / QUOTED))),
        four(ICMP(type=3, code=3) / IPerror(src=PROBER, dst=TARGET, frag=3) / QUOTED),
    ],
    ids=["later fragment", "seven bytes", "IPv4 in ICMPv6", "IPv6 in ICMP", "later fragment of IPv4"],
)
def test_what_quotes_no_probe_is_counted(frame: Packet) -> None:
    found = dissected(frame)
    assert (found.kept, found.unread) == ([], {"ICMP without a quoted probe": 1})


# --- fragments ----------------------------------------------------------------------------------


def pieces4(transport: Packet, at: int, **header: Any) -> list[bytes]:
    body = bytes(transport)
    common = {"src": PROBER, "dst": TARGET, "proto": 6 if TCP in transport else 17, "id": 5, **header}
    return [
        bytes(ether(IP(**common, flags="MF") / body[:at])),
        bytes(ether(IP(**common, frag=at // 8) / body[at:])),
    ]


def pieces6(transport: Packet, at: int, wrap: Any = six) -> list[bytes]:
    body, number = bytes(transport), 6 if TCP in transport else 17
    return [
        bytes(wrap(IPv6ExtHdrFragment(nh=number, offset=0, m=1, id=9) / Raw(body[:at]))),
        bytes(wrap(IPv6ExtHdrFragment(nh=number, offset=at // 8, m=0, id=9) / Raw(body[at:]))),
    ]


def filled(transport: Packet) -> Packet:
    """With the checksum that is there on the wire."""
    return IP(bytes(IP(src=PROBER, dst=TARGET) / transport)).payload


@pytest.mark.parametrize("pieces", [pieces4, pieces6])
@pytest.mark.parametrize("at", [8, 16, 24])
@pytest.mark.parametrize("backwards", [False, True])
def test_fragments_are_read_together(pieces: Any, at: int, backwards: bool) -> None:
    frames = pieces(filled(SYN / b"data and more"), at)
    row = only(*(frames[::-1] if backwards else frames))
    assert pick(row, "source_port", "destination_port", "flags", "size") == (51000, 401, 2, 13)
    assert row["data"] == b"data and more"
    assert row["frame"] == (1 if backwards else 0), "the row of the first fragment"


def test_fragments_in_frames_that_were_added_one_after_the_other() -> None:
    first, second = pieces4(filled(SYN), 8)
    found = Dissection().add([bytes(four(ANSWER)), first])
    assert [row["frame"] for row in found.kept] == [0]
    found.add([bytes(four(TCP(sport=1, dport=2)))]).add([bytes(four(ANSWER)), second])
    assert [row["frame"] for row in found.kept] == [0, 0, -2], "two in front of those added last"
    found.finish()
    assert (len(found.kept), found.unread.total()) == (3, 0)


@pytest.mark.parametrize("pieces", [pieces4, pieces6])
@pytest.mark.parametrize(("later", "times"), [(MIRRORED // 2, 1), (2 * MIRRORED, 2)])
def test_pieces_seen_again_at_once_are_copies(pieces: Any, later: int, times: int) -> None:
    found = Dissection().add(pieces(filled(SYN), 8))
    found.added += later
    found.add(pieces(filled(SYN), 8)).finish()
    assert len(found.kept) == times
    assert found.unread == Counter({"duplicate fragment": 4 - 2 * times})


def test_of_a_datagram_whose_rest_is_missing_the_beginning_is_read() -> None:
    first, second = pieces4(filled(SYN / b"data and more"), 24)
    assert pick(only(first), "flags", "destination_port") == (2, 401)
    for lonely in (second, pieces6(filled(SYN), 8)[1]):
        found = dissected(lonely)
        assert (found.kept, found.unread.total()) == ([], 1)
    found = dissected(pieces4(filled(SYN), 8)[0])
    assert (found.kept, found.unread) == ([], {"cut off in the transport header": 1}), "no flags are guessed"


def test_fragments_in_a_tunnel_and_a_tunnel_in_fragments() -> None:
    datagram = filled(SYN / b"data")
    plain = only(ether(outer4(proto=41) / IPv6(src=PROBER6, dst=TARGET6) / SYN))
    inside = only(*pieces6(datagram, 8, lambda packet: ether(outer4(proto=41) / base6() / packet)))
    assert pick(inside, "source", "flags", "data") == (PROBER6, 2, b"data")
    assert (plain["tunnel"], inside["tunnel"]) == (1, 1)
    carried = Raw(bytes(IP(src=PROBER, dst=TARGET) / SYN))
    outside = only(*pieces4(carried, 24, src=ROUTER, dst="10.9.9.8", proto=4))
    assert pick(outside, "source", "destination_port", "tunnel") == (PROBER, 401, 1)


def test_fragments_within_fragments() -> None:
    inner = [frame[14:] for frame in pieces4(filled(SYN / b"data and more"), 24)]

    def cut(number: int, at: int) -> list[bytes]:
        return pieces4(Raw(inner[number]), at, src=ROUTER, dst="10.9.9.8", proto=4, id=number)

    row = only(*cut(0, 16), *cut(1, 16))
    assert pick(row, "source", "flags", "data", "frame") == (PROBER, 2, b"data and more", 0)
    row = only(cut(0, 40)[0])
    assert pick(row, "source", "flags", "frame") == (PROBER, 2, 0), "both are given up at the end"


def outer4(**header: Any) -> Packet:
    return IP(src=ROUTER, dst="10.9.9.8", **header)


def base6() -> Packet:
    return IPv6(src=PROBER6, dst=TARGET6)


# --- heard --------------------------------------------------------------------------------------


def test_whoever_was_sent_anything_is_heard() -> None:
    frames: list[bytes | Packet] = [
        four(TCP(sport=1, dport=2), dst="10.1.0.1"),
        four(Raw(b"x"), proto=50, dst="10.1.0.2"),
        four(ICMP(), dst="10.1.0.3"),
        pieces4(filled(SYN), 8, dst="10.1.0.4")[1],
        ether(outer4(proto=4) / IP(src="10.1.0.9", dst="10.1.0.5") / TCP(dport=2)),
        four(Raw(b"x"), proto=50, dst="250.0.0.1"),
        six(TCP(sport=1, dport=2), dst="2001:db8::77"),
    ]
    found = dissected(*frames)
    yes = ["10.1.0.1", "10.1.0.2", "10.1.0.3", "10.1.0.4", "10.1.0.5", "10.9.9.8", "250.0.0.1"]
    no = ["10.1.0.9", ROUTER, PROBER, "10.1.0.6", "250.0.0.2"]
    assert found.dissector.heard(numbers(found, yes)).all()
    assert not found.dissector.heard(numbers(found, no)).any()
    cut = Dissection().add([bytes(four(SYN, dst="10.1.0.8"))[:33]], gap=b"\x08" * 9)
    assert not cut.dissector.heard(numbers(cut, ["10.1.0.8"])).any(), "its last byte may be any"
    six_numbers = numbers(found, ["2001:db8::77", "2001:db8::78", PROBER6])
    assert found.dissector.heard(six_numbers).tolist() == [True, False, False]


def numbers(found: Dissection, texts: list[str]) -> Any:
    if ":" in texts[0]:
        values = [int(IPv6Address(text)) for text in texts]
        halves = [value >> 64 for value in values], [value & (1 << 64) - 1 for value in values]
        return found.book.ipv6(*(np.array(half, dtype=np.uint64) for half in halves))
    packed = [int.from_bytes(bytes(map(int, text.split("."))), "big") for text in texts]
    return found.book.ipv4(np.array(packed, dtype=np.uint32))


# --- hostile bytes ------------------------------------------------------------------------------

SAMPLES: dict[str, bytes | Packet] = {
    "tcp": four(SYN / b"data"),
    "udp with options": four(ANSWER, options=[IPOption_Router_Alert()]),
    "tcp6": six(SYN / b"data"),
    "udp6 behind extensions": chained(["hop-by-hop", "authentication", "atomic fragment"], ANSWER),
    "icmp": four(ICMP(type=3, code=3) / IPerror(src=PROBER, dst=TARGET) / UDPerror(dport=401, sport=9)),
    "icmp6": quoting6(ICMPv6DestUnreach(), extension=bytes([6, 0]) + bytes(6), nh=60),
    "fragment": pieces4(filled(SYN / b"data"), 24)[0],
    "fragment6": pieces6(filled(SYN / b"data"), 24)[0],
    "arp": ether(ARP(op=2)),
    "ipip": ether(outer4() / IP(src=PROBER, dst=TARGET) / SYN),
    "6in4": ether(outer4(proto=41) / base6() / SYN),
    "gre": ether(outer4() / GRE(chksum_present=1, key_present=1, seqnum_present=1, key=9) / base6() / ANSWER),
    "gretap": ether(outer4() / GRE(proto=0x6558) / ether(Dot1Q(vlan=3) / IP(dst=TARGET) / SYN)),
    "vxlan": ether(outer4() / UDP(sport=99, dport=4789) / VXLAN(vni=7, flags=8) / four(SYN)),
    "geneve": ether(outer4() / UDP(sport=99, dport=6081) / GENEVE(vni=7) / six(SYN)),
    "erspan": ether(
        outer4()
        / GRE(proto=0x22EB, seqnum_present=1)
        / Raw(b"\x20" + bytes(10) + b"\x01" + bytes(8))
        / six(SYN)
    ),
}
BYTES = {name: bytes(sample) for name, sample in SAMPLES.items()}


def essence(row: Row) -> Row:
    """What cutting a frame does not change."""
    return {name: value for name, value in row.items() if name != "data"}


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("noise", [b"\x45" * 96, b"\x08\x00\x45\x00\x86\xdd\x60\x01\x91" * 12])
def test_cut_off_at_every_byte(name: str, noise: bytes) -> None:
    """What is missing is never made up, not even from the bytes of the next frame."""
    frame = BYTES[name]
    [whole] = dissected(frame).kept
    for length in range(len(frame)):
        found = dissected(frame[:length])
        assert len(found.kept) + found.unread.total() == 1 or name in {"vxlan", "geneve"}
        assert [essence(row) for row in found.kept] in ([], [essence(whole)])
        beside = Dissection().add([frame[:length]], gap=noise).finish()
        assert (beside.kept, beside.unread) == (found.kept, found.unread)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A true frame with some bytes changed, then cut, then with something random behind it."""
    frame = bytearray(draw(st.sampled_from(list(BYTES.values()))))
    for _ in range(draw(st.integers(0, 3))):
        frame[draw(st.integers(0, len(frame) - 1))] = draw(st.integers(0, 255))
    return bytes(frame[: draw(st.integers(0, len(frame)))]) + draw(st.binary(max_size=60))


FRAMES = st.lists(damaged() | st.binary(max_size=120), max_size=6)


@settings(max_examples=300)
@given(FRAMES, st.sampled_from([ETHERNET, RAW, 113, 0]), st.binary(max_size=3))
def test_any_bytes_are_read_or_counted(frames: list[bytes], link_type: int, gap: bytes) -> None:
    for frame in frames:
        found = Dissection(EVERY).add([frame], link_type, gap).finish()
        untunnelled = [row for row in found.kept if row.get("tunnel", NO_TUNNEL) == NO_TUNNEL]
        assert len(untunnelled) <= 1, "one frame, one packet"
        assert len(found.kept) + found.unread.total() >= 1
    Dissection(EVERY).add(frames, link_type, gap).finish()


@settings(max_examples=200)
@given(st.lists(damaged(), max_size=5), st.integers(0, 5))
def test_what_is_kept_is_what_a_look_at_everything_finds(frames: list[bytes], at: int) -> None:
    """Dropping early, and reading in several goes, changes nothing."""
    every = Dissection(EVERY).add(frames).finish()
    some = Dissection().add(frames[:at]).add(frames[at:]).finish()
    wanted = [
        row
        for row in every.kept
        if row["kind"] == "arp" or 401 in pick(row, "source_port", "destination_port")
    ]
    forget = {"frame", "tunnel"}
    found, expected = (
        sorted(repr({name: row[name] for name in sorted(row) if name not in forget}) for row in rows)
        for rows in (some.kept, wanted)
    )
    assert found == expected
