from __future__ import annotations

import errno
import socket

import pytest

from scanner.model import UsageError, WireError
from scanner.wire.bpf import REJECT_ALL
from scanner.wire.packet_socket import attach_filter, open_packet_socket, open_raw_socket


def refusing(number: int):
    def refuse(*_: object) -> socket.socket:
        raise OSError(number, "no")

    return refuse


def test_without_the_capability_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "socket", refusing(errno.EPERM))
    with pytest.raises(UsageError) as caught:
        open_packet_socket()
    said = str(caught.value)
    assert "\n" not in said
    for way in ("sudo", "setpriv --reuid", "--inh-caps +net_raw --ambient-caps +net_raw", "setcap"):
        assert way in said


def test_a_system_without_raw_sockets_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "socket", refusing(errno.EAFNOSUPPORT))
    with pytest.raises(UsageError, match="no raw sockets"):
        open_raw_socket(socket.AF_INET, socket.IPPROTO_RAW)


def test_other_systems_than_linux_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "AF_PACKET")
    with pytest.raises(UsageError, match=r"Linux .* --wire scapy"):
        open_packet_socket()


def test_a_filter_decides_what_a_socket_takes_in() -> None:
    inward, outward = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with inward, outward:
        inward.setblocking(False)
        attach_filter(inward, REJECT_ALL)
        outward.send(b"refused")
        attach_filter(inward, ((0x06, 0, 0, 64),))
        outward.send(b"taken")
        assert inward.recv(64) == b"taken"
        with pytest.raises(BlockingIOError):
            inward.recv(64)


def test_a_program_the_kernel_refuses_is_a_wire_error() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, pytest.raises(WireError, match="filter"):
        attach_filter(sock, ((0x15, 200, 200, 0),))
