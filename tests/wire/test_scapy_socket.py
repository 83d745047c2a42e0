"""The wire over Scapy's sockets. That it keeps the contract of a wire is in tests/conformance."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Dot1Q, Ether

from scanner.contracts import ETHERTYPE_ARP, ETHERTYPE_IPV6, Batch, Frames
from scanner.lab import namespaces
from scanner.model import UsageError, WireError
from scanner.wire import scapy_socket
from scanner.wire.arp import REQUEST, ArpBody, parse_arp_untrusted
from scanner.wire.interface import LINKTYPE_LOOP, LINKTYPE_NULL, LINKTYPE_RAW
from scanner.wire.scapy_handles import Handle
from scanner.wire.scapy_socket import ScapySocket, link_type_of

IFF_TUN, IFF_TAP = 0x0001, 0x0002


class Played(Handle):
    """A handle of another system, which plays what it is told to and remembers what is sent."""

    def __init__(self, number: int = 1, arriving: list[bytes] | None = None) -> None:
        self.number = number
        self.arriving = arriving or []
        self.sent: list[bytes] = []
        self.room = 10**6
        self.failure: OSError | None = None

    def send(self, frame: bytes) -> None:
        if self.failure is not None:
            raise self.failure
        if len(self.sent) == self.room:
            raise OSError(errno.ENOBUFS, "No buffer space available")
        self.sent.append(frame)

    def read(self) -> tuple[bytes, int] | None:
        if self.failure is not None:
            raise self.failure
        return (self.arriving.pop(0), 1_700_000_000_000_000_000) if self.arriving else None

    def wait(self, seconds: float) -> bool:
        return False

    def dropped(self) -> int:
        return 3

    def link_number(self) -> int:
        return self.number

    def close(self) -> None:
        pass


OWN, OTHER = b"\x02\0\0\0\0\1", b"\x02\0\0\0\0\2"
HOP = np.frombuffer(OTHER, dtype=np.uint8)


@pytest.fixture
def on_macos(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[ScapySocket, Played]]]:
    """A wire of another system, and what plays its handle."""
    wires: list[ScapySocket] = []

    def opened(interface: str = "en0", mac: bytes | None = OWN, **how: Any) -> tuple[ScapySocket, Played]:
        handle = Played(**how)
        monkeypatch.setattr(sys, "platform", "darwin")
        monkeypatch.setattr(scapy_socket, "open_handle", lambda _: handle)
        wires.append(ScapySocket(interface, mac, 1500))
        return wires[-1], handle

    yield opened
    for wire in wires:
        wire.close()


def packets(count: int, length: int = 40) -> NDArray[np.uint8]:
    return np.arange(count * length, dtype=np.uint32).astype(np.uint8).reshape(count, length)


def read(frames: Frames) -> list[bytes]:
    return [
        frames.buffer[start : start + length].tobytes()
        for start, length in zip(frames.starts.tolist(), frames.lengths.tolist(), strict=True)
    ]


@pytest.mark.parametrize(
    ("number", "platform", "link_type"),
    [
        (1, "darwin", 1),
        (0, "darwin", LINKTYPE_NULL),
        (12, "freebsd14", LINKTYPE_RAW),
        (12, "openbsd7", LINKTYPE_LOOP),
        (108, "netbsd10", LINKTYPE_LOOP),
        (101, "win32", LINKTYPE_RAW),
        (14, "openbsd7", LINKTYPE_RAW),
    ],
)
def test_every_system_has_its_numbers_for_link_types(
    monkeypatch: pytest.MonkeyPatch, number: int, platform: str, link_type: int
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    assert link_type_of(Played(number), "x0") == link_type


def test_a_link_we_do_not_speak_is_named() -> None:
    with pytest.raises(WireError, match="wlan0 has link layer type 127"):
        link_type_of(Played(127), "wlan0")


def test_what_this_host_sent_itself_is_left_out(on_macos) -> None:
    reply, own = OWN + OTHER + b"\x08\0reply", OTHER + OWN + b"\x08\0own"
    wire, _ = on_macos(arriving=[own, reply, own])
    assert read(wire.receive(0)) == [reply]
    assert (wire.statistics().received, wire.statistics().receive_dropped) == (1, 3)


def test_on_loopback_of_other_systems_the_family_stands_in_front(on_macos) -> None:
    wire, handle = on_macos("lo0", None, number=0)
    sent = wire.send(Batch(packets(2), ETHERTYPE_IPV6))
    assert handle.sent == [row.tobytes() for row in sent.frames]
    assert handle.sent[0] == int(socket.AF_INET6).to_bytes(4, sys.byteorder) + packets(2)[0].tobytes()
    assert wire.link_type == LINKTYPE_NULL


def test_what_there_is_no_room_for_is_not_reported_as_sent(on_macos) -> None:
    wire, handle = on_macos()
    handle.room = 100
    sent = wire.send(Batch(packets(150), next_hops=HOP))
    assert [row.tobytes() for row in sent.frames] == handle.sent
    assert (wire.statistics().sent, wire.statistics().send_refused) == (100, 50)
    assert len(wire.send(Batch(packets(1), next_hops=HOP)).times) == 0


def test_what_comes_in_while_many_are_sent_is_fetched_meanwhile(on_macos) -> None:
    reply = OWN + OTHER + b"\x08\0reply"
    wire, handle = on_macos(arriving=[reply] * 5)
    wire.send(Batch(packets(500), next_hops=HOP))
    assert handle.arriving == []
    assert read(wire.receive(0)) == [reply] * 5


def test_a_device_that_fails_is_an_error(on_macos) -> None:
    wire, handle = on_macos()
    handle.failure = OSError(errno.ENXIO, "Device not configured")
    with pytest.raises(WireError, match="sending on en0 failed: Device not configured"):
        wire.send(Batch(packets(1), next_hops=HOP))
    with pytest.raises(WireError, match="receiving on en0 failed: Device not configured"):
        wire.receive(0)


def test_what_is_no_batch_for_this_wire_is_refused(on_macos) -> None:
    wire, _ = on_macos()
    with pytest.raises(UsageError, match="en0 need next hops"):
        wire.send(Batch(packets(1)))
    with pytest.raises(UsageError, match="MTU 1500"):
        wire.send(Batch(packets(1, 1501), next_hops=HOP))


@pytest.fixture
def wire(veth) -> Iterator[ScapySocket]:
    with namespaces.entered(veth.near):
        opened = ScapySocket("near", veth.near_mac, 1500)
    yield opened
    opened.close()


@pytest.mark.lab
def test_arp_is_asked_and_its_reply_comes_in(veth, wire) -> None:
    body = ArpBody(REQUEST, veth.near_mac, 0x0A4D0001, bytes(6), 0x0A4D0002).pack()
    broadcast = np.full(6, 0xFF, dtype=np.uint8)
    wire.send(Batch(np.frombuffer(body, dtype=np.uint8)[None], ETHERTYPE_ARP, broadcast))
    [frame] = read(wire.receive(1.0))
    reply = parse_arp_untrusted(frame[14:42])
    assert reply is not None
    assert (reply.sender, reply.sender_mac) == (0x0A4D0002, veth.far_mac)


@pytest.mark.lab
def test_vlan_tags_are_in_what_is_received(veth, wire) -> None:
    with namespaces.entered(veth.far):
        outward = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    with outward:
        outward.bind(("far", 0))
        header = Ether(dst=veth.near_mac.hex(":"), src=veth.far_mac.hex(":"))
        frame = bytes(header / Dot1Q(vlan=401) / IP(src="10.77.0.2", dst="10.77.0.1") / UDP(dport=40000))
        outward.send(frame)
    assert read(wire.receive(1.0)) == [frame]


@pytest.mark.lab
def test_nothing_but_what_is_sent_leaves(veth, wire) -> None:
    with namespaces.entered(veth.far):
        far = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
    seen: list[bytes] = []
    with far, contextlib.suppress(TimeoutError):
        far.bind(("far", 0x0003))
        far.settimeout(0.3)
        probe = bytes(IP(src="10.77.0.1", dst="192.0.2.9", id=5) / UDP(sport=40000, dport=401))
        hop = np.frombuffer(veth.far_mac, dtype=np.uint8)
        sent = wire.send(Batch(np.frombuffer(probe, dtype=np.uint8)[None], next_hops=hop))
        while True:
            data, (_, _, kind, *_) = far.recvfrom(2048)
            if kind != socket.PACKET_OUTGOING:
                seen.append(data)
    assert seen == [sent.frames[0].tobytes()]


@pytest.mark.lab
def test_what_a_full_queue_refuses_is_not_reported_as_sent(make_tap) -> None:
    tc = shutil.which("tc", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if tc is None:
        pytest.skip("no tc")
    tap = make_tap(IFF_TAP)
    shaper = ["qdisc", "add", "dev", "tap", "root", "tbf", "rate", "800kbit", "burst", "2kb", "limit", "3kb"]
    subprocess.run(namespaces.exec_command(tap.namespace, [tc, *shaper]), check=True)
    with namespaces.entered(tap.namespace):
        wire = ScapySocket("tap", OWN, 1500)
    tap.read_all()
    rows = packets(300)
    rows[:, 0] = 0x45
    reported: list[bytes] = []
    for _ in range(200):
        sent = wire.send(Batch(rows[len(reported) :], next_hops=HOP))
        reported += [row.tobytes() for row in sent.frames]
        if len(reported) == len(rows):
            break
        time.sleep(0.005)
    time.sleep(0.05)
    counts = wire.statistics()
    wire.close()
    assert len(reported) == len(rows)
    assert tap.read_all() == reported
    assert counts.sent == len(rows)
    assert counts.send_refused > 0


@pytest.mark.lab
def test_on_a_tunnel_packets_travel_bare_both_ways(make_tap) -> None:
    tun = make_tap(IFF_TUN)
    with namespaces.entered(tun.namespace):
        wire = ScapySocket("tap", None, 1500)
    tun.read_all()
    probe = bytes(IP(src="10.77.0.1", dst="10.77.0.2", id=5) / UDP(sport=40000, dport=401))
    sent = wire.send(Batch(np.frombuffer(probe, dtype=np.uint8)[None]))
    assert tun.read_all() == [sent.frames[0].tobytes()] == [probe]
    reply = bytes(IP(src="10.77.0.2", dst="10.77.0.1") / UDP(sport=401, dport=40000))
    os.write(tun.descriptor, reply)
    assert read(wire.receive(1.0)) == [reply]
    assert wire.link_type == LINKTYPE_RAW
    wire.close()


@pytest.mark.lab
@pytest.mark.parametrize(
    ("command", "says"), [("link set near down", "near is down"), ("link delete near", "no interface near")]
)
def test_an_interface_that_goes_away_is_an_error(veth, wire, command: str, says: str) -> None:
    namespaces.ip_batch(veth.near, [command])
    for _ in range(2):
        with pytest.raises(WireError, match=says):
            wire.send(Batch(packets(3), next_hops=HOP))
    with pytest.raises(WireError, match=says):
        wire.receive(0.1)


@pytest.mark.lab
def test_an_interface_that_is_not_there_is_an_error(veth) -> None:
    with namespaces.entered(veth.near), pytest.raises(WireError, match="no interface nowhere"):
        ScapySocket("nowhere", OWN, 1500)
