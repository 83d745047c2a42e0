"""The flow table: which recorded probe a claim answers, where there is a capture and no cookie.

The prober is who spoke first. A claim belongs to the last probe of its flow that left before it and has
the sequence number that it names, as far as its kind of reply names one. Probe and reply travel in the same
tunnel, or both in none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanner.core.columns import Columns
from scanner.core.earlier import Numbered, last_so_far, named
from scanner.core.ordering import merged_order, stable_order
from scanner.core.packets import ICMP, INIT, MIRRORED, NO_PORT, SCTP, TCP, UDP, Datagrams, Decoded
from scanner.core.rules import FIN, SYN_REPLIES, Claims, ReplyRules, reason_code, sequence_agrees
from scanner.model import Reason

Words = tuple[NDArray[np.uint64], NDArray[np.uint64]]

_MIX = (np.uint64(0x9E37_79B9_7F4A_7C15), np.uint64(0xC2B2_AE3D_27D4_EB4F))
_TUNNEL_BITS = 24

HASH_BITS = 32
"""Of a flow's key, those that do not tell the target."""

_BY_A_SYN, _BY_A_DATAGRAM = reason_code(Reason.SPLIT_HANDSHAKE_SYN), reason_code(Reason.UDP_RESPONSE)
"""What is claimed by packets that may be probes themselves: SYNs without ACK, and datagrams."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Probes(Columns):
    """Recorded probes, one element each.

    frame: int64, place in the capture. times: int64 ns. protocol: uint8. prober, target: uint32.
    prober_port, target_port: uint16. tunnel, sequence, identification: uint32. size: uint32, bytes of data,
    and a FIN, which counts as one (RFC 9293, 3.4).
    count: uint32, probes that the element stands for.
    """

    frame: NDArray[np.int64]
    times: NDArray[np.int64]
    protocol: NDArray[np.uint8]
    prober: NDArray[np.uint32]
    target: NDArray[np.uint32]
    prober_port: NDArray[np.uint16]
    target_port: NDArray[np.uint16]
    tunnel: NDArray[np.uint32]
    sequence: NDArray[np.uint32]
    identification: NDArray[np.uint32]
    size: NDArray[np.uint32]
    count: NDArray[np.uint32]

    @staticmethod
    def none() -> Probes:
        """No probes."""
        wide, narrow = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.uint32)
        port = np.empty(0, dtype=np.uint16)
        protocol = np.empty(0, dtype=np.uint8)
        return Probes(wide, wide, protocol, narrow, narrow, port, port, *(narrow,) * 5)


def candidate_probes(decoded: Decoded, ports: NDArray[np.bool_], rules: ReplyRules = SYN_REPLIES) -> Probes:
    """Packets that may be probes, to a port that is asked about.

    A SYN without ACK, or what else TCP was asked with; any UDP datagram; an SCTP INIT; an echo request.

    Args:
        decoded: packets.
        ports: `(65536,)` bool, the ports asked about.
        rules: those of the TCP probe.
    """
    tcp, udp = decoded.tcp, decoded.udp
    asks = tcp.flags & (rules.set | rules.clear) == rules.set
    opening = np.flatnonzero(asks & ports[tcp.destination_port])
    datagrams = np.flatnonzero(ports[udp.destination_port])
    found = _of_ports(decoded, opening, datagrams)
    rest = [probes for probes in (_inits(decoded, ports), _echo_requests(decoded, ports)) if len(probes)]
    return Probes.concatenate([found, *rest]) if rest else found


def _inits(decoded: Decoded, ports: NDArray[np.bool_]) -> Probes:
    sctp = decoded.sctp
    rows = np.flatnonzero((sctp.chunk == INIT) & ports[sctp.destination_port])
    ends = (sctp.source_port[rows], sctp.destination_port[rows])
    return _probes(sctp.ip.take(rows), SCTP, ends, sctp.initiate[rows])


def _echo_requests(decoded: Decoded, ports: NDArray[np.bool_]) -> Probes:
    echoes = decoded.echoes
    rows = np.flatnonzero(~echoes.reply & ports[NO_PORT])
    ends = (echoes.identifier[rows], np.full(len(rows), NO_PORT, dtype=np.uint16))
    return _probes(echoes.ip.take(rows), ICMP, ends, echoes.sequence[rows].astype(np.uint32))


def _probes(
    ip: Datagrams,
    protocol: int,
    ends: tuple[NDArray[np.uint16], NDArray[np.uint16]],
    sequence: NDArray[np.uint32],
) -> Probes:
    return Probes(
        frame=ip.frame,
        times=ip.times,
        protocol=np.full(len(ip), protocol, dtype=np.uint8),
        prober=ip.source,
        target=ip.destination,
        prober_port=ends[0],
        target_port=ends[1],
        tunnel=ip.tunnel,
        sequence=sequence,
        identification=ip.identification,
        size=np.zeros(len(ip), dtype=np.uint32),
        count=np.ones(len(ip), dtype=np.uint32),
    )


def _of_ports(decoded: Decoded, opening: NDArray[np.int64], datagrams: NDArray[np.int64]) -> Probes:
    tcp, udp = decoded.tcp, decoded.udp
    kinds = ((tcp, opening), (udp, datagrams))
    behind = tcp.size[opening] + (tcp.flags[opening] & FIN != 0)
    ip = [packets.ip.take(rows) for packets, rows in kinds]
    return Probes(
        frame=np.concatenate([part.frame for part in ip]),
        times=np.concatenate([part.times for part in ip]),
        protocol=np.repeat(np.array([TCP, UDP], dtype=np.uint8), [len(opening), len(datagrams)]),
        prober=np.concatenate([part.source for part in ip]),
        target=np.concatenate([part.destination for part in ip]),
        prober_port=np.concatenate([packets.source_port[rows] for packets, rows in kinds]),
        target_port=np.concatenate([packets.destination_port[rows] for packets, rows in kinds]),
        tunnel=np.concatenate([part.tunnel for part in ip]),
        sequence=np.concatenate([tcp.sequence[opening], np.zeros(len(datagrams), dtype=np.uint32)]),
        identification=np.concatenate([part.identification for part in ip]),
        size=np.concatenate([behind, udp.size[datagrams]]).astype(np.uint32),
        count=np.ones(len(opening) + len(datagrams), dtype=np.uint32),
    )


@dataclass(frozen=True, slots=True)
class Joined:
    """Probes and claims brought together.

    true: `(P,)` bool, probes that answer no earlier packet of their flow. row, probe: int64, claims that
    name the flow of a true probe, and that probe. genuine: bool, whether its number agrees; where none does,
    the probe is the last one.
    """

    true: NDArray[np.bool_]
    row: NDArray[np.int64]
    probe: NDArray[np.int64]
    genuine: NDArray[np.bool_]


def join(probes: Probes, claims: Claims, ports: NDArray[np.bool_] | None) -> Joined:
    """Find for each claim the last probe of its flow that left no later than it came, and that it names.

    Args:
        probes: in the order of the capture.
        claims: likewise.
        ports: `(65536,)` bool, those asked about: who spoke first in a flow is its prober. None: the probes
            are known to be true.
    """
    words = tuple(np.concatenate(pair) for pair in zip(flow_words(probes), flow_words(claims), strict=True))
    times = np.concatenate([probes.times, claims.times])
    keys = np.concatenate([flow_keys(probes), flow_keys(claims)])
    order, begins = by_flow((words[0], words[1]), times, keys)
    is_claim = order >= len(probes)
    flow = np.cumsum(begins) - 1
    if ports is None:
        true = np.ones(len(probes), dtype=np.bool_)
    else:
        true = _leading(probes, claims, ports, order, flow)
    good = ~is_claim
    good[good] = true[order[good]]
    last = last_so_far(good, begins)
    found = np.flatnonzero(is_claim & (last >= 0))
    row = order[found] - len(probes)
    probe = order[last[found]]
    agreed = sequence_agrees(claims.take(row), probes.sequence[probe], probes.size[probe])
    if not agreed.all():
        asked, doubted = np.flatnonzero(good), np.flatnonzero(~agreed)
        at = order[asked]
        sent = Numbered(flow[asked], asked, probes.sequence[at])
        said = Numbered(flow[found[doubted]], found[doubted], claims.sequence[row[doubted]])
        which = named(sent, probes.size[at], said, claims.check[row[doubted]])
        agreed[doubted] = which >= 0
        probe[doubted] = np.where(which >= 0, at[which], probe[doubted])
    return Joined(true=true, row=row, probe=probe, genuine=agreed)


def _leading(
    probes: Probes,
    claims: Claims,
    ports: NDArray[np.bool_],
    order: NDArray[np.int64],
    flow: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Which probes are in flows whose first packet, of those that may be probes, was not the other end's."""
    opening = openings(claims, ports)
    true = np.ones(len(probes), dtype=np.bool_)
    if not opening.any():
        return true
    flows = int(flow[-1]) + 1
    of = np.empty(len(order), dtype=np.int64)
    of[order] = flow
    # Within a time, the place in the capture tells who was first.
    ours = _earliest(of[: len(probes)], probes.times, probes.frame, flows)
    rows = np.flatnonzero(opening)
    theirs = _earliest(of[len(probes) :][rows], claims.times[rows], claims.frame[rows], flows)
    later = (ours[0] > theirs[0]) | ((ours[0] == theirs[0]) & (ours[1] > theirs[1]))
    true[later[of[: len(probes)]]] = False
    return true


def openings(claims: Claims, ports: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which claims are packets that may be probes themselves, where `ports` `(65536,)` bool are asked about.

    A SYN opens whichever port it goes to. A datagram from a port that is asked about, to one that is not, may
    as well go on with what began before the capture.
    """
    opening: NDArray[np.bool_] = (claims.reason == _BY_A_DATAGRAM) & ports[claims.prober_port]
    opening |= claims.reason == _BY_A_SYN
    return opening


def _earliest(
    flow: NDArray[np.int64], times: NDArray[np.int64], frame: NDArray[np.int64], flows: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Time and place of the first packet of each flow."""
    never = np.iinfo(np.int64).max
    time, place = (np.full(flows, never, dtype=np.int64) for _ in range(2))
    np.minimum.at(time, flow, times)
    first = times == time[flow]
    np.minimum.at(place, flow[first], frame[first])
    return time, place


def to_themselves(claims: Claims) -> NDArray[np.bool_]:
    """Which claims are of packets that may be probes, and go to the very port that they come from.

    As in a LAND attack: nothing tells an answer from another try, and none answers itself.
    """
    asks = (claims.reason == _BY_A_SYN) | (claims.reason == _BY_A_DATAGRAM)
    found: NDArray[np.bool_] = asks & (claims.target == claims.prober)
    found &= claims.target_port == claims.prober_port
    return found


def copies(probes: Probes) -> NDArray[np.bool_]:
    """Which probes are mirrored: the same packet, in whatever tunnel, was seen just before."""
    copied = np.zeros(len(probes), dtype=np.bool_)
    one, two = _words(probes, tunnelled=False)
    three = (probes.sequence.astype(np.uint64) << np.uint64(32)) | probes.identification
    three ^= probes.size.astype(np.uint64) << np.uint64(20)
    mixed = mix((mix((one, two)), three))
    ordered = np.sort(mixed)
    doubled = ordered[1:][ordered[1:] == ordered[:-1]]
    if not len(doubled):
        return copied
    rows = np.flatnonzero(np.isin(mixed, doubled))
    names = ("sequence", "identification", "size")
    keys = (one[rows], two[rows], *(getattr(probes, name)[rows] for name in names))
    order = np.lexsort((probes.frame[rows], probes.times[rows], *keys))
    same = np.ones(len(rows) - 1, dtype=np.bool_)
    for key in keys:
        same &= key[order][1:] == key[order][:-1]
    times = probes.times[rows][order]
    copied[rows[order[1:][same & (times[1:] - times[:-1] <= MIRRORED)]]] = True
    return copied


def flow_words(packets: Probes | Claims) -> Words:
    """The flow of each, as two words."""
    return _words(packets, tunnelled=True)


def _words(packets: Probes | Claims, *, tunnelled: bool) -> Words:
    half = np.uint64(32)
    addresses = (packets.prober.astype(np.uint64) << half) | packets.target
    rest = (packets.prober_port.astype(np.uint64) << np.uint64(16)) | packets.target_port
    rest |= packets.protocol.astype(np.uint64) << half
    if tunnelled:
        # Whoever gives tunnels their numbers keeps to this many.
        rest |= packets.tunnel.astype(np.uint64) << np.uint64(64 - _TUNNEL_BITS)
    return addresses, rest


def mix(words: Words) -> NDArray[np.uint64]:
    """One word of two. No secret is in it: whoever cares must tell two pairs with one hash apart."""
    mixed = words[0] * _MIX[0]
    mixed ^= mixed >> np.uint64(29)
    mixed += words[1]
    mixed *= _MIX[1]
    mixed ^= mixed >> np.uint64(32)
    mixed *= _MIX[0]
    return mixed


def flow_keys(packets: Probes | Claims) -> NDArray[np.uint64]:
    """One word for each by which all of a flow are together, and by target; in whatever tunnel."""
    keys: NDArray[np.uint64] = packets.target.astype(np.uint64) << np.uint64(HASH_BITS)
    keys |= mix(_words(packets, tunnelled=False)) >> np.uint64(32)
    return keys


def target_keys(packets: Probes | Claims) -> NDArray[np.uint64]:
    """Address, protocol and port in one number, in the order of records."""
    address = packets.target.astype(np.uint64) << np.uint64(24)
    protocol = packets.protocol.astype(np.uint64) << np.uint64(16)
    keys: NDArray[np.uint64] = address + protocol + packets.target_port.astype(np.uint64)
    return keys


def by_flow(
    words: Words, times: NDArray[np.int64], keys: NDArray[np.uint64] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Rows by flow and time, those of one time in their order, and where in that order a flow begins.

    `keys`: a word for each, the same for all of a flow, by which they are a few ordered runs; None: they
    come in no order.
    """
    if keys is None:
        keys = mix(words)
        order = stable_order(keys)
    else:
        order = merged_order(keys)
    starts = _starts((keys[order],))
    begins = _starts((words[0][order], words[1][order]))
    if not np.array_equal(starts, begins):
        # Two flows have one key: tunnels, chance, or somebody's wit.
        order = np.lexsort((times, *words))
        return order, _starts((words[0][order], words[1][order]))
    ordered = times[order]
    turned = np.zeros(len(order), dtype=np.bool_)
    turned[1:] = (ordered[1:] < ordered[:-1]) & ~begins[1:]
    if turned.any():
        # Most flows are in order of time as they come.
        flow = np.cumsum(begins) - 1
        rows = np.flatnonzero(np.bincount(flow[turned], minlength=int(flow[-1]) + 1)[flow])
        order[rows] = order[rows][np.lexsort((ordered[rows], flow[rows]))]
    return order, begins


def _starts(sorted_keys: tuple[NDArray[np.uint64], ...]) -> NDArray[np.bool_]:
    """Where a sorted run of equal keys begins."""
    starts = np.zeros(len(sorted_keys[0]), dtype=np.bool_)
    starts[:1] = True
    for key in sorted_keys:
        starts[1:] |= key[1:] != key[:-1]
    return starts
