"""The flow table: which recorded probe a claim answers, where there is a capture and no cookie.

The prober is who spoke first. A claim belongs to the last probe of its flow that left before it, and
must name that probe's sequence number as far as its kind of reply can.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanner.core.columns import Columns
from scanner.core.decode import TCP, UDP, Decoded
from scanner.core.rules import ACK, RST, SYN, Claims, sequence_agrees

Keys = tuple[NDArray[np.uint64], NDArray[np.uint64]]


@dataclass(frozen=True, slots=True)
class Probes(Columns):
    """Recorded probes, one element each.

    times: int64 ns. protocol: uint8. prober, target: uint32. prober_port, target_port: uint16.
    sequence: uint32.
    """

    times: NDArray[np.int64]
    protocol: NDArray[np.uint8]
    prober: NDArray[np.uint32]
    target: NDArray[np.uint32]
    prober_port: NDArray[np.uint16]
    target_port: NDArray[np.uint16]
    sequence: NDArray[np.uint32]

    def keys(self) -> Keys:
        """The flow of each, as two words."""
        return _words(self.protocol, (self.prober, self.target), (self.prober_port, self.target_port))

    def reverse_keys(self) -> Keys:
        """The same flow seen from the other end."""
        return _words(self.protocol, (self.target, self.prober), (self.target_port, self.prober_port))


def candidate_probes(decoded: Decoded, ports: NDArray[np.bool_]) -> Probes:
    """Packets that may be probes: a SYN without ACK, or any UDP datagram, to a port that is asked about.

    Args:
        decoded: packets.
        ports: `(65536,)` bool, the ports asked about.
    """
    tcp, udp = decoded.tcp, decoded.udp
    opening = np.flatnonzero((tcp.flags & (SYN | ACK | RST) == SYN) & ports[tcp.destination_port])
    datagrams = np.flatnonzero(ports[udp.destination_port])
    return Probes(
        times=np.concatenate([tcp.ip.times[opening], udp.ip.times[datagrams]]),
        protocol=np.repeat(np.array([TCP, UDP], dtype=np.uint8), [len(opening), len(datagrams)]),
        prober=np.concatenate([tcp.ip.source[opening], udp.ip.source[datagrams]]),
        target=np.concatenate([tcp.ip.destination[opening], udp.ip.destination[datagrams]]),
        prober_port=np.concatenate([tcp.source_port[opening], udp.source_port[datagrams]]),
        target_port=np.concatenate([tcp.destination_port[opening], udp.destination_port[datagrams]]),
        sequence=np.concatenate([tcp.sequence[opening], np.zeros(len(datagrams), dtype=np.uint32)]),
    )


def true_probes(candidates: Probes) -> Probes:
    """Leave out those that answer an earlier one: who spoke first in a flow is its prober."""
    if not len(candidates):
        return candidates
    forward, backward = candidates.keys(), candidates.reverse_keys()
    swap = (backward[0] < forward[0]) | ((backward[0] == forward[0]) & (backward[1] < forward[1]))
    one, two = np.where(swap, backward[0], forward[0]), np.where(swap, backward[1], forward[1])
    order = np.lexsort((np.arange(len(candidates)), candidates.times, two, one))
    first = _starts(one[order], two[order])
    leader = order[np.flatnonzero(first)[np.cumsum(first) - 1]]
    ours = np.empty(len(candidates), dtype=np.bool_)
    ours[order] = swap[order] == swap[leader]
    return candidates.take(ours)


@dataclass(frozen=True, slots=True)
class Answered:
    """Claims that name a recorded flow: which claim, which probe, and whether the number agrees."""

    row: NDArray[np.int64]
    probe: NDArray[np.int64]
    genuine: NDArray[np.bool_]


def match(probes: Probes, claims: Claims) -> Answered:
    """Find for each claim the last probe of its flow that left no later than it came."""
    ours, theirs = (
        probes.keys(),
        _words(claims.protocol, (claims.prober, claims.target), (claims.prober_port, claims.target_port)),
    )
    one, two = (np.concatenate(pair) for pair in zip(ours, theirs, strict=True))
    is_claim = np.repeat(np.array([0, 1], dtype=np.uint8), [len(probes), len(claims)])
    order = np.lexsort((is_claim, np.concatenate([probes.times, claims.times]), two, one))
    # Carry the number of the last probe forward, and forget it where a flow begins.
    marks = np.where(is_claim[order] == 0, np.arange(len(order)), -1)
    carried = np.maximum.accumulate(marks) if len(order) else marks
    first = np.flatnonzero(_starts(one[order], two[order]))
    begin = first[np.searchsorted(first, np.arange(len(order)), side="right") - 1] if len(order) else first
    found = np.flatnonzero((is_claim[order] == 1) & (carried >= begin))
    row = order[found] - len(probes)
    probe = order[carried[found]]
    return Answered(row=row, probe=probe, genuine=sequence_agrees(claims.take(row), probes.sequence[probe]))


def _words(
    protocol: NDArray[np.uint8],
    ends: tuple[NDArray[np.uint32], NDArray[np.uint32]],
    ports: tuple[NDArray[np.uint16], NDArray[np.uint16]],
) -> Keys:
    half = np.uint64(32)
    addresses = (ends[0].astype(np.uint64) << half) | ends[1].astype(np.uint64)
    rest = (protocol.astype(np.uint64) << half) | (ports[0].astype(np.uint64) << np.uint64(16))
    rest |= ports[1].astype(np.uint64)
    return addresses, rest


def _starts(one: NDArray[np.uint64], two: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Where a sorted run of equal keys begins."""
    starts = np.ones(len(one), dtype=np.bool_)
    starts[1:] = (one[1:] != one[:-1]) | (two[1:] != two[:-1])
    return starts
