"""The receive filter: a classic BPF program that lets in what may be a reply, and no more.

This file opens no socket. It only writes the program down; the kernel (or the small
interpreter in the tests) runs it. It is coarse on purpose: it keeps the ring free of
other people's traffic, and says nothing about what a frame means.

Opcodes: include/uapi/linux/bpf_common.h. Header layouts: RFC 791 (IPv4), RFC 826 (ARP).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from scanner.core.cookie import LOWEST_SOURCE_PORT
from scanner.core.packets import ARP_REPLY

Instruction: TypeAlias = tuple[int, int, int, int]
"""One `struct sock_filter`: code, jump if true, jump if false, operand."""

ACCEPT_WHOLE_FRAME = 0x40000
"""How many bytes of an accepted frame are kept: the largest snap length tcpdump uses."""

REJECT_ALL: tuple[Instruction, ...] = ((0x06, 0, 0, 0),)
"""A program that lets nothing in."""

_LD_HALF = 0x28  # BPF_LD | BPF_H | BPF_ABS
_LD_BYTE = 0x30  # BPF_LD | BPF_B | BPF_ABS
_LD_HALF_INDEXED = 0x48  # BPF_LD | BPF_H | BPF_IND: at X + k
_LDX_HEADER_LENGTH = 0xB1  # BPF_LDX | BPF_B | BPF_MSH: X = 4 * (byte at k & 15)
_AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
_JUMP_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_JUMP_NOT_LESS = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_JUMP_ANY_BIT = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K

_ETHERTYPE_IPV4 = 0x0800
_ETHERTYPE_ARP = 0x0806
_ICMP = 1
_TCP = 6
_UDP = 17


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

    Accepts unfragmented packets and first fragments of IPv4 TCP and UDP to a port not
    below `lowest_port`, IPv4 ICMP, and, on Ethernet, ARP replies. VLAN tags need no
    rule: the kernel takes the outer one off before the filter sees the frame.
    """
    ip = header_length
    steps = [
        *(_ethernet_head() if header_length else _bare_head()),
        _Step(_LD_HALF, ip + 6, label="ip"),
        _Step(_JUMP_ANY_BIT, 0x1FFF, true="reject"),  # fragment offset
        _Step(_LD_BYTE, ip + 9),
        _Step(_JUMP_EQUAL, _ICMP, true="accept"),
        _Step(_JUMP_EQUAL, _TCP, true="ports"),
        _Step(_JUMP_EQUAL, _UDP, false="reject"),
        _Step(_LDX_HEADER_LENGTH, ip, label="ports"),
        _Step(_LD_HALF_INDEXED, ip + 2),
        _Step(_JUMP_NOT_LESS, lowest_port, true="accept", false="reject"),
        _Step(_RETURN, ACCEPT_WHOLE_FRAME, label="accept"),
        _Step(_RETURN, 0, label="reject"),
    ]
    return _assemble(steps)


def _ethernet_head() -> list[_Step]:
    return [
        _Step(_LD_HALF, 12),
        _Step(_JUMP_EQUAL, _ETHERTYPE_IPV4, true="ip"),
        _Step(_JUMP_EQUAL, _ETHERTYPE_ARP, false="reject"),
        _Step(_LD_HALF, 14 + 6),
        _Step(_JUMP_EQUAL, ARP_REPLY, true="accept", false="reject"),
    ]


def _bare_head() -> list[_Step]:
    return [
        _Step(_LD_BYTE, 0),
        _Step(_AND, 0xF0),
        _Step(_JUMP_EQUAL, 0x40, true="ip", false="reject"),
    ]


def _assemble(steps: list[_Step]) -> tuple[Instruction, ...]:
    places = {step.label: place for place, step in enumerate(steps) if step.label}

    def distance(place: int, label: str) -> int:
        return places[label] - place - 1 if label else 0

    return tuple(
        (step.code, distance(place, step.true), distance(place, step.false), step.operand)
        for place, step in enumerate(steps)
    )
