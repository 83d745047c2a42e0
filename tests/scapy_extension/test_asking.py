"""What a Scapy packet asks, and what it may not."""

from __future__ import annotations

import pytest
from scapy.base_classes import Net
from scapy.layers.dns import DNS, DNSQR
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_NOP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw
from scapy.volatile import RandIP, RandShort

from scanner.core.targets import parse_targets
from scanner.model import Protocol, UsageError
from scanner.probes.compiler import compile_probe
from scanner.probes.mark import IP_ID
from scanner.scapy_extension.asking import asked_by


def sent(packet: Packet) -> Packet:
    """The packet that would be stamped out, as Scapy reads it again; addresses and ports are zero."""
    probe = asked_by(packet).probe
    return IP(compile_probe(probe, 401).packet)


@pytest.mark.parametrize(
    ("destination", "targets"),
    [
        ("10.0.0.1", ("10.0.0.1",)),
        ("10.0.0.9/24", ("10.0.0.0-10.0.0.255",)),
        (Net("10.0.0.3", "10.0.0.7"), ("10.0.0.3-10.0.0.7",)),
        (["10.0.0.1", "10.1.0.0/30", Net("10.2.0.1")], ("10.0.0.1", "10.1.0.0-10.1.0.3", "10.2.0.1")),
        ("10.0.0.1/32", ("10.0.0.1",)),
    ],
)
def test_the_destination_names_the_targets(destination, targets):
    asking = asked_by(IP(dst=destination) / TCP(dport=401))

    assert asking.targets == targets
    assert parse_targets(asking.targets)


@pytest.mark.parametrize(
    ("destination", "targets"),
    [
        ("fd00::7", ("fd00::7",)),
        ("fd00::/126", ("fd00::-fd00::3",)),
        (["fd00::1", "fd00::5"], ("fd00::1", "fd00::5")),
    ],
)
def test_so_it_does_for_ipv6(destination, targets):
    assert asked_by(IPv6(dst=destination) / UDP(dport=401)).targets == targets


@pytest.mark.parametrize(
    ("port", "ports"),
    [
        (401, (401,)),
        ((400, 402), (400, 401, 402)),
        ((1, 9, 4), (1, 5, 9)),
        ([3493, 401, (7, 8)], (7, 8, 401, 3493)),
        ("http", (80,)),
        (range(5, 7), (5, 6)),
    ],
)
def test_the_destination_port_names_the_ports(port, ports):
    assert asked_by(IP(dst="10.0.0.1") / TCP(dport=port)).ports == ports


def test_the_port_that_scapy_would_take_is_taken():
    assert asked_by(IP(dst="10.0.0.1") / TCP()).ports == (80,)


def test_the_source_is_an_address_of_ours():
    assert asked_by(IP(dst="10.0.0.1", src="10.0.0.5") / TCP()).source == "10.0.0.5"
    assert asked_by(IP(dst="10.0.0.1") / TCP()).source is None


def test_the_packet_leaves_as_it_is_written():
    options = [("MSS", 1400), ("SAckOK", b""), ("NOP", None), ("WScale", 7)]

    packet = sent(IP(dst="10.0.0.1", ttl=9, tos=32, flags="DF") / TCP(dport=401, window=512, options=options))

    assert (packet.ttl, packet.tos, str(packet.flags)) == (9, 32, "DF")
    assert (packet[TCP].window, packet[TCP].options[:2], str(packet[TCP].flags)) == (512, options[:2], "S")


def test_all_probes_carry_the_mark():
    assert sent(IP(dst="10.0.0.1") / TCP()).id == IP_ID
    assert sent(IP(dst="10.0.0.1") / UDP()).id == IP_ID


def test_so_they_do_over_ipv6():
    probe = asked_by(IPv6(dst="fd00::1", hlim=9, tc=4) / TCP(dport=401, window=512)).probe

    packet = IPv6(compile_probe(probe, 401, 6).packet)

    assert (packet.fl, packet.hlim, packet.tc, packet[TCP].window) == (IP_ID, 9, 4, 512)


def test_a_link_local_destination_names_its_link():
    asking = asked_by(IPv6(dst="fe80::1%lo") / TCP(dport=401))

    assert (asking.targets, asking.interface) == (("fe80::1",), "lo")


def test_a_datagram_carries_any_payload():
    asking = asked_by(IP(dst="10.0.0.1") / UDP(dport=53) / DNS(id=7, qd=DNSQR(qname="example.org")))

    assert asking.probe.protocol is Protocol.UDP
    assert sent(IP(dst="10.0.0.1") / UDP() / b"hello")[Raw].load == b"hello"
    assert DNS(asking.probe.payload(53)).qd[0].qname == b"example.org."


def test_what_is_drawn_at_random_is_the_same_for_all():
    probe = asked_by(IP(dst="10.0.0.1") / UDP(dport=53) / DNS(id=RandShort())).probe

    assert compile_probe(probe, 53) == compile_probe(probe, 53)


@pytest.mark.parametrize(
    ("packet", "why"),
    [
        ("10.0.0.1", "takes one Scapy packet, not str"),
        ([IP(dst="10.0.0.1") / TCP()], "takes one Scapy packet, not list"),
        (Ether() / IP(dst="10.0.0.1") / TCP(), "this is Ether/IP/TCP"),
        (IP(dst="10.0.0.1") / ICMP(), "this is IP/ICMP"),
        (IP(dst="10.0.0.1"), "this is IP;"),
        (TCP(), "this is TCP;"),
        (IP(dst="10.0.0.1") / TCP() / b"data", "a SYN of a sweep carries no data"),
        (IP() / TCP(dport=401), "IP.dst is not given"),
        (IP(dst=[]) / TCP(dport=401), "dst is an empty list"),
        (IP(dst=RandIP()) / TCP(), "dst is <RandIP>"),
        (IP(dst="10.0.0.1", src=["10.0.0.2", "10.0.0.3"]) / TCP(), "IP.src has several values"),
        (IP(dst="10.0.0.1") / TCP(dport=0), "port 0 does not exist"),
        (IP(dst="10.0.0.1") / TCP(dport=RandShort()), "dport is"),
        (IP(dst="10.0.0.1") / TCP(flags="A"), "a sweep asks by SYN alone"),
        (IP(dst="10.0.0.1") / TCP(flags="SEC"), "a sweep asks by SYN alone"),
        (IP(dst="10.0.0.1") / TCP(flags=["S", "F"]), "a sweep asks by SYN alone"),
        (IP(dst="10.0.0.1") / TCP(sport=5), "TCP.sport cannot be set: it is part of the cookie"),
        (IP(dst="10.0.0.1") / TCP(seq=5), "TCP.seq cannot be set: it is part of the cookie"),
        (IP(dst="10.0.0.1") / UDP(sport=5), "UDP.sport cannot be set: it is part of the cookie"),
        (IP(dst="10.0.0.1") / UDP(chksum=0), "UDP.chksum cannot be set: it is worked out"),
        (IP(dst="10.0.0.1", id=5) / TCP(), "IP.id cannot be set: it is the mark"),
        (IPv6(dst="fd00::1", fl=5) / TCP(), "IPv6.fl cannot be set: it is the mark"),
        (IPv6(dst="fd00::1") / IPv6ExtHdrDestOpt() / TCP(), "this is IPv6/IPv6ExtHdrDestOpt/TCP"),
        (IPv6(dst=["fe80::1%lo", "fd00::1"]) / TCP(), "dst names several links"),
        (IP(dst="10.0.0.1", len=50) / TCP(), "IP.len cannot be set"),
        (IP(dst="10.0.0.1", flags="MF") / TCP(), "IP.flags cannot have MF"),
        (IP(dst="10.0.0.1", frag=1) / TCP(), "IP.frag cannot be set"),
        (IP(dst="10.0.0.1", options=IPOption_NOP()) / TCP(), "IP.options cannot be sent"),
        (IP(dst="10.0.0.1", ttl=(1, 4)) / TCP(), "IP.ttl has several values"),
        (IP(dst="10.0.0.1") / TCP(window=[1, 2]), "TCP.window has several values"),
    ],
)
def test_what_a_sweep_cannot_do_is_refused_by_name(packet, why):
    with pytest.raises(UsageError) as refused:
        asked_by(packet)
    assert why in str(refused.value)
    assert "\n" not in str(refused.value)
