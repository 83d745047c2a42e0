"""What Wireshark sees in a capture: the facts of an expectation that only the capture knows.

The law: nothing here shares code with `scanner`. tshark takes the frames apart; given the reason
that the truth names, the deciding frame is looked for in plain Python, one target at a time.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from scanner.model import Protocol, Reason

_FIELDS = (
    "frame.time_epoch", "ip.src", "ip.dst", "ip.ttl", "ip.proto", "icmp.type", "icmp.code",
    "tcp.srcport", "tcp.dstport", "tcp.seq", "tcp.ack", "tcp.flags", "udp.srcport", "udp.dstport",
)  # fmt: skip

_RAW_NUMBERS = "tcp.relative_sequence_numbers:FALSE"

PROBERS = frozenset({"10.49.0.1", "127.0.0.1", "127.0.0.2"})

_SYN, _RST, _ACK = 0x02, 0x04, 0x10
_TCP_FLAGS = {
    # Set among SYN, RST and ACK; what the acknowledgement number may be beside the probe's sequence number.
    Reason.SYN_ACK: ({_SYN | _ACK}, {1}),
    Reason.RESET: ({_RST | _ACK, _SYN | _RST | _ACK}, {0, 1}),
    Reason.SPLIT_HANDSHAKE_SYN: ({_SYN}, None),
}
# RFC 792, RFC 1122 section 3.2.2.1, RFC 1812 section 5.2.7.1
_ICMP = {
    Reason.NET_UNREACH: {(3, 0)},
    Reason.HOST_UNREACH: {(3, 1)},
    Reason.PROTO_UNREACH: {(3, 2)},
    Reason.PORT_UNREACH: {(3, 3)},
    Reason.NET_PROHIBITED: {(3, 9)},
    Reason.HOST_PROHIBITED: {(3, 10)},
    Reason.ADMIN_PROHIBITED: {(3, 13)},
    Reason.TIME_EXCEEDED: {(11, 0), (11, 1)},
}


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame with TCP or UDP in it, or in what an ICMP error quotes; time in ns since the epoch.

    source, destination, ttl: of the outer header. icmp: type and code, None for TCP and UDP themselves.
    packet_source, packet_destination and what follows: of the TCP or UDP packet, quoted or not.
    """

    time: int
    source: str
    destination: str
    ttl: int
    icmp: tuple[int, int] | None
    protocol: Protocol
    packet_source: str
    packet_destination: str
    source_port: int
    destination_port: int
    sequence: int
    acknowledgement: int
    flags: int


@dataclass(frozen=True, slots=True)
class Sighting:
    """What the frames say of one target. The first four are None where no reply decided."""

    ttl: int | None
    rtt: int | None
    time: int | None
    responder: str | None
    tries: int


def read_frames(capture: Path) -> list[Frame]:
    """All frames of a capture that bear on a port, in order of time."""
    command = ["tshark", "-n", "-o", _RAW_NUMBERS, "-r", str(capture), "-T", "fields"]
    for option in ("occurrence=a", "separator=|"):
        command += ["-E", option]
    for name in _FIELDS:
        command += ["-e", name]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    frames = (_frame(dict(zip(_FIELDS, line.split("|"), strict=True))) for line in said.splitlines())
    return sorted((frame for frame in frames if frame is not None), key=lambda frame: frame.time)


def sighting(
    frames: Sequence[Frame], target: str, protocol: Protocol, port: int, reason: Reason, responder: str | None
) -> Sighting:
    """What a target's verdict rests on, given the truth. LookupError where no frame bears it out."""
    probes = [frame for frame in frames if _is_probe(frame, target, protocol, port)]
    if reason in {Reason.NO_ARP_RESPONSE, Reason.NO_ROUTE}:
        return Sighting(None, None, None, None, len(probes))
    if not probes:
        raise LookupError("it was never probed")
    if reason is Reason.NO_RESPONSE:
        return Sighting(None, None, probes[-1].time, None, len(probes))
    for frame in frames:
        if frame.source == responder and _bears(frame, reason):
            # The last one to leave before it, of those it can be an answer to.
            for probe in reversed(probes):
                if probe.time <= frame.time and _answers(frame, probe, reason):
                    return Sighting(frame.ttl, frame.time - probe.time, frame.time, responder, len(probes))
    raise LookupError(f"no frame from {responder} says {reason}")


def _is_probe(frame: Frame, target: str, protocol: Protocol, port: int) -> bool:
    return (
        frame.icmp is None
        and frame.protocol is protocol
        and frame.source in PROBERS
        and frame.destination == target
        and frame.destination_port == port
        and (protocol is Protocol.UDP or frame.flags & (_SYN | _RST | _ACK) == _SYN)
    )


def _bears(frame: Frame, reason: Reason) -> bool:
    """Whether it is the kind of frame that the reason speaks of."""
    if reason in _ICMP:
        return frame.icmp in _ICMP[reason]
    if frame.icmp is not None:
        return False
    if reason is Reason.UDP_RESPONSE:
        return frame.protocol is Protocol.UDP
    return frame.protocol is Protocol.TCP and frame.flags & (_SYN | _RST | _ACK) in _TCP_FLAGS[reason][0]


def _answers(frame: Frame, probe: Frame, reason: Reason) -> bool:
    """Whether it names this probe."""
    if frame.protocol is not probe.protocol:
        return False
    if frame.icmp is not None:
        return _flow(frame) == _flow(probe) and frame.sequence == probe.sequence
    if _flow(frame) != (*_flow(probe)[2:], *_flow(probe)[:2]):
        return False
    allowed = _TCP_FLAGS[reason][1] if reason in _TCP_FLAGS else None
    return allowed is None or (frame.acknowledgement - probe.sequence) % (1 << 32) in allowed


def _flow(frame: Frame) -> tuple[str, int, str, int]:
    return frame.packet_source, frame.source_port, frame.packet_destination, frame.destination_port


def _frame(fields: dict[str, str]) -> Frame | None:
    sources, destinations = fields["ip.src"].split(","), fields["ip.dst"].split(",")
    prefix = "tcp" if fields["tcp.srcport"] else "udp"
    # A quote cut off before its eighth byte names nothing.
    if not fields[f"{prefix}.srcport"] or (prefix == "tcp" and not fields["tcp.seq"]):
        return None
    return Frame(
        time=int(Decimal(fields["frame.time_epoch"]) * 10**9),
        source=sources[0],
        destination=destinations[0],
        ttl=int(fields["ip.ttl"].split(",")[0]),
        icmp=(int(fields["icmp.type"]), int(fields["icmp.code"])) if fields["icmp.type"] else None,
        protocol=Protocol(prefix),
        packet_source=sources[-1],
        packet_destination=destinations[-1],
        source_port=int(fields[f"{prefix}.srcport"]),
        destination_port=int(fields[f"{prefix}.dstport"]),
        sequence=int(fields["tcp.seq"] or 0),
        acknowledgement=int(fields["tcp.ack"] or 0),
        flags=int(fields["tcp.flags"] or "0", 16),
    )
