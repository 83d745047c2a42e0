"""Every wire, on a stage of its own: something that answers, and somebody who watches what leaves."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import numpy as np
import pytest
from _pytest.mark.structures import ParameterSet
from numpy.typing import NDArray
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet

from scanner.contracts import ETHERTYPE_IPV4, ETHERTYPE_IPV6, Batch, Clock, Wire
from scanner.lab import namespaces
from scanner.wire.behaviours import closed_port
from scanner.wire.clock import SystemClock
from scanner.wire.memory import MemoryWire, SimulatedNetwork
from scanner.wire.memory_wire import OWN_MAC, Arrival
from scanner.wire.packet_ring import PacketRing
from scanner.wire.raw_ip import RawIP
from scanner.wire.receive_ring import RingOptions
from scanner.wire.scapy_socket import ScapySocket

ETH_P_ALL = 0x0003
SMALL = RingOptions(block_size=1 << 16, blocks=8)

ETHERTYPES = {4: ETHERTYPE_IPV4, 6: ETHERTYPE_IPV6}
NEAR = {4: "10.78.0.1", 6: "2001:db8:78::1"}
FAR = {4: "10.78.0.2", 6: "2001:db8:78::2"}


@dataclass(frozen=True)
class Stage:
    """A wire and its surroundings.

    version: of IP. source, target: addresses; the target answers TCP to port 401 with a reset.
    departed: the frames that left, in order, as many as are asked for (and more, if there are).
    """

    wire: Wire
    clock: Clock
    version: int
    source: str
    target: str
    next_hop: NDArray[np.uint8] | None
    departed: Callable[[int], list[bytes]]

    @property
    def ethertype(self) -> int:
        return ETHERTYPES[self.version]

    @property
    def network_header(self) -> int:
        """Bytes of it."""
        return 20 if self.version == 4 else 40

    def batch(self, first: int, last: int, padding: int = 0) -> Batch:
        """SYNs with the sequence numbers `first` to `last` - 1, each one's identification its own."""
        rows = [bytes(self._syn(number) / (b"\0" * padding)) for number in range(first, last)]
        length = self.network_header + 20 + padding
        packets = np.frombuffer(b"".join(rows), dtype=np.uint8).reshape(last - first, length)
        return self.of(packets)

    def many(self, count: int) -> Batch:
        """The same SYN, but for its identification: of IPv6, its flow label."""
        packets = np.repeat(self.batch(0, 1).packets, count, axis=0)
        at = 4 if self.version == 4 else 2
        packets[:, at : at + 2] = (1 + np.arange(count)).astype(">u2").view(np.uint8).reshape(-1, 2)
        if self.version == 4:
            fill_header_checksum(packets)
        return self.of(packets)

    def of(self, packets: NDArray[np.uint8]) -> Batch:
        """A batch of packets, on its way to the target."""
        return Batch(packets, self.ethertype, self.next_hop)

    def segment(self, frame: bytes) -> TCP:
        """The TCP segment in a frame."""
        packet = IP(frame[14:]) if self.version == 4 else IPv6(frame[14:])
        segment: TCP = packet[TCP]
        return segment

    def _syn(self, number: int) -> Packet:
        segment = TCP(sport=40000 + number % 1000, dport=401, seq=number, flags="S")
        if self.version == 4:
            return IP(src=self.source, dst=self.target, id=1 + number % 65535) / segment
        return IPv6(src=self.source, dst=self.target, fl=1 + number) / segment


@contextmanager
def memory(version: int) -> Iterator[Stage]:
    left: list[bytes] = []

    class Watched(SimulatedNetwork):
        def carry(self, packets: NDArray[np.uint8], ethertype: int, moment: int) -> list[Arrival]:
            header = bytes(6) + OWN_MAC + ethertype.to_bytes(2, "big")
            left.extend(header + row.tobytes() for row in packets)
            return super().carry(packets, ethertype, moment)

    network = Watched()
    source, target = NEAR[version], FAR[version]
    network.place(target, closed_port())
    wire = MemoryWire(network.clock, network)
    yield Stage(wire, network.clock, version, source, target, None, lambda _: left)
    wire.close()


@contextmanager
def loopback(opened: Callable[[], Wire], version: int) -> Iterator[Stage]:
    """On the loopback device of a scratch namespace, which answers itself."""
    source, target = ("127.0.0.1", "127.0.0.2") if version == 4 else ("::1", "2001:db8:127::2")
    with scratch("lo") as (name,):
        namespaces.ip_batch(name, ["route add local 2001:db8:127::/64 dev lo"])
        with namespaces.entered(name):
            wire = opened()
        with contextlib.closing(wire), watcher(name, "lo") as departed:
            yield Stage(wire, SystemClock(), version, source, target, None, departed)


@contextmanager
def raw_ip(version: int) -> Iterator[Stage]:
    with loopback(lambda: RawIP("lo", SMALL), version) as built:
        yield built


@contextmanager
def packet_ring(version: int) -> Iterator[Stage]:
    """From one scratch namespace to another, over a veth pair."""
    with pair() as (near, far):
        with namespaces.entered(near):
            wire = PacketRing("near", SMALL)
        with contextlib.closing(wire), watcher(far, "far") as departed:
            hop = np.frombuffer(bytes.fromhex(mac(far, "far").replace(":", "")), dtype=np.uint8)
            yield Stage(wire, SystemClock(), version, NEAR[version], FAR[version], hop, departed)


@contextmanager
def scapy_socket(version: int) -> Iterator[Stage]:
    """Scapy's own packet sockets, over a veth pair."""
    with pair() as (near, far):
        with namespaces.entered(near):
            own = bytes.fromhex(mac(near, "near").replace(":", ""))
            wire = ScapySocket("near", own, 1500)
        with contextlib.closing(wire), watcher(far, "far") as departed:
            hop = np.frombuffer(bytes.fromhex(mac(far, "far").replace(":", "")), dtype=np.uint8)
            yield Stage(wire, SystemClock(), version, NEAR[version], FAR[version], hop, departed)


@contextmanager
def scapy_libpcap(version: int) -> Iterator[Stage]:
    """The same by libpcap, as on Windows."""
    from scapy.config import conf

    before = conf.use_pcap
    conf.use_pcap = True
    try:
        with scapy_socket(version) as built:
            yield built
    finally:
        conf.use_pcap = before


@contextmanager
def scapy_loopback(version: int) -> Iterator[Stage]:
    """In by Scapy's sockets, out by the kernel's."""
    with loopback(lambda: ScapySocket("lo", None, 1500), version) as built:
        yield built


STAGES: dict[str, Callable[[int], AbstractContextManager[Stage]]] = {
    "memory": memory,
    "raw_ip": raw_ip,
    "packet_ring": packet_ring,
    "scapy_socket": scapy_socket,
    "scapy_libpcap": scapy_libpcap,
    "scapy_loopback": scapy_loopback,
}
IN_MEMORY = {"memory"}


def every_stage() -> list[ParameterSet]:
    """Every wire, for each version of IP."""
    return [
        pytest.param(
            (name, version), id=f"{name}-{version}", marks=() if name in IN_MEMORY else pytest.mark.lab
        )
        for name in STAGES
        for version in ETHERTYPES
    ]


@pytest.fixture(params=every_stage())
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    name, version = request.param
    with STAGES[name](version) as built:
        yield built


@contextmanager
def pair() -> Iterator[tuple[str, str]]:
    """Two namespaces joined by a veth pair, which have always known each other: no ARP, no solicitations."""
    with scratch("near", "far") as (near, far):
        namespaces.ip_batch(near, [f"link add near type veth peer name far netns {far}"])
        for name, end, addresses in ((near, "near", NEAR), (far, "far", FAR)):
            namespaces.ip_batch(
                name,
                [
                    f"link set {end} addrgenmode none",
                    f"addr add {addresses[4]}/24 dev {end}",
                    f"addr add {addresses[6]}/64 dev {end} nodad",
                    f"link set {end} up",
                ],
            )
        macs = {near: mac(near, "near"), far: mac(far, "far")}
        for name, end, addresses, other in ((near, "near", FAR, far), (far, "far", NEAR, near)):
            namespaces.ip_batch(
                name,
                [
                    f"neigh replace {address} lladdr {macs[other]} dev {end} nud permanent"
                    for address in addresses.values()
                ],
            )
        yield near, far


@contextmanager
def scratch(*ends: str) -> Iterator[Sequence[str]]:
    """Namespaces without a way out, their loopback up; removed at the end."""
    names = [f"ghostport-conformance-{os.getpid()}-{end}" for end in ends]
    try:
        for name in names:
            namespaces.add(name)
            namespaces.ip_batch(name, ["link set lo up"])
        yield names
    finally:
        for name in names:
            namespaces.delete(name)


@contextmanager
def watcher(namespace: str, interface: str) -> Iterator[Callable[[int], list[bytes]]]:
    """Sees the probes that arrive on an interface: frames to TCP port 401."""
    port = (401).to_bytes(2, "big")
    with namespaces.entered(namespace):
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    with sock:
        sock.setsockopt(socket.SOL_SOCKET, 33, 1 << 25)  # SO_RCVBUFFORCE
        sock.bind((interface, ETH_P_ALL))
        sock.settimeout(0.2)

        def departed(count: int) -> list[bytes]:
            found: list[bytes] = []
            with contextlib.suppress(TimeoutError):
                while len(found) <= count:
                    data, (_, _, kind, *_) = sock.recvfrom(1 << 16)
                    at = 36 if data[12:14] == b"\x08\x00" else 56
                    if kind != socket.PACKET_OUTGOING and data[at : at + 2] == port:
                        found.append(data)
            return found

        yield departed


def mac(namespace: str, interface: str) -> str:
    [link] = namespaces.ip_json(namespace, "link", "show", interface)
    address: str = link["address"]
    return address


def fill_header_checksum(packets: NDArray[np.uint8]) -> None:
    """RFC 1071, over the 20 bytes of each IPv4 header."""
    packets[:, 10:12] = 0
    total = packets[:, :20].copy().view(">u2").astype(np.uint32).sum(axis=1)
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    packets[:, 10:12] = (~total & 0xFFFF).astype(">u2").view(np.uint8).reshape(-1, 2)
