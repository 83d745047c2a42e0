"""Captures made up at random: flows of every kind, doubled, in pieces, out of order, through every tunnel.

Pure: a seed in, the records of a pcap file out. Scapy builds the packets. Nothing here knows what is right;
the oracle says what a capture holds, and the reader must agree.
"""

from __future__ import annotations

import itertools
import random
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scapy.packet import Packet

MS = 1_000_000
SECOND = 1_000 * MS
START = 1_750_000_000 * SECOND
PORTS = (401, 402)
"""Asked about; flows go to others, too."""

_ANSWERS = (
    *(("SA", 1), ("SA", 1), ("SA", 2), ("SA", 0), ("SAE", 1)),
    *(("RA", 1), ("RA", 1), ("RA", 0), ("RA", 7), ("R", 1)),
    *(("S", 0), ("A", 1), ("FA", 1)),
)
"""Flags, and how far the number that is acknowledged is ahead of the probe's."""

_ENDS = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8:ff::1", "2001:db8:ff::2")}
_ETHERTYPES = {4: 0x0800, 6: 0x86DD}
_PPP = {4: 0x0021, 6: 0x0057}

Wrap = Callable[[bytes, int, bool], bytes]
"""Of an IP packet, its version, and whether it goes to the target: the frame."""

Timed = tuple[int, bytes]


def capture(seed: int, flows: int) -> bytes:
    """A pcap file with nanoseconds."""
    random_ = random.Random(seed)
    frames: list[Timed] = []
    # tshark puts pieces together as they stand in the file, we by their times.
    in_order = random_.random() < 0.7
    for number in range(flows):
        frames += _Flow(random_, number, pieces=in_order).frames()
    if in_order:
        frames.sort(key=lambda frame: frame[0])
    else:
        random_.shuffle(frames)
    # What is seen at one time has no order: no two packets are.
    taken: set[int] = set()
    records = [struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1)]
    for time, frame in frames:
        moment = next(moment for moment in itertools.count(time, 1_000) if moment not in taken)
        taken.add(moment)
        records.append(struct.pack("<IIII", *divmod(moment, SECOND), len(frame), len(frame)) + frame)
    return b"".join(records)


class _Flow:
    """What one prober and one target say to each other, and routers about it."""

    def __init__(self, random_: random.Random, number: int, *, pieces: bool) -> None:
        self._random = random_
        self._in_pieces = 0.1 if pieces else 0.0
        self._version = random_.choice((4, 4, 6))
        # Few hosts, so that flows meet.
        self._prober, self._target, self._router = (
            self._address(kind, random_.randrange(most))
            for kind, most in (("1", 3), ("2", max(2, number // 3 + 1)), ("9", 2))
        )
        self._source_port = random_.choice((401, 402, 5000, *(random_.randrange(40_000, 60_000),) * 6))
        self._port = random_.choice((401, 401, 401, 402, 53))
        self._sequence = random_.choice((0, 0xFFFFFFFF, random_.randrange(1 << 32)))
        self._earlier = self._sequence
        self._identification = random_.randrange(1 << 16)
        self._time = START + random_.randrange(20 * SECOND)
        self._wrap = random_.choice(_WRAPS)
        self._frames: list[Timed] = []

    def _address(self, kind: str, number: int) -> str:
        return f"10.{kind}.0.{number}" if self._version == 4 else f"2001:db8::{kind}:{number:x}"

    def frames(self) -> list[Timed]:
        """All frames of it, in the order in which they were sent."""
        chance = self._random
        if chance.random() < 0.1:
            self._answer()
        for _ in range(chance.choice((0, 1, 1, 1, 2, 3)) if chance.random() < 0.9 else 0):
            self._ask()
            if chance.random() < 0.8:
                for _ in range(chance.choice((1, 1, 1, 2, 3))):
                    self._answer()
            if chance.random() < 0.1:
                # Late, of what was asked before.
                self._sequence, self._earlier = self._earlier, self._sequence
                self._answer()
                self._sequence, self._earlier = self._earlier, self._sequence
            if chance.random() < 0.3:
                self._go_on()
            if chance.random() < 0.2:
                # The same ends again, and mostly much later.
                self._earlier, self._sequence = self._sequence, chance.randrange(1 << 32)
                self._wait(chance.choice((0, 1, 300)) * SECOND)
        return self._frames

    def _wait(self, most: int) -> None:
        self._time += self._random.randrange(50_000, max(most, 100_000))

    def _ask(self) -> None:
        self._wait(2 * SECOND)
        self._send(self._probe(), outward=True)

    def _answer(self) -> None:
        """A reply, or what looks like one."""
        self._wait(200 * MS)
        chance = self._random
        if chance.random() < 0.4:
            self._send(self._error(), outward=False, whole=True)
        elif self.is_tcp:
            flags, ahead = chance.choice(_ANSWERS)
            self._send(self._segment(flags, ahead), outward=False)
        else:
            self._send(self._datagram(outward=False), outward=False)

    def _go_on(self) -> None:
        """The prober's own next packet."""
        self._wait(100 * MS)
        if self.is_tcp:
            flags, ahead = self._random.choice((("A", 1), ("R", 1), ("RA", 1), ("PA", 1), ("A", 9)))
            layer = self._tcp(
                sport=self._source_port, dport=self._port, flags=flags, seq=self._ahead(ahead), ack=9
            )
            self._send(self._ip(self._prober, self._target) / layer, outward=True)
        else:
            self._send(self._error(about_answer=True), outward=True, whole=True)

    @property
    def is_tcp(self) -> bool:
        """Else UDP."""
        return self._identification % 3 != 0

    def _ahead(self, count: int) -> int:
        return (self._sequence + count) % (1 << 32)

    def _probe(self) -> Packet:
        ip = self._ip(self._prober, self._target)
        if not self.is_tcp:
            return ip / self._datagram(outward=True)
        from scapy.packet import Raw

        data = self._random.choice((b"",) * 5 + (b"d",))
        flags = self._random.choice(("S",) * 9 + ("SF",))
        layer = self._tcp(sport=self._source_port, dport=self._port, flags=flags, seq=self._sequence)
        return ip / layer / Raw(data) if data else ip / layer

    def _segment(self, flags: str, ahead: int) -> Packet:
        layer = self._tcp(
            sport=self._port,
            dport=self._source_port,
            flags=flags,
            seq=self._random.randrange(1 << 32),
            ack=self._ahead(ahead),
        )
        return self._ip(self._target, self._prober) / layer

    def _tcp(self, **fields: Any) -> Packet:
        from scapy.layers.inet import TCP

        options: list[Any] = self._random.choice(([], [("MSS", 1460)], [("NOP", None), ("WScale", 3)]))
        return TCP(options=options, **fields)

    def _datagram(self, *, outward: bool) -> Packet:
        from scapy.layers.inet import UDP
        from scapy.packet import Raw

        ports = (self._source_port, self._port) if outward else (self._port, self._source_port)
        layer = UDP(sport=ports[0], dport=ports[1]) / Raw(b"x" * self._random.choice((0, 1, 5, 60, 700)))
        if outward:
            return layer
        return self._ip(self._target, self._prober) / layer

    def _error(self, *, about_answer: bool = False) -> Packet:
        """ICMP about a probe, or as a host sends it about what it did not ask for."""
        from scapy.layers.inet import ICMP
        from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6ParamProblem, ICMPv6TimeExceeded
        from scapy.packet import Raw

        chance = self._random
        asked = self._datagram(outward=False) if about_answer else self._probe()
        # Of what begins TCP's header and does not end it, tshark shows eight bytes or nothing.
        header = len(asked) - len(asked["TCP" if self.is_tcp else "UDP"])
        # In ICMPv6 it shows not even those.
        least = 1000 if self._version == 6 and self.is_tcp else 8
        quote = bytes(asked)[: header + chance.choice((least, least, least, 1000, 1000, 7))]
        sender = chance.choice((self._router, self._target))
        there = self._ip(*((self._prober, self._target) if about_answer else (sender, self._prober)))
        if self._version == 4:
            kind, code = chance.choice(
                (*((3, code) for code in (0, 1, 2, 3, 3, 3, 4, 9, 10, 13)), (11, 0), (11, 1), (12, 0))
            )
            return there / ICMP(type=kind, code=code) / Raw(quote)
        message = chance.choice(
            (
                *(ICMPv6DestUnreach(code=code) for code in (0, 1, 2, 3, 4, 4, 4, 5, 6)),
                ICMPv6TimeExceeded(code=0),
                ICMPv6ParamProblem(code=1),
                ICMPv6ParamProblem(code=0),
            )
        )
        return there / message / Raw(quote)

    def _ip(self, source: str, destination: str) -> Packet:
        from scapy.layers.inet import IP
        from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrHopByHop

        hops = self._random.randrange(1, 255)
        if self._version == 4:
            self._identification += 3
            return IP(src=source, dst=destination, ttl=hops, id=self._identification % (1 << 16))
        ip = IPv6(src=source, dst=destination, hlim=hops)
        extra = self._random.choice((None,) * 6 + (IPv6ExtHdrHopByHop, IPv6ExtHdrDestOpt))
        return ip / extra() if extra else ip

    def _send(self, packet: Packet, *, outward: bool, whole: bool = False) -> None:
        """Put a packet on the wire: whole or in pieces, once or mirrored."""
        chance = self._random
        pieces = [bytes(packet)]
        if self._version == 4 and not whole and chance.random() < self._in_pieces:
            pieces = _pieces(pieces[0], chance.choice((8, 16, 24)), chance)
        mirrored = chance.random() < 0.15
        for piece in pieces:
            self._time += 2_000
            frame = self._wrap(piece, self._version, outward)
            self._frames.append((self._time, frame.ljust(60, b"\0")))
            if mirrored and len(pieces) == 1:
                self._frames.append((self._time + chance.randrange(1_000, 9 * MS), frame))


def _pieces(packet: bytes, size: int, chance: random.Random) -> list[bytes]:
    """Fragments of an IPv4 packet without options, of `size` bytes; some change places."""
    from scapy.layers.inet import IP

    header, payload = packet[:20], packet[20:]
    if len(payload) > 200 or len(payload) <= size:
        size = max(size, (len(payload) // 3 + 7) & ~7)
    pieces = []
    for at in range(0, len(payload), size):
        part = IP(header)
        part.flags, part.frag = ("MF" if at + size < len(payload) else 0), at // 8
        part.len = part.chksum = None
        pieces.append(bytes(part / payload[at : at + size]))
    if chance.random() < 0.3:
        chance.shuffle(pieces)
    return pieces


# --- encapsulations -----------------------------------------------------------------------------


def _ether(ethertype: int) -> Packet:
    from scapy.layers.l2 import Ether

    return Ether(src="02:00:00:00:05:01", dst="02:00:00:00:05:02", type=ethertype)


def _bare(packet: bytes, version: int, _outward: bool) -> bytes:
    return bytes(_ether(_ETHERTYPES[version])) + packet


def _tagged(packet: bytes, version: int, outward: bool) -> bytes:
    """Each way has a VLAN of its own."""
    return bytes(_ether(0x8100)) + struct.pack(">HH", 100 + outward, _ETHERTYPES[version]) + packet


def _tagged_one_way(packet: bytes, version: int, outward: bool) -> bytes:
    return (_tagged if outward else _bare)(packet, version, outward)


def _twice_tagged(packet: bytes, version: int, _outward: bool) -> bytes:
    return bytes(_ether(0x88A8)) + struct.pack(">HHHH", 7, 0x8100, 9, _ETHERTYPES[version]) + packet


def _labelled(packet: bytes, _version: int, outward: bool) -> bytes:
    return bytes(_ether(0x8847)) + struct.pack(">I", (100 + outward) << 12 | 0x140) + packet


def _pppoe(packet: bytes, version: int, _outward: bool) -> bytes:
    return bytes(_ether(0x8864)) + struct.pack(">BBHHH", 0x11, 0, 7, len(packet) + 2, _PPP[version]) + packet


def _over(version: int, outward: bool, protocol: int, payload: bytes) -> bytes:
    from scapy.layers.inet import IP
    from scapy.layers.inet6 import IPv6
    from scapy.packet import Raw

    source, destination = _ENDS[version] if outward else _ENDS[version][::-1]
    outer = (
        IP(src=source, dst=destination, proto=protocol)
        if version == 4
        else IPv6(src=source, dst=destination, nh=protocol)
    )
    return bytes(_ether(_ETHERTYPES[version]) / outer / Raw(payload))


def _gre(packet: bytes, version: int, outward: bool) -> bytes:
    return _over(4, outward, 47, struct.pack(">HH", 0, _ETHERTYPES[version]) + packet)


def _gre_keyed(packet: bytes, version: int, outward: bool) -> bytes:
    return _over(6, outward, 47, struct.pack(">HHII", 0x3000, _ETHERTYPES[version], 7, 1) + packet)


def _gretap(packet: bytes, version: int, outward: bool) -> bytes:
    return _over(4, outward, 47, struct.pack(">HH", 0, 0x6558) + _tagged(packet, version, outward))


def _in_ip(packet: bytes, version: int, outward: bool) -> bytes:
    return _over(4, outward, {4: 4, 6: 41}[version], packet)


def _in_ipv6(packet: bytes, version: int, outward: bool) -> bytes:
    return _over(6, outward, {4: 4, 6: 41}[version], packet)


def _vxlan(packet: bytes, version: int, outward: bool) -> bytes:
    inside = b"\x08\0\0\0\0\0\x2a\0" + _bare(packet, version, outward)
    udp = struct.pack(">HHHH", 50_000 + outward, 4789, 8 + len(inside), 0)
    return _over(4, outward, 17, udp + inside)


_WRAPS: tuple[Wrap, ...] = (
    *(_bare,) * 6,
    _tagged,
    _tagged_one_way,
    _twice_tagged,
    _labelled,
    _pppoe,
    _gre,
    _gre_keyed,
    _gretap,
    _in_ip,
    _in_ipv6,
    _vxlan,
)
