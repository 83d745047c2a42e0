"""The packets of conversations, as columns: those of some ports, by flow and time.

A flow is what two ends (address and port) exchange in one tunnel, whichever way it goes. The lower end is
side 0, the other one side 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanner.core.columns import Columns
from scanner.core.packets import Segments, UserDatagrams
from scanner.core.rules import ACK, FIN, RST, SYN

SEEN_SYN, SEEN_SYN_ACK, SEEN_FIN, SEEN_RST, SEEN_ACK = (1 << bit for bit in range(5))
"""What a TCP segment is, as bits: of a SYN only whether it has ACK, of a reset nothing more."""

SIDE_BITS = 5
"""How far those of side 1 are shifted."""

IDLE = 120_000_000_000
"""Nanoseconds of silence after which a datagram, or the same SYN, begins something new. So long netfilter
waits for the answer to a SYN, and for more of a UDP stream (nf_conntrack_tcp_timeout_syn_sent and
nf_conntrack_udp_timeout_stream, 120 s); Zeek's udp_inactivity_timeout is one minute."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Lot(Columns):
    """Packets by flow, and within a flow by time.

    one, two: uint64, the flow: addresses; ports and tunnel. times: int64 ns. arrival: int64, place among
    those that were given. side: uint8, of who sent it. seen: uint16, SEEN_ bits on their side. opens: bool,
    may begin a conversation: a SYN, a datagram after IDLE. number: uint32, sequence number; begin: uint32,
    that of the first byte of data. size, payload, captured: as in `Segments`; a reset's text is no data.
    """

    one: NDArray[np.uint64]
    two: NDArray[np.uint64]
    times: NDArray[np.int64]
    arrival: NDArray[np.int64]
    side: NDArray[np.uint8]
    seen: NDArray[np.uint16]
    opens: NDArray[np.bool_]
    number: NDArray[np.uint32]
    begin: NDArray[np.uint32]
    size: NDArray[np.int64]
    payload: NDArray[np.int64]
    captured: NDArray[np.int64]

    def flow_starts(self) -> NDArray[np.bool_]:
        """Which packets are the first of their flow."""
        starts = np.ones(len(self), dtype=np.bool_)
        starts[1:] = (self.one[1:] != self.one[:-1]) | (self.two[1:] != self.two[:-1])
        return starts


def of_segments(tcp: Segments, ports: NDArray[np.bool_]) -> Lot:
    """The segments from and to some ports."""
    row, side, one, two = _flows(tcp, ports)
    flags = tcp.flags[row]
    is_reset = (flags & RST) != 0
    is_syn = ((flags & SYN) != 0) & ~is_reset
    acknowledges = (flags & ACK) != 0
    seen = np.where(acknowledges, SEEN_ACK, 0) | np.where(flags & FIN, SEEN_FIN, 0)
    seen = np.where(is_syn, np.where(acknowledges, SEEN_SYN_ACK, SEEN_SYN), seen)
    seen = np.where(is_reset, SEEN_RST, seen).astype(np.uint16)
    number = tcp.sequence[row]
    return Lot(
        one=one,
        two=two,
        times=tcp.ip.times[row],
        arrival=row,
        side=side,
        seen=seen << (side * np.uint16(SIDE_BITS)),
        opens=seen == SEEN_SYN,
        number=number,
        begin=number + is_syn.astype(np.uint32),  # a SYN has a number of its own (RFC 9293, 3.4)
        size=np.where(is_reset, 0, tcp.size[row]),
        payload=tcp.payload[row],
        captured=np.where(is_reset, 0, tcp.captured[row]),
    )


def of_datagrams(udp: UserDatagrams, ports: NDArray[np.bool_]) -> Lot:
    """The datagrams from and to some ports."""
    row, side, one, two = _flows(udp, ports)
    none = np.zeros(len(row), dtype=np.uint32)
    times = udp.ip.times[row]
    opens = np.zeros(len(row), dtype=np.bool_)
    opens[1:] = times[1:] - times[:-1] > IDLE
    return Lot(
        one=one,
        two=two,
        times=times,
        arrival=row,
        side=side,
        seen=none.astype(np.uint16),
        opens=opens,
        number=none,
        begin=none,
        size=udp.size[row],
        payload=udp.payload[row],
        captured=udp.captured[row],
    )


def _flows(
    packets: Segments | UserDatagrams, ports: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.uint64], NDArray[np.uint64]]:
    """The rows of packets that matter, by flow and time; who sent each, and the two words of its flow."""
    row = np.flatnonzero(ports[packets.source_port] | ports[packets.destination_port])
    half, quarter = np.uint64(32), np.uint64(16)
    ip = packets.ip
    sender = ip.source[row].astype(np.uint64) << quarter | packets.source_port[row]
    receiver = ip.destination[row].astype(np.uint64) << quarter | packets.destination_port[row]
    lower, upper = np.minimum(sender, receiver), np.maximum(sender, receiver)
    side = (sender > receiver).view(np.uint8)
    one = (lower >> quarter) << half | upper >> quarter
    port = np.uint64(0xFFFF)
    two = (lower & port) << np.uint64(48) | (upper & port) << half | ip.tunnel[row]
    order = np.lexsort((ip.times[row], two, one))
    return row[order], side[order], one[order], two[order]
