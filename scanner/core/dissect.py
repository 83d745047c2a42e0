"""Dissecting captures: IPv4 and IPv6, in tunnels and in pieces, as far as it bears on some ports.

What names none of the ports is dropped as soon as they are known, so that a large capture costs little more
than a look at each header. What cannot be read is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scanner.core import headers, ip
from scanner.core.book import AddressBook
from scanner.core.columns import gather
from scanner.core.decode import Decoder, Layer
from scanner.core.fragments import Reassembled, Reassembler
from scanner.core.heard import Heard
from scanner.core.link import ARP, IPV4, IPV6, RAW, network_layer
from scanner.core.linkfields import NEITHER
from scanner.core.packets import UDP, Decoded
from scanner.core.sieve import Sieve
from scanner.core.tunnels import CARRIERS, DEEPEST, DIRECT, Outer, TunnelNumbers, inner


class Dissector:
    """Reads frames, of any link type each time.

    In what it gives, `frame` is the row among those added last; where a packet came in pieces, that of its
    first fragment, which is negative if that was added before.
    """

    def __init__(self, book: AddressBook, ports: NDArray[np.bool_]) -> None:
        """`book` numbers the addresses. `ports`: `(65536,)` bool, those asked about."""
        self._book = book
        self._ports = ports
        self._tunnels = TunnelNumbers()
        self._reassembler = Reassembler()
        self._heard = Heard()
        self._unread: Counter[str] = Counter()
        self._carried_to, self._carried_from = (np.zeros(1 << 16, dtype=np.bool_) for _ in range(2))
        for carrier in CARRIERS:
            self._carried_to[[*carrier.ports]] = True
            self._carried_from[[*carrier.ports]] = carrier.either
        self._sieve = Sieve(ports | self._carried_to, self._heard)
        self._direct = np.zeros(256, dtype=np.bool_)
        self._direct[[*DIRECT]] = True
        self._before = self._added = self._zone = 0

    @property
    def unread(self) -> Counter[str]:
        """Frames, fragments and packets in tunnels that were not read, by the reason."""
        return self._unread + self._reassembler.unread

    def add(
        self,
        buffer: NDArray[np.uint8],
        starts: NDArray[np.int64],
        lengths: NDArray[np.int64],
        times: Callable[[NDArray[np.int64] | slice], NDArray[np.int64]],
        link_type: int,
        zone: int = 0,
    ) -> list[Decoded]:
        """The packets of some frames, as `scanner.contracts.Frames` holds them; `times` of those that count.

        `zone`: number of the interface they were seen on, 0 where that is not known.

        Raises:
            CaptureError: the link type is not supported, or there are too many IPv6 addresses or tunnels.
        """
        self._zone = zone
        self._before, self._added = self._before + self._added, len(starts)
        numbers = self._sieve.telling(buffer, starts, lengths, link_type)
        if numbers is not None:
            starts, lengths = starts[numbers], lengths[numbers]
        decoder = self._decoder(buffer, times(slice(None) if numbers is None else numbers), numbers)
        at, kind = network_layer(buffer, starts, lengths, link_type)
        end = starts + lengths
        there = decoder.reach(at, end)
        is_arp = there & (kind == ARP)
        decoder.read_arp(at, end, np.flatnonzero(is_arp))
        frames = Layer(0, np.arange(len(at)), at, end)
        ours = self._layers(decoder, frames, np.where(there, kind, NEITHER))
        decoder.count("neither IP nor ARP", there & ~is_arp & ~ours)
        return self._whole(decoder)

    def finish(self) -> list[Decoded]:
        """What fragments are left, as far as they go."""
        found = []
        # In a datagram that is given up there may be a piece of another one.
        while (whole := self._reassembler.finish()) is not None:
            found += self._pieced(whole)
        return found

    def heard(self, numbers: NDArray[np.uint32]) -> NDArray[np.bool_]:
        """Whether there was any packet to these addresses; now and then yes where there was none."""
        return self._heard.of(numbers, self._book)

    def _decoder(
        self, buffer: NDArray[np.uint8], times: NDArray[np.int64], numbers: NDArray[np.int64] | None = None
    ) -> Decoder:
        return Decoder(
            buffer,
            times,
            self._ports,
            self._book,
            self._tunnels,
            numbers,
            set_aside=True,
            zone=self._zone,
            unread=self._unread,
        )

    def _layers(
        self, decoder: Decoder, among: Layer, kind: NDArray[np.uint16], depth: int = 0
    ) -> NDArray[np.bool_]:
        """Read the IP packets among some of any kind, and those in them. Returns which they are."""
        ours = np.zeros(len(kind), dtype=np.bool_)
        for version, ethertype in ((4, IPV4), (6, IPV6)):
            mine = kind == ethertype
            ours |= mine
            # Most captures have one kind of packet in most frames: what is all need not be chosen.
            layer = replace(among, version=version) if mine.all() else among.take(version, mine)
            if not len(layer.at):
                continue
            packets, other = decoder.read_ip(layer)
            there = layer.end - layer.at >= packets.header.itemsize
            self._heard.add(packets.words(1) if there.all() else packets.words(1)[there])
            self._carried(decoder, layer, packets, other, depth)
        return ours

    def _carried(
        self,
        decoder: Decoder,
        layer: Layer,
        packets: ip.Packets,
        other: NDArray[np.bool_],
        depth: int,
    ) -> None:
        """Look into tunnels; what is neither that nor read is counted."""
        protocol = packets.protocol
        direct = other & self._direct[protocol]
        decoder.count("other IP protocol", other & ~direct)
        datagrams = np.flatnonzero((protocol == UDP) & (packets.captured >= headers.UDP_BYTES))
        port = gather(decoder.buffer, packets.transport[datagrams], 4).view(">u2").astype(np.uint16)
        to, by = self._carried_to[port[:, 1]], self._carried_from[port[:, 0]]
        carries = to | by
        datagrams, port = datagrams[carries], np.where(to, port[:, 1], port[:, 0])[carries]
        if len(packets.pieces.row):
            whole = ~np.isin(datagrams, packets.pieces.row)
            datagrams, port = datagrams[whole], port[whole]
        rows = np.concatenate([np.flatnonzero(direct), datagrams])
        if not len(rows):
            return
        if depth == DEEPEST:
            decoder.unread["in too many tunnels"] += len(rows)
            return
        tunnel = np.zeros(len(rows), dtype=np.uint64) if layer.tunnel is None else layer.tunnel[rows]
        there = packets.captured[rows]
        udp = len(rows) - len(datagrams)
        there[udp:] = _of_datagrams(decoder.buffer, packets.transport[datagrams], there[udp:])
        outer = Outer(
            row=rows,
            protocol=protocol[rows],
            payload=packets.transport[rows] + np.where(protocol[rows] == UDP, headers.UDP_BYTES, 0),
            end=packets.transport[rows] + there,
            port=np.concatenate([np.zeros(len(rows) - len(port), dtype=np.uint16), port]),
            source=packets.words(0)[rows],
            destination=packets.words(1)[rows],
            tunnel=tunnel,
        )
        found = inner(decoder.buffer, outer)
        # Whatever uses VXLAN's port for something else is a datagram like any other.
        decoder.count("tunnel that carries no IP", (found.kind == NEITHER) & (outer.protocol != UDP))
        carried = Layer(0, layer.frame[found.row], found.at, found.end, found.tunnel)
        self._layers(decoder, carried, found.kind, depth + 1)

    def _whole(self, decoder: Decoder) -> list[Decoded]:
        """What a decoder has, and the datagrams that its fragments complete."""
        decoded = decoder.decoded()
        if decoded.fragments is None:
            return [decoded]
        ours = decoded.fragments.ip
        # Frames are numbered through, as long as pieces wait.
        fragments = replace(decoded.fragments, ip=replace(ours, frame=ours.frame + self._before))
        whole = self._reassembler.add(decoded.buffer, fragments)
        return [decoded] if whole is None else [decoded, *self._pieced(whole)]

    def _pieced(self, whole: Reassembled) -> list[Decoded]:
        decoder = self._decoder(whole.buffer, whole.times, whole.frame - self._before)
        at, kind = network_layer(whole.buffer, whole.starts, whole.lengths, RAW)
        tunnel = self._tunnels.tunnels(whole.tunnel)
        self._layers(decoder, Layer(0, np.arange(len(at)), at, at + whole.lengths, tunnel), kind)
        # A datagram that was in pieces may carry one that was, in a tunnel.
        return self._whole(decoder)


def _of_datagrams(
    buffer: NDArray[np.uint8], at: NDArray[np.int64], captured: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Bytes of UDP datagrams by their own length, as far as they were captured.

    A length of zero is that of a jumbogram, or of one that the card has yet to cut up.
    """
    length = gather(buffer, at + 4, 2).view(">u2")[:, 0].astype(np.int64)
    return np.where(length > 0, np.minimum(length, captured), captured)
