"""Scapy's packets as frames for the reader, and the reader's frames as Scapy's packets.

The bytes are those that Scapy would write to a pcap, the link type that of the first layer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from scapy.config import conf
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet, Raw
from scapy.utils import EDecimal

from scanner.contracts import Frames

_AT_ONCE = 1 << 14
_NS = 1_000_000_000


def frames_of(packets: Iterable[Packet]) -> Iterator[Frames]:
    """The frames of packets, in their order. A packet that begins at no link layer is an empty frame."""
    for link_type, run in groupby(packets, _link_type):
        piece: list[Packet] = []
        for packet in run:
            piece.append(packet)
            if len(piece) == _AT_ONCE:
                yield _frames(piece, link_type)
                piece = []
        if piece:
            yield _frames(piece, link_type)


def _link_type(packet: Packet) -> int | None:
    number: int | None = conf.l2types.layer2num.get(type(packet))
    return number


def _frames(packets: list[Packet], link_type: int | None) -> Frames:
    data = [b"" if link_type is None else bytes(packet) for packet in packets]
    lengths = np.array([len(each) for each in data], dtype=np.int64)
    wire = [packet.wirelen or 0 for packet in packets]
    return Frames(
        buffer=np.frombuffer(b"".join(data), dtype=np.uint8),
        starts=np.cumsum(lengths) - lengths,
        lengths=lengths,
        original_lengths=np.maximum(lengths, np.array(wire, dtype=np.int64)),
        times=np.array([_nanoseconds(packet) for packet in packets], dtype=np.int64),
        link_type=_RAW if link_type is None else link_type,
    )


_RAW = 101  # LINKTYPE_RAW


def _nanoseconds(packet: Packet) -> int:
    """When it was captured; of a packet that was sent, when that was."""
    return int(Decimal(packet.sent_time or packet.time) * _NS)


def packets_at(frames: Iterable[Frames], places: NDArray[np.int64], *, link: bool) -> dict[int, Packet]:
    """The packets at some places of a capture.

    link: with their link header; without it they begin at IP where there is any, as `sr` gives them.
    """
    wanted = np.unique(places)
    found: dict[int, Packet] = {}
    before = 0
    for piece in frames:
        first, last = np.searchsorted(wanted, [before, before + len(piece)])
        for place in wanted[first:last].tolist():
            found[place] = _packet(piece, place - before, link=link)
        before += len(piece)
    return found


def _packet(frames: Frames, row: int, *, link: bool) -> Packet:
    start, length = int(frames.starts[row]), int(frames.lengths[row])
    layer: type[Packet] = conf.l2types.num2layer.get(frames.link_type, Raw)
    packet = layer(frames.buffer[start : start + length].tobytes())
    if not link:
        packet = packet.getlayer(IP) or packet.getlayer(IPv6) or packet
    packet.time = EDecimal(Decimal(int(frames.times[row])) / _NS)
    packet.wirelen = int(frames.original_lengths[row])
    return packet
