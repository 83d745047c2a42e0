"""The filter is run by a small interpreter here, so that every branch is met without a socket."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet, Raw

from scanner.wire.bpf import ACCEPT_WHOLE_FRAME, REJECT_ALL, Instruction, replies_filter

from .reply_packets import OTHERS, REPLIES

ETHERNET = replies_filter(14)
BARE = replies_filter(0)


def run(program: tuple[Instruction, ...], data: bytes) -> int:
    """bpf(4): a load beyond the end of the packet ends the program with 0."""
    a = x = place = 0
    sizes = {0x28: ("!H", 0), 0x30: ("!B", 0), 0x48: ("!H", 1), 0x50: ("!B", 1)}
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
        elif code == 0x01:
            x = k
        elif code == 0x07:
            x = a
        elif code in {0x04, 0x54, 0x64}:
            a = {0x04: a + k, 0x54: a & k, 0x64: a << k}[code] & 0xFFFFFFFF
        elif code == 0x06:
            return k
        else:
            holds = {0x15: a == k, 0x35: a >= k, 0x45: bool(a & k)}[code]
            place += true if holds else false


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
    # The protocol of ICMP, the ports of IPv4; the first byte behind IPv6, or the fact that more headers come.
    least = {4: 24 if ICMP in REPLIES[name] else 38, 6: 21 if "authentication" in name else 55}
    assert min(entering) >= least[whole[14] >> 4]
    assert entering == list(range(min(entering), len(whole)))
