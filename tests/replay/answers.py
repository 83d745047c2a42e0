"""Answers of scripted hosts: what a real stack does not say when asked, as declared values.

Each builds packets out of the probe it answers, over the probe's version of IP. Ports, numbers and senders
are those of an honest reply; what is given makes it a dishonest or an odd one. Scapy computes the checksums.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scapy.packet import Packet

_QUOTED = 8
"""Bytes that an ICMP error must quote behind the IP header (RFC 792); ICMPv6 quotes all (RFC 4443, 2.4)."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait before the next answer."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tcp:
    """A segment from the probed address.

    acknowledging: what is added to the probe's sequence number; None: the field is zero.
    to_port, from_port: what is added to the ports of an honest reply.
    data: behind the header.
    options: IPv4 options, or IPv6 extension headers, in front of it.
    """

    flags: str
    acknowledging: int | None = 1
    to_port: int = 0
    from_port: int = 0
    data: bytes = b""
    options: bool = False

    def build(self, probe: Packet, router: str) -> Packet:
        """The packet."""
        from scapy.layers.inet import TCP

        acknowledged = 0 if self.acknowledging is None else (probe.seq + self.acknowledging) % (1 << 32)
        segment = TCP(
            sport=probe.dport + self.from_port,
            dport=probe.sport + self.to_port,
            flags=self.flags,
            seq=1_000_000,
            ack=acknowledged,
        )
        return _header(probe, probe.dst, options=self.options) / segment / self.data


@dataclass(frozen=True, slots=True, kw_only=True)
class Udp:
    """A datagram from the probed address, or from `sender`; the rest as in `Tcp`."""

    to_port: int = 0
    from_port: int = 0
    sender: str | None = None
    data: bytes = b"scripted\n"
    options: bool = False

    def build(self, probe: Packet, router: str) -> Packet:
        """The packet."""
        from scapy.layers.inet import UDP

        ports = {"sport": probe.dport + self.from_port, "dport": probe.sport + self.to_port}
        return _header(probe, self.sender or probe.dst, options=self.options) / UDP(**ports) / self.data


@dataclass(frozen=True, slots=True, kw_only=True)
class Icmp:
    """An ICMP error that quotes the probe.

    from_target: whether the probed address itself sends it, and not its router.
    sequence, from_port, to_port: what is added to those fields in the quote, so that it is of a probe
        that was never sent. to_address: of whom it claims to speak; None for the truth.
    length: the quoted total length; None for the truth. quoted: bytes of the quote behind its IP header; None
        for as many as there must be.
    options: as in `Tcp`.
    """

    kind: int
    code: int
    from_target: bool = False
    sequence: int = 0
    from_port: int = 0
    to_port: int = 0
    to_address: str | None = None
    length: int | None = None
    quoted: int | None = None
    options: bool = False

    def build(self, probe: Packet, router: str) -> Packet:
        """The packet."""
        from scapy.layers.inet import ICMP
        from scapy.layers.inet6 import ICMPv6Unknown

        quote = probe.copy()
        quote.sport += self.from_port
        quote.dport += self.to_port
        if self.sequence:
            quote.seq = (quote.seq + self.sequence) % (1 << 32)
        sender = probe.dst if self.from_target else router
        if self.to_address is not None:
            quote.dst = self.to_address
        header = _header(probe, sender, options=self.options)
        if probe.version == 6:
            quote.hlim = 1
            text = bytes(4) + bytes(quote)[: None if self.quoted is None else 40 + self.quoted]
            return header / ICMPv6Unknown(type=self.kind, code=self.code, msgbody=text)
        quoted = _QUOTED if self.quoted is None else self.quoted
        quote.ttl = 1
        if self.length is not None:
            quote.len = self.length
        del quote.chksum
        return header / ICMP(type=self.kind, code=self.code) / bytes(quote)[: 20 + quoted]


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Bytes `first` to `last` (not included) of a datagram's payload; taken from `of`, if that is given."""

    first: int
    last: int
    of: Tcp | Udp | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """An answer in fragments, sent in the order of `pieces`."""

    answer: Tcp | Udp
    pieces: tuple[Piece, ...]

    def build_all(self, probe: Packet, router: str) -> list[Packet]:
        """The fragments."""
        return [self._fragment(piece, probe, router) for piece in self.pieces]

    def _fragment(self, piece: Piece, probe: Packet, router: str) -> Packet:
        from scapy.layers.inet6 import IPv6ExtHdrFragment

        header_length = 40 if probe.version == 6 else 20
        whole = bytes(self.answer.build(probe, router))[header_length:]
        source = whole if piece.of is None else bytes(piece.of.build(probe, router))[header_length:]
        more = piece.last < len(whole)
        header = _header(probe, probe.dst, options=False)
        protocol = 6 if isinstance(self.answer, Tcp) else 17
        identification = 4010 + probe.sport % 1000
        if probe.version == 6:
            header.nh = 44
            header /= IPv6ExtHdrFragment(nh=protocol, offset=piece.first // 8, m=more, id=identification)
        else:
            header.id, header.flags = identification, "MF" if more else ""
            header.frag, header.proto = piece.first // 8, protocol
        return header / source[piece.first : piece.last]


Answer = Tcp | Udp | Icmp | Cut


def packets(answer: Answer, probe: Packet, router: str) -> list[bytes]:
    """What an answer sends."""
    if isinstance(answer, Cut):
        return [bytes(packet) for packet in answer.build_all(probe, router)]
    return [bytes(answer.build(probe, router))]


def _header(probe: Packet, source: str, *, options: bool) -> Packet:
    from scapy.layers.inet import IP, IPOption_NOP, IPOption_Router_Alert
    from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, PadN

    if probe.version == 4:
        extra = [IPOption_Router_Alert(), IPOption_NOP()] if options else []
        return IP(src=source, dst=probe.src, id=0, options=extra)
    header = IPv6(src=source, dst=probe.src)
    if not options:
        return header
    padding = [PadN(optdata=b"\0" * 4)]
    # The order of RFC 8200, 4.1; a fragment that is whole (RFC 6946) among them.
    first = IPv6ExtHdrHopByHop(options=padding) / IPv6ExtHdrDestOpt(options=padding)
    return header / first / IPv6ExtHdrFragment(id=4010) / IPv6ExtHdrDestOpt(options=padding)
