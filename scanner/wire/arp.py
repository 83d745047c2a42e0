"""ARP bodies for IPv4 over Ethernet: written and read, one at a time.

This file sends nothing. Layout (RFC 826), byte offsets:

     0  u16 hardware type (1)        8  sender hardware address (6)
     2  u16 protocol type (0x0800)  14  sender protocol address (4)
     4  u8 6, u8 4 (lengths)        18  target hardware address (6)
     6  u16 operation (1, 2)        24  target protocol address (4)
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

ARP_BODY_LENGTH = 28
"""Bytes of an ARP body, without the Ethernet header and padding."""

REQUEST = 1
REPLY = 2

_BODY = struct.Struct("!HHBBH6sI6sI")
_FIXED = (1, 0x0800, 6, 4)
_NO_ADDRESS = b"\0" * 6
_MULTICAST_BIT = 0x01


@dataclass(frozen=True, slots=True)
class ArpBody:
    """What an ARP body says: who (`sender`, `sender_mac`) asks or tells whom about what.

    operation: REQUEST or REPLY. Addresses are uint32, MACs six bytes.
    """

    operation: int
    sender_mac: bytes
    sender: int
    target_mac: bytes
    target: int

    def pack(self) -> bytes:
        """The 28 bytes."""
        return _BODY.pack(*_FIXED, self.operation, self.sender_mac, self.sender, self.target_mac, self.target)


def arp_reply(request: ArpBody, mac: bytes) -> ArpBody:
    """The answer to a request: what it asked for is at `mac`."""
    return ArpBody(
        operation=REPLY,
        sender_mac=mac,
        sender=request.target,
        target_mac=request.sender_mac,
        target=request.sender,
    )


def parse_arp_untrusted(body: bytes) -> ArpBody | None:
    """The body in these bytes, padding allowed; None where it is no ARP for IPv4 over Ethernet.

    Also None where the sender names a multicast or an empty hardware address: no host has one.
    """
    if len(body) < ARP_BODY_LENGTH:
        return None
    *fixed, operation, sender_mac, sender, target_mac, target = _BODY.unpack_from(body)
    if tuple(fixed) != _FIXED or sender_mac == _NO_ADDRESS or sender_mac[0] & _MULTICAST_BIT:
        return None
    return ArpBody(operation, sender_mac, sender, target_mac, target)
