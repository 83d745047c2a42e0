"""Hosts for the tests of the kernel's wires: two scratch namespaces joined by a veth pair."""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from scanner.lab import namespaces

NEAR, FAR = "10.77.0.1", "10.77.0.2"
"""Addresses of the prober and of the target."""

NO_IPV6 = {"net.ipv6.conf.all.disable_ipv6": "1", "net.ipv6.conf.default.disable_ipv6": "1"}
"""No router solicitations of the kernels' own between the frames of a test."""

TUNSETIFF = 0x400454CA  # linux/if_tun.h
IFF_TUN, IFF_TAP, IFF_NO_PI = 0x0001, 0x0002, 0x1000


@dataclass(frozen=True)
class Veth:
    """Two namespaces; the interface is called `near` in one and `far` in the other."""

    near: str
    far: str
    near_mac: bytes
    far_mac: bytes


@pytest.fixture
def veth() -> Iterator[Veth]:
    """A pair of one's own, which may be broken. There is no route out of either namespace."""
    names = [f"ghostport-wire-{os.getpid()}-{end}" for end in ("near", "far")]
    near, far = names
    try:
        for name in names:
            namespaces.add(name)
            namespaces.set_sysctls(name, NO_IPV6)
        namespaces.ip_batch(near, [f"link add near type veth peer name far netns {far}"])
        for name, end, address in ((near, "near", NEAR), (far, "far", FAR)):
            namespaces.ip_batch(
                name,
                [
                    "link set lo up",
                    f"addr add {address}/24 dev {end}",
                    f"link set {end} up",
                ],
            )
        # Known neighbours for good: no ARP of the kernels' own between the frames of a test.
        ends = {name: mac(name, end) for name, end in ((near, "near"), (far, "far"))}
        for name, end, other, address in ((near, "near", far, FAR), (far, "far", near, NEAR)):
            namespaces.ip_batch(
                name, [f"neigh replace {address} lladdr {ends[other].hex(':')} dev {end} nud permanent"]
            )
        namespaces.set_sysctls(far, {"net.ipv4.icmp_ratelimit": "0"})
        yield Veth(near, far, ends[near], ends[far])
    finally:
        for name in names:
            namespaces.delete(name)


NEAR6, FAR6 = "2001:db8:77::1", "2001:db8:77::2"
LINK_LOCAL, FAR_LINK_LOCAL = "fe80::77:1", "fe80::77:2"


@pytest.fixture
def veth6() -> Iterator[Veth]:
    """As `veth`, with IPv6, global and link-local, and without neighbours that are known from the start."""
    names = [f"ghostport-wire6-{os.getpid()}-{end}" for end in ("near", "far")]
    near, far = names
    try:
        for name in names:
            namespaces.add(name)
            namespaces.ip_batch(name, ["link set lo up"])
        namespaces.ip_batch(near, [f"link add near type veth peer name far netns {far}"])
        for name, end, addresses in (
            (near, "near", [f"{NEAR}/24", f"{NEAR6}/64", f"{LINK_LOCAL}/64"]),
            (far, "far", [f"{FAR}/24", f"{FAR6}/64", f"{FAR_LINK_LOCAL}/64"]),
        ):
            added = [f"addr add {each} dev {end}{' nodad' if ':' in each else ''}" for each in addresses]
            namespaces.ip_batch(name, [f"link set {end} addrgenmode none", f"link set {end} up", *added])
        namespaces.set_sysctls(far, {"net.ipv4.icmp_ratelimit": "0", "net.ipv6.icmp.ratelimit": "0"})
        yield Veth(near, far, mac(near, "near"), mac(far, "far"))
    finally:
        for name in names:
            namespaces.delete(name)


def mac(namespace: str, interface: str) -> bytes:
    [link] = namespaces.ip_json(namespace, "link", "show", interface)
    return bytes.fromhex(link["address"].replace(":", ""))


@dataclass
class Tap:
    """A tun or tap device in a namespace of its own, and the end of it that a program holds.

    Nothing leaves the machine: what is sent can be read from `descriptor`, and only there.
    """

    namespace: str
    descriptor: int

    def read_all(self) -> list[bytes]:
        """Every packet (tun) or frame (tap) that has left so far."""
        found: list[bytes] = []
        while True:
            try:
                found.append(os.read(self.descriptor, 1 << 16))
            except BlockingIOError:
                return found

    def write(self, data: bytes) -> None:
        """Let a packet or frame come in."""
        os.write(self.descriptor, data)


@pytest.fixture
def make_tap() -> Iterator[Callable[[int], Tap]]:
    """`make_tap(IFF_TUN)` or `make_tap(IFF_TAP)`: the device is called `tap`, has 10.77.0.1/24 and is up."""
    taps: list[Tap] = []
    name = f"ghostport-wire-{os.getpid()}-tap"

    def make(kind: int) -> Tap:
        if not Path("/dev/net/tun").exists():
            pytest.skip("no /dev/net/tun")
        namespaces.add(name)
        namespaces.set_sysctls(name, NO_IPV6)
        with namespaces.entered(name):  # a device belongs to the namespace it was opened in
            descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        taps.append(Tap(name, descriptor))
        fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", b"tap", kind | IFF_NO_PI))
        namespaces.ip_batch(name, ["link set lo up", f"addr add {NEAR}/24 dev tap", "link set tap up"])
        return taps[-1]

    yield make
    for tap in taps:
        os.close(tap.descriptor)
    namespaces.delete(name)
