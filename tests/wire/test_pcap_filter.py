"""libpcap makes a program of the expression, and the kernel runs it: both must read it as it is meant."""

from __future__ import annotations

import ctypes
import socket
from collections.abc import Iterator

import pytest
from scapy.arch.common import compile_filter
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

from scanner.wire.bpf import Instruction
from scanner.wire.packet_socket import attach_filter
from scanner.wire.pcap_filter import replies_expression

from .reply_packets import OTHERS, REPLIES

ETHERNET, BARE = 1, 12  # DLT_EN10MB and DLT_RAW


class Filtered:
    """A pair of sockets, what comes out of it filtered by an expression."""

    def __init__(self, expression: str, link_type: int) -> None:
        self._inward, self._outward = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._inward.setblocking(False)
        attach_filter(self._inward, compiled(expression, link_type))

    def lets_in(self, data: bytes) -> bool:
        self._outward.send(data)
        try:
            return self._inward.recv(1 << 16) == data
        except BlockingIOError:
            return False

    def close(self) -> None:
        self._inward.close()
        self._outward.close()


def compiled(expression: str, link_type: int) -> list[Instruction]:
    program = compile_filter(expression, linktype=link_type)
    data = ctypes.string_at(program.bf_insns, 8 * program.bf_len)
    return [
        (
            int.from_bytes(data[at : at + 2], "little"),
            data[at + 2],
            data[at + 3],
            int.from_bytes(data[at + 4 : at + 8], "little"),
        )
        for at in range(0, len(data), 8)
    ]


@pytest.fixture(params=[ETHERNET, BARE], ids=["ethernet", "bare"])
def link(request: pytest.FixtureRequest) -> Iterator[tuple[Filtered, Packet]]:
    """A filter for a type of link, and its header."""
    filtered = Filtered(replies_expression(), request.param)
    yield filtered, Ether() if request.param == ETHERNET else Raw()
    filtered.close()


def test_it_lets_in_what_may_be_a_reply(link: tuple[Filtered, Packet]) -> None:
    filtered, header = link
    assert [name for name, packet in REPLIES.items() if not filtered.lets_in(bytes(header / packet))] == []


def test_it_lets_in_nothing_else(link: tuple[Filtered, Packet]) -> None:
    filtered, header = link
    assert [name for name, packet in OTHERS.items() if filtered.lets_in(bytes(header / packet))] == []


def test_on_ethernet_it_lets_arp_replies_in() -> None:
    filtered = Filtered(replies_expression(), ETHERNET)
    assert filtered.lets_in(bytes(Ether() / ARP(op=2)))
    assert not filtered.lets_in(bytes(Ether() / ARP(op=1)))
    filtered.close()


@pytest.mark.parametrize("header", [IP(), IPv6()])
def test_the_lowest_port_is_an_argument(header: Packet) -> None:
    filtered = Filtered(replies_expression(lowest_port=61000), BARE)
    assert filtered.lets_in(bytes(header / UDP(dport=61000)))
    assert not filtered.lets_in(bytes(header / UDP(dport=60999)))
    filtered.close()
