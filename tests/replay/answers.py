"""Answers of scripted hosts: what a real stack does not say when asked, as declared values.

Each builds one packet out of the probe it answers. Ports, numbers and senders are those of an
honest reply; what is given makes it a dishonest or an odd one. Scapy computes the checksums.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scanner.lab.topology import ROUTER

if TYPE_CHECKING:
    from scapy.packet import Packet

_QUOTED = 28
"""Bytes that an ICMP error must quote: an IPv4 header and eight more (RFC 792)."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait before the next answer."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tcp:
    """A segment from the probed address.

    acknowledging: what is added to the probe's sequence number; None: the field is zero.
    to_port, from_port: what is added to the ports of an honest reply.
    """

    flags: str
    acknowledging: int | None = 1
    to_port: int = 0
    from_port: int = 0

    def build(self, probe: Packet) -> Packet:
        """The packet."""
        from scapy.layers.inet import IP, TCP

        acknowledged = 0 if self.acknowledging is None else (probe.seq + self.acknowledging) % (1 << 32)
        return IP(src=probe.dst, dst=probe.src, id=0, flags="DF") / TCP(
            sport=probe.dport + self.from_port,
            dport=probe.sport + self.to_port,
            flags=self.flags,
            seq=1_000_000,
            ack=acknowledged,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Udp:
    """A datagram from the probed address, or from `sender`; `to_port`, `from_port` as in `Tcp`."""

    to_port: int = 0
    from_port: int = 0
    sender: str | None = None

    def build(self, probe: Packet) -> Packet:
        """The packet."""
        from scapy.layers.inet import IP, UDP

        ports = {"sport": probe.dport + self.from_port, "dport": probe.sport + self.to_port}
        return IP(src=self.sender or probe.dst, dst=probe.src, id=0) / UDP(**ports) / b"scripted\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Icmp:
    """An ICMP error that quotes the probe.

    sender: None for the probed address itself.
    sequence, from_port, to_port: what is added to those fields in the quote, so that it is of a probe
        that was never sent. to_address: of whom it claims to speak; None for the truth.
    length: the quoted total length; None for the truth. quoted: bytes of the quote.
    """

    kind: int
    code: int
    sender: str | None = str(ROUTER)
    sequence: int = 0
    from_port: int = 0
    to_port: int = 0
    to_address: str | None = None
    length: int | None = None
    quoted: int = _QUOTED

    def build(self, probe: Packet) -> Packet:
        """The packet."""
        from scapy.layers.inet import ICMP, IP

        quote = probe.copy()
        quote.ttl = 1
        quote.sport += self.from_port
        quote.dport += self.to_port
        if self.sequence:
            quote.seq = (quote.seq + self.sequence) % (1 << 32)
        if self.length is not None:
            quote.len = self.length
        sender = self.sender or probe.dst
        if self.to_address is not None:
            quote.dst = self.to_address
        del quote.chksum
        error = IP(src=sender, dst=probe.src, id=0) / ICMP(type=self.kind, code=self.code)
        return error / bytes(quote)[: self.quoted]


Answer = Tcp | Udp | Icmp
