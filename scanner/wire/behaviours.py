"""How simulated hosts answer: each behaviour is a function from a probe to its replies.

Behaviours compose: `late(open_port(), 2.0)`, `in_turn(closed_port(), open_port())`. To write
another one, write a function that takes a `Probe` and returns `Reply` values; packets are
IPv4 datagrams in bytes, built by the functions at the end of this file.

Layouts: RFC 791 (IPv4), RFC 9293 (TCP), RFC 768 (UDP), RFC 792 (ICMP).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from scanner.model import UsageError

ICMP = 1
TCP = 6
UDP = 17

FIN, SYN, RST, PUSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10

_ICMP_UNREACHABLE = 3
_PORT_UNREACHABLE = 3
_QUOTED_TRANSPORT = 8  # RFC 792: the first 64 bits of the datagram's data
_WORD = 1 << 32

_IPV4 = struct.Struct("!BBHHHBBHII")  # version/IHL TOS length id fragment TTL protocol checksum src dst
_TCP = struct.Struct("!HHIIBBHHH")  # sport dport seq ack offset flags window checksum urgent
_UDP = struct.Struct("!HHHH")  # sport dport length checksum
_ICMP = struct.Struct("!BBHI")  # type code checksum unused


@dataclass(frozen=True, slots=True)
class Probe:
    """A TCP or UDP packet as it reached a simulated host.

    packet: the IPv4 datagram. source, destination: addresses, uint32. nth: how many packets
    this host has received by then, this one included. sequence is 0 for UDP.
    """

    packet: bytes
    source: int
    destination: int
    protocol: int
    source_port: int
    destination_port: int
    sequence: int
    nth: int


@dataclass(frozen=True, slots=True)
class Reply:
    """An IPv4 datagram on its way back, and how many seconds the host thought about it."""

    packet: bytes
    delay: float = 0.0


Behaviour: TypeAlias = Callable[[Probe], Sequence[Reply]]


def parse_probe_untrusted(packet: bytes, nth: int) -> Probe | None:
    """The probe in an IPv4 datagram; None where it is not a whole TCP or UDP packet."""
    if len(packet) < _IPV4.size or packet[0] >> 4 != 4:
        return None
    header = 4 * (packet[0] & 0x0F)
    protocol = packet[9]
    needed = {TCP: _TCP.size, UDP: _UDP.size}.get(protocol)
    if needed is None or header < _IPV4.size or len(packet) < header + needed:
        return None
    if int.from_bytes(packet[6:8], "big") & 0x1FFF:
        return None  # a later fragment has no ports
    source, destination = struct.unpack_from("!II", packet, 12)
    source_port, destination_port, sequence = struct.unpack_from("!HHI", packet, header)
    return Probe(
        packet=packet,
        source=source,
        destination=destination,
        protocol=protocol,
        source_port=source_port,
        destination_port=destination_port,
        sequence=sequence if protocol == TCP else 0,
        nth=nth,
    )


def silent() -> Behaviour:
    """Says nothing, as behind a firewall that drops."""
    return lambda _: ()


def open_port(payload: bytes = b"", ttl: int = 64) -> Behaviour:
    """TCP: SYN/ACK. UDP: a datagram with `payload`."""

    def behave(probe: Probe) -> Sequence[Reply]:
        if probe.protocol == UDP:
            return (Reply(udp_reply(probe, payload, ttl=ttl)),)
        return (Reply(tcp_reply(probe, SYN | ACK, ttl=ttl)),)

    return behave


def closed_port(ttl: int = 64) -> Behaviour:
    """TCP: RST/ACK (RFC 9293, 3.10.7.1). UDP: ICMP port unreachable by the host itself."""
    unreachable = icmp_error(_ICMP_UNREACHABLE, _PORT_UNREACHABLE, ttl=ttl)

    def behave(probe: Probe) -> Sequence[Reply]:
        return unreachable(probe) if probe.protocol == UDP else (Reply(tcp_reply(probe, RST | ACK, ttl=ttl)),)

    return behave


def split_handshake(ttl: int = 64) -> Behaviour:
    """TCP: a SYN of its own, without ACK (simultaneous open). UDP: nothing."""

    def behave(probe: Probe) -> Sequence[Reply]:
        return (Reply(tcp_reply(probe, SYN, ttl=ttl)),) if probe.protocol == TCP else ()

    return behave


def icmp_error(
    kind: int, code: int, responder: int | None = None, quoted: int = _QUOTED_TRANSPORT, ttl: int = 64
) -> Behaviour:
    """An ICMP error of any type and code that quotes the probe.

    responder: the router that sends it; None for the host itself. quoted: bytes quoted behind
    the probe's IP header, 8 by RFC 792, more by RFC 1812.
    """

    def behave(probe: Probe) -> Sequence[Reply]:
        quote = probe.packet[: 4 * (probe.packet[0] & 0x0F) + quoted]
        sender = probe.destination if responder is None else responder
        message = _with_checksum(_ICMP.pack(kind, code, 0, 0) + quote, at=2)
        return (Reply(ipv4(ICMP, sender, probe.source, message, ttl=ttl)),)

    return behave


def forged_syn_ack(offset: int = 1234, ttl: int = 64) -> Behaviour:
    """TCP: a SYN/ACK whose acknowledgement is wrong by `offset`, as from who never saw the SYN."""
    return _forged(SYN | ACK, offset, ttl)


def forged_reset(offset: int = 1234, ttl: int = 64) -> Behaviour:
    """TCP: a reset whose acknowledgement is wrong by `offset`."""
    return _forged(RST | ACK, offset, ttl)


def _forged(flags: int, offset: int, ttl: int) -> Behaviour:
    def behave(probe: Probe) -> Sequence[Reply]:
        if probe.protocol != TCP:
            return ()
        mistaken = replace(probe, sequence=(probe.sequence + offset) % _WORD)
        return (Reply(tcp_reply(mistaken, flags, ttl=ttl)),)

    return behave


def repeated(behaviour: Behaviour, times: int = 2) -> Behaviour:
    """Every reply `times` times over."""
    return lambda probe: [reply for reply in behaviour(probe) for _ in range(times)]


def together(*behaviours: Behaviour) -> Behaviour:
    """The replies of all of them, in order."""
    return lambda probe: [reply for behaviour in behaviours for reply in behaviour(probe)]


def late(behaviour: Behaviour, seconds: float) -> Behaviour:
    """The same replies, so many seconds later."""
    return lambda probe: [replace(reply, delay=reply.delay + seconds) for reply in behaviour(probe)]


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """The first probe meets the first behaviour, and so on; the last one stays."""
    if not behaviours:
        raise UsageError("in_turn() needs at least one behaviour")
    return lambda probe: behaviours[min(probe.nth, len(behaviours)) - 1](probe)


def by_port(ports: Mapping[int, Behaviour], otherwise: Behaviour | None = None) -> Behaviour:
    """A behaviour for each destination port; `otherwise` (closed, if None) for the rest."""
    rest = closed_port() if otherwise is None else otherwise
    return lambda probe: ports.get(probe.destination_port, rest)(probe)


def tcp_reply(probe: Probe, flags: int, ttl: int = 64, sequence: int = 0x1000_0000) -> bytes:
    """A TCP segment back to the prober; with ACK it acknowledges the probe's sequence + 1.

    A RST has sequence zero, as RFC 9293, 3.10.7.1 has it.
    """
    acknowledged = (probe.sequence + 1) % _WORD if flags & ACK else 0
    own = 0 if flags & RST else sequence
    window = 0 if flags & RST else 64240
    segment = _TCP.pack(
        probe.destination_port, probe.source_port, own, acknowledged, 5 << 4, flags, window, 0, 0
    )
    pseudo = _pseudo_header(probe.destination, probe.source, TCP, len(segment))
    return ipv4(TCP, probe.destination, probe.source, _with_checksum(segment, at=16, before=pseudo), ttl=ttl)


def udp_reply(probe: Probe, payload: bytes, ttl: int = 64) -> bytes:
    """A UDP datagram back to the prober."""
    length = _UDP.size + len(payload)
    datagram = _UDP.pack(probe.destination_port, probe.source_port, length, 0) + payload
    pseudo = _pseudo_header(probe.destination, probe.source, UDP, length)
    return ipv4(UDP, probe.destination, probe.source, _with_checksum(datagram, at=6, before=pseudo), ttl=ttl)


def ipv4(protocol: int, source: int, destination: int, payload: bytes, ttl: int = 64) -> bytes:
    """An IPv4 datagram without options (identification 0, Don't Fragment, as Linux sends it)."""
    header = _IPV4.pack(0x45, 0, _IPV4.size + len(payload), 0, 0x4000, ttl, protocol, 0, source, destination)
    return _with_checksum(header, at=10) + payload


def _pseudo_header(source: int, destination: int, protocol: int, length: int) -> bytes:
    return struct.pack("!IIBBH", source, destination, 0, protocol, length)


def _with_checksum(data: bytes, at: int, before: bytes = b"") -> bytes:
    """`data` with the Internet checksum (RFC 1071) over `before` and itself written at `at`."""
    summed = before + data
    summed += b"\0" * (len(summed) % 2)
    total: int = sum(struct.unpack(f"!{len(summed) // 2}H", summed))
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    checksum = ~total & 0xFFFF
    if checksum == 0 and before:
        checksum = 0xFFFF  # RFC 768: zero would say that there is none; equal in TCP's arithmetic
    return b"".join((data[:at], checksum.to_bytes(2, "big"), data[at + 2 :]))
