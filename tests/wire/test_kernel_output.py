"""What the kernel's output makes of its errors. What it does with packets is in test_raw_ip."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from scanner.contracts import ETHERTYPE_IPV4, ETHERTYPE_IPV6
from scanner.model import UsageError
from scanner.wire import kernel_output
from scanner.wire.interface import ARPHRD_LOOPBACK, Interface
from scanner.wire.kernel_output import KernelOutput
from scanner.wire.sendmmsg import DatagramSender

pytestmark = pytest.mark.lab

LOOPBACK = Interface(name="lo", index=1, hardware_type=ARPHRD_LOOPBACK, mac=bytes(6), mtu=65536)


@pytest.fixture
def output() -> Iterator[KernelOutput]:
    opened = KernelOutput(LOOPBACK)
    yield opened
    opened.close()


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What the kernel says of packets, one after the other: an errno, or 0 for one that it takes."""
    said: list[int] = []

    def send(_sender: DatagramSender, first: int, last: int) -> tuple[int, int]:
        if not said:
            return last - first, 0
        number = said.pop(0)
        return (0, number) if number else (1, 0)

    monkeypatch.setattr(DatagramSender, "send", send)
    return said


def packets(count: int) -> NDArray[np.uint8]:
    return np.zeros((count, 60), dtype=np.uint8)


@pytest.mark.parametrize("number", [errno.ENOBUFS, errno.EAGAIN, errno.EINTR])
def test_congestion_ends_the_batch(output, says, number: int) -> None:
    says += [0, 0, number]
    times, kept_in = output.send(packets(9), ETHERTYPE_IPV4)
    assert (len(times), kept_in) == (2, 0)


@pytest.mark.parametrize("number", [errno.EPERM, errno.EHOSTUNREACH, errno.EINVAL, errno.EMSGSIZE])
def test_a_packet_that_is_kept_in_does_not(output, says, number: int) -> None:
    says += [0, number, 0, number]
    times, kept_in = output.send(packets(9), ETHERTYPE_IPV4)
    assert (len(times), kept_in) == (9, 2)


def test_of_ipv6_neighbours_without_room_are_waited_for_but_not_for_ever(
    output, says, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    says += [0, errno.EINVAL]
    assert len(output.send(packets(5), ETHERTYPE_IPV6)[0]) == 1
    now += kernel_output.NEIGHBOUR_PATIENCE / 2
    says += [errno.EINVAL]
    assert len(output.send(packets(5), ETHERTYPE_IPV6)[0]) == 0
    now += kernel_output.NEIGHBOUR_PATIENCE
    says += [errno.EINVAL, errno.EINVAL, 0, errno.EINVAL]
    times, kept_in = output.send(packets(5), ETHERTYPE_IPV6)
    assert (len(times), kept_in) == (3, 2)


def test_without_ipv6_in_the_system_ipv4_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    made = socket.socket

    def without_ipv6(family: int, *rest: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return made(family, *rest)

    monkeypatch.setattr(socket, "socket", without_ipv6)
    output = KernelOutput(LOOPBACK)
    with pytest.raises(UsageError, match="this system has no IPv6"):
        output.send(packets(1), ETHERTYPE_IPV6)
    assert len(output.send(packets(1), ETHERTYPE_IPV4)[0]) == 1
    output.close()
