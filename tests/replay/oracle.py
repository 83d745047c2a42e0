"""The oracle: verdicts out of what tshark saw, by plain rules of its own, one target at a time.

The law: nothing here shares code with what it judges. It knows neither the lab nor the scripts, nor any plan;
of a capture alone it says everything that a record has.

RFC 9293 section 3.10.7.3 for segments; RFC 792, RFC 1122 section 3.2.2.1 and RFC 1812 section 5.2.7.1 for
ICMP; RFC 4443 section 3 for ICMPv6.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from scanner.model import Protocol
from tests.replay.frames import Frame, Seen

Record = dict[str, object]
Target = tuple[str, Protocol, int]

NOTHING_INBOUND = "one-way capture: no inbound packets on this link"
NOTHING_TO_PROBER = "one-way capture: no inbound packets to this prober"
NOTHING_FROM_TARGET = "one-way capture: no inbound packets from this target"
OPEN_INFERRED = "open-inferred"
ADDRESS_CONFLICT = "address-conflict"

_FIN, _SYN, _RST, _ACK = 0x01, 0x02, 0x04, 0x10
_MIRRORED = 10_000_000
"""Nanoseconds: a packet that is seen again sooner is a copy, and nobody asked twice."""

_ICMP = {
    (4, 3, 0): "net-unreach",
    (4, 3, 1): "host-unreach",
    (4, 3, 2): "proto-unreach",
    (4, 3, 3): "port-unreach",
    (4, 3, 9): "net-prohibited",
    (4, 3, 10): "host-prohibited",
    (4, 3, 13): "admin-prohibited",
    (6, 1, 0): "no-route",
    (6, 1, 1): "admin-prohibited",
    (6, 1, 2): "beyond-scope",
    (6, 1, 3): "addr-unreach",
    (6, 1, 4): "port-unreach",
    (6, 1, 5): "policy",
    (6, 1, 6): "reject-route",
    (6, 4, 1): "proto-unreach",
}
_EXPIRED = {(4, 11), (6, 3)}
_RANKS = {"filtered": 1, "closed": 2, "open": 3}


@dataclass(frozen=True, slots=True)
class _Reply:
    """What a frame says of a probe."""

    state: str
    reason: str
    frame: Frame
    rtt: int


def verdicts(seen: Seen, ports: Collection[int], *, per_prober: bool = False) -> dict[Target, Record]:
    """The records of all that was probed; `per_prober` gives each prober its own, under its name too."""
    probes: dict[tuple[object, ...], list[Frame]] = defaultdict(list)
    for flow in _flows(seen.frames):
        for probe in _probes_of(flow, ports):
            target = (probe.destination, probe.protocol, probe.destination_port)
            probes[(*target, probe.source) if per_prober else target].append(probe)
    return {key: _record(key, found, seen) for key, found in sorted(probes.items(), key=_in_order)}  # type: ignore[misc]


def _in_order(item: tuple[tuple[object, ...], object]) -> tuple[object, ...]:
    address, protocol, port, *prober = item[0]
    return (*_numbers(address), protocol, port, *(_numbers(one) for one in prober))


def _numbers(address: object) -> tuple[int, int]:
    parsed = ip_address(str(address))
    return parsed.version, int(parsed)


def _flows(frames: Iterable[Frame]) -> Iterable[list[Frame]]:
    """Frames that may be probes, by the flow they are in, both directions together."""
    flows: dict[object, list[Frame]] = defaultdict(list)
    for frame in frames:
        if frame.icmp is None and _asks(frame):
            ends = frozenset({(frame.source, frame.source_port), (frame.destination, frame.destination_port)})
            flows[frame.protocol, ends, frame.tunnel].append(frame)
    return flows.values()


def _asks(frame: Frame) -> bool:
    return frame.protocol is Protocol.UDP or _is_opening(frame)


def _is_opening(frame: Frame) -> bool:
    return frame.flags & (_SYN | _RST | _ACK) == _SYN


def _probes_of(flow: Sequence[Frame], ports: Collection[int]) -> list[Frame]:
    """Who spoke first is the prober; a datagram to a port not asked about may go on with older talk."""
    first = next(
        (one for one in flow if one.protocol is Protocol.TCP or one.destination_port in ports), flow[0]
    )
    if first.destination_port not in ports:
        return []
    return [frame for frame in flow if _one_way(frame) == _one_way(first)]


def _one_way(frame: Frame) -> tuple[str, int, str, int]:
    return frame.source, frame.source_port, frame.destination, frame.destination_port


def _quoted_way(frame: Frame) -> tuple[str, int, str, int]:
    return frame.packet_source, frame.source_port, frame.packet_destination, frame.destination_port


def _record(key: tuple[object, ...], probes: Sequence[Frame], seen: Seen) -> Record:
    target, protocol, port, *prober = key
    replies = [reply for frame in seen.frames if (reply := _reply(frame, probes)) is not None]
    held = _held(replies)
    decided = held[-1] if held else None
    betrayed = any(_is_betrayed(probe, probes, seen.frames) for probe in probes)
    inferred = betrayed and (decided is None or decided.state == "filtered")
    silence = "filtered" if protocol is Protocol.TCP else "open|filtered"
    time = max(probe.time for probe in probes) if decided is None else decided.frame.time
    macs = seen.answered.get(str(target), ())
    mac = macs[0] if macs else None
    note = ADDRESS_CONFLICT if len(set(macs)) > 1 else OPEN_INFERRED if inferred else None
    record: Record = {
        "ip": target,
        "proto": str(protocol),
        "port": port,
        "state": silence if decided is None else decided.state,
        "reason": "no-response" if decided is None else decided.reason,
        "ttl": None if decided is None else decided.frame.ttl,
        "rtt_ms": None if decided is None else decided.rtt // 1000 / 1000,
        "responder": None if decided is None else decided.frame.source,
        "tries": _tries(probes),
        "time": iso(time),
        "service": None,
        "note": note,
        "hint": None if decided is not None else _hint(probes, seen, inferred=inferred),
        "superseded": [_told(reply) for reply in held[:-1]] or None,
        "mac": mac,
        "oui": mac and mac[:8],
    }
    return {**record, "prober": prober[0]} if prober else record


def _held(replies: Iterable[_Reply]) -> list[_Reply]:
    """Those that were the verdict at some time: each ranks above the one before."""
    held: list[_Reply] = []
    for reply in replies:
        if not held or _RANKS[reply.state] > _RANKS[held[-1].state]:
            held.append(reply)
    return held


def _told(reply: _Reply) -> Record:
    return {
        "state": reply.state,
        "reason": reply.reason,
        "ttl": reply.frame.ttl,
        "responder": reply.frame.source,
        "time": iso(reply.frame.time),
    }


def _reply(frame: Frame, probes: Sequence[Frame]) -> _Reply | None:
    """What a frame says, if it answers one of these probes: the last of its flow before it that it names."""
    if frame.icmp is None and _one_way(frame)[:2] == _one_way(frame)[2:] and _asks(frame):
        # To the very port it comes from, as in a LAND attack: another try, and no answer.
        return None
    way = _quoted_way(frame) if frame.icmp else (*_one_way(frame)[2:], *_one_way(frame)[:2])
    for probe in sorted(probes, key=lambda probe: (probe.time, probe.number), reverse=True):
        if (probe.time, probe.number) >= (frame.time, frame.number) or probe.tunnel != frame.tunnel:
            continue
        if probe.protocol is frame.protocol and _one_way(probe) == way:
            said = _said(frame, probe)
            if said is not None:
                return _Reply(*said, frame, frame.time - probe.time)
    return None


def _said(frame: Frame, probe: Frame) -> tuple[str, str] | None:
    """State and reason, if the frame names this very probe."""
    if frame.icmp is not None:
        return _said_by_icmp(frame, probe)
    if frame.protocol is Protocol.UDP:
        return "open", "udp-response"
    ahead = (frame.acknowledgement - probe.sequence - 1) % (1 << 32)
    acknowledged = ahead <= probe.size + (probe.flags & _FIN != 0)
    flags = frame.flags & (_SYN | _RST | _ACK)
    if flags & (_RST | _ACK) == _RST | _ACK:
        return ("closed", "reset") if acknowledged or ahead == (1 << 32) - 1 else None
    if flags == _SYN | _ACK:
        return ("open", "syn-ack") if acknowledged else None
    return ("open", "split-handshake-syn") if flags == _SYN else None


def _said_by_icmp(frame: Frame, probe: Frame) -> tuple[str, str] | None:
    assert frame.icmp is not None
    if frame.protocol is Protocol.TCP and frame.sequence != probe.sequence:
        return None
    reason = _reason(frame)
    if reason is None:
        return None
    own = reason == "port-unreach" and frame.protocol is Protocol.UDP and frame.source == probe.destination
    return "closed" if own else "filtered", reason


def _reason(frame: Frame) -> str | None:
    """What an ICMP error decides by."""
    assert frame.icmp is not None
    return "time-exceeded" if frame.icmp[:2] in _EXPIRED else _ICMP.get(frame.icmp)


def _is_betrayed(probe: Frame, probes: Sequence[Frame], frames: Sequence[Frame]) -> bool:
    """Whether the prober goes on as if answered, and nothing of the target's side was captured."""
    there = _one_way(probe)
    back = (*there[2:], *there[:2])
    begins = min(
        (one.time, one.number) for one in probes if (_one_way(one), one.tunnel) == (there, probe.tunnel)
    )
    for frame in frames:
        of_flow = _quoted_way(frame) == there and _reason(frame) if frame.icmp else _one_way(frame) == back
        later = (frame.time, frame.number) > begins
        mine = frame.protocol is Protocol.TCP and frame.tunnel == probe.tunnel and later
        if mine and of_flow and frame.source == probe.destination:
            return False
    return any(_betrays(frame, probe) for frame in frames)


def _betrays(frame: Frame, probe: Frame) -> bool:
    """Whether the prober's own segment tells that a SYN/ACK had come: nothing else makes it send this."""
    if frame.icmp is not None or frame.protocol is not Protocol.TCP or frame.tunnel != probe.tunnel:
        return False
    bare = frame.flags & (_SYN | _RST | _ACK | _FIN) == _ACK and frame.size == 0
    reset = frame.flags & (_SYN | _RST) == _RST
    later = (frame.time, frame.number) > (probe.time, probe.number)
    number = (probe.sequence + 1) % (1 << 32)
    return later and (bare or reset) and _one_way(frame) == _one_way(probe) and frame.sequence == number


def _hint(probes: Sequence[Frame], seen: Seen, *, inferred: bool) -> str | None:
    if not any(probe.source in seen.heard for probe in probes):
        others = (frame for flow in _flows(seen.frames) for frame in flow)
        return NOTHING_TO_PROBER if any(one.source in seen.heard for one in others) else NOTHING_INBOUND
    return NOTHING_FROM_TARGET if inferred else None


def _tries(probes: Sequence[Frame]) -> int:
    """How often it was asked, copies of a packet not counted, in whatever tunnel they are."""
    last: dict[object, int] = {}
    tries = 0
    for probe in sorted(probes, key=lambda probe: (probe.time, probe.number)):
        same = (_one_way(probe), probe.sequence, probe.identification, probe.size)
        tries += same not in last or probe.time - last[same] > _MIRRORED
        last[same] = probe.time
    return tries


def iso(nanoseconds: int) -> str:
    """UTC, to the microsecond, cut off and not rounded."""
    moment = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=nanoseconds // 1000)
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z"
