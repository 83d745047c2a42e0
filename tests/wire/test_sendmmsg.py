"""sendmmsg over ordinary UDP sockets on loopback: what it does is the same for any datagram socket."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from scanner.wire.sendmmsg import DatagramSender


@pytest.fixture
def pair() -> Iterator[tuple[DatagramSender, socket.socket]]:
    """A sender whose datagrams go to a port of its own choosing: an unbound one, so it is connected."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as outward,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as inward,
    ):
        inward.bind(("127.0.0.1", 0))
        inward.settimeout(2)
        yield DatagramSender(outward), inward


def datagrams(port: int, count: int) -> NDArray[np.uint8]:
    from scapy.layers.inet import IP, UDP

    rows = [
        bytes(IP(src="127.0.0.1", dst="127.0.0.1", id=5) / UDP(sport=40000, dport=port) / bytes([n] * 7))
        for n in range(count)
    ]
    return np.frombuffer(b"".join(rows), dtype=np.uint8).reshape(count, -1)


LOCAL = np.array([127, 0, 0, 1], dtype=np.uint8)


@pytest.mark.lab
def test_every_row_is_a_datagram(pair: tuple[DatagramSender, socket.socket]) -> None:
    sender, inward = pair
    rows = datagrams(inward.getsockname()[1], 5)
    sender.load(rows, np.repeat(LOCAL[None], 5, axis=0))
    assert sender.send(0, 2) == (2, 0)
    assert sender.send(2, 5) == (3, 0)
    assert [inward.recv(64) for _ in range(5)] == [bytes([n] * 7) for n in range(5)]


@pytest.mark.lab
def test_rows_may_be_part_of_wider_ones(pair: tuple[DatagramSender, socket.socket]) -> None:
    sender, inward = pair
    wide = np.pad(datagrams(inward.getsockname()[1], 3), ((0, 0), (14, 2)))
    sender.load(wide[:, 14:-2], np.repeat(LOCAL[None], 3, axis=0))
    assert sender.send(0, 3) == (3, 0)
    assert [inward.recv(64) for _ in range(3)] == [bytes([n] * 7) for n in range(3)]


@pytest.mark.lab
def test_what_stops_the_first_is_told_and_what_stops_a_later_one_is_told_next(
    pair: tuple[DatagramSender, socket.socket],
) -> None:
    sender, inward = pair
    rows = datagrams(inward.getsockname()[1], 3).copy()
    rows[1, 0] = 0x4F  # a header of 60 bytes, in a packet of 35
    sender.load(rows, np.repeat(LOCAL[None], 3, axis=0))
    assert sender.send(0, 3) == (1, 0)
    assert sender.send(1, 3) == (0, errno.EINVAL)
    assert sender.send(2, 3) == (1, 0)


@pytest.mark.lab
def test_of_ipv6_too() -> None:
    from scapy.layers.inet import UDP
    from scapy.layers.inet6 import IPv6

    with (
        socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW) as outward,
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as inward,
    ):
        inward.bind(("::1", 0))
        inward.settimeout(2)
        port = inward.getsockname()[1]
        ports = UDP(sport=40000, dport=port)
        packets = [bytes(IPv6(src="::1", dst="::1") / ports / bytes([n] * 7)) for n in range(3)]
        rows = np.frombuffer(b"".join(packets), dtype=np.uint8).reshape(3, -1)
        sender = DatagramSender(outward, scope=1)
        sender.load(rows, rows[:, 24:40])
        assert sender.send(0, 3) == (3, 0)
        assert [inward.recv(64) for _ in range(3)] == [bytes([n] * 7) for n in range(3)]
