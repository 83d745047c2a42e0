"""Headers in front of the network layer, taken off one after the other.

Each header says which layer follows it. A header that its frame cuts off ends the frame.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scanner.core.headers import IPV6_BYTES
from scanner.core.linkfields import (
    ARP,
    CISCO_HDLC,
    CISCO_METADATA,
    EXTENSION_TAG,
    FRAME,
    FRAME_RELAY,
    FRAME_RELAY_BODY,
    IP,
    IPV4,
    IPV6,
    JUMBO_LLC,
    LABELLED,
    LLC,
    MACSEC,
    MPLS,
    MPLS_UPSTREAM,
    NEITHER,
    NO_ETHERTYPE,
    PORT_TAG,
    PPP,
    PPP_HDLC,
    PPPOE_SESSION,
    PROVIDER_BRIDGE,
    REDUNDANCY_TAG,
    VLAN_TAGS,
    Found,
    Header,
    Layers,
    Places,
    ended,
    number,
    peek,
    translated,
    typed,
    typed_or_llc,
    versions,
)


def _ip(buffer: NDArray[np.uint8], at: Places, ends: Places) -> Found:
    return at, versions(buffer, at, ends)


def _frame(buffer: NDArray[np.uint8], at: Places, ends: Places) -> Found:
    return at + 14, typed_or_llc(number(buffer, at + 12, ends))


def _vlan_tag(buffer: NDArray[np.uint8], at: Places, ends: Places) -> Found:
    """IEEE 802.1Q, 9.6: two bytes of control information, then what would be there without the tag."""
    return at + 4, typed_or_llc(number(buffer, at + 2, ends))


def _provider_bridge(_buffer: NDArray[np.uint8], at: Places, _ends: Places) -> Found:
    """IEEE 802.1ah, 9.7: a service's tag, then the customer's frame."""
    return at + 4, np.full(len(at), FRAME, dtype=np.int32)


def _port_tag(buffer: NDArray[np.uint8], at: Places, ends: Places) -> Found:
    """Cisco's VN-Tag, and IEEE 802.1CB, 7.8: four bytes, then what would be there without it."""
    return at + 6, typed_or_llc(number(buffer, at + 4, ends))


def _extension_tag(buffer: NDArray[np.uint8], at: Places, ends: Places) -> Found:
    """IEEE 802.1BR, 7.5, and Cisco's metadata with a security group: six bytes, and the same."""
    return at + 8, typed_or_llc(number(buffer, at + 6, ends))


def _macsec(buffer: NDArray[np.uint8], at: Places, ends: Places) -> Found:
    """IEEE 802.1AE, 9: six bytes, eight more if a bit says so; then the same, if not encrypted or changed."""
    control = peek(buffer, at, ends, 1)[:, 0]
    after = at + np.where(control & 0x20, 14, 6)
    clear = (control & 0x8C == 0) & (after + 2 <= ends)
    layer = np.where(clear, typed_or_llc(number(buffer, after, ends)), NEITHER)
    return np.where(clear, after + 2, at), layer.astype(np.int32)


def _llc(buffer: NDArray[np.uint8], at: Places, ends: Places) -> Found:
    """SNAP with the organization code of EtherTypes (RFC 1042), or the SAP of IP.

    Cisco's ISL begins likewise: its header of 26 bytes looks like a frame of that company's.
    """
    header = peek(buffer, at, ends, 8).view(">u8")[:, 0]
    snap = header >> np.uint64(16) == 0xAAAA03000000
    plain = header >> np.uint64(40) == 0x060603
    layer = np.where(snap, typed(header & np.uint64(0xFFFF)), np.where(plain, IPV4, NEITHER))
    trunk = header >> np.uint64(16) == 0xAAAA0300000C
    if trunk.any():
        trunk &= _holds_together(buffer, at + 12, ends)
        layer = np.where(trunk, FRAME, layer)
    after = at + np.where(trunk, 12, np.where(plain, 3, 8))
    return ended(snap & (ends - at < 8), ends, after, layer.astype(np.int32))


def _pppoe_session(buffer: NDArray[np.uint8], at: Places, ends: Places) -> Found:
    """RFC 2516, 4: version 1, type 1, code 0; session; length."""
    data = number(buffer, at, ends) == 0x1100
    return at + 6, np.where(data, PPP, NEITHER).astype(np.int32)


def _ppp(buffer: NDArray[np.uint8], at: Places, ends: Places) -> Found:
    """RFC 1661, 2 and 6.5: the protocol's last byte is the odd one, and perhaps the only one."""
    protocol = number(buffer, at, ends)
    short = protocol & 0x0100 != 0
    protocol = np.where(short, protocol >> 8, protocol)
    layer = translated(protocol, {0x21: IPV4, 0x57: IPV6, 0x281: MPLS, 0x283: MPLS_UPSTREAM})
    return ended(~short & (ends - at < 2), ends, at + np.where(short, 1, 2), layer)


def _ppp_hdlc(buffer: NDArray[np.uint8], at: Places, ends: Places) -> Found:
    """RFC 1662, 3.1, where address and control may have been left out; RFC 1547, 4.3.1."""
    begin = number(buffer, at, ends)
    framed = begin == 0xFF03
    cisco = (begin == 0x0F00) | (begin == 0x8F00)
    return at + np.where(framed, 2, 0), np.where(cisco, CISCO_HDLC, PPP).astype(np.int32)


def _cisco_hdlc(buffer: NDArray[np.uint8], at: Places, ends: Places) -> Found:
    """RFC 1547, 4.3.1: address, control, EtherType."""
    return at + 4, typed(number(buffer, at + 2, ends))


def _label(buffer: NDArray[np.uint8], at: Places, ends: Places) -> Found:
    """RFC 3032, 2.1: one label; a bit says that it is the last."""
    last = peek(buffer, at + 2, ends, 1)[:, 0] & 1 != 0
    return at + 4, np.where(last, LABELLED, MPLS).astype(np.int32)


def _labelled(buffer: NDArray[np.uint8], at: Places, ends: Places) -> Found:
    """RFC 4385, 3, and RFC 4448, 4.6: IP, or an Ethernet frame, mostly behind a control word.

    Only the two labels' ends know what is there. Of Ethernet this is sure only if the control word is as it
    must be, and what would be the frame holds together. Hardware addresses may begin as IP does (RFC 4928,
    2): what would be IP, but longer than what is there, may be a frame as well.
    """
    layer = versions(buffer, at, ends)
    length = np.where(layer == IPV4, number(buffer, at + 2, ends), number(buffer, at + 4, ends) + IPV6_BYTES)
    unsure = (layer == NEITHER) | (length > ends - at)
    controlled = (number(buffer, at, ends) == 0) & _holds_together(buffer, at + 4, ends)
    bare = ~controlled & unsure & _holds_together(buffer, at, ends)
    layer = np.where(controlled | bare, FRAME, layer).astype(np.int32)
    return at + np.where(controlled, 4, 0), layer


def _holds_together(buffer: NDArray[np.uint8], at: Places, ends: Places) -> NDArray[np.bool_]:
    """Whether an Ethernet frame may begin there: its type agrees with what follows."""
    ethertype = number(buffer, at + 12, ends)
    sound: NDArray[np.bool_] = (
        (ethertype == ARP) & (number(buffer, at + 14, ends, ">u4") == 0x00010800) & (ends - at >= 18)
    )
    sound |= ((ethertype == IPV4) | (ethertype == IPV6)) & (versions(buffer, at + 14, ends) == ethertype)
    for tag in VLAN_TAGS:
        sound |= ethertype == tag
    return sound


def _frame_relay(buffer: NDArray[np.uint8], at: Places, ends: Places) -> Found:
    """ITU-T Q.922, 3.3: an address of two to four bytes, of which the last has its lowest bit set."""
    last = peek(buffer, at, ends, 4) & 1 != 0
    length = np.argmax(last, axis=1) + 1
    layer = np.where(length > 1, FRAME_RELAY_BODY, NEITHER)
    cut = ~last.any(axis=1) & (ends - at < 4)
    return ended(cut, ends, at + length, layer.astype(np.int32))


def _frame_relay_body(buffer: NDArray[np.uint8], at: Places, ends: Places) -> Found:
    """RFC 2427, 3 to 4.1, and in place of all that, as Cisco has it, an EtherType."""
    begin = number(buffer, at, ends)
    padded = begin == 0x0300
    at_nlpid = at + np.where(padded, 2, 1)
    header = peek(buffer, at_nlpid, ends, 8).view(">u8")[:, 0]
    snap = header >> np.uint64(32) == 0x80000000
    nlpid = translated(header >> np.uint64(56), {0xCC: IPV4, 0x8E: IPV6})
    layer = np.where(snap, typed(header >> np.uint64(16) & np.uint64(0xFFFF)), nlpid)
    after = at_nlpid + np.where(snap, 6, 1)
    cisco = translated(begin, {IPV4: IPV4, IPV6: IPV6})
    after = np.where(cisco != NEITHER, at + 2, after)
    layer = np.where(begin >> 8 == 3, layer, cisco)
    return ended(after > ends, ends, after, layer.astype(np.int32))


HEADERS: dict[int, Header] = {
    **dict.fromkeys(VLAN_TAGS, Header(4, _vlan_tag)),
    PROVIDER_BRIDGE: Header(4, _provider_bridge),
    PORT_TAG: Header(6, _port_tag),
    EXTENSION_TAG: Header(8, _extension_tag),
    CISCO_METADATA: Header(8, _extension_tag),
    REDUNDANCY_TAG: Header(6, _port_tag),
    MACSEC: Header(8, _macsec),
    PPPOE_SESSION: Header(6, _pppoe_session),
    MPLS: Header(4, _label),
    MPLS_UPSTREAM: Header(4, _label),
    IP: Header(1, _ip),
    FRAME: Header(14, _frame),
    LLC: Header(3, _llc),
    JUMBO_LLC: Header(3, _llc),
    PPP: Header(1, _ppp),
    PPP_HDLC: Header(1, _ppp_hdlc),
    CISCO_HDLC: Header(4, _cisco_hdlc),
    FRAME_RELAY: Header(2, _frame_relay),
    FRAME_RELAY_BODY: Header(2, _frame_relay_body),
    LABELLED: Header(1, _labelled),
}

MOST_HEADERS = 24
"""VLAN tags, labels and all the others together; a frame with more has no network layer."""


def unwrapped(
    buffer: NDArray[np.uint8], at: Places, ends: Places, first: Layers | Header
) -> tuple[Places, NDArray[np.uint16]]:
    """Take off all headers of each frame.

    Args:
        buffer: `(B,)` uint8.
        at: `(N,)` int64, where each frame begins, or what is left of it.
        ends: `(N,)` int64.
        first: `(N,)` int32, the layers that begin there; or the header that all of them begin with.

    Returns:
        `(N,)` int64 and `(N,)` uint16, as `scanner.core.link.network_layer`.
    """
    if isinstance(first, Header):
        at, layer = _taken_off(buffer, at, ends, first)
    else:
        at, layer = at.copy(), first.copy()
    rows = _unfinished(layer, np.arange(len(at), dtype=np.int64))
    for _ in range(MOST_HEADERS):
        held, read = layer[rows], []
        for kind, header in HEADERS.items() if len(rows) else ():
            mine = rows[held == kind]
            if len(mine):
                at[mine], layer[mine] = _taken_off(buffer, at[mine], ends[mine], header)
                read.append(mine)
        if not read:
            break
        rows = _unfinished(layer, np.concatenate(read))
    layer[layer >= NO_ETHERTYPE] = NEITHER
    return at, layer.astype(np.uint16)


def _unfinished(layer: Layers, rows: Places) -> Places:
    held = layer[rows]
    unfinished: Places = rows[(held != IPV4) & (held != IPV6) & (held != ARP) & (held != NEITHER)]
    return unfinished


def _taken_off(buffer: NDArray[np.uint8], at: Places, ends: Places, header: Header) -> Found:
    room = ends - at
    if not len(at) or int(room.min()) >= header.least:
        return header.read(buffer, at, ends)
    rows = np.flatnonzero(room >= header.least)
    after, layer = ends.copy(), np.zeros(len(at), dtype=np.int32)
    after[rows], layer[rows] = header.read(buffer, at[rows], ends[rows])
    return after, layer
