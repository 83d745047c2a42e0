"""The contracts between the engine and what is plugged into it.

Shapes and units are part of a contract: N packets of one length L travel as an
`(N, L)` uint8 array, times are int64 nanoseconds since the epoch (wall clock),
waits are float seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from scanner import model
from scanner.core.addresses import AddressSet
from scanner.core.hosts import Hosts
from scanner.core.outcomes import Outcomes
from scanner.core.records import Names
from scanner.core.rules import ReplyRules

if TYPE_CHECKING:
    from scapy.packet import Packet

ETHERTYPE_IPV4 = 0x0800
ETHERTYPE_ARP = 0x0806
ETHERTYPE_IPV6 = 0x86DD


@dataclass(frozen=True, slots=True)
class Batch:
    """Packets of one length on their way out.

    packets: `(N, L)` uint8, network-layer packets (an IPv4 datagram, an ARP body), no link header.
    ethertype: what they are, for wires with a link layer.
    next_hops: `(6,)` uint8 for all, `(N, 6)` for each, or None on a wire without a link layer.
    zone: number of the interface, which link-local addresses are of.
    """

    packets: NDArray[np.uint8]
    ethertype: int = ETHERTYPE_IPV4
    next_hops: NDArray[np.uint8] | None = None
    zone: int = 0

    def __len__(self) -> int:
        return len(self.packets)


@dataclass(frozen=True, slots=True)
class Sent:
    """What a wire accepted of a batch: always its first `len(times)` packets.

    frames: `(M, L')` uint8, the bytes with their link header as a capture would show them;
        valid until the next `send`.
    times: `(M,)` int64, wall clock; never later than the moment the frame left, so that
        no reply can seem older than its probe.
    """

    frames: NDArray[np.uint8]
    times: NDArray[np.int64]


Rows = NDArray[np.int64] | NDArray[np.bool_] | slice
"""Which frames."""


@dataclass(frozen=True, slots=True)
class Frames:
    """Captured frames, from a ring or a file: offsets into one buffer, no object per frame.

    buffer: `(B,)` uint8. It may be kernel memory: valid until the next `receive`.
    starts: `(N,)` int64, where each frame's link header begins.
    lengths: `(N,)` int64, bytes captured.
    original_lengths: `(N,)` int64, bytes on the wire (never less than `lengths`).
    times: `(N,)` int64 nanoseconds, wall clock; -1 where a file tells none.
    link_type: LINKTYPE_ value of https://www.tcpdump.org/linktypes.html, one for all.
    interface: name of the interface they were captured on, where a file tells; one for all.
    """

    buffer: NDArray[np.uint8]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    original_lengths: NDArray[np.int64]
    times: NDArray[np.int64]
    link_type: int
    interface: str | None = None

    def __len__(self) -> int:
        return len(self.starts)

    def times_of(self, rows: Rows) -> NDArray[np.int64]:
        """Times of some of them."""
        return self.times[rows]

    def part(self, begin: int, end: int) -> Frames:
        """Those from one up to another, without that one; where that is all, these themselves."""
        if begin <= 0 and end >= len(self):
            return self
        return self.only(slice(begin, end))

    def only(self, rows: Rows) -> Frames:
        """Some of them."""
        return replace(
            self,
            starts=self.starts[rows],
            lengths=self.lengths[rows],
            original_lengths=self.original_lengths[rows],
            times=self.times[rows],
        )


@dataclass(frozen=True, slots=True)
class WireStatistics:
    """Counters since the wire was opened."""

    sent: int = 0
    send_refused: int = 0
    """Packets the kernel had no room for (ENOBUFS, full ring); retries heal them."""
    received: int = 0
    receive_dropped: int = 0
    """Frames the kernel dropped before we could read them (PACKET_STATISTICS)."""


Arrival = Callable[[], Sent]
"""Waits for a batch to have left, for never long, and gives what left of it; raises as `Exit.send`. To be
called once for each launch."""

Launch = Callable[[], Arrival]
"""Begins to send what was staged; raises as `Exit.send`."""


class Exit(Protocol):
    """Where packets leave by, one batch at a time."""

    def send(self, batch: Batch) -> Sent:
        """Send as much of the batch as there is room for, at once; never block for long.

        Raises WireError where the interface is down or gone.
        """

    def stage(self, batch: Batch) -> Launch:
        """Make ready to send a batch, which is not needed afterwards, while another may still be leaving.

        It takes the place of one that was staged before, and not launched.
        """


class Wire(Exit, Protocol):
    """One way out, and back in. Closing twice is fine; using it closed raises WireError."""

    @property
    def link_type(self) -> int:
        """LINKTYPE_ value of the frames that `send` reports and `receive` gives."""

    @property
    def exits(self) -> Sequence[Exit]:
        """Where batches may leave by at the same time, one by each; the first is that of `send`."""

    def receive(self, timeout: float) -> Frames:
        """All frames that have come in; where there are none, wait up to `timeout` seconds.

        Frames this host sent itself are left out as far as the platform can tell them.
        """

    def statistics(self) -> WireStatistics:
        """Counters so far."""

    def fileno(self) -> int:
        """For select(2): readable when `receive` has something. -1 where there is none."""

    def close(self) -> None:
        """Give everything back."""


@dataclass(frozen=True, slots=True)
class Hop:
    """How a group of targets is reached.

    interface: the device packets leave by. source: our address. gateway: the router's
    address, None where the targets are reached directly. on_link: the targets are on the
    interface's own network. loopback: the targets are this machine itself. mac: our own
    hardware address, None where the device has no Ethernet header, or it is left to the kernel.
    mtu: longest packet in bytes. version: of IP; addresses are numbers of 32 bits for 4, and of
    128 for 6. wire: which one to take.
    """

    interface: str
    source: int
    gateway: int | None
    on_link: bool
    loopback: bool
    mac: bytes | None
    mtu: int
    version: int = 4
    wire: model.WireKind = model.WireKind.AUTO


@dataclass(frozen=True, slots=True)
class Sources:
    """Addresses of ours that probes are to leave from, by version of IP; None leaves it to the routes."""

    ipv4: int | None = None
    ipv6: int | None = None


class Network(Protocol):
    """Where a sweep takes place: the machine's own network, or a simulated one."""

    @property
    def clock(self) -> Clock:
        """Its time."""

    def routes(
        self, targets: Hosts, interface: str | None, sources: Sources
    ) -> list[tuple[Hop | None, Hosts]]:
        """Divide targets by how they are reached; None: no route.

        Raises UsageError where there is no such interface, or a source is not an address of ours.
        """

    def zone(self, interface: str) -> int:
        """The number of an interface, from 1. Raises UsageError where there is none of that name."""

    def interface(self, zone: int) -> str:
        """The name of the interface that has a number."""

    def own_addresses(self, interface: str, version: int) -> list[int]:
        """The addresses of an interface that packets may be sent from."""

    def specials(self) -> AddressSet:
        """Network and broadcast addresses of the links this host is on."""

    def neighbours(self, interface: str, version: int) -> dict[int, bytes]:
        """Hardware addresses that are known already, by address."""

    def open(self, hop: Hop, packets: int, longest: int) -> Wire:
        """A wire on the hop's interface, for so many packets a round, of up to `longest` bytes.

        Raises UsageError without the privilege.
        """

    def connect(self, hop: Hop, address: str, port: int, seconds: float) -> Conversation:
        """An ordinary TCP connection to a port, from the hop's source; all of it takes `seconds` at most.

        Raises OSError where none comes about.
        """


class Clock(Protocol):
    """The time, as an argument."""

    def wall(self) -> int:
        """Nanoseconds since the epoch, the clock that frames are stamped with."""

    def steady(self) -> float:
        """Seconds on a clock that never jumps, for pacing and time-outs."""

    def sleep(self, seconds: float) -> None:
        """Wait; the simulated clock moves on instead."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One way of asking a port, declared as an ordinary Scapy packet.

    name: as plans and messages name it.
    protocol: the transport it asks for.
    summary: one line for people.
    packet: makes the Scapy packet around a payload; addresses, ports, sequence number and
        checksums are the engine's to fill. Scapy is imported inside, so that declaring costs nothing.
    payload: what is sent to a port.
    rules: what its replies say; None for the usual ones of the protocol.
    configure: makes another of it from what stands behind `--probe NAME:`, such as a file's name; None where
        nothing may stand there. Raises UsageError.
    """

    name: str
    protocol: model.Protocol
    summary: str
    packet: Callable[[bytes], Packet]
    payload: Callable[[int], bytes]
    rules: ReplyRules | None = None
    configure: Callable[[str], Probe] | None = None


class Conversation(Protocol):
    """A TCP connection to an open port, in the hands of an identifier.

    It has a deadline, and a bound on the bytes it takes in; beyond either, and when the other side is
    gone, there is nothing more to hear. So it never raises for what the network does.
    """

    @property
    def address(self) -> str:
        """Who is at the other end."""

    @property
    def port(self) -> int:
        """Which port of theirs."""

    def say(self, data: bytes) -> None:
        """Send; without effect where the other side is gone."""

    def hear(self, limit: int = 4096, quiet: float = 0.2) -> bytes:
        """What comes: up to `limit` bytes, until nothing follows for `quiet` seconds, or the end.

        For the first byte it waits until the deadline. Empty where nothing comes.
        """

    def line(self, limit: int = 4096) -> bytes:
        """What comes up to a line feed, that included; less at the end, the deadline or `limit` bytes."""

    def close(self) -> None:
        """Hang up; the engine does."""


@dataclass(frozen=True, slots=True)
class Identifier:
    """One way of finding out what is behind an open TCP port.

    name: as messages name it: small letters, digits and hyphens.
    summary: one line for people.
    identify: is handed a connection of its own and says what is there, None where it does not know. It
        may take as long as the connection does; whoever takes longer is not waited for, nor asked again.
    ports: asked about these alone, before all that have none; without any, asked about every port.
    recognise: is handed what the client and the service of a recorded connection said first, up to 64 bytes
        each, and says what is there, as far as that tells; None: it knows no recordings.
    """

    name: str
    summary: str
    identify: Callable[[Conversation], model.Service | None]
    ports: tuple[int, ...] = ()
    recognise: Callable[[bytes, bytes], model.Service | None] | None = None


class Reporter(Protocol):
    """One output format. Records come in order; `close` writes what a format has at its end."""

    def write(self, verdicts: Iterable[model.Verdict]) -> None:
        """Append records."""

    def close(self) -> None:
        """Write the end and flush; the stream itself stays open."""


@runtime_checkable
class ColumnReporter(Reporter, Protocol):
    """A reporter that also takes records while they are columns: many times faster where they are many."""

    def write_outcomes(self, outcomes: Iterable[Outcomes], names: Names) -> None:
        """Append records, written as `write` would write `core.records.verdicts(outcomes, names)`."""


class ReporterFactory(Protocol):
    """How a reporter is made."""

    def __call__(self, stream: IO[bytes]) -> Reporter:
        """A reporter that writes to a binary stream."""


@dataclass(frozen=True, slots=True)
class Format:
    """A reporter as it is declared.

    name: what `--format` calls it: small letters, digits and hyphens.
    summary: one line for people.
    reporter: makes one.
    suffix: ends the names of its files (".csv"), so that `-o` needs no `--format`; None for none.
    """

    name: str
    summary: str
    reporter: ReporterFactory
    suffix: str | None = None


class Sink(Protocol):
    """Where evidence goes besides the capture. It is called away from the sweep, which does not wait."""

    def write(self, frames: Frames, *, sent: bool) -> None:
        """Take frames that left (`sent`), or replies that came in; the arrays are the sink's to keep."""

    def close(self) -> None:
        """The sweep is over."""


@dataclass(frozen=True, slots=True)
class EvidenceSink:
    """A kind of sink as it is declared.

    name: what `--evidence-sink NAME:WHERE` calls it. summary: one line for people.
    open: makes a sink from the words behind the colon, empty where there are none; raises UsageError
        where they say nothing.
    """

    name: str
    summary: str
    open: Callable[[str], Sink]


@dataclass(frozen=True, slots=True)
class ScopeProvider:
    """Somebody who knows what is authorised: an inventory, say.

    name: what `--scope-from NAME:WHICH` calls it. summary: one line for people.
    networks: CIDRs or addresses, from the words behind the colon. They narrow what may be probed,
        and never widen it.
    """

    name: str
    summary: str
    networks: Callable[[str], Iterable[str]]
