"""Packets that may be replies to a probe, and packets that may not: for every receive filter."""

from __future__ import annotations

import struct
from typing import Any

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
from scapy.packet import Raw

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
    "behind long options": IPv6(**IPV6, nh=60) / Raw(b"\x06\x02" + bytes(22) + bytes(TCP(dport=40000))),
    "behind two headers": IPv6(**IPV6) / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / TCP(dport=401),
    "behind options, in pieces": IPv6(**IPV6)
    / IPv6ExtHdrHopByHop()
    / IPv6ExtHdrFragment(m=1, nh=17)
    / Raw(bytes(64)),
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
    "listener report": IPv6(**IPV6) / IPv6ExtHdrHopByHop() / ICMPv6MLReport(),
    "low port behind options": IPv6(**IPV6) / IPv6ExtHdrDestOpt() / TCP(dport=16383),
    "nothing behind options": IPv6(**IPV6) / IPv6ExtHdrDestOpt(nh=59),
    "later fragment behind options": IPv6(**IPV6)
    / IPv6ExtHdrHopByHop()
    / IPv6ExtHdrFragment(offset=1, nh=17)
    / Raw(b"\xff" * 64),
    "no message of this type": IPv6(**IPV6, nh=58) / Raw(bytes(32)),
    "an error of the unknown": IPv6(**IPV6, nh=58) / Raw(b"\x05" + bytes(32)),
    "low port behind ip options": IP(**IPV4, options=[IPOption_NOP()] * 4) / UDP(sport=65535, dport=401),
}
