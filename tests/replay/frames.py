"""What Wireshark sees in a capture: packets, as tshark takes them apart, and nothing else.

The law: nothing here shares code with `scanner`. tshark finds the headers, of link, tunnel and quote, and
puts fragments together; this reads its words (PDML), which keep the order of headers.
"""

from __future__ import annotations

import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from scanner.model import Protocol

_PREFERENCES = (
    "tcp.relative_sequence_numbers:FALSE",
    "tcp.analyze_sequence_numbers:FALSE",
    "tcp.desegment_tcp_streams:FALSE",
)
_IP = {"ip", "ipv6"}
_ICMP = {"icmp": 4, "icmpv6": 6}
_TRANSPORT = {"tcp", "udp"}
_CARRIERS = {"gre", "vxlan"}
_TUNNEL_NAMES = ("gre.key", "vxlan.vni")


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame with TCP or UDP in it, or in what an ICMP error quotes; time in ns since the epoch.

    number: its place in the capture. tunnel: what names the tunnel that it came in, outermost first; both
        ends are named, whichever sent it.
    source, destination, ttl: of the innermost IP header that is no quote. icmp: IP version, type and code,
    None for TCP and UDP themselves. identification: of IPv4. packet_source, packet_destination and what
    follows: of the TCP or UDP packet, quoted or not. size: bytes of data behind its header.
    """

    time: int
    source: str
    destination: str
    ttl: int
    icmp: tuple[int, int, int] | None
    protocol: Protocol
    packet_source: str
    packet_destination: str
    source_port: int
    destination_port: int
    sequence: int = 0
    acknowledgement: int = 0
    flags: int = 0
    size: int = 0
    identification: int = 0
    tunnel: tuple[str, ...] = ()
    number: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """What a capture holds.

    frames: those that bear on a port, in order of time. heard: all addresses that any IP packet was sent to.
    answered: hardware addresses that answered for an address, in order.
    """

    frames: tuple[Frame, ...]
    heard: frozenset[str]
    answered: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Fragment:
    """A piece of a datagram: when it came, and its bytes."""

    time: int
    first: int
    last: int


def read_frames(capture: Path) -> Seen:
    """All frames of a capture, which may be cut off at its end."""
    frames: list[Frame] = []
    heard: set[str] = set()
    answered: dict[str, list[str]] = {}
    fragments: Fragments = {}
    for layers in _dissected(capture, reassemble=True):
        heard.update(_show(ip, f"{ip.attrib['name']}.dst") for ip in layers.headers)
        for address, mac in layers.answers():
            answered.setdefault(address, []).append(mac)
        frame = layers.frame(fragments)
        if frame is not None:
            frames.append(frame)
    if fragments:
        # tshark takes what an ICMP error quotes for a fragment of its own, if it is one: ask again without.
        alone = (layers.frame({}) for layers in _dissected(capture, reassemble=False))
        frames = [frame for frame in frames if frame.icmp is None]
        frames += [frame for frame in alone if frame is not None and frame.icmp is not None]
    ordered = sorted(frames, key=lambda frame: (frame.time, frame.number))
    return Seen(tuple(ordered), frozenset(heard), answered)


def _dissected(capture: Path, *, reassemble: bool) -> Iterator[_Layers]:
    """The headers of each frame, by tshark."""
    command = ["tshark", "-n", "-r", str(capture), "-T", "pdml"]
    for preference in (*_PREFERENCES, *(f"{ip}.defragment:{str(reassemble).upper()}" for ip in sorted(_IP))):
        command += ["-o", preference]
    said = subprocess.run(command, capture_output=True, check=False)
    if not said.stdout.rstrip().endswith(b"</pdml>"):
        raise ValueError(f"tshark cannot read {capture}: {said.stderr.decode()}")
    return map(_Layers, ET.fromstring(said.stdout))  # noqa: S314 - tshark's own


Fragments = dict[tuple[object, ...], list[_Fragment]]
"""Pieces that have come, by the datagram they are of."""


class _Layers:
    """The headers of one frame."""

    def __init__(self, packet: ET.Element) -> None:
        layers = [layer for layer in packet if layer.tag == "proto"]
        meta = next(layer for layer in layers if layer.attrib["name"] == "frame")
        self._number = int(_show(meta, "frame.number"))
        self._time = int(Decimal(_show(meta, "frame.time_epoch")) * 10**9)
        self.headers = [layer for layer in layers if layer.attrib["name"] in _IP]
        self._layers = layers

    def frame(self, fragments: Fragments) -> Frame | None:
        """The frame; None where it bears on no port. Fragments are remembered until one completes them."""
        if not self.headers:
            return None
        time = self._time
        for header in self.headers:
            tunnel = self._tunnel(header)
            behind = self._layers[self._layers.index(header) + 1 :]
            piece = self._fragment(header, time)
            if piece is None:
                continue
            key = (*_ends(header), _identification(header), _protocol(header), tunnel)
            pieces = fragments.setdefault(key, [])
            pieces.append(piece)
            is_whole = bool(behind) and behind[0].attrib["name"] in _TRANSPORT | _IP | set(_ICMP)
            if not is_whole or _is_discarded(pieces):
                return None
            # Routers answer the first piece, be it before the second has left.
            time = pieces[0].time
            fragments[key] = []
        for layer in behind:
            name = layer.attrib["name"]
            if name in _TRANSPORT:
                return self._built(header, layer, header, None, tunnel, time)
            if name in _ICMP:
                kind = (_ICMP[name], int(_show(layer, f"{name}.type")), int(_show(layer, f"{name}.code")))
                quoted = [proto for proto in layer.iter("proto") if proto.attrib["name"] in _IP | _TRANSPORT]
                if len(quoted) < 2 or quoted[1].attrib["name"] not in _TRANSPORT:
                    return None
                return self._built(quoted[0], quoted[1], header, kind, tunnel, time)
        return None

    def answers(self) -> Iterator[tuple[str, str]]:
        """Whom this frame answers for, outside tunnels, and at which hardware address."""
        for layer in self._layers:
            name = layer.attrib["name"]
            if name == "arp" and _show(layer, "arp.opcode") == "2":
                yield _show(layer, "arp.src.proto_ipv4"), _show(layer, "arp.src.hw_mac")
            elif name == "icmpv6" and _show(layer, "icmpv6.type") == "136" and len(self.headers) == 1:
                solicited = _show(layer, "icmpv6.nd.na.flag.s") in {"1", "True"}
                mac = _show(layer, "icmpv6.opt.linkaddr")
                if solicited and mac and _show(self.headers[0], "ipv6.hlim") == "255":
                    yield _show(layer, "icmpv6.nd.na.target_address"), mac
            elif name in _CARRIERS:
                return

    def _built(
        self,
        packet: ET.Element,
        transport: ET.Element,
        header: ET.Element,
        icmp: tuple[int, int, int] | None,
        tunnel: tuple[str, ...],
        time: int,
    ) -> Frame | None:
        name = transport.attrib["name"]
        # A quote cut off before its eighth byte names nothing, nor does a segment without its flags.
        needed = (
            ["srcport", "dstport", "seq"] if name == "tcp" else ["srcport", "dstport", "length", "checksum"]
        )
        needed += ["flags"] if name == "tcp" and icmp is None else []
        if any(_field(transport, f"{name}.{field}") is None for field in needed):
            return None
        is_tcp = name == "tcp"
        size = 0
        if icmp is None:
            size = _number(transport, "tcp.len") if is_tcp else _number(transport, "udp.length") - 8
        hops = "ip.ttl" if header.attrib["name"] == "ip" else "ipv6.hlim"
        source, destination = _ends(header)
        packet_source, packet_destination = _ends(packet)
        return Frame(
            time=time,
            source=source,
            destination=destination,
            ttl=int(_show(header, hops)),
            icmp=icmp,
            protocol=Protocol(name),
            packet_source=packet_source,
            packet_destination=packet_destination,
            source_port=_number(transport, f"{name}.srcport"),
            destination_port=_number(transport, f"{name}.dstport"),
            sequence=_number(transport, "tcp.seq") if is_tcp else 0,
            acknowledgement=_number(transport, "tcp.ack") if is_tcp else 0,
            flags=int(_show(transport, "tcp.flags") or "0", 16) if is_tcp else 0,
            size=size,
            identification=_identification(header),
            tunnel=tunnel,
            number=self._number,
        )

    def _tunnel(self, header: ET.Element) -> tuple[str, ...]:
        words: list[str] = []
        for layer in self._layers[: self._layers.index(header)]:
            name = layer.attrib["name"]
            if name in _IP:
                words.append("-".join(sorted(_ends(layer))))
            elif name in _CARRIERS:
                words.append(name)
                words += [shown for field in _TUNNEL_NAMES if (shown := _show(layer, field))]
        return tuple(words)

    def _fragment(self, header: ET.Element, time: int) -> _Fragment | None:
        """Which piece this is; None where the datagram is whole."""
        if header.attrib["name"] == "ip":
            # Versions of tshark show it in bytes or in units of eight; its own bytes do not change.
            first, more = 8 * (_unmasked(header, "ip.frag_offset") & 0x1FFF), _number(header, "ip.flags.mf")
            length = _number(header, "ip.len") - _number(header, "ip.hdr_len")
        else:
            part = next((p for p in header.iter("proto") if p.attrib["name"] == "ipv6.fraghdr"), None)
            if part is None:
                return None
            first = _unmasked(part, "ipv6.fraghdr.offset") & 0xFFF8
            more = _number(part, "ipv6.fraghdr.more")
            before = int(part.attrib["pos"]) - int(header.attrib["pos"]) - 40
            length = _number(header, "ipv6.plen") - before - 8
        return _Fragment(time, first, first + length) if first or more else None


def _is_discarded(pieces: list[_Fragment]) -> bool:
    """Whether a kernel discards the datagram: a piece overlaps what came before, and is not all within it.

    RFC 5722 for IPv6; Linux has done the same for IPv4 since 4.19.
    """
    runs: list[tuple[int, int]] = []
    for piece in pieces:
        if any(first <= piece.first and piece.last <= last for first, last in runs):
            continue
        if any(first < piece.last and piece.first < last for first, last in runs):
            return True
        runs = list(_joined([*runs, (piece.first, piece.last)]))
    return False


def _joined(runs: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    begin, end = -1, -1
    for first, last in sorted(runs):
        if first == end:
            end = last
            continue
        if end > 0:
            yield begin, end
        begin, end = first, last
    yield begin, end


def _ends(header: ET.Element) -> tuple[str, str]:
    name = header.attrib["name"]
    return _show(header, f"{name}.src"), _show(header, f"{name}.dst")


def _identification(header: ET.Element) -> int:
    if header.attrib["name"] == "ip":
        return int(_show(header, "ip.id"), 16)
    shown = _show(header, "ipv6.fraghdr.ident")
    return int(shown, 16) if shown else 0


def _protocol(header: ET.Element) -> str:
    return _show(header, "ip.proto" if header.attrib["name"] == "ip" else "ipv6.fraghdr.nxt")


def _field(layer: ET.Element, name: str) -> ET.Element | None:
    return next((field for field in layer.iter("field") if field.attrib["name"] == name), None)


def _show(layer: ET.Element, name: str) -> str:
    field = _field(layer, name)
    return "" if field is None else field.attrib["show"]


def _number(layer: ET.Element, name: str) -> int:
    return int(_show(layer, name) or 0)


def _unmasked(layer: ET.Element, name: str) -> int:
    """The bytes that a field of single bits is taken from."""
    field = _field(layer, name)
    return 0 if field is None else int(field.attrib["unmaskedvalue"], 16)
