"""Decoding, against the frames that Scapy builds, and against bytes that nobody would build."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import (
    ICMP,
    IP,
    TCP,
    UDP,
    IPerror,
    IPOption_Router_Alert,
    IPOption_Timestamp,
    TCPerror,
    UDPerror,
)
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, CookedLinux, CookedLinuxV2, Dot1AD, Dot1Q, Ether, Loopback
from scapy.packet import Packet, Raw

from scanner.core.addresses import parse_address
from scanner.core.decode import decode_untrusted
from scanner.core.packets import Decoded
from scanner.model import CaptureError

ETHERNET, RAW = 1, 101
PROBER, TARGET, ROUTER = "10.0.0.1", "10.50.3.4", "10.9.9.9"

Row = dict[str, int]


def decoded(frames: Iterable[bytes], link_type: int = ETHERNET, gap: bytes = b"") -> Decoded:
    """Decode frames that lie in one buffer, one behind the other or with something in between."""
    listed = list(frames)
    buffer = np.frombuffer(b"".join(frame + gap for frame in listed), dtype=np.uint8)
    lengths = np.array([len(frame) for frame in listed], dtype=np.int64)
    starts = np.cumsum(lengths + len(gap)) - (lengths + len(gap))
    times = 1_000 + np.arange(len(listed), dtype=np.int64)
    return decode_untrusted(buffer, starts, lengths, times, link_type)


ELSEWHERE = {"ip_version", "ip_identification", "ip_tunnel", "payload", "size", "captured"}
"""Columns that have tests of their own."""


def rows_of(group: object) -> list[Row]:
    """The columns of one kind of packet, turned into rows."""
    columns: dict[str, list[int]] = {}
    for name in group.__slots__:  # type: ignore[attr-defined]
        column = getattr(group, name)
        if name == "ip":
            columns |= {f"ip_{inner}": getattr(column, inner).tolist() for inner in column.__slots__}
        else:
            columns[name] = column.tolist()
    for name in ELSEWHERE & set(columns):
        del columns[name]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def count(found: Decoded) -> int:
    """Packets read, and frames accounted for as unread."""
    read = len(found.tcp.ip) + len(found.udp.ip) + len(found.icmp.ip) + len(found.arp)
    return read + sum(found.unread.values())


def ether(payload: Packet) -> Packet:
    return Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / payload


def reply(transport: Packet, **header: Any) -> Packet:
    return IP(**{"src": TARGET, "dst": PROBER, "ttl": 57, **header}) / transport


SYN_ACK = TCP(sport=401, dport=51000, flags="SA", seq=0xDEADBEEF, ack=0x80000001, options=[("MSS", 1460)])
ANSWER = UDP(sport=401, dport=51000) / b"hello"
TCP_ROW = {
    "ip_frame": 0,
    "ip_source": parse_address(TARGET),
    "ip_destination": parse_address(PROBER),
    "ip_ttl": 57,
    "ip_times": 1000,
    "source_port": 401,
    "destination_port": 51000,
    "sequence": 0xDEADBEEF,
    "acknowledgement": 0x80000001,
    "flags": 0x12,
}
UDP_ROW = {name: TCP_ROW[name] for name in TCP_ROW if name not in {"sequence", "acknowledgement", "flags"}}

TAG, OUTER = Dot1Q(vlan=7), Dot1AD(vlan=99)
OPTIONS = [IPOption_Router_Alert(), IPOption_Timestamp()]
LINKS = {
    "ethernet": (Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02"), ETHERNET),
    "vlan": (ether(TAG), ETHERNET),
    "qinq": (ether(OUTER / TAG), ETHERNET),
    "raw": (None, RAW),
    "sll": (CookedLinux(), 113),
    "sll2": (CookedLinuxV2(proto=0x0800), 276),
    "null": (Loopback(), 0),
}


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("options", [[], OPTIONS], ids=["plain", "IP options"])
def test_tcp_and_udp_over_every_link_layer(link: str, options: list[Packet]) -> None:
    header, link_type = LINKS[link]
    packets = [reply(transport, options=options) for transport in (SYN_ACK, ANSWER)]
    frames = [bytes(packet if header is None else header / packet) for packet in packets]
    found = decoded(frames, link_type)
    assert rows_of(found.tcp) == [TCP_ROW]
    assert rows_of(found.udp) == [{**UDP_ROW, "ip_frame": 1, "ip_times": 1001}]
    assert len(found.icmp.ip) == len(found.arp) == found.unread.total() == 0


def test_columns_have_the_types_they_promise() -> None:
    found = decoded(
        [bytes(ether(reply(SYN_ACK))), bytes(ether(reply(ANSWER))), bytes(ether(port_unreachable()))]
    )
    for ip in (found.tcp.ip, found.udp.ip, found.icmp.ip):
        assert [getattr(ip, name).dtype.name for name in ip.__slots__] == [
            "int64",
            "uint8",
            "uint32",
            "uint32",
            "uint8",
            "uint32",
            "uint32",
            "int64",
        ]
    for group, names in (
        (found.tcp, "uint16 uint16 uint32 uint32 uint8 int64 int64 int64"),
        (found.udp, "uint16 uint16 int64 int64 int64"),
        (found.icmp, "uint8 uint8 uint8 uint32 uint32 uint16 uint16 uint32"),
    ):
        columns = [getattr(group, name) for name in group.__slots__ if name != "ip"]
        assert [column.dtype.name for column in columns] == names.split()
        assert all(column.dtype.isnative for column in columns)


def test_what_else_is_known_of_a_packet() -> None:
    segment = reply(TCP(sport=401, dport=51000, options=[("MSS", 1460)]) / b"hello", id=77)
    frames = [bytes(ether(segment)).ljust(64, b"\xff"), bytes(ether(reply(ANSWER, id=78)))[:-2]]
    found = decoded(frames)
    buffer = b"".join(frames)
    for group, data, captured, number in ((found.tcp, b"hello", 5, 77), (found.udp, b"hello", 3, 78)):
        [payload], [size], [there] = group.payload.tolist(), group.size.tolist(), group.captured.tolist()
        assert (size, there) == (len(data), captured), "what the packet says it has, and what is here"
        assert buffer[payload : payload + there] == data[:captured]
        ip = group.ip
        known = ip.version.tolist(), ip.identification.tolist(), ip.tunnel.tolist()
        assert known == ([4], [number], [0])


def test_a_segment_captured_before_the_card_cut_it_up_has_no_length() -> None:
    packet = bytes(ether(reply(TCP(sport=401, dport=51000) / b"hello", len=0)))
    found = decoded([packet])
    assert (found.tcp.size.tolist(), found.unread.total()) == ([5], 0)


def test_padding_behind_the_datagram_is_not_read() -> None:
    short = bytes(ether(reply(UDP(sport=401, dport=51000), len=24)))
    assert short[16:18] == b"\0\x18", "four bytes of a UDP header, the rest padding"
    assert decoded([short]).unread == {"cut off in the transport header": 1}
    padded = bytes(ether(reply(ANSWER))).ljust(60, b"\xff")
    assert rows_of(decoded([padded]).udp) == [UDP_ROW]


def test_tcp_flags_are_all_eight() -> None:
    frames = [bytes(ether(reply(TCP(flags=flags)))) for flags in range(256)]
    assert decoded(frames).tcp.flags.tolist() == list(range(256))


def test_mixed_frames_keep_their_numbers_and_times() -> None:
    kinds = {
        "tcp": ether(reply(SYN_ACK)),
        "udp": ether(reply(ANSWER)),
        "icmp": ether(port_unreachable()),
        "arp": ether(
            ARP(op=2, psrc=TARGET, pdst=PROBER, hwsrc="02:00:00:00:00:09", hwdst="02:00:00:00:00:01")
        ),
        "not IPv4 or ARP": ether(IPv6(src="fe80::1", dst="fe80::2") / TCP()),
        "other IP protocol": ether(reply(Raw(b"x" * 40), proto=47)),
        "later fragment": ether(reply(Raw(b"x" * 40), proto=6, frag=1)),
        "malformed IPv4 header": ether(reply(SYN_ACK, version=5)),
    }
    order = list(kinds) * 5
    random.Random(4).shuffle(order)
    found = decoded([bytes(kinds[kind]) for kind in order])
    for kind, frame, times in (
        ("tcp", found.tcp.ip.frame, found.tcp.ip.times),
        ("udp", found.udp.ip.frame, found.udp.ip.times),
        ("icmp", found.icmp.ip.frame, found.icmp.ip.times),
        ("arp", found.arp.frame, found.arp.times),
    ):
        assert frame.tolist() == [number for number, name in enumerate(order) if name == kind]
        assert (times == 1000 + frame).all()
    assert found.unread == dict.fromkeys(list(kinds)[4:], 5)


# --- fragments ----------------------------------------------------------------------------------


def test_the_first_fragment_is_read_and_later_ones_are_counted() -> None:
    body = bytes(UDP(sport=401, dport=51000, len=3008) / (b"x" * 1472))
    first = reply(Raw(body), proto=17, flags="MF")
    later = reply(Raw(b"\x01\x91\xc7\x38" * 10), proto=17, flags="MF", frag=185)
    every_bit = [reply(Raw(b"\x01\x91\xc7\x38" * 10), proto=17, frag=1 << bit) for bit in range(13)]
    found = decoded([bytes(ether(packet)) for packet in (first, later, *every_bit)])
    assert rows_of(found.udp) == [UDP_ROW]
    assert found.unread == {"later fragment": 14}


def test_a_first_fragment_too_small_for_the_header_is_counted() -> None:
    tiny = reply(Raw(bytes(SYN_ACK)[:16]), proto=6, flags="MF")
    assert decoded([bytes(ether(tiny))]).unread == {"cut off in the transport header": 1}


# --- ICMP ---------------------------------------------------------------------------------------


def port_unreachable(
    quoted: Packet | None = None, *, src: str = TARGET, kind: int = 3, code: int = 3, **header: Any
) -> Packet:
    if quoted is None:
        quoted = UDPerror(sport=51000, dport=401, len=8, chksum=0xABCD)
    outer = IP(src=src, dst=PROBER, ttl=250) / ICMP(type=kind, code=code)
    return outer / IPerror(**{"src": PROBER, "dst": TARGET, **header}) / quoted


ICMP_ROW = {
    "ip_frame": 0,
    "ip_source": parse_address(TARGET),
    "ip_destination": parse_address(PROBER),
    "ip_ttl": 250,
    "ip_times": 1000,
    "type": 3,
    "code": 3,
    "protocol": 17,
    "source": parse_address(PROBER),
    "destination": parse_address(TARGET),
    "source_port": 51000,
    "destination_port": 401,
    "sequence": 0x0008ABCD,
}
QUOTED_SYN = TCPerror(sport=51000, dport=401, seq=0xFEDCBA98, flags="S")
SYN_ROW = {**ICMP_ROW, "protocol": 6, "sequence": 0xFEDCBA98}


def cut(packet: Packet, kept: int) -> bytes:
    """An ICMP error that quotes the IP header and so many bytes behind it, all lengths true."""
    body = bytes(packet)
    inner = 28 + (body[28] & 0x0F) * 4
    return bytes(IP(src=packet.src, dst=packet.dst, ttl=packet.ttl, proto=1) / Raw(body[20 : inner + kept]))


@pytest.mark.parametrize("options", [[], OPTIONS], ids=["plain", "IP options quoted"])
@pytest.mark.parametrize(
    ("quoted", "row"), [(None, ICMP_ROW), (QUOTED_SYN, SYN_ROW)], ids=["quotes UDP", "quotes TCP"]
)
def test_icmp_errors(quoted: Packet | None, row: Row, options: list[Packet]) -> None:
    packet = port_unreachable(quoted, options=options)
    found = decoded([bytes(ether(packet))])
    assert rows_of(found.icmp) == [row]
    assert found.unread.total() == 0
    eight = ether(Raw(cut(packet, 8)))
    eight.type = 0x0800
    assert rows_of(decoded([bytes(eight)]).icmp) == [row], "RFC 792 asks for eight bytes of it"
    for kept in range(-20 - 4 * len(options), 8):
        raw = decoded([cut(packet, kept)], RAW)
        assert len(raw.icmp.ip) == 0
        assert count(raw) == 1


def test_icmp_types_and_codes_are_passed_on() -> None:
    packets = [port_unreachable(kind=kind, code=code) for kind, code in ((3, 13), (11, 0), (11, 1), (0, 255))]
    found = decoded([bytes(ether(packet)) for packet in packets])
    assert list(zip(found.icmp.type.tolist(), found.icmp.code.tolist(), strict=True)) == [
        (3, 13),
        (11, 0),
        (11, 1),
        (0, 255),
    ]


@pytest.mark.parametrize("length", [0, 1, 8, 19, 8 << 8, 0xFFFF])
def test_a_quoted_total_length_that_a_stack_spoilt_does_not_matter(length: int) -> None:
    frame = bytes(ether(port_unreachable(QUOTED_SYN, len=length)))
    assert rows_of(decoded([frame]).icmp) == [SYN_ROW]


@pytest.mark.parametrize(
    "packet",
    [
        IP(src=TARGET, dst=PROBER) / ICMP(type=0, code=1) / (b"x" * 56),
        IP(src=TARGET, dst=PROBER) / ICMP(type=13),
        port_unreachable(Raw(b"x" * 20), proto=1),
        port_unreachable(QUOTED_SYN, frag=1),
        port_unreachable(QUOTED_SYN, version=6),
        port_unreachable(QUOTED_SYN, ihl=4),
        port_unreachable(QUOTED_SYN, ihl=15),
    ],
    ids=[
        "echo reply of a strange code",
        "timestamp request",
        "quotes ICMP that is no echo request",
        "quotes a later fragment",
        "quotes IPv6",
        "quoted header too short",
        "quoted header too long",
    ],
)
def test_icmp_that_quotes_nothing_of_use_is_counted(packet: Packet) -> None:
    found = decoded([bytes(ether(packet))])
    assert len(found.icmp.ip) == 0
    assert found.unread == {"ICMP without a quoted probe": 1}


def test_a_quote_does_not_reach_into_the_padding() -> None:
    body = cut(port_unreachable(QUOTED_SYN), 4)
    frame = ether(Raw(body))
    frame.type = 0x0800
    found = decoded([bytes(frame) + bytes(QUOTED_SYN)[4:]])
    assert len(found.icmp.ip) == 0
    assert count(found) == 1


# --- ARP ----------------------------------------------------------------------------------------

REPLY = ARP(op=2, hwsrc="02:00:00:00:00:09", psrc=TARGET, hwdst="02:00:00:00:00:01", pdst=PROBER)


@pytest.mark.parametrize("link", ["ethernet", "vlan", "qinq"])
def test_arp(link: str) -> None:
    header, link_type = LINKS[link]
    found = decoded([bytes(header / REPLY).ljust(60, b"\xaa")], link_type)
    assert found.unread.total() == 0
    assert rows_of(found.arp) == [
        {
            "frame": 0,
            "times": 1000,
            "operation": 2,
            "sender_mac": [2, 0, 0, 0, 0, 9],
            "sender": parse_address(TARGET),
            "target_mac": [2, 0, 0, 0, 0, 1],
            "target": parse_address(PROBER),
        }
    ]


@pytest.mark.parametrize(
    ("field", "value"), [("hwtype", 6), ("ptype", 0x86DD), ("hwlen", 8), ("plen", 16)], ids=str
)
def test_other_arp_is_counted(field: str, value: int) -> None:
    body = bytearray(bytes(REPLY))
    offset, width = {"hwtype": (0, 2), "ptype": (2, 2), "hwlen": (4, 1), "plen": (5, 1)}[field]
    body[offset : offset + width] = value.to_bytes(width, "big")
    frame = ether(Raw(bytes(body)))
    frame.type = 0x0806
    assert decoded([bytes(frame)]).unread == {"malformed ARP": 1}


# --- hostile bytes ------------------------------------------------------------------------------

SAMPLES = {
    "tcp": ether(reply(SYN_ACK)),
    "tcp behind tags and options": ether(OUTER / TAG / reply(SYN_ACK, options=OPTIONS)),
    "udp": ether(reply(ANSWER)),
    "udp without payload": ether(reply(UDP(sport=401, dport=51000))),
    "icmp quoting udp": ether(port_unreachable()),
    "icmp quoting tcp behind options": ether(port_unreachable(QUOTED_SYN, options=OPTIONS)),
    "arp": ether(REPLY),
}
OPTION_BYTES = len(bytes(IP(src=TARGET, dst=PROBER, options=OPTIONS))) - 20
NEEDED = {
    "tcp": 14 + 20 + 14,
    "tcp behind tags and options": 22 + 20 + OPTION_BYTES + 14,
    "udp": 14 + 20 + 8,
    "udp without payload": 14 + 20 + 8,
    "icmp quoting udp": 14 + 20 + 8 + 20 + 8,
    "icmp quoting tcp behind options": 14 + 20 + 8 + 20 + OPTION_BYTES + 8,
    "arp": 14 + 28,
}


def groups(found: Decoded) -> list[list[Row]]:
    return [rows_of(group) for group in (found.tcp, found.udp, found.icmp, found.arp)]


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("behind", [b"", b"\x45" * 80, b"\x08\x00" * 40], ids=["end", "noise", "ethertypes"])
def test_cut_off_at_every_byte(name: str, behind: bytes) -> None:
    """What is missing is never made up, not even from the bytes of the next frame."""
    frame = bytes(SAMPLES[name])
    whole = decoded([frame])
    assert whole.unread.total() == 0
    for length in range(len(frame)):
        found = decoded([frame[:length]], gap=behind)
        if length >= NEEDED[name]:
            assert groups(found) == groups(whole)
        else:
            assert groups(found) == [[], [], [], []]
            assert found.unread.total() == 1


@pytest.mark.parametrize("name", SAMPLES)
def test_a_frame_in_two_records_is_not_put_together(name: str) -> None:
    frame = bytes(SAMPLES[name])
    for length in range(14, NEEDED[name]):
        found = decoded([frame[:length], frame[length:]])
        assert 0 not in {row.get("ip_frame", row.get("frame")) for group in groups(found) for row in group}
        assert count(found) == 2


@pytest.mark.parametrize(
    ("frame", "name"),
    [
        (b"", "cut off in the link header"),
        (bytes(13), "cut off in the link header"),
        (bytes(14), "cut off in the link header"),
        (bytes(15), "not IPv4 or ARP"),
        (bytes(ether(reply(SYN_ACK)))[:33], "cut off in the IPv4 header"),
        (bytes(ether(reply(SYN_ACK)))[:34], "cut off in the transport header"),
        (bytes(ether(reply(SYN_ACK)))[:47], "cut off in the transport header"),
        (bytes(ether(IP(src=TARGET, dst=PROBER, proto=50))), "other IP protocol"),
        (bytes(ether(reply(SYN_ACK, version=6))), "malformed IPv4 header"),
        (bytes(ether(reply(SYN_ACK, ihl=4))), "malformed IPv4 header"),
        (bytes(ether(reply(SYN_ACK, ihl=15, len=44))), "malformed IPv4 header"),
        (bytes(ether(reply(SYN_ACK, len=19))), "malformed IPv4 header"),
        (bytes(ether(reply(SYN_ACK, len=39))), "cut off in the transport header"),
        (bytes(ether(reply(ANSWER, len=27))), "cut off in the transport header"),
        (bytes(ether(reply(TCP(dataofs=4)))), "malformed TCP header"),
        (bytes(ether(reply(TCP(dataofs=6)))), "malformed TCP header"),
        (bytes(ether(reply(TCP(dataofs=15) / bytes(39)))), "malformed TCP header"),
        (bytes(ether(reply(UDP(len=7)))), "malformed UDP header"),
        (bytes(ether(reply(SYN_ACK, proto=50))), "other IP protocol"),
        (bytes(ether(REPLY))[:41], "malformed ARP"),
    ],
)
def test_lengths_that_lie_are_counted_by_name(frame: bytes, name: str) -> None:
    found = decoded([frame, bytes(SAMPLES["tcp"])])
    assert found.unread == {name: 1}
    assert rows_of(found.tcp) == [{**TCP_ROW, "ip_frame": 1, "ip_times": 1001}]


def test_a_length_beyond_what_was_captured_is_no_lie() -> None:
    """A capture may keep less of a frame than there was."""
    frame = bytes(ether(reply(SYN_ACK / (b"x" * 1000))))
    assert rows_of(decoded([frame[:54]]).tcp) == [TCP_ROW]


def test_a_tcp_header_may_reach_past_what_was_captured_but_not_past_its_packet() -> None:
    """Of a segment yet to be cut up by the card the length is not told, and nothing is held against it."""
    options = TCP(sport=401, dport=51000, seq=7, ack=0xDEADBEF0, flags="SA", options=[("NOP", None)] * 12)
    for length in (None, 0):
        frame = bytes(ether(reply(options / (b"x" * 50), len=length)))
        assert len(decoded([frame[:54]]).tcp.flags) == 1
    assert not len(decoded([bytes(ether(reply(options / (b"x" * 50), len=51)))[:54]]).tcp.flags)


@pytest.mark.parametrize("link_type", [0, 1, 101, 108, 113, 228, 276])
def test_no_frames(link_type: int) -> None:
    found = decoded([], link_type)
    assert groups(found) == [[], [], [], []]
    assert found.unread == {}


def test_unknown_link_type() -> None:
    with pytest.raises(CaptureError, match=r"link type 127 \(IEEE802_11_RADIOTAP\) is not supported"):
        decoded([bytes(SAMPLES["tcp"])], 127)


LINK_TYPES = st.sampled_from([0, 1, 101, 108, 113, 228, 276])
RAW_SAMPLES = [bytes(packet) for packet in SAMPLES.values()]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A true frame with some bytes changed, then cut, then with something random behind it."""
    frame = bytearray(draw(st.sampled_from(RAW_SAMPLES)))
    for _ in range(draw(st.integers(0, 3))):
        frame[draw(st.integers(0, len(frame) - 1))] = draw(st.integers(0, 255))
    return bytes(frame[: draw(st.integers(0, len(frame)))]) + draw(st.binary(max_size=60))


@given(st.lists(damaged() | st.binary(max_size=120), max_size=6), LINK_TYPES, st.binary(max_size=3))
def test_any_bytes_are_read_or_counted(frames: list[bytes], link_type: int, gap: bytes) -> None:
    found = decoded(frames, link_type, gap)
    assert count(found) == len(frames)
    numbers = [found.tcp.ip.frame, found.udp.ip.frame, found.icmp.ip.frame, found.arp.frame]
    every = np.concatenate(numbers).tolist()
    assert len(set(every)) == len(every), "one frame, one packet"
    assert all(0 <= number < len(frames) for number in every)


@given(st.lists(damaged(), min_size=1, max_size=4), st.binary(max_size=3))
def test_a_frame_is_read_the_same_wherever_it_lies(frames: list[bytes], gap: bytes) -> None:
    together = decoded(frames, gap=gap)
    for number, frame in enumerate(frames):
        alone = decoded([frame])
        for group, single in zip(groups(together), groups(alone), strict=True):
            mine = [row for row in group if number == row.get("ip_frame", row.get("frame"))]
            names = {"ip_frame", "ip_times", "frame", "times"}
            stripped = [
                [{name: value for name, value in row.items() if name not in names} for row in rows]
                for rows in (mine, single)
            ]
            assert stripped[0] == stripped[1]


def read_slowly(frame: bytes) -> tuple[str, tuple[int, ...]] | None:
    """What an Ethernet frame holds, one field at a time; None for what cannot be read."""

    def number(at: int, width: int) -> int:
        return int.from_bytes(frame[at : at + width], "big")

    def header_bytes(at: int) -> int:
        """Of an IPv4 header, 0 where there is none."""
        length = (number(at, 1) & 0x0F) * 4
        return length if number(at, 1) >> 4 == 4 and length >= 20 else 0

    at = 14
    while at <= 22 and number(at - 2, 2) in {0x8100, 0x88A8, 0x9100}:
        at += 4
    kind, stop = number(at - 2, 2), len(frame)
    if kind == 0x0806 and stop - at >= 28 and number(at, 6) == 0x000108000604:
        return "arp", (number(at + 6, 2), number(at + 14, 4), number(at + 24, 4))
    body, total = at + header_bytes(at), number(at + 2, 2) or stop - at
    if kind != 0x0800 or stop - at < 20 or body == at or at + total < body or number(at + 6, 2) & 0x1FFF:
        return None
    protocol, stop = number(at + 9, 1), min(stop, at + total)
    ip = (number(at + 12, 4), number(at + 16, 4), number(at + 8, 1))
    ports = (number(body, 2), number(body + 2, 2))
    said = at + total - body
    data = (number(body + 12, 1) >> 4) * 4
    most = said if number(at + 2, 2) else 60
    if protocol == 6 and said >= 20 and stop - body >= 14 and 20 <= data <= most:
        return "tcp", (*ip, *ports, number(body + 4, 4), number(body + 8, 4), number(body + 13, 1))
    if protocol == 17 and stop - body >= 8 and number(body + 4, 2) >= 8:
        return "udp", (*ip, *ports)
    quote = body + 8
    flow = quote + header_bytes(quote)
    useful = flow > quote and number(quote + 9, 1) in {6, 17} and not number(quote + 6, 2) & 0x1FFF
    if protocol == 1 and stop - flow >= 8 and useful:
        quoted = (number(quote + 9, 1), number(quote + 12, 4), number(quote + 16, 4))
        transport = (number(flow, 2), number(flow + 2, 2), number(flow + 4, 4))
        return "icmp", (*ip, number(body, 1), number(body + 1, 1), *quoted, *transport)
    return None


@settings(max_examples=500)
@given(damaged())
def test_against_a_plain_reading(frame: bytes) -> None:
    found = decoded([frame])
    hidden = {"ip_frame", "ip_times", "frame", "times", "sender_mac", "target_mac"}
    read = [
        (kind, tuple(value for name, value in row.items() if name not in hidden))
        for kind, rows in zip(("tcp", "udp", "icmp", "arp"), groups(found), strict=True)
        for row in rows
    ]
    expected = read_slowly(frame)
    assert read == ([] if expected is None else [expected])
    assert found.unread.total() == (expected is None)
