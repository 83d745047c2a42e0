"""What simulated hosts say, read by Scapy, which knows the formats from elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP, ICMPerror, IPerror, IPOption_NOP, TCPerror, UDPerror
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoRequest,
    ICMPv6TimeExceeded,
    IPerror6,
    IPv6,
    IPv6ExtHdrDestOpt,
)
from scapy.packet import Packet, Raw

from scanner.model import UsageError
from scanner.wire.behaviours import (
    ACK,
    RST,
    SYN,
    Behaviour,
    Probe,
    Reply,
    behind_options,
    by_port,
    closed_port,
    forged_reset,
    forged_syn_ack,
    icmp_error,
    in_turn,
    late,
    open_port,
    parse_probe_untrusted,
    repeated,
    silent,
    split_handshake,
    together,
    udp_reply,
)

ADDRESSES: dict[str, Any] = {"src": "10.0.0.1", "dst": "10.0.0.2"}
SYN_PROBE = bytes(IP(**ADDRESSES, id=9) / TCP(sport=40000, dport=401, seq=0xFFFFFFFF, flags="S"))
ADDRESSES6: dict[str, Any] = {"src": "2001:db8::1", "dst": "2001:db8::2"}
SYN_PROBE6 = bytes(IPv6(**ADDRESSES6) / TCP(sport=40000, dport=401, seq=0xFFFFFFFF, flags="S"))
UDP_PROBE6 = bytes(IPv6(**ADDRESSES6) / UDP(sport=40000, dport=401) / b"hello")
UDP_PROBE = bytes(IP(**ADDRESSES, id=9) / UDP(sport=40000, dport=401) / b"hello")


def met(packet: bytes, behaviour: Behaviour, nth: int = 1) -> list[Any]:
    probe = parse_probe_untrusted(packet, nth)
    assert probe is not None
    return [read(reply) for reply in behaviour(probe)]


def read(reply: Reply) -> Any:
    packet = IPv6(reply.packet) if reply.packet[0] >> 4 == 6 else IP(reply.packet)
    assert_checksums(packet)
    return packet


def assert_checksums(packet: Packet) -> None:
    """Scapy computes them afresh where they are deleted."""
    again = packet.copy()
    for layer in (IP, TCP, UDP, ICMP):
        if layer in again:
            del again[layer].chksum
    for message in (ICMPv6DestUnreach, ICMPv6TimeExceeded):
        if message in again:
            del again[message].cksum
    assert bytes(again) == bytes(packet)


def tcp(packet: bytes, behaviour: Behaviour) -> Any:
    [reply] = met(packet, behaviour)
    ends = ("10.0.0.2", "10.0.0.1") if reply.version == 4 else ("2001:db8::2", "2001:db8::1")
    assert (reply.src, reply.dst, reply[TCP].sport, reply[TCP].dport) == (*ends, 401, 40000)
    return reply[TCP]


@pytest.mark.parametrize(
    ("behaviour", "flags", "acknowledges"),
    [
        (open_port(), SYN | ACK, 0),
        (closed_port(), RST | ACK, 0),
        (split_handshake(), SYN, None),
        (forged_syn_ack(offset=5), SYN | ACK, 5),
        (forged_reset(offset=5), RST | ACK, 5),
    ],
)
def test_tcp_is_answered_with_flags_and_acknowledgement(
    behaviour: Behaviour, flags: int, acknowledges: int | None
) -> None:
    for probe in (SYN_PROBE, SYN_PROBE6):
        segment = tcp(probe, behaviour)
        assert int(segment.flags) == flags
        # The probe's sequence is the last there is: what follows it is zero.
        assert segment.ack == (0 if acknowledges is None else acknowledges)


def test_an_open_udp_port_replies() -> None:
    [reply] = met(UDP_PROBE, open_port(b"odd"))
    assert (reply.src, reply[UDP].sport, reply[UDP].dport) == ("10.0.0.2", 401, 40000)
    assert bytes(reply[UDP].payload) == b"odd"


def test_a_closed_udp_port_is_unreachable_says_the_host_itself() -> None:
    [reply] = met(UDP_PROBE, closed_port())
    assert (reply.src, reply[ICMP].type, reply[ICMP].code) == ("10.0.0.2", 3, 3)
    assert (reply[IPerror].dst, reply[UDPerror].sport, reply[UDPerror].dport) == ("10.0.0.2", 40000, 401)


def test_over_ipv6_ports_answer_likewise() -> None:
    [reply] = met(UDP_PROBE6, open_port(b"odd"))
    assert (reply.src, reply[UDP].sport, bytes(reply[UDP].payload)) == ("2001:db8::2", 401, b"odd")
    [error] = met(UDP_PROBE6, closed_port())
    assert (error.src, error[ICMPv6DestUnreach].code) == ("2001:db8::2", 4)
    assert (error[IPerror6].dst, error[UDPerror].sport, error[UDPerror].dport) == ("2001:db8::2", 40000, 401)


@pytest.mark.parametrize(("kind", "code"), [*((1, code) for code in range(7)), (3, 0)])
def test_icmpv6_errors_of_any_kind_quote_the_whole_probe(kind: int, code: int) -> None:
    router = int(IPv6Address("2001:db8::fe"))
    for probe in (SYN_PROBE6, UDP_PROBE6):
        [reply] = met(probe, icmp_error(kind, code, responder=router, ttl=9))
        error = reply[ICMPv6DestUnreach if kind == 1 else ICMPv6TimeExceeded]
        assert (reply.src, reply.dst, reply.hlim) == ("2001:db8::fe", "2001:db8::1", 9)
        assert (error.type, error.code, bytes(error)[8:]) == (kind, code, probe)


def test_an_icmpv6_error_fits_the_least_mtu() -> None:
    long = bytes(IPv6(**ADDRESSES6) / UDP(sport=40000, dport=401) / bytes(1400))
    probe = parse_probe_untrusted(long, 1)
    assert probe is not None
    [reply] = icmp_error(1, 0)(probe)
    assert len(reply.packet) == 1280
    [short] = icmp_error(1, 0, quoted=8)(probe)
    assert len(short.packet) == 40 + 8 + 40 + 8


@pytest.mark.parametrize("probe", [SYN_PROBE, UDP_PROBE, SYN_PROBE6, UDP_PROBE6])
def test_options_stand_in_front_of_the_same_reply(probe: bytes) -> None:
    [plain] = met(probe, open_port(b"odd"))
    [reply] = met(probe, behind_options(open_port(b"odd")))
    assert len(bytes(reply)) == len(bytes(plain)) + (4 if reply.version == 4 else 8)
    transport = TCP if TCP in plain else UDP
    assert bytes(reply[transport]) == bytes(plain[transport])
    assert (IPv6ExtHdrDestOpt in reply) == (reply.version == 6)


@pytest.mark.parametrize(("kind", "code"), [(3, 1), (3, 13), (11, 0), (12, 0), (4, 0)])
def test_icmp_errors_of_any_kind_quote_the_probe(kind: int, code: int) -> None:
    [reply] = met(SYN_PROBE, icmp_error(kind, code, responder=0x0A0000FE))
    assert (reply.src, reply.dst, reply[ICMP].type, reply[ICMP].code) == (
        "10.0.0.254",
        "10.0.0.1",
        kind,
        code,
    )
    quote = bytes(reply[ICMP])[8:]
    assert quote == SYN_PROBE[:28]


def test_how_much_is_quoted_is_told() -> None:
    [reply] = met(SYN_PROBE, icmp_error(3, 1, quoted=20))
    assert bytes(reply[ICMP])[8:] == SYN_PROBE
    [short] = met(SYN_PROBE, icmp_error(3, 1, quoted=4))
    assert len(bytes(short[ICMP])) == 8 + 24


def test_a_quote_counts_from_behind_ip_options() -> None:
    probe = bytes(IP(**ADDRESSES, options=[IPOption_NOP()] * 8) / TCP(sport=40000, dport=401, seq=7))
    [reply] = met(probe, icmp_error(3, 3))
    assert reply[ICMPerror if ICMPerror in reply else TCPerror].sport == 40000
    assert len(bytes(reply[ICMP])) == 8 + 28 + 8


def test_the_time_to_live_is_told() -> None:
    for behaviour in (open_port(ttl=7), closed_port(ttl=7), icmp_error(3, 1, ttl=7), split_handshake(ttl=7)):
        assert met(SYN_PROBE, behaviour)[0].ttl == 7


def test_some_say_nothing() -> None:
    assert met(SYN_PROBE, silent()) == []
    for behaviour in (split_handshake(), forged_syn_ack(), forged_reset()):
        assert met(UDP_PROBE, behaviour) == []


def test_behaviours_compose() -> None:
    assert len(met(SYN_PROBE, repeated(open_port(), 3))) == 3
    assert [int(reply[TCP].flags) for reply in met(SYN_PROBE, together(forged_reset(), open_port()))] == [
        RST | ACK,
        SYN | ACK,
    ]
    probe = parse_probe_untrusted(SYN_PROBE, 1)
    assert probe is not None
    assert [reply.delay for reply in late(late(open_port(), 1.5), 1.0)(probe)] == [2.5]


def test_behaviours_take_turns_and_the_last_one_stays() -> None:
    turns = in_turn(silent(), closed_port(), open_port())
    assert [len(met(SYN_PROBE, turns, nth)) for nth in (1, 2, 3, 4)] == [0, 1, 1, 1]
    assert int(met(SYN_PROBE, turns, 9)[0][TCP].flags) == SYN | ACK
    with pytest.raises(UsageError):
        in_turn()


def test_ports_may_differ() -> None:
    host = by_port({401: open_port()})
    other = bytes(IP(**ADDRESSES) / TCP(sport=40000, dport=402, seq=1))
    assert int(tcp(SYN_PROBE, host).flags) == SYN | ACK
    assert int(met(other, host)[0][TCP].flags) == RST | ACK
    assert met(other, by_port({401: open_port()}, otherwise=silent())) == []


def test_a_behaviour_of_ones_own_is_a_function() -> None:
    def echo(probe: Probe) -> list[Reply]:
        return [Reply(udp_reply(probe, probe.packet[28:]))]

    assert bytes(met(UDP_PROBE, echo)[0][UDP].payload) == b"hello"


@given(st.binary(max_size=65))
def test_udp_checksums_are_right_and_never_zero(payload: bytes) -> None:
    [reply] = met(UDP_PROBE, open_port(payload))
    assert reply[UDP].chksum != 0


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\x45" + b"\0" * 18,
        b"\x55" + SYN_PROBE[1:],
        b"\x44" + SYN_PROBE[1:],
        b"\x4f" + SYN_PROBE[1:],
        SYN_PROBE[:39],
        UDP_PROBE[:27],
        bytes(IP(**ADDRESSES) / ICMP()),
        bytes(IP(**ADDRESSES, frag=2, proto=6) / Raw(b"x" * 40)),
        SYN_PROBE6[:59],
        UDP_PROBE6[:47],
        SYN_PROBE6[:20],
        bytes(IPv6(**ADDRESSES6) / ICMPv6EchoRequest()),
    ],
)
def test_what_is_no_probe_is_none(packet: bytes) -> None:
    assert parse_probe_untrusted(packet, 1) is None


@given(
    st.one_of(
        st.binary(max_size=64),
        st.binary(max_size=44).map(lambda tail: b"\x45" + tail),
        st.binary(max_size=70).map(lambda tail: b"\x60\0\0\0\0\0\x06" + tail),
    )
)
def test_any_bytes_are_a_probe_or_none(packet: bytes) -> None:
    probe = parse_probe_untrusted(packet, 1)
    for behaviour in ANY:
        assert probe is None or all(len(reply.packet) >= 20 for reply in behaviour()(probe))


ANY: list[Callable[[], Behaviour]] = [open_port, closed_port, split_handshake, forged_reset]
