"""What Scapy's sockets differ in. Those of other systems are played by objects with the same methods."""

from __future__ import annotations

import errno
import logging
import os
import socket
import struct
import subprocess
import sys
import types
from typing import Any

import pytest
from scapy.config import conf
from scapy.error import Scapy_Exception
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from scanner.lab import namespaces
from scanner.model import UsageError
from scanner.wire.scapy_handles import BpfHandle, PacketHandle, PcapHandle, open_handle


class Descriptor:
    """As L2bpfSocket: gives what it has read, then None three times over."""

    bpf_fd = 7

    def __init__(self) -> None:
        self.nonblocking = False
        self.frames = [(object, b"first", 1700000000.000001), (object, b"second", None)]
        self.sent: list[bytes] = []

    def set_nonblock(self, value: bool) -> None:
        self.nonblocking = value

    def recv_raw(self, _: int) -> tuple[Any, bytes | None, float | None]:
        return self.frames.pop(0) if self.frames else (None, None, None)

    def send(self, frame: bytes) -> int:
        self.sent.append(frame)
        return len(frame)

    def get_stats(self) -> tuple[int | None, int | None]:
        return 9, 4

    def fileno(self) -> int:
        return self.bpf_fd


def test_a_bpf_descriptor_is_read_until_it_is_empty() -> None:
    descriptor: Any = Descriptor()
    handle = BpfHandle(descriptor)
    assert descriptor.nonblocking
    assert handle.read() == (b"first", 1_700_000_000_000_001_000)
    later = handle.read()
    assert later is not None
    assert later[0] == b"second"
    assert later[1] > 1_700_000_000_000_001_000
    assert handle.read() is None
    handle.send(b"frame")
    assert descriptor.sent == [b"frame"]
    assert handle.dropped() == 4


def test_a_bpf_descriptor_that_cannot_count_counts_nothing() -> None:
    descriptor: Any = Descriptor()
    descriptor.get_stats = lambda: (None, None)
    assert BpfHandle(descriptor).dropped() == 0


def test_a_bpf_descriptor_tells_its_link_type(monkeypatch: pytest.MonkeyPatch) -> None:
    consts = types.ModuleType("scapy.arch.bpf.consts")
    consts.BIOCGDLT = 0x4004426A  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "scapy.arch.bpf.consts", consts)
    asked: list[tuple[int, int]] = []

    def ioctl(descriptor: int, request: int, _: bytes) -> bytes:
        asked.append((descriptor, request))
        return struct.pack("I", 12)

    monkeypatch.setattr("fcntl.ioctl", ioctl)
    descriptor: Any = Descriptor()
    assert BpfHandle(descriptor).link_number() == 12
    assert asked == [(7, 0x4004426A)]


@pytest.mark.parametrize(
    ("said", "number"), [(os.strerror(errno.ENOBUFS), errno.ENOBUFS), ("The device is gone", errno.EIO)]
)
def test_what_libpcap_says_of_a_frame_it_could_not_send_is_passed_on(
    monkeypatch: pytest.MonkeyPatch, said: str, number: int
) -> None:
    monkeypatch.setattr("scapy.libs.winpcapy.pcap_geterr", lambda _: f"send: {said}".encode())
    sock: Any = types.SimpleNamespace(
        pcap_fd=types.SimpleNamespace(pcap=None, setnonblock=lambda _: None), send=lambda _: -1
    )
    with pytest.raises(OSError, match=said) as caught:
        PcapHandle(sock).send(b"frame")
    assert caught.value.errno == number


def failing(error: Exception) -> Any:
    def fail(**_: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("platform", "error", "says"),
    [
        ("linux", PermissionError(errno.EPERM, "Operation not permitted"), "^raw packets need CAP_NET_RAW"),
        ("linux", Scapy_Exception("Cannot set filter: libpcap is\nnot there"), "is not there; .* libpcap0.8"),
        ("win32", RuntimeError("winpcap is not installed"), "not installed; it needs Npcap"),
        ("darwin", Scapy_Exception("Permission denied: could not open /dev/bpf0."), "run with sudo"),
        ("freebsd14", ValueError("Interface 'em7' not found !"), "Scapy cannot open em7: Interface 'em7'"),
    ],
)
def test_what_scapy_raises_is_one_line_and_says_how_to_mend_it(
    monkeypatch: pytest.MonkeyPatch, platform: str, error: Exception, says: str
) -> None:
    monkeypatch.setattr(conf, "L2socket", failing(error))
    monkeypatch.setattr(sys, "platform", platform)
    with pytest.raises(UsageError, match=says) as caught:
        open_handle("em7")
    assert "\n" not in str(caught.value)


def test_scapy_is_silent_while_it_opens_and_not_thereafter(monkeypatch: pytest.MonkeyPatch) -> None:
    logger = logging.getLogger("scapy.runtime")
    heard: list[bool] = []

    def opened(**_: object) -> Any:
        heard.append(logger.isEnabledFor(logging.WARNING))
        return Descriptor()

    monkeypatch.setattr(conf, "L2socket", opened)
    open_handle("lo")
    assert heard == [False]
    assert logger.isEnabledFor(logging.WARNING)


@pytest.mark.lab
def test_a_packet_socket_counts_what_it_had_no_room_for(veth) -> None:
    with namespaces.entered(veth.near):
        handle = open_handle("near")
    assert isinstance(handle, PacketHandle)
    with namespaces.entered(veth.far):
        outward = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    with outward:
        outward.bind(("far", 0))
        reply = bytes(Ether(dst=veth.near_mac, src=veth.far_mac) / IP(dst="10.77.0.1") / UDP(dport=40000))
        for _ in range(20_000):
            outward.send(reply)
    read = 0
    while handle.read() is not None:
        read += 1
    assert 1_000 < read < 20_000
    assert handle.dropped() == 20_000 - read
    assert handle.dropped() == 20_000 - read
    handle.close()
    handle.close()


ONLY_SCAPY = """
import sys
import scanner.wire.open, scanner.wire.scapy_socket
assert not [name for name in sys.modules if name.split(".")[0] == "scapy"]
from scanner.wire.scapy_socket import ScapySocket
ScapySocket("lo", None, 1500).close()
from scapy.config import conf
print(conf.route.routes, conf.route_autoload, conf.route6_autoload, "scapy.layers.inet" in sys.modules)
"""


@pytest.mark.lab
def test_scapy_is_imported_when_the_wire_is_opened_and_without_its_routes() -> None:
    ended = subprocess.run([sys.executable, "-c", ONLY_SCAPY], capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.stderr) == ("[] True True False\n", "")
