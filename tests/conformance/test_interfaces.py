"""Every wire on every kind of interface: probes leave, replies come in, and neighbours are found.

What the kernel that the tests run on was built without is expected to fail, and says so.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from numpy.typing import NDArray
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptSrcLLAddr, IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet

from scanner.contracts import ETHERTYPE_ARP, ETHERTYPE_IPV6, Batch, Frames, Wire
from scanner.lab import namespaces
from scanner.model import UsageError
from scanner.wire.behaviours import closed_port
from scanner.wire.interface import LINKTYPE_ETHERNET, LINKTYPE_RAW
from scanner.wire.memory import SimulatedNetwork
from scanner.wire.memory_wire import OWN_MAC
from scanner.wire.packet_ring import PacketRing
from scanner.wire.raw_ip import RawIP
from scanner.wire.scapy_socket import ScapySocket

from .conftest import ETHERTYPES, FAR, NEAR, SMALL, mac, scratch

pytestmark = pytest.mark.lab

TUNSETIFF = 0x400454CA  # linux/if_tun.h
IFF_TUN, IFF_TAP, IFF_NO_PI = 0x0001, 0x0002, 0x1000
PROBES = 50


@dataclass(frozen=True)
class Place:
    """An interface to probe from, with FAR answering behind it.

    mac: the interface's own, None without Ethernet. far_mac: the other end's.
    """

    namespace: str
    interface: str
    mac: bytes | None
    far_mac: bytes | None


Built = tuple[str, str]
"""The interfaces at both ends that get the addresses."""


def veth(_near: str, _far: str) -> Built:
    return "near", "far"


def vlan(near: str, far: str) -> Built:
    for name, end in ((near, "near"), (far, "far")):
        namespaces.ip_batch(name, [f"link add link {end} name {end}.10 type vlan id 10"])
    return "near.10", "far.10"


def vlan_of_vlan(near: str, far: str) -> Built:
    for name, end in ((near, "near"), (far, "far")):
        namespaces.ip_batch(
            name,
            [
                f"link add link {end} name {end}.s type vlan protocol 802.1ad id 20",
                f"link set {end}.s up",
                f"link add link {end}.s name {end}.c type vlan id 10",
            ],
        )
    return "near.c", "far.c"


def bridge(near: str, _far: str) -> Built:
    namespaces.ip_batch(near, ["link add bridge type bridge", "link set near master bridge"])
    return "bridge", "far"


def bridged(near: str, far: str) -> Built:
    """Plugged into a bridge of two ports, which floods and learns: from a port to the other."""
    namespaces.ip_batch(
        near,
        [
            "link add bridge type bridge",
            "link set near master bridge",
            "link add plug type veth peer name port",
            "link set port master bridge",
            "link set bridge up",
            "link set port up",
        ],
    )
    return "plug", "far"


def bond(near: str, _far: str) -> Built:
    namespaces.ip_batch(
        near,
        ["link add bond type bond mode active-backup", "link set near down", "link set near master bond"],
    )
    return "bond", "far"


def macvlan(near: str, _far: str) -> Built:
    namespaces.ip_batch(near, ["link add link near name macvlan type macvlan mode bridge"])
    return "macvlan", "far"


def ipvlan(near: str, _far: str) -> Built:
    namespaces.ip_batch(near, ["link add link near name ipvlan type ipvlan mode l2"])
    return "ipvlan", "far"


def vxlan(near: str, far: str) -> Built:
    for name, end, own, other in ((near, "near", 1, 2), (far, "far", 2, 1)):
        namespaces.ip_batch(
            name,
            [
                f"addr add 10.79.0.{own}/24 dev {end}",
                f"link add vxlan-{end} type vxlan id 7 local 10.79.0.{own} remote 10.79.0.{other} "
                f"dstport 4789 dev {end}",
            ],
        )
    return "vxlan-near", "vxlan-far"


def ipip(near: str, far: str) -> Built:
    """A tunnel without link headers, for IPv4 alone."""
    for name, end, own, other in ((near, "near", 1, 2), (far, "far", 2, 1)):
        namespaces.ip_batch(
            name,
            [
                f"addr add 10.79.0.{own}/24 dev {end}",
                f"link add ipip-{end} type ipip local 10.79.0.{own} remote 10.79.0.{other}",
            ],
        )
    return "ipip-near", "ipip-far"


ETHERNET: dict[str, Callable[[str, str], Built]] = {
    "veth": veth,
    "vlan": vlan,
    "vlan-of-vlan": vlan_of_vlan,
    "bridge": bridge,
    "bridged": bridged,
    "bond": bond,
    "macvlan": macvlan,
    "ipvlan": ipvlan,
    "vxlan": vxlan,
}


@contextmanager
def joined(kind: str, build: Callable[[str, str], Built]) -> Iterator[Place]:
    """Two namespaces, and an interface of the kind from one to the other; no neighbour is known."""
    with scratch("near", "far") as (near, far):
        namespaces.ip_batch(near, [f"link add near type veth peer name far netns {far}"])
        for name, end in ((near, "near"), (far, "far")):
            # Or the devices below would answer for the address as well, with hardware addresses of their own.
            namespaces.set_sysctls(name, {"net.ipv4.conf.all.arp_ignore": "1"})
            namespaces.ip_batch(name, [f"link set {end} addrgenmode none", f"link set {end} up"])
        try:
            ends = build(near, far)
        except UsageError as error:
            if "Unknown device type" in str(error) or "not supported" in str(error):
                pytest.xfail(f"this kernel has no {kind} devices")
            raise
        for name, end, addresses in ((near, ends[0], NEAR), (far, ends[1], FAR)):
            set_up(name, end, addresses)
        yield Place(near, ends[0], hardware(near, ends[0]), hardware(far, ends[1]))


def set_up(namespace: str, interface: str, addresses: dict[int, str]) -> None:
    """Addresses that can be used at once, on an interface that is up."""
    namespaces.ip_batch(
        namespace,
        [
            f"link set {interface} addrgenmode none",
            f"addr add {addresses[4]}/24 dev {interface}",
            f"link set {interface} up",
            f"addr add {addresses[6]}/64 dev {interface} nodad",
        ],
    )


def hardware(namespace: str, interface: str) -> bytes | None:
    [link] = namespaces.ip_json(namespace, "link", "show", interface)
    return bytes.fromhex(mac(namespace, interface).replace(":", "")) if link["link_type"] == "ether" else None


@contextmanager
def served(kind: int) -> Iterator[Place]:
    """A tun or tap device, and a program behind it that answers for FAR."""
    with scratch("near") as (near,):
        if not Path("/dev/net/tun").exists():
            pytest.xfail("this kernel has no tun devices")
        with namespaces.entered(near):  # a device belongs to the namespace it was opened in
            descriptor = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", b"tap", kind | IFF_NO_PI))
        set_up(near, "tap", NEAR)
        own = hardware(near, "tap")
        stop, stopped = os.pipe()
        serving = Thread(target=serve, args=(descriptor, stop, own))
        serving.start()
        far_mac = None if own is None else b"\x02\0\0\0\0\2"
        try:
            yield Place(near, "tap", own, far_mac)
        finally:
            os.close(stopped)
            serving.join()
            os.close(stop)
            os.close(descriptor)


def serve(descriptor: int, stop: int, own: bytes | None) -> None:
    """Hand what leaves the device to hosts in memory, and let their replies come in by it."""
    hosts = SimulatedNetwork()
    for address in FAR.values():
        hosts.place(address, closed_port())
    while stop not in (ready := select.select([descriptor, stop], [], [])[0]) and ready:
        data = os.read(descriptor, 1 << 16)
        header, packet = (b"", data) if own is None else (data[:14], data[14:])
        ethertype = int.from_bytes(header[12:], "big") if header else ETHERTYPES[packet[0] >> 4]
        for arrival in hosts.carry(np.frombuffer(packet, dtype=np.uint8)[None], ethertype, 0):
            frame = arrival.packet
            if own is not None:
                frame = own + arrival.mac + arrival.ethertype.to_bytes(2, "big") + frame
            with contextlib.suppress(OSError):  # the device is down already
                os.write(descriptor, frame)


WIRES: dict[str, Callable[[Place], Wire]] = {
    "ring": lambda place: PacketRing(place.interface, SMALL),
    "raw": lambda place: RawIP(place.interface, SMALL),
    "scapy": lambda place: ScapySocket(place.interface, place.mac, 1400),
}


@pytest.fixture(params=[*ETHERNET, "tap"])
def ethernet(request: pytest.FixtureRequest) -> Iterator[Place]:
    """An interface with Ethernet headers."""
    kind = request.param
    with served(IFF_TAP) if kind == "tap" else joined(kind, ETHERNET[kind]) as place:
        yield place


@pytest.fixture(params=["tun", "ipip"])
def tunnel(request: pytest.FixtureRequest) -> Iterator[Place]:
    """An interface without link headers."""
    with served(IFF_TUN) if request.param == "tun" else joined("ipip", ipip) as place:
        yield place


@contextmanager
def opened(place: Place, kind: str) -> Iterator[Wire]:
    with namespaces.entered(place.namespace):
        wire = WIRES[kind](place)
    with contextlib.closing(wire):
        yield wire


def probes(version: int) -> Batch:
    """SYNs to the far end, numbered from 1 by their sequence."""
    near, far = NEAR[version], FAR[version]
    rows = []
    for number in range(1, PROBES + 1):
        header: Packet = IP(src=near, dst=far, id=number) if version == 4 else IPv6(src=near, dst=far)
        rows.append(bytes(header / TCP(sport=40000, dport=401, seq=number)))
    packets = np.frombuffer(b"".join(rows), dtype=np.uint8).reshape(PROBES, -1)
    return Batch(packets, ETHERTYPES[version])


def read(frames: Frames) -> list[bytes]:
    return [
        frames.buffer[start : start + length].tobytes()
        for start, length in zip(frames.starts.tolist(), frames.lengths.tolist(), strict=True)
    ]


def until(wire: Wire, enough: Callable[[list[bytes]], bool]) -> list[bytes]:
    """What comes in until it is enough, or no more comes."""
    found: list[bytes] = []
    while not enough(found) and len(frames := wire.receive(2.0)):
        found += read(frames)
    return found


def resets(frames: list[bytes], version: int, header: int) -> list[int]:
    """Of the frames that are TCP, the sequence numbers they answer."""
    packets = [IP(frame[header:]) if version == 4 else IPv6(frame[header:]) for frame in frames]
    return sorted(packet[TCP].ack - 1 for packet in packets if TCP in packet)


def hop(place: Place) -> NDArray[np.uint8] | None:
    return None if place.far_mac is None else np.frombuffer(place.far_mac, dtype=np.uint8)


@pytest.mark.parametrize("version", ETHERTYPES)
@pytest.mark.parametrize("kind", WIRES)
def test_on_ethernet_every_probe_is_answered(ethernet: Place, kind: str, version: int) -> None:
    batch = probes(version)
    with opened(ethernet, kind) as wire:
        sent = wire.send(Batch(batch.packets, batch.ethertype, hop(ethernet)))
        assert len(sent.times) == PROBES
        frames = until(wire, lambda found: len(resets(found, version, 14)) >= PROBES)
        assert wire.link_type == LINKTYPE_ETHERNET
    assert resets(frames, version, 14) == list(range(1, PROBES + 1))
    # No tags on a sub-interface, and nothing that this host sent itself, whatever a bridge floods.
    assert {frame[12:14] for frame in frames} <= {batch.ethertype.to_bytes(2, "big"), b"\x08\x06"}
    assert {frame[:6] for frame in frames} == {ethernet.mac}
    assert ethernet.mac not in {frame[6:12] for frame in frames}


@pytest.mark.parametrize("kind", ["ring", "scapy"])
def test_on_ethernet_neighbours_are_found(ethernet: Place, kind: str) -> None:
    assert ethernet.mac is not None
    own = ethernet.mac.hex(":")
    asked = bytes(ARP(op=1, hwsrc=own, psrc=NEAR[4], pdst=FAR[4]))
    solicited = bytes(
        IPv6(src=NEAR[6], dst="ff02::1:ff00:2", hlim=255)
        / ICMPv6ND_NS(tgt=FAR[6])
        / ICMPv6NDOptSrcLLAddr(lladdr=own)
    )
    group = np.frombuffer(b"\x33\x33\xff\0\0\2", dtype=np.uint8)
    with opened(ethernet, kind) as wire:
        rows = [np.frombuffer(packet, dtype=np.uint8)[None] for packet in (asked, solicited)]
        wire.send(Batch(rows[0], ETHERTYPE_ARP, np.full(6, 0xFF, dtype=np.uint8)))
        [reply] = until(wire, bool)
        wire.send(Batch(rows[1], ETHERTYPE_IPV6, group))
        [advertisement] = until(wire, bool)
    said, told = Ether(reply)[ARP], Ether(advertisement)[ICMPv6ND_NA]
    assert (said.op, said.psrc, told.tgt) == (2, FAR[4], FAR[6])
    answering = {bytes.fromhex(each.replace(":", "")) for each in (said.hwsrc, told.lladdr)}
    # Hosts in memory have hardware addresses after their IP addresses.
    assert answering == {ethernet.far_mac} or ethernet.interface == "tap"


@pytest.mark.parametrize("version", ETHERTYPES)
@pytest.mark.parametrize("kind", ["raw", "scapy"])
def test_on_a_tunnel_every_probe_is_answered(
    request: pytest.FixtureRequest, tunnel: Place, kind: str, version: int
) -> None:
    if (tunnel.interface, version) == ("ipip-near", 6):
        return
    with opened(tunnel, kind) as wire:
        assert len(wire.send(probes(version)).times) == PROBES
        frames = until(wire, lambda found: len(resets(found, version, 0)) >= PROBES)
        assert wire.link_type == LINKTYPE_RAW
    assert resets(frames, version, 0) == list(range(1, PROBES + 1))


@pytest.mark.parametrize("version", ETHERTYPES)
@pytest.mark.parametrize("kind", WIRES)
def test_what_leaves_by_a_dummy_is_gone(kind: str, version: int) -> None:
    with scratch("near") as (near,):
        try:
            namespaces.ip_batch(near, ["link add dummy type dummy"])
        except UsageError:
            pytest.xfail("this kernel has no dummy devices")
        set_up(near, "dummy", NEAR)
        own = hardware(near, "dummy")
        batch = probes(version)
        next_hop = np.frombuffer(OWN_MAC, dtype=np.uint8)
        with opened(Place(near, "dummy", own, OWN_MAC), kind) as wire:
            assert len(wire.send(Batch(batch.packets, batch.ethertype, next_hop)).times) == PROBES
            assert len(wire.receive(0.1)) == 0
