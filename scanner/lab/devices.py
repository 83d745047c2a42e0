"""Devices that a program plays: both ends of tunnels, and what this kernel has no driver for.

They live as long as the program, `joints`, that has their descriptors.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from scanner.lab import namespaces
from scanner.lab.plan import Plan
from scanner.lab.profile import Kind, Side, Way
from scanner.lab.topology import VLAN_ID, below, cable_ends, device_in
from scanner.model import UsageError

_TUNSETIFF = 0x400454CA  # linux/if_tun.h
_IFF_TUN, _IFF_TAP, _IFF_NO_PI = 0x0001, 0x0002, 0x1000
_ALL_PROTOCOLS = 3  # ETH_P_ALL, linux/if_ether.h
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h
_SOL_PACKET, _PACKET_AUXDATA, _PACKET_IGNORE_OUTGOING = 263, 8, 23  # linux/socket.h, linux/if_packet.h
_BUFFER = 8 << 20
"""Bytes of frames that may wait for the program."""


@dataclass(frozen=True, slots=True)
class Joint:
    """What `joints` is to join, by descriptors; see there."""

    upper: int
    lowers: tuple[int, ...]
    tag: int | None = None


def played_kinds(plan: Plan, prober: str) -> frozenset[Kind]:
    """The kinds of a lab's ways that this kernel has no driver for; its cables are there."""
    wanted = {way.kind for way in plan.profile.ways} & {Kind.VLAN, Kind.BOND}
    return frozenset(kind for kind in wanted if not _has_driver(kind, prober))


def _has_driver(kind: Kind, namespace: str) -> bool:
    """Try it: drivers are loaded when they are asked for."""
    (cable, *_) = (link["ifname"] for link in namespaces.ip_json(namespace, "link", "show", "type", "veth"))
    over = f"link {cable} " if kind is Kind.VLAN else ""
    of = f" id {VLAN_ID}" if kind is Kind.VLAN else ""
    try:
        namespaces.ip_batch(namespace, [f"link add {over}name gptry type {kind}{of}", "link del gptry"])
    except UsageError:
        return False
    return True


def open_joints(
    plan: Plan, names: Mapping[Side, str], played: frozenset[Kind], stack: ExitStack
) -> Iterator[Joint]:
    """Make what is to be played, in its places; the descriptors are open until the stack is closed.

    names: of the places' namespaces.
    """
    for way in plan.profile.ways:
        if way.kind is Kind.TUN:
            near, far = (_tun(names[side], device, _IFF_TUN, stack) for side, device in _ends(way))
            yield Joint(near, (far,))
        elif way.kind in played:
            for side, device in _ends(way):
                tag = VLAN_ID if way.kind is Kind.VLAN else None
                under = [below(plan, way, side)] if way.kind is Kind.VLAN else cable_ends(way, side)
                upper = _tun(names[side], device, _IFF_TAP, stack)
                yield Joint(upper, tuple(_wire(names[side], cable, stack) for cable in under), tag)


def descriptors(joints: Iterable[Joint]) -> list[int]:
    """All that the program is to inherit."""
    return [descriptor for joint in joints for descriptor in (joint.upper, *joint.lowers)]


def _ends(way: Way) -> Iterator[tuple[Side, str]]:
    for side in (Side.PROBER, way.far):
        if device := device_in(way, side):
            yield side, device


def _tun(namespace: str, name: str, mode: int, stack: ExitStack) -> int:
    """A tun or tap device (Documentation/networking/tuntap.rst)."""
    with namespaces.entered(namespace):
        try:
            descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise UsageError(f"this lab needs /dev/net/tun: {error.strerror}") from None
        stack.callback(os.close, descriptor)
        fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", name.encode(), mode | _IFF_NO_PI))
    return descriptor


def _wire(namespace: str, device: str, stack: ExitStack) -> int:
    """A packet socket at a cable's end (packet(7))."""
    with namespaces.entered(namespace):
        wire = stack.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
        wire.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
        wire.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        wire.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        wire.bind((device, _ALL_PROTOCOLS))
    return wire.fileno()
