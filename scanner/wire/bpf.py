"""The receive filter: a classic BPF program that lets in what may be a reply, and no more.

This file opens no socket. It only writes the program down; the kernel (or the small
interpreter in the tests) runs it. It is coarse on purpose: it keeps the ring free of
other people's traffic, and says nothing about what a frame means.

Opcodes: include/uapi/linux/bpf_common.h. Header layouts: RFC 791 (IPv4), RFC 8200 (IPv6),
RFC 4443 and 4861 (ICMPv6), RFC 826 (ARP).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from scanner.contracts import ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6
from scanner.core.cookie import LOWEST_SOURCE_PORT
from scanner.core.ip import AUTHENTICATION, EXTENSIONS, FRAGMENT
from scanner.core.packets import ARP_REPLY, ICMP, ICMPV6, TCP, UDP

Instruction: TypeAlias = tuple[int, int, int, int]
"""One `struct sock_filter`: code, jump if true, jump if false, operand."""

ACCEPT_WHOLE_FRAME = 0x40000
"""How many bytes of an accepted frame are kept: the largest snap length tcpdump uses."""

REJECT_ALL: tuple[Instruction, ...] = ((0x06, 0, 0, 0),)
"""A program that lets nothing in."""

_LD_HALF = 0x28  # BPF_LD | BPF_H | BPF_ABS
_LD_BYTE = 0x30  # BPF_LD | BPF_B | BPF_ABS
_LD_HALF_INDEXED = 0x48  # BPF_LD | BPF_H | BPF_IND: at X + k
_LD_BYTE_INDEXED = 0x50  # BPF_LD | BPF_B | BPF_IND
_LDX = 0x01  # BPF_LDX | BPF_W | BPF_IMM: X = k
_LDX_HEADER_LENGTH = 0xB1  # BPF_LDX | BPF_B | BPF_MSH: X = 4 * (byte at k & 15)
_ADD = 0x04  # BPF_ALU | BPF_ADD | BPF_K
_AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
_SHIFT_LEFT = 0x64  # BPF_ALU | BPF_LSH | BPF_K
_TAX = 0x07  # BPF_MISC | BPF_TAX: X = A
_JUMP_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_JUMP_NOT_LESS = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_JUMP_ANY_BIT = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K

ICMPV6_REPLIES = (1, 2, 3, 4, 129, 136)
"""Unreachable, too big, time exceeded, parameter problem (RFC 4443, 3), echo reply (4.2), neighbour
advertisement (RFC 4861, 4.4)."""

SCTP = 132
"""RFC 9260; its ports stand where those of TCP and UDP do."""

STEPPED_OVER = tuple(header for header in EXTENSIONS if header not in {AUTHENTICATION, FRAGMENT})
"""Extension headers that say their length in the form of RFC 6564."""


@dataclass(frozen=True, slots=True)
class _Step:
    """An instruction whose jumps name labels; an empty name falls through."""

    code: int
    operand: int
    true: str = ""
    false: str = ""
    label: str = ""


def replies_filter(header_length: int, lowest_port: int = LOWEST_SOURCE_PORT) -> tuple[Instruction, ...]:
    """The program for frames with `header_length` bytes of link header: 14 (Ethernet) or 0.

    Accepts, unfragmented or the first of their fragments: TCP, UDP and SCTP to a port not below
    `lowest_port`; ICMP; of ICMPv6 the errors, echo replies and neighbour advertisements; and, on
    Ethernet, ARP replies. One extension header of IPv6 is stepped over; what has more of them is
    let in. VLAN tags need no rule: the kernel takes the outer one off before the filter sees the frame.
    """
    steps = [
        *(_ethernet_head() if header_length else _bare_head()),
        *_ipv6(header_length, lowest_port),
        *_ipv4(header_length, lowest_port),
        _Step(_RETURN, ACCEPT_WHOLE_FRAME, label="accept"),
        _Step(_RETURN, 0, label="reject"),
    ]
    return _assemble(steps)


def _ethernet_head() -> list[_Step]:
    return [
        _Step(_LD_HALF, 12),
        _Step(_JUMP_EQUAL, ETHERTYPE_IPV4, true="ipv4"),
        _Step(_JUMP_EQUAL, ETHERTYPE_IPV6, true="ipv6"),
        _Step(_JUMP_EQUAL, ETHERTYPE_ARP, false="reject"),
        _Step(_LD_HALF, 14 + 6),
        _Step(_JUMP_EQUAL, ARP_REPLY, true="accept", false="reject"),
    ]


def _bare_head() -> list[_Step]:
    return [
        _Step(_LD_BYTE, 0),
        _Step(_AND, 0xF0),
        _Step(_JUMP_EQUAL, 0x40, true="ipv4"),
        _Step(_JUMP_EQUAL, 0x60, true="ipv6", false="reject"),
    ]


def _ipv4(ip: int, lowest_port: int) -> list[_Step]:
    """For an IPv4 header at `ip`."""
    return [
        _Step(_LD_HALF, ip + 6, label="ipv4"),
        _Step(_JUMP_ANY_BIT, 0x1FFF, true="reject"),  # fragment offset
        _Step(_LD_BYTE, ip + 9),
        _Step(_JUMP_EQUAL, ICMP, true="accept"),
        *(_Step(_JUMP_EQUAL, protocol, true="ports") for protocol in (TCP, UDP)),
        _Step(_JUMP_EQUAL, SCTP, false="reject"),
        _Step(_LDX_HEADER_LENGTH, ip, label="ports"),
        _Step(_LD_HALF_INDEXED, ip + 2),
        _Step(_JUMP_NOT_LESS, lowest_port, true="accept", false="reject"),
    ]


def _ipv6(ip: int, lowest_port: int) -> list[_Step]:
    """For an IPv6 header at `ip`; X is how far behind it the transport header stands."""
    behind = ip + 40
    return [
        _Step(_LDX, 0, label="ipv6"),
        _Step(_LD_BYTE, ip + 6),
        *_next_header(extension="extension"),
        _Step(_LD_BYTE, behind + 1, label="extension"),  # its length in units of 8 bytes, less one
        _Step(_ADD, 1),
        _Step(_SHIFT_LEFT, 3),
        _Step(_TAX, 0),
        _Step(_LD_BYTE, behind),
        *_next_header(extension="accept"),
        _Step(_LD_HALF_INDEXED, behind + 2, label="fragment"),
        _Step(_JUMP_ANY_BIT, 0xFFF8, true="reject", false="accept"),  # fragment offset
        _Step(_LD_BYTE_INDEXED, behind, label="icmp6"),
        *(_Step(_JUMP_EQUAL, kind, true="accept") for kind in ICMPV6_REPLIES),
        _Step(_RETURN, 0),
        _Step(_LD_HALF_INDEXED, behind + 2, label="ports6"),
        _Step(_JUMP_NOT_LESS, lowest_port, true="accept", false="reject"),
    ]


def _next_header(extension: str) -> list[_Step]:
    """Where to go by the number of an IPv6 header; `extension`: for those of RFC 6564's form."""
    return [
        *(_Step(_JUMP_EQUAL, protocol, true="ports6") for protocol in (TCP, UDP, SCTP)),
        _Step(_JUMP_EQUAL, ICMPV6, true="icmp6"),
        _Step(_JUMP_EQUAL, FRAGMENT, true="fragment"),
        _Step(_JUMP_EQUAL, AUTHENTICATION, true="accept"),  # it counts its length otherwise
        *(_Step(_JUMP_EQUAL, header, true=extension) for header in STEPPED_OVER),
        _Step(_RETURN, 0),
    ]


def _assemble(steps: list[_Step]) -> tuple[Instruction, ...]:
    places = {step.label: place for place, step in enumerate(steps) if step.label}

    def distance(place: int, label: str) -> int:
        return places[label] - place - 1 if label else 0

    return tuple(
        (step.code, distance(place, step.true), distance(place, step.false), step.operand)
        for place, step in enumerate(steps)
    )
