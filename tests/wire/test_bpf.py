"""The filter is run by a small interpreter here, so that every branch is met without a socket."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_NOP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6MLReport,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet, Raw

from scanner.wire.bpf import ACCEPT_WHOLE_FRAME, REJECT_ALL, Instruction, replies_filter

ETHERNET = replies_filter(14)
BARE = replies_filter(0)


def run(program: tuple[Instruction, ...], data: bytes) -> int:
    """bpf(4): a load beyond the end of the packet ends the program with 0."""
    a = x = place = 0
    sizes = {0x28: ("!H", 0), 0x30: ("!B", 0), 0x48: ("!H", 1)}
    while True:
        code, true, false, k = program[place]
        place += 1
        if code in sizes:
            layout, indexed = sizes[code]
            at = k + (x if indexed else 0)
            if at + struct.calcsize(layout) > len(data):
                return 0
            (a,) = struct.unpack_from(layout, data, at)
        elif code == 0xB1:
            if k >= len(data):
                return 0
            x = 4 * (data[k] & 0x0F)
        elif code == 0x54:
            a &= k
        elif code == 0x06:
            return k
        else:
            holds = {0x15: a == k, 0x35: a >= k, 0x45: bool(a & k)}[code]
            place += true if holds else false


IPV4: dict[str, Any] = {"src": "10.0.0.2", "dst": "10.0.0.1"}
IPV6: dict[str, Any] = {"src": "2001:db8::2", "dst": "2001:db8::1"}

REPLIES = {
    "syn-ack": IP(**IPV4) / TCP(sport=401, dport=40000, flags="SA"),
    "lowest port": IP(**IPV4) / TCP(sport=401, dport=16384, flags="R"),
    "highest port": IP(**IPV4) / UDP(sport=401, dport=65535),
    "ip options": IP(**IPV4, options=[IPOption_NOP()] * 4) / UDP(sport=401, dport=40000),
    "first fragment": IP(**IPV4, flags="MF") / UDP(sport=401, dport=40000) / Raw(b"x" * 64),
    "unreachable": IP(**IPV4) / ICMP(type=3, code=3) / IP(**IPV4) / UDP(),
    "time exceeded": IP(**IPV4) / ICMP(type=11) / IP(**IPV4) / UDP(),
    "echo reply": IP(**IPV4) / ICMP(type=0),
    "sctp": IP(**IPV4, proto=132) / Raw(struct.pack("!HHII", 401, 40000, 1, 0)),
    "syn-ack 6": IPv6(**IPV6) / TCP(sport=401, dport=40000, flags="SA"),
    "lowest port 6": IPv6(**IPV6) / UDP(sport=401, dport=16384),
    "sctp 6": IPv6(**IPV6, nh=132) / Raw(struct.pack("!HHII", 401, 40000, 1, 0)),
    "unreachable 6": IPv6(**IPV6) / ICMPv6DestUnreach(code=4) / IPv6() / UDP(),
    "too big 6": IPv6(**IPV6) / ICMPv6PacketTooBig() / IPv6() / UDP(),
    "time exceeded 6": IPv6(**IPV6) / ICMPv6TimeExceeded() / IPv6() / UDP(),
    "parameter problem 6": IPv6(**IPV6) / ICMPv6ParamProblem(code=1) / IPv6() / UDP(),
    "echo reply 6": IPv6(**IPV6) / ICMPv6EchoReply(),
    "neighbour advertisement": IPv6(**IPV6, hlim=255) / ICMPv6ND_NA(tgt="2001:db8::2"),
    "behind hop-by-hop options": IPv6(**IPV6) / IPv6ExtHdrHopByHop() / TCP(dport=40000),
    "behind routing": IPv6(**IPV6) / IPv6ExtHdrRouting(segleft=0) / TCP(dport=40000),
    "behind destination options": IPv6(**IPV6) / IPv6ExtHdrDestOpt() / ICMPv6DestUnreach() / IPv6() / UDP(),
    "behind authentication": IPv6(**IPV6, nh=51) / Raw(b"\x06\x04" + bytes(22) + bytes(TCP(dport=40000))),
    "first fragment 6": IPv6(**IPV6) / IPv6ExtHdrFragment(m=1, nh=17) / Raw(b"x" * 64),
}
OTHERS = {
    "low port": IP(**IPV4) / TCP(sport=40000, dport=16383),
    "our own probe": IP(**IPV4) / UDP(sport=40000, dport=401),
    "later fragment": IP(**IPV4, frag=1, proto=17) / Raw(struct.pack("!HH", 401, 40000) + b"x" * 32),
    "last fragment of icmp": IP(**IPV4, frag=185, proto=1) / Raw(b"x" * 32),
    "another protocol": IP(**IPV4, proto=47) / Raw(b"\xff" * 32),
    "sctp to a low port": IP(**IPV4, proto=132) / Raw(struct.pack("!HHII", 40000, 401, 1, 0)),
    "low port 6": IPv6(**IPV6) / TCP(sport=40000, dport=16383),
    "our own probe 6": IPv6(**IPV6) / UDP(sport=40000, dport=401),
    "sctp to a low port 6": IPv6(**IPV6, nh=132) / Raw(struct.pack("!HHII", 40000, 401, 1, 0)),
    "later fragment 6": IPv6(**IPV6) / IPv6ExtHdrFragment(offset=1, nh=17) / Raw(b"\xff" * 64),
    "nothing 6": IPv6(**IPV6, nh=59) / Raw(b"\xff" * 32),
    "another protocol 6": IPv6(**IPV6, nh=47) / Raw(b"\xff" * 32),
    "echo request 6": IPv6(**IPV6) / ICMPv6EchoRequest(),
    "neighbour solicitation": IPv6(**IPV6) / ICMPv6ND_NS(tgt="2001:db8::1"),
    "router advertisement": IPv6(**IPV6) / ICMPv6ND_RA(),
    "listener report": IPv6(**IPV6) / ICMPv6MLReport(),
    "no message of this type": IPv6(**IPV6, nh=58) / Raw(bytes(32)),
    "an error of the unknown": IPv6(**IPV6, nh=58) / Raw(b"\x05" + bytes(32)),
    "low port behind ip options": IP(**IPV4, options=[IPOption_NOP()] * 4) / UDP(sport=65535, dport=401),
}


@pytest.mark.parametrize("name", REPLIES)
def test_what_may_be_a_reply_enters_whole(name: str) -> None:
    assert run(ETHERNET, bytes(Ether() / REPLIES[name])) == ACCEPT_WHOLE_FRAME
    assert run(BARE, bytes(REPLIES[name])) == ACCEPT_WHOLE_FRAME


@pytest.mark.parametrize("name", OTHERS)
def test_nothing_else_enters(name: str) -> None:
    assert run(ETHERNET, bytes(Ether() / OTHERS[name])) == 0
    assert run(BARE, bytes(OTHERS[name])) == 0


@pytest.mark.parametrize(
    ("frame", "enters"),
    [
        (Ether() / ARP(op=2), True),
        (Ether() / ARP(op=1), False),
        (Ether() / Dot1Q() / Dot1Q() / REPLIES["syn-ack"], False),
        (Ether(type=0x88CC) / Raw(b"\0" * 60), False),
    ],
)
def test_on_ethernet_arp_replies_enter_too(frame: Packet, enters: bool) -> None:
    assert (run(ETHERNET, bytes(frame)) != 0) == enters


def test_the_lowest_port_is_an_argument() -> None:
    program = replies_filter(0, lowest_port=61000)
    assert run(program, bytes(IP() / UDP(dport=61000))) != 0
    assert run(program, bytes(IP() / UDP(dport=60999))) == 0
    assert run(program, bytes(IPv6() / UDP(dport=61000))) != 0
    assert run(program, bytes(IPv6() / UDP(dport=60999))) == 0


def test_a_bare_packet_of_no_version_of_ip_does_not_enter() -> None:
    for name, packet in REPLIES.items():
        assert run(BARE, b"\x55" + bytes(packet)[1:]) == 0, name


@given(st.binary(max_size=80))
def test_both_programs_end_on_any_bytes(data: bytes) -> None:
    for program in (ETHERNET, BARE, REJECT_ALL):
        assert run(program, data) in {0, ACCEPT_WHOLE_FRAME}


@pytest.mark.parametrize("name", REPLIES)
def test_a_frame_cut_before_what_decides_does_not_enter(name: str) -> None:
    whole = bytes(Ether() / REPLIES[name])
    entering = [length for length in range(len(whole)) if run(ETHERNET, whole[:length])]
    # The protocol of ICMP, the ports of IPv4, the next header and the byte or the ports behind it.
    least = {4: 24 if ICMP in REPLIES[name] else 38, 6: 21 if name.startswith("behind") else 55}
    assert min(entering) >= least[whole[14] >> 4]
    assert entering == list(range(min(entering), len(whole)))
