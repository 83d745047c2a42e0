"""Decoding: frames in, columns of packets out. Written for hostile bytes.

Every length that a packet claims is held against what was captured before anything is read.
What cannot be read is counted under a name and never guessed: a fragment that does not begin the
datagram, a header that is cut off, a length that lies. This file knows headers (RFC 9293, 768, 792, 4443,
826, 4861) and nothing of probes or verdicts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from scanner.core import headers, ip
from scanner.core.book import AddressBook
from scanner.core.columns import chosen, columns, gather
from scanner.core.ipv6 import high_in_zone
from scanner.core.link import ARP, IPV4, IPV6, network_layer
from scanner.core.packets import (
    ARP_REPLY,
    ECHO_TYPES,
    ICMP,
    INIT,
    INIT_ACK,
    NEIGHBOUR_ADVERTISEMENT,
    NO_PORT,
    NO_TUNNEL,
    SCTP,
    TCP,
    UDP,
    ArpPackets,
    Datagrams,
    Decoded,
    Echoes,
    Fragments,
    IcmpErrors,
    SctpPackets,
    Segments,
    UserDatagrams,
)
from scanner.core.tunnels import TunnelNumbers

Rows = NDArray[np.int64]

_ARP_ETHERNET_IPV4 = 0x000108000604
_NO_ROUTER = 255
"""The hop limit that no packet from behind a router has."""
_SOLICITED = 0x40
_TARGET_ADDRESS = 0x0201
"""An option of type 2, the hardware address of the target, of one unit of eight bytes (RFC 4861, 4.6.1)."""
_CUT_OFF = "cut off in the transport header"


def decode_untrusted(
    buffer: NDArray[np.uint8],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    times: NDArray[np.int64],
    link_type: int,
    book: AddressBook | None = None,
    zone: int = 0,
) -> Decoded:
    """Decode frames of a sweep, as `scanner.contracts.Frames` holds them: IPv4 and ARP, and IPv6.

    First fragments are read as they are, later ones counted.

    Args:
        buffer: where the frames are.
        starts: where each begins.
        lengths: bytes of each.
        times: of each, in ns.
        link_type: of all of them.
        book: gives IPv6 addresses their numbers; None: no IPv6 was asked, and none is read.
        zone: the interface they came in by.

    Raises:
        CaptureError: the link type is not supported. Nothing in the frames themselves raises.
    """
    decoder = Decoder(buffer, times, book=book, zone=zone)
    at, kind = network_layer(buffer, starts, lengths, link_type)
    end = starts + lengths
    there = decoder.reach(at, end)
    is_arp = there & (kind == ARP)
    unread = there & ~is_arp
    decoder.read_arp(at, end, np.flatnonzero(is_arp))
    for version, ethertype in ((4, IPV4), (6, IPV6)) if book is not None else ((4, IPV4),):
        is_ip = there & (kind == ethertype)
        unread &= ~is_ip
        frame = np.flatnonzero(is_ip)
        _, other = decoder.read_ip(Layer(version, frame, at[frame], end[frame]))
        decoder.count("other IP protocol", other)
    decoder.count("not IPv4 or ARP" if book is None else "neither IP nor ARP", unread)
    return decoder.decoded()


@dataclass(frozen=True, slots=True)
class Layer:
    """IP packets to be read, of one version; 0 if it is not known yet.

    frame: int64, in which frame. at, end: int64, where they are. tunnel: uint64, in which tunnels, as
    `TunnelNumbers` knows them; None if in none.
    """

    version: int
    frame: Rows
    at: Rows
    end: Rows
    tunnel: NDArray[np.uint64] | None = None

    def take(self, version: int, rows: NDArray[np.bool_]) -> Layer:
        """Some of them, all of that version."""
        tunnel = None if self.tunnel is None else self.tunnel[rows]
        return Layer(version, self.frame[rows], self.at[rows], self.end[rows], tunnel)


@dataclass(slots=True)
class Decoder:
    """Collects the packets of some frames.

    buffer, times: as in `scanner.contracts.Frames`. ports: `(65536,)` bool, packets that bear on no such port
    are left out; None for all. book: gives IPv6 addresses their numbers. tunnels: theirs. numbers: `(N,)`
    int64, of the frames, where they are others than their rows. set_aside: fragments are not read.
    zone: number of the interface the frames were seen on, 0 where that is not known.
    """

    buffer: NDArray[np.uint8]
    times: NDArray[np.int64]
    ports: NDArray[np.bool_] | None = None
    book: AddressBook | None = None
    tunnels: TunnelNumbers = field(default_factory=TunnelNumbers)
    numbers: Rows | None = None
    set_aside: bool = False
    zone: int = 0
    unread: Counter[str] = field(default_factory=Counter)
    _tcp: list[Segments] = field(default_factory=list)
    _udp: list[UserDatagrams] = field(default_factory=list)
    _sctp: list[SctpPackets] = field(default_factory=list)
    _echoes: list[Echoes] = field(default_factory=list)
    _icmp: list[IcmpErrors] = field(default_factory=list)
    _fragments: list[Fragments] = field(default_factory=list)
    _arp: list[ArpPackets] = field(default_factory=list)

    def count(self, name: str, mask: NDArray[np.bool_]) -> None:
        """Count what is not read under a name."""
        found = int(np.count_nonzero(mask))
        if found:
            self.unread[name] += found

    def reach(self, at: Rows, end: Rows) -> NDArray[np.bool_]:
        """Which frames go on to their network layer; those that do not are counted."""
        there = end > at
        if not there.all():
            self.count("cut off in the link header", ~there)
        return there

    def read_ip(self, layer: Layer) -> tuple[ip.Packets, NDArray[np.bool_]]:
        """Read IP packets, and what they carry.

        Returns:
            The packets, and `(N,)` bool, which of them carry something else than TCP, UDP, SCTP and ICMP.
        """
        packets = ip.packets(self.buffer, layer.at, layer.end, layer.version, quoted=False)
        if not packets.whole.all():
            self.count(f"cut off in the IPv{layer.version} header", ~packets.whole)
        usable = packets.whole & packets.sound
        self.count(f"malformed IPv{layer.version} header", packets.whole & ~packets.sound)
        if len(packets.pieces.row):
            self._pieces(layer, packets, usable)
        other = usable.copy()
        icmp = ip.ICMP_OF[layer.version]
        kinds: tuple[tuple[int, int, Callable[[Layer, ip.Packets, Rows], None]], ...] = (
            (TCP, headers.TCP_FLAGS_BYTES, self._segments),
            (UDP, headers.UDP_BYTES, self._datagrams),
            (icmp, headers.ICMP_BYTES, self._errors),
            (SCTP, headers.SCTP_BYTES, self._chunks),
        )
        for protocol, least, read in kinds:
            mine = usable & (packets.protocol == protocol)
            if protocol == SCTP and not mine.any():
                continue
            other &= ~mine
            fits = mine & (packets.captured >= least)
            if protocol == TCP:
                fits &= packets.size >= headers.TCP_BYTES
            self.count(_CUT_OFF, mine & ~fits)
            read(layer, packets, np.flatnonzero(fits))
        return packets, other

    def _pieces(self, layer: Layer, packets: ip.Packets, usable: NDArray[np.bool_]) -> None:
        """Take fragments out of what is usable."""
        pieces = packets.pieces
        good = usable[pieces.row] & (packets.captured[pieces.row] >= 0)
        row, offset = pieces.row[good], pieces.offset[good]
        if not self.set_aside:
            later = row[offset > 0]
            self.unread.update({"later fragment": len(later)} if len(later) else {})
            usable[later] = False
            return
        usable[row] = False
        self._fragments.append(
            Fragments(
                ip=self._ip(layer, packets, row, identification=pieces.identification[good]),
                protocol=packets.protocol[row],
                start=packets.at[row],
                payload=packets.transport[row],
                size=packets.size[row],
                captured=packets.captured[row],
                offset=offset,
                more=pieces.more[good],
            )
        )

    def _ip(
        self, layer: Layer, packets: ip.Packets, rows: Rows, identification: NDArray[np.uint32] | None = None
    ) -> Datagrams:
        some = chosen(rows, len(packets.at))
        frame = layer.frame[some]
        source, destination = packets.ends(some, self.book, self.zone)
        if layer.tunnel is None:
            tunnel = np.full(len(frame), NO_TUNNEL, dtype=np.uint32)
        else:
            tunnel = self.tunnels.numbers(layer.tunnel[some])
        return Datagrams(
            frame=frame if self.numbers is None else self.numbers[frame],
            version=np.full(len(frame), layer.version, dtype=np.uint8),
            source=source,
            destination=destination,
            ttl=packets.ttl(some),
            identification=packets.identification(some) if identification is None else identification,
            tunnel=tunnel,
            times=self.times[frame],
        )

    def _wanted(self, at: Rows) -> NDArray[np.bool_] | None:
        """Which transport headers name a port that is asked about; None for all."""
        if self.ports is None:
            return None
        both = gather(self.buffer, at, 4).view(">u2").astype(np.uint16)
        wanted: NDArray[np.bool_] = self.ports[both[:, 0]] | self.ports[both[:, 1]]
        return wanted

    def _segments(self, layer: Layer, packets: ip.Packets, rows: Rows) -> None:
        wanted = self._wanted(packets.transport[rows])
        if wanted is not None:
            rows = rows[wanted]
        at = packets.transport[rows]
        header = columns(gather(self.buffer, at, headers.TCP_BYTES), headers.TCP)
        begin = (header["data_offset"] >> 4).astype(np.int64) * 4
        # Past its packet's end, where that is told, nobody looks for the data: hosts drop such segments.
        room = np.where(packets.header["length"][rows] > 0, packets.size[rows], headers.MOST_TCP_BYTES)
        sound = (begin >= headers.TCP_BYTES) & (begin <= room)
        if not sound.all():
            self.count("malformed TCP header", ~sound)
            rows, at, header, begin = rows[sound], at[sound], header[sound], begin[sound]
        some = chosen(rows, len(packets.at))
        self._tcp.append(
            Segments(
                ip=self._ip(layer, packets, rows),
                source_port=header["source_port"].astype(np.uint16),
                destination_port=header["destination_port"].astype(np.uint16),
                sequence=header["sequence"].astype(np.uint32),
                acknowledgement=header["acknowledgement"].astype(np.uint32),
                flags=header["flags"].copy(),
                payload=at + np.minimum(begin, packets.captured[some]),
                size=np.maximum(packets.size[some] - begin, 0),
                captured=np.maximum(packets.captured[some] - begin, 0),
            )
        )

    def _datagrams(self, layer: Layer, packets: ip.Packets, rows: Rows) -> None:
        wanted = self._wanted(packets.transport[rows])
        if wanted is not None:
            rows = rows[wanted]
        at = packets.transport[rows]
        header = columns(gather(self.buffer, at, headers.UDP_BYTES), headers.PORTS)
        length = header["length"].astype(np.int64)
        # RFC 2675, 4: a jumbogram's length is that of its packet.
        length = np.where((length == 0) & (layer.version == 6), packets.size[rows], length)
        sound = length >= headers.UDP_BYTES
        if not sound.all():
            self.count("malformed UDP header", ~sound)
            rows, at, header, length = rows[sound], at[sound], header[sound], length[sound]
        self._udp.append(
            UserDatagrams(
                ip=self._ip(layer, packets, rows),
                source_port=header["source_port"].astype(np.uint16),
                destination_port=header["destination_port"].astype(np.uint16),
                payload=at + headers.UDP_BYTES,
                size=np.minimum(length, packets.size[rows]) - headers.UDP_BYTES,
                captured=np.minimum(length, packets.captured[rows]) - headers.UDP_BYTES,
            )
        )

    def _chunks(self, layer: Layer, packets: ip.Packets, rows: Rows) -> None:
        wanted = self._wanted(packets.transport[rows])
        if wanted is not None:
            rows = rows[wanted]
        at = packets.transport[rows]
        header = columns(gather(self.buffer, at, headers.SCTP_BYTES), headers.SCTP)
        initiate = gather(self.buffer, at + headers.SCTP_BYTES, 4).view(">u4")[:, 0].astype(np.uint32)
        begins = (header["chunk"] == INIT) | (header["chunk"] == INIT_ACK)
        begins &= packets.captured[rows] >= headers.SCTP_BYTES + 4
        self._sctp.append(
            SctpPackets(
                ip=self._ip(layer, packets, rows),
                source_port=header["source_port"].astype(np.uint16),
                destination_port=header["destination_port"].astype(np.uint16),
                tag=header["tag"].astype(np.uint32),
                chunk=header["chunk"].copy(),
                initiate=np.where(begins, initiate, np.uint32(0)),
            )
        )

    def _echo(self, layer: Layer, packets: ip.Packets, rows: Rows) -> None:
        if self.ports is not None and not self.ports[NO_PORT]:
            self.count("ICMP echo", np.ones(len(rows), dtype=np.bool_))
            return
        header = columns(gather(self.buffer, packets.transport[rows], headers.ICMP_BYTES), headers.ECHO)
        _, reply = ECHO_TYPES[layer.version]
        self._echoes.append(
            Echoes(
                ip=self._ip(layer, packets, rows),
                reply=header["type"] == reply,
                identifier=header["identifier"].astype(np.uint16),
                sequence=header["sequence"].astype(np.uint16),
            )
        )

    def _errors(self, layer: Layer, packets: ip.Packets, rows: Rows) -> None:
        at = packets.transport[rows]
        header = columns(gather(self.buffer, at, headers.ICMP_BYTES), headers.ICMP)
        request, reply = ECHO_TYPES[layer.version]
        echo = ((header["type"] == request) | (header["type"] == reply)) & (header["code"] == 0)
        if echo.any():
            self._echo(layer, packets, rows[echo])
            rows, at, header = rows[~echo], at[~echo], header[~echo]
        if layer.version == 6:
            told = header["type"] == NEIGHBOUR_ADVERTISEMENT
            if told.any():
                # What is said in a tunnel is said of another link, as ARP is.
                if layer.tunnel is None:
                    self._advertisements(layer, packets, rows[told])
                rows, at, header = rows[~told], at[~told], header[~told]
        at = at + headers.ICMP_BYTES
        end = packets.transport[rows] + packets.captured[rows]
        quoted = ip.packets(self.buffer, at, end, layer.version, quoted=True)
        useful = quoted.whole & quoted.sound & (quoted.captured >= headers.PORTS_BYTES)
        protocol = quoted.protocol
        ported = (protocol == TCP) | (protocol == UDP) | (protocol == SCTP)
        asking = protocol == ip.ICMP_OF[layer.version]
        if asking.any():
            kind = gather(self.buffer, np.maximum(quoted.transport, 0), 1)[:, 0]
            asking &= (kind == request) & (self.ports is None or bool(self.ports[NO_PORT]))
        useful &= ported | asking
        useful[quoted.pieces.row[quoted.pieces.offset > 0]] = False
        self.count("ICMP without a quoted probe", ~useful)
        some = np.flatnonzero(useful)
        wanted = self._wanted(quoted.transport[some])
        if wanted is not None:
            some = some[wanted | asking[some]]
        begin = gather(self.buffer, quoted.transport[some], headers.PORTS_BYTES)
        ports, numbers = columns(begin, headers.PORTS), columns(begin, headers.ECHO)
        echoed = asking[some]
        source, destination = quoted.ends(some, self.book, self.zone)
        self._icmp.append(
            IcmpErrors(
                ip=self._ip(layer, packets, rows[some]),
                type=header["type"][some],
                code=header["code"][some],
                protocol=np.where(echoed, np.uint8(ICMP), protocol[some]),
                source=source,
                destination=destination,
                source_port=np.where(echoed, numbers["identifier"], ports["source_port"]).astype(np.uint16),
                destination_port=np.where(echoed, NO_PORT, ports["destination_port"]).astype(np.uint16),
                sequence=np.where(echoed, numbers["sequence"], ports["sequence"]).astype(np.uint32),
            )
        )

    def _advertisements(self, layer: Layer, packets: ip.Packets, rows: Rows) -> None:
        """Neighbour advertisements (RFC 4861, 4.4 and 7.1.2) that answer somebody, and say where."""
        buffer, at = self.buffer, packets.transport[rows]
        body = gather(buffer, at, headers.ADVERTISEMENT_BYTES)
        said = columns(body, headers.ADVERTISEMENT)
        sound = (packets.captured[rows] >= headers.ADVERTISEMENT_BYTES) & (packets.ttl(rows) == _NO_ROUTER)
        sound &= (said["code"] == 0) & (said["flags"] & _SOLICITED != 0) & (said["option"] == _TARGET_ADDRESS)
        self.count("neighbour advertisement that answers nobody", ~sound)
        rows, body, said = rows[sound], body[sound], said[sound]
        _, told = packets.ends(rows, self.book, self.zone)
        halves = said["target"].astype(np.uint64)
        book = AddressBook() if self.book is None else self.book
        high = high_in_zone(halves[:, 0], self.zone) if self.zone else halves[:, 0]
        frame = layer.frame[rows]
        self._arp.append(
            ArpPackets(
                frame=frame if self.numbers is None else self.numbers[frame],
                times=self.times[frame],
                operation=np.full(len(rows), ARP_REPLY, dtype=np.uint16),
                sender_mac=body[:, 26:32],
                sender=book.ipv6(high, halves[:, 1]),
                target_mac=np.zeros((len(rows), 6), dtype=np.uint8),
                target=told,
            )
        )

    def read_arp(self, at: Rows, end: Rows, frame: Rows) -> None:
        """Read ARP packets of some frames."""
        rows = gather(self.buffer, at[frame], headers.ARP_BYTES)
        body = columns(rows, headers.ARP)
        sound = (end - at)[frame] >= headers.ARP_BYTES
        sound &= body["kind"] >> np.uint64(16) == _ARP_ETHERNET_IPV4
        self.count("malformed ARP", ~sound)
        frame = frame[sound]
        ends = [body[name][sound].astype(np.uint32) for name in ("sender", "target")]
        if self.book is not None:
            ends = [self.book.ipv4(addresses) for addresses in ends]
        self._arp.append(
            ArpPackets(
                frame=frame if self.numbers is None else self.numbers[frame],
                times=self.times[frame],
                operation=body["operation"][sound].astype(np.uint16),
                sender_mac=rows[sound, 8:14],
                sender=ends[0],
                target_mac=rows[sound, 18:24],
                target=ends[1],
            )
        )

    def decoded(self) -> Decoded:
        """All that was read."""
        nothing = np.empty(0, dtype=np.int64)
        if not self._tcp:
            self.read_ip(Layer(4, nothing, nothing, nothing))
        if not self._arp:
            self.read_arp(nothing, nothing, nothing)
        return Decoded(
            buffer=self.buffer,
            tcp=Segments.concatenate(self._tcp),
            udp=UserDatagrams.concatenate(self._udp),
            sctp=SctpPackets.concatenate(self._sctp) if self._sctp else SctpPackets.none(),
            echoes=Echoes.concatenate(self._echoes) if self._echoes else Echoes.none(),
            icmp=IcmpErrors.concatenate(self._icmp),
            arp=ArpPackets.concatenate(self._arp),
            fragments=Fragments.concatenate(self._fragments) if self._fragments else None,
            unread=self.unread,
        )
