"""Decoding: frames in, columns of packets out. Written for hostile bytes.

Every length that a packet claims is held against what was captured before anything is read.
What cannot be read is counted under a name and never guessed: a fragment that does not begin the
datagram, a header that is cut off, a length that lies. This file knows headers (RFC 791, 9293, 768,
792, 826) and nothing of probes or verdicts.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from scanner.core import link
from scanner.core.columns import columns, gather

TCP = 6
UDP = 17
ICMP = 1

ARP_REPLY = 2
"""The operation of an answer (RFC 826)."""

_IPV4_HEADER = 20
_TCP_HEADER = 20
_UDP_HEADER = 8
_ICMP_HEADER = 8
_QUOTED_BYTES = 8
_ARP_BODY = 28
_FRAGMENT_OFFSET = 0x1FFF

# RFC 791, 3.1
_IPV4 = np.dtype(
    {
        "names": ["version_ihl", "length", "fragment", "ttl", "protocol", "source", "destination"],
        "formats": ["u1", ">u2", ">u2", "u1", "u1", ">u4", ">u4"],
        "offsets": [0, 2, 6, 8, 9, 12, 16],
        "itemsize": 20,
    }
)
# RFC 9293, 3.1
_TCP = np.dtype(
    {
        "names": ["source_port", "destination_port", "sequence", "acknowledgement", "data_offset", "flags"],
        "formats": [">u2", ">u2", ">u4", ">u4", "u1", "u1"],
        "offsets": [0, 2, 4, 8, 12, 13],
        "itemsize": 20,
    }
)
# RFC 768; TCP has its ports in the same place, and its sequence number after them.
_PORTS = np.dtype(
    {
        "names": ["source_port", "destination_port", "sequence", "length"],
        "formats": [">u2", ">u2", ">u4", ">u2"],
        "offsets": [0, 2, 4, 4],
        "itemsize": 8,
    }
)
# RFC 792
_ICMP = np.dtype({"names": ["type", "code"], "formats": ["u1", "u1"], "offsets": [0, 1], "itemsize": 8})
# RFC 826, for Ethernet and IPv4
_ARP = np.dtype(
    {
        "names": ["kind", "operation", "sender", "target"],
        "formats": [">u8", ">u2", ">u4", ">u4"],
        "offsets": [0, 6, 14, 24],
        "itemsize": 28,
    }
)
_ARP_ETHERNET_IPV4 = 0x000108000604


@dataclass(frozen=True, slots=True)
class Datagrams:
    """What all IPv4 packets have. One element a packet in each column.

    frame: int64, which frame of the input.
    source, destination: uint32. ttl: uint8. times: int64 ns.
    """

    frame: NDArray[np.int64]
    source: NDArray[np.uint32]
    destination: NDArray[np.uint32]
    ttl: NDArray[np.uint8]
    times: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.frame)

    def take(self, rows: NDArray[np.int64]) -> Datagrams:
        """Some of them."""
        return Datagrams(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


@dataclass(frozen=True, slots=True)
class Segments:
    """TCP segments: `ip`, ports uint16, sequence numbers uint32, flags uint8."""

    ip: Datagrams
    source_port: NDArray[np.uint16]
    destination_port: NDArray[np.uint16]
    sequence: NDArray[np.uint32]
    acknowledgement: NDArray[np.uint32]
    flags: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class UserDatagrams:
    """UDP datagrams: `ip` and ports uint16."""

    ip: Datagrams
    source_port: NDArray[np.uint16]
    destination_port: NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class IcmpErrors:
    """ICMP messages that quote a TCP or UDP packet.

    type, code: uint8. protocol: uint8, of the quoted packet, and its source and destination uint32,
    ports uint16; sequence uint32 is the quoted TCP sequence number, for UDP length and checksum.
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


@dataclass(frozen=True, slots=True)
class ArpPackets:
    """ARP packets for IPv4 over Ethernet.

    operation: uint16 (1 request, 2 reply). sender_mac, target_mac: `(N, 6)` uint8. sender, target: uint32.
    """

    frame: NDArray[np.int64]
    times: NDArray[np.int64]
    operation: NDArray[np.uint16]
    sender_mac: NDArray[np.uint8]
    sender: NDArray[np.uint32]
    target_mac: NDArray[np.uint8]
    target: NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.frame)


@dataclass(frozen=True, slots=True)
class Decoded:
    """The packets of some frames, by kind, and how many frames were not read and why."""

    tcp: Segments
    udp: UserDatagrams
    icmp: IcmpErrors
    arp: ArpPackets
    unread: Counter[str]


def decode_untrusted(
    buffer: NDArray[np.uint8],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    times: NDArray[np.int64],
    link_type: int,
) -> Decoded:
    """Decode frames, as `scanner.contracts.Frames` holds them.

    Raises:
        CaptureError: the link type is not supported. Nothing in the frames themselves raises.
    """
    unread: Counter[str] = Counter()
    network, ethertype = link.network_layer(buffer, starts, link_type)
    room = starts + lengths - network
    there = room > 0
    _count(unread, "cut off in the link header", ~there)
    is_ip = there & (ethertype == link.IPV4)
    is_arp = there & (ethertype == link.ARP)
    _count(unread, "not IPv4 or ARP", there & ~(is_ip | is_arp))
    arp = _arp(buffer, network, room, times, np.flatnonzero(is_arp), unread)
    frame = np.flatnonzero(is_ip)
    whole = room[frame] >= _IPV4_HEADER
    _count(unread, "cut off in the IPv4 header", ~whole)
    frame = frame[whole]
    header = columns(gather(buffer, network[frame], _IPV4_HEADER), _IPV4)
    transport, size, sound = _payload(network[frame], room[frame], header)
    _count(unread, "malformed IPv4 header", ~sound)
    later = (header["fragment"] & _FRAGMENT_OFFSET) != 0
    _count(unread, "later fragment", sound & later)
    sound &= ~later
    known = np.zeros(len(frame), dtype=np.bool_)
    chosen: dict[int, tuple[Datagrams, NDArray[np.int64], NDArray[np.int64]]] = {}
    for protocol, least in ((TCP, _TCP_HEADER), (UDP, _UDP_HEADER), (ICMP, _ICMP_HEADER)):
        mine = sound & (header["protocol"] == protocol)
        known |= mine
        fits = size >= least
        _count(unread, "cut off in the transport header", mine & ~fits)
        rows = np.flatnonzero(mine & fits)
        chosen[protocol] = (_datagrams(frame, header, times, rows), transport[rows], size[rows])
    _count(unread, "other IP protocol", sound & ~known)
    return Decoded(
        tcp=_tcp(buffer, chosen[TCP][0], chosen[TCP][1], unread),
        udp=_udp(buffer, chosen[UDP][0], chosen[UDP][1], unread),
        icmp=_icmp(buffer, *chosen[ICMP], unread),
        arp=arp,
        unread=unread,
    )


def _count(unread: Counter[str], name: str, mask: NDArray[np.bool_]) -> None:
    found = int(np.count_nonzero(mask))
    if found:
        unread[name] += found


def _payload(
    network: NDArray[np.int64], room: NDArray[np.int64], header: NDArray[np.void]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Where each payload begins, how much of it was captured, and whether the header holds together.

    Bytes after the datagram's total length are link padding, not payload.
    """
    header_bytes, sound = _header_bytes(header)
    total = header["length"].astype(np.int64)
    return network + header_bytes, np.minimum(total, room) - header_bytes, sound & (total >= header_bytes)


def _header_bytes(header: NDArray[np.void]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """How long each IPv4 header says it is, and whether it can be one."""
    version_ihl = header["version_ihl"]
    header_bytes = (version_ihl & 0x0F).astype(np.int64) * 4
    return header_bytes, (version_ihl >> 4 == 4) & (header_bytes >= _IPV4_HEADER)


def _datagrams(
    frame: NDArray[np.int64], header: NDArray[np.void], times: NDArray[np.int64], rows: NDArray[np.int64]
) -> Datagrams:
    frames = frame[rows]
    chosen = header if len(rows) == len(header) else header[rows]
    return Datagrams(
        frame=frames,
        source=chosen["source"].astype(np.uint32),
        destination=chosen["destination"].astype(np.uint32),
        ttl=chosen["ttl"].copy(),
        times=times[frames],
    )


def _tcp(
    buffer: NDArray[np.uint8], ip: Datagrams, transport: NDArray[np.int64], unread: Counter[str]
) -> Segments:
    header = columns(gather(buffer, transport, _TCP_HEADER), _TCP)
    sound = header["data_offset"] >> 4 >= _TCP_HEADER // 4
    if not sound.all():
        _count(unread, "malformed TCP header", ~sound)
        rows = np.flatnonzero(sound)
        ip, header = ip.take(rows), header[rows]
    return Segments(
        ip=ip,
        source_port=header["source_port"].astype(np.uint16),
        destination_port=header["destination_port"].astype(np.uint16),
        sequence=header["sequence"].astype(np.uint32),
        acknowledgement=header["acknowledgement"].astype(np.uint32),
        flags=header["flags"].copy(),
    )


def _udp(
    buffer: NDArray[np.uint8], ip: Datagrams, transport: NDArray[np.int64], unread: Counter[str]
) -> UserDatagrams:
    header = columns(gather(buffer, transport, _UDP_HEADER), _PORTS)
    sound = header["length"] >= _UDP_HEADER
    if not sound.all():
        _count(unread, "malformed UDP header", ~sound)
        rows = np.flatnonzero(sound)
        ip, header = ip.take(rows), header[rows]
    return UserDatagrams(
        ip=ip,
        source_port=header["source_port"].astype(np.uint16),
        destination_port=header["destination_port"].astype(np.uint16),
    )


def _icmp(
    buffer: NDArray[np.uint8],
    ip: Datagrams,
    transport: NDArray[np.int64],
    size: NDArray[np.int64],
    unread: Counter[str],
) -> IcmpErrors:
    header = columns(gather(buffer, transport, _ICMP_HEADER), _ICMP)
    quoted = columns(gather(buffer, transport + _ICMP_HEADER, _IPV4_HEADER), _IPV4)
    room = size - _ICMP_HEADER
    # The quoted total length is the probe's own, or what the target's stack made of it: what was quoted is
    # bounded by the message alone.
    header_bytes, sound = _header_bytes(quoted)
    ports_at = transport + _ICMP_HEADER + header_bytes
    enough = header_bytes + _QUOTED_BYTES <= room
    transported = (quoted["protocol"] == TCP) | (quoted["protocol"] == UDP)
    first = (quoted["fragment"] & _FRAGMENT_OFFSET) == 0
    useful = sound & enough & transported & first
    _count(unread, "ICMP without a quoted TCP or UDP packet", ~useful)
    rows = np.flatnonzero(useful)
    quote = quoted[rows]
    ports = columns(gather(buffer, ports_at[rows], _QUOTED_BYTES), _PORTS)
    return IcmpErrors(
        ip=ip.take(rows),
        type=header["type"][rows],
        code=header["code"][rows],
        protocol=quote["protocol"],
        source=quote["source"].astype(np.uint32),
        destination=quote["destination"].astype(np.uint32),
        source_port=ports["source_port"].astype(np.uint16),
        destination_port=ports["destination_port"].astype(np.uint16),
        sequence=ports["sequence"].astype(np.uint32),
    )


def _arp(
    buffer: NDArray[np.uint8],
    network: NDArray[np.int64],
    room: NDArray[np.int64],
    times: NDArray[np.int64],
    frame: NDArray[np.int64],
    unread: Counter[str],
) -> ArpPackets:
    rows = gather(buffer, network[frame], _ARP_BODY)
    body = columns(rows, _ARP)
    sound = (room[frame] >= _ARP_BODY) & (body["kind"] >> np.uint64(16) == _ARP_ETHERNET_IPV4)
    _count(unread, "malformed ARP", ~sound)
    frame = frame[sound]
    return ArpPackets(
        frame=frame,
        times=times[frame],
        operation=body["operation"][sound].astype(np.uint16),
        sender_mac=rows[sound, 8:14],
        sender=body["sender"][sound].astype(np.uint32),
        target_mac=rows[sound, 18:24],
        target=body["target"][sound].astype(np.uint32),
    )
