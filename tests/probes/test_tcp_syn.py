"""The SYN probe as it is declared."""

from __future__ import annotations

from scapy.layers.inet import IP, TCP

from scanner.model import Protocol
from scanner.probes.tcp_syn import TCP_SYN


def test_declared() -> None:
    assert TCP_SYN.name == "tcp-syn"
    assert TCP_SYN.protocol is Protocol.TCP
    assert {TCP_SYN.payload(port) for port in range(1, 65536)} == {b""}


def test_the_packet_is_a_bare_syn_that_carries_our_mark() -> None:
    read = IP(bytes(TCP_SYN.packet(b"")))
    assert len(read) == 44
    assert (read.id, read.ttl, read.frag, int(read.flags), read.options) == (0x4750, 64, 0, 0, [])
    assert (read[TCP].flags, read[TCP].ack, read[TCP].options) == ("S", 0, [("MSS", 1460)])


def test_a_payload_is_carried() -> None:
    assert bytes(IP(bytes(TCP_SYN.packet(b"hello")))[TCP].payload) == b"hello"
