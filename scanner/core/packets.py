"""Decoded packets, as columns: what the decoder gives and the rules look at.

An address is one 32-bit number. Those of IPv4 are themselves; where a capture is read, IPv6 addresses
have the numbers that an `AddressBook` gave them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanner.core.columns import Columns

ICMP = 1
TCP = 6
UDP = 17
ICMPV6 = 58
SCTP = 132

NO_PORT = 0
"""In the place of a port, where a protocol has none."""

NO_TIME = -1
"""In the place of a time, of packets that a capture gives none."""

MIRRORED = 10_000_000
"""Nanoseconds within which the same packet seen again is a copy of it: a mirror port's, or of another device
of the host. Whoever asks again waits longer (RFC 6298 has a second, nmap a tenth of one)."""

ECHO_TYPES = {4: (8, 0), 6: (128, 129)}
"""ICMP types of echo requests and replies, by version of IP (RFC 792; RFC 4443, 4.1 and 4.2)."""

INIT, INIT_ACK, ABORT = 1, 2, 6
"""Types of SCTP chunks (RFC 9260, 3.2)."""

ARP_REPLY = 2
"""The operation of an answer (RFC 826)."""

NEIGHBOUR_SOLICITATION, NEIGHBOUR_ADVERTISEMENT = 135, 136
"""ICMPv6 types (RFC 4861, 4.3 and 4.4)."""

NO_TUNNEL = 0
"""The number of the network that is in no tunnel."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Datagrams(Columns):
    """What all IP packets have, one element a packet.

    frame: int64, which frame of the input. version: uint8, 4 or 6. source, destination: uint32.
    ttl: uint8, time to live or hop limit. identification: uint32 (RFC 791, 3.1; RFC 8200, 4.5), 0 where
    IPv6 has none. tunnel: uint32, a number for each tunnel that packets came in, NO_TUNNEL outside.
    times: int64 ns.
    """

    frame: NDArray[np.int64]
    version: NDArray[np.uint8]
    source: NDArray[np.uint32]
    destination: NDArray[np.uint32]
    ttl: NDArray[np.uint8]
    identification: NDArray[np.uint32]
    tunnel: NDArray[np.uint32]
    times: NDArray[np.int64]

    @staticmethod
    def none() -> Datagrams:
        """Not one."""
        wide, word = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.uint32)
        byte = np.empty(0, dtype=np.uint8)
        return Datagrams(wide, byte, word, word, byte, word, word, wide)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Segments(Columns):
    """TCP segments: `ip`, ports uint16, sequence numbers uint32, flags uint8.

    payload: int64, where in the buffer the data begin. size: int64, bytes of data that the segment
    says it has. captured: int64, how many of those are in the buffer.
    """

    ip: Datagrams
    source_port: NDArray[np.uint16]
    destination_port: NDArray[np.uint16]
    sequence: NDArray[np.uint32]
    acknowledgement: NDArray[np.uint32]
    flags: NDArray[np.uint8]
    payload: NDArray[np.int64]
    size: NDArray[np.int64]
    captured: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class UserDatagrams(Columns):
    """UDP datagrams: `ip` and ports uint16; payload, size and captured as in `Segments`."""

    ip: Datagrams
    source_port: NDArray[np.uint16]
    destination_port: NDArray[np.uint16]
    payload: NDArray[np.int64]
    size: NDArray[np.int64]
    captured: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SctpPackets(Columns):
    """SCTP packets (RFC 9260, 3): `ip` and ports uint16.

    tag: uint32, the verification tag. chunk: uint8, type of the first chunk. initiate: uint32, the initiate
    tag if that is INIT or INIT ACK, else 0.
    """

    ip: Datagrams
    source_port: NDArray[np.uint16]
    destination_port: NDArray[np.uint16]
    tag: NDArray[np.uint32]
    chunk: NDArray[np.uint8]
    initiate: NDArray[np.uint32]

    @staticmethod
    def none() -> SctpPackets:
        """Not one."""
        port, word = np.empty(0, dtype=np.uint16), np.empty(0, dtype=np.uint32)
        return SctpPackets(Datagrams.none(), port, port, word, np.empty(0, dtype=np.uint8), word)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Echoes(Columns):
    """ICMP echo messages, of either version: `ip`, reply bool, identifier and sequence uint16."""

    ip: Datagrams
    reply: NDArray[np.bool_]
    identifier: NDArray[np.uint16]
    sequence: NDArray[np.uint16]

    @staticmethod
    def none() -> Echoes:
        """Not one."""
        number = np.empty(0, dtype=np.uint16)
        return Echoes(Datagrams.none(), np.empty(0, dtype=np.bool_), number, number)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class IcmpErrors(Columns):
    """ICMP messages (ICMPv6 where `ip.version` says so) that quote a packet with ports, or an echo request.

    type, code: uint8. protocol: uint8, of the quoted packet (ICMP for either version), and its source and
    destination uint32, ports uint16; sequence uint32 is the quoted TCP sequence number, for UDP length and
    checksum, for SCTP the verification tag. An echo has its identifier and 0 as ports, and its own number.
    """

    ip: Datagrams
    type: NDArray[np.uint8]
    code: NDArray[np.uint8]
    protocol: NDArray[np.uint8]
    source: NDArray[np.uint32]
    destination: NDArray[np.uint32]
    source_port: NDArray[np.uint16]
    destination_port: NDArray[np.uint16]
    sequence: NDArray[np.uint32]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ArpPackets(Columns):
    """ARP packets for IPv4 over Ethernet, and neighbour advertisements, which say the same of IPv6.

    operation: uint16 (1 request, 2 reply; all advertisements are replies). sender_mac, target_mac: `(N, 6)`
    uint8; an advertisement's target_mac is zero, for it does not name its receiver's. sender, target: uint32,
    who is at sender_mac, and who is told.
    """

    frame: NDArray[np.int64]
    times: NDArray[np.int64]
    operation: NDArray[np.uint16]
    sender_mac: NDArray[np.uint8]
    sender: NDArray[np.uint32]
    target_mac: NDArray[np.uint8]
    target: NDArray[np.uint32]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Fragments(Columns):
    """Pieces of datagrams (RFC 791, 3.2; RFC 8200, 4.5).

    protocol: uint8, of what is in pieces. start: int64, where in the buffer the IP header begins.
    payload: int64, where the piece begins. size: int64, bytes that the piece says it has.
    captured: int64, how many of those are in the buffer. offset: int64, bytes of the datagram's payload
    in front of it. more: bool, others come behind it.
    """

    ip: Datagrams
    protocol: NDArray[np.uint8]
    start: NDArray[np.int64]
    payload: NDArray[np.int64]
    size: NDArray[np.int64]
    captured: NDArray[np.int64]
    offset: NDArray[np.int64]
    more: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Decoded:
    """The packets of some frames, by kind, and how many frames were not read and why.

    buffer: `(B,)` uint8, where payloads lie.
    fragments: None where the decoder was not asked to set them aside.
    """

    buffer: NDArray[np.uint8]
    tcp: Segments
    udp: UserDatagrams
    sctp: SctpPackets
    echoes: Echoes
    icmp: IcmpErrors
    arp: ArpPackets
    fragments: Fragments | None
    unread: Counter[str]
