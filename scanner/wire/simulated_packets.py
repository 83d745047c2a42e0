"""Packets of simulated hosts, of both versions of IP: a probe taken apart, replies put together.

Layouts: RFC 791 (IPv4), RFC 8200 (IPv6), RFC 9293 (TCP), RFC 768 (UDP), RFC 792 and RFC 4443 (ICMP).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

ICMP = 1
TCP = 6
UDP = 17
ICMPV6 = 58

FIN, SYN, RST, PUSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10

_IPV4 = struct.Struct("!BBHHHBBHII")  # version/IHL TOS length id fragment TTL protocol checksum src dst
_IPV6 = struct.Struct("!IHBB16s16s")  # version/class/label length next-header hop-limit src dst
_TCP = struct.Struct("!HHIIBBHHH")  # sport dport seq ack offset flags window checksum urgent
_UDP = struct.Struct("!HHHH")  # sport dport length checksum
_ICMP = struct.Struct("!BBHI")  # type code checksum unused

_WORD = 1 << 32
_QUOTED_TRANSPORT = 8  # RFC 792: the first 64 bits of the datagram's data
_QUOTED_IPV6 = 1280 - _IPV6.size - _ICMP.size  # RFC 4443, 3.1: as much as the least MTU leaves room for

_ECHO = {4: (8, 0), 6: (128, 129)}
_DESTINATION_OPTIONS = 60
_PADDING = b"\x01\x04\0\0\0\0"  # RFC 8200, 4.2: PadN
_NO_OPERATION = b"\x01" * 4  # RFC 791, 3.1


@dataclass(frozen=True, slots=True)
class Probe:
    """A TCP or UDP packet as it reached a simulated host.

    packet: the datagram. source, destination: addresses as numbers. protocol: of the transport.
    nth: how many packets this host has received by then, this one included. sequence is 0 for UDP.
    """

    packet: bytes
    source: int
    destination: int
    protocol: int
    source_port: int
    destination_port: int
    sequence: int
    nth: int

    @property
    def version(self) -> int:
        """Of IP."""
        return self.packet[0] >> 4


@dataclass(frozen=True, slots=True)
class Reply:
    """A datagram on its way back, and how many seconds the host thought about it."""

    packet: bytes
    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Datagram:
    """An IP datagram taken apart: addresses as numbers, the protocol of what it carries, and that."""

    version: int
    source: int
    destination: int
    protocol: int
    payload: bytes


def parse_datagram_untrusted(packet: bytes) -> Datagram | None:
    """The datagram in some bytes; None where it is none, or a later fragment of one.

    Of IPv6 without extension headers: probes have none.
    """
    version = packet[0] >> 4 if packet else 0
    if version == 4 and len(packet) >= _IPV4.size:
        header = 4 * (packet[0] & 0x0F)
        if header < _IPV4.size or len(packet) < header or int.from_bytes(packet[6:8], "big") & 0x1FFF:
            return None
        source, destination = struct.unpack_from("!II", packet, 12)
        return Datagram(version, source, destination, packet[9], packet[header:])
    if version == 6 and len(packet) >= _IPV6.size:
        source, destination = int.from_bytes(packet[8:24], "big"), int.from_bytes(packet[24:40], "big")
        return Datagram(version, source, destination, packet[6], packet[_IPV6.size :])
    return None


def parse_probe_untrusted(packet: bytes, nth: int) -> Probe | None:
    """The probe in a datagram; None where it is not a whole TCP or UDP packet."""
    datagram = parse_datagram_untrusted(packet)
    needed = {TCP: _TCP.size, UDP: _UDP.size}
    if datagram is None or len(datagram.payload) < needed.get(datagram.protocol, len(packet) + 1):
        return None
    source_port, destination_port, sequence = struct.unpack_from("!HHI", datagram.payload)
    return Probe(
        packet=packet,
        source=datagram.source,
        destination=datagram.destination,
        protocol=datagram.protocol,
        source_port=source_port,
        destination_port=destination_port,
        sequence=sequence if datagram.protocol == TCP else 0,
        nth=nth,
    )


def echo_reply(asked: Datagram, sender: int | None = None) -> bytes | None:
    """The answer to an echo request (RFC 792; RFC 4443, 4.2); None where it is no such thing.

    sender: who answers, where all were asked at once; None for who was asked.
    """
    request, reply = _ECHO[asked.version]
    protocol = ICMP if asked.version == 4 else ICMPV6
    if asked.protocol != protocol or len(asked.payload) < _ICMP.size or asked.payload[0] != request:
        return None
    ends = (asked.destination if sender is None else sender, asked.source)
    message = bytes((reply, 0, 0, 0)) + asked.payload[4:]
    covered = b"" if asked.version == 4 else pseudo_header(6, *ends, protocol, len(message))
    build = ipv4 if asked.version == 4 else ipv6
    return build(protocol, *ends, with_checksum(message, at=2, before=covered))


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
    return _back(probe, TCP, segment, checksum_at=16, ttl=ttl)


def udp_reply(probe: Probe, payload: bytes, ttl: int = 64) -> bytes:
    """A UDP datagram back to the prober."""
    length = _UDP.size + len(payload)
    datagram = _UDP.pack(probe.destination_port, probe.source_port, length, 0) + payload
    return _back(probe, UDP, datagram, checksum_at=6, ttl=ttl)


def icmp_reply(
    probe: Probe,
    kind: int,
    code: int,
    responder: int | None = None,
    quoted: int | None = None,
    ttl: int = 64,
) -> bytes:
    """An ICMP error about the probe, ICMPv6 where it was one of IPv6.

    responder: who sends it; None for the host itself. quoted: bytes quoted behind the probe's IP
    header; None for 8 (RFC 792), or of IPv6 as many as there is room for (RFC 4443).
    """
    if probe.version == 4:
        header = 4 * (probe.packet[0] & 0x0F)
        quote = probe.packet[: header + (_QUOTED_TRANSPORT if quoted is None else quoted)]
    else:
        quote = probe.packet[: _QUOTED_IPV6 if quoted is None else _IPV6.size + quoted]
    sender = probe.destination if responder is None else responder
    message = _ICMP.pack(kind, code, 0, 0) + quote
    protocol = ICMP if probe.version == 4 else ICMPV6
    return _back(probe, protocol, message, checksum_at=2, ttl=ttl, sender=sender)


def ipv4(protocol: int, source: int, destination: int, payload: bytes, ttl: int = 64) -> bytes:
    """An IPv4 datagram without options (identification 0, Don't Fragment, as Linux sends it)."""
    header = _IPV4.pack(0x45, 0, _IPV4.size + len(payload), 0, 0x4000, ttl, protocol, 0, source, destination)
    return with_checksum(header, at=10) + payload


def ipv6(protocol: int, source: int, destination: int, payload: bytes, ttl: int = 64) -> bytes:
    """An IPv6 datagram without extension headers."""
    ends = (source.to_bytes(16, "big"), destination.to_bytes(16, "big"))
    return _IPV6.pack(6 << 28, len(payload), protocol, ttl, *ends) + payload


def with_options(packet: bytes) -> bytes:
    """The same datagram with options of no effect: in the IPv4 header, or in one behind that of IPv6."""
    if packet[0] >> 4 == 6:
        length = int.from_bytes(packet[4:6], "big") + 8
        fields = packet[:4] + length.to_bytes(2, "big") + bytes((_DESTINATION_OPTIONS,)) + packet[7:40]
        return fields + bytes((packet[6], 0)) + _PADDING + packet[40:]
    header_length = 4 * (packet[0] & 0x0F)
    header = bytearray(packet[:header_length] + _NO_OPERATION)
    header[0] += 1
    header[2:4] = (len(packet) + len(_NO_OPERATION)).to_bytes(2, "big")
    header[10:12] = bytes(2)
    return with_checksum(bytes(header), at=10) + packet[header_length:]


def pseudo_header(version: int, source: int, destination: int, protocol: int, length: int) -> bytes:
    """What the checksums of transports cover besides themselves (RFC 9293, 3.1; RFC 8200, 8.1)."""
    if version == 4:
        return struct.pack("!IIBBH", source, destination, 0, protocol, length)
    ends = source.to_bytes(16, "big") + destination.to_bytes(16, "big")
    return ends + struct.pack("!IHBB", length, 0, 0, protocol)


def with_checksum(data: bytes, at: int, before: bytes = b"") -> bytes:
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


def _back(
    probe: Probe, protocol: int, payload: bytes, checksum_at: int, ttl: int, sender: int | None = None
) -> bytes:
    """A datagram to the prober, from who was probed or from `sender`, its checksum filled in."""
    source = probe.destination if sender is None else sender
    ends = (source, probe.source)
    covered = b"" if protocol == ICMP else pseudo_header(probe.version, *ends, protocol, len(payload))
    build = ipv4 if probe.version == 4 else ipv6
    return build(protocol, *ends, with_checksum(payload, at=checksum_at, before=covered), ttl=ttl)
