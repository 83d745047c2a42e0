"""The listening process, on the loopback interface."""

from __future__ import annotations

import json
import socket
import subprocess
import sys

import pytest

from scanner.lab import listeners


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(type=kind) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def served():
    """A TCP and a UDP port of a listening process."""
    tcp, udp = free_port(socket.SOCK_STREAM), free_port(socket.SOCK_DGRAM)
    wanted = {"tcp": [["127.0.0.1", tcp]], "udp": [["127.0.0.1", udp]]}
    command = [sys.executable, "-I", listeners.__file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(wanted).encode())
        process.stdin.close()
        assert process.stdout.readline() == listeners.READY
        yield tcp, udp
        process.kill()


def test_connections_are_accepted_and_closed_again_and_again(served):
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", served[0]), timeout=5) as client:
            assert client.recv(10) == b""


@pytest.mark.parametrize("datagram", [b"", b"?", bytes(1400)])
def test_datagrams_are_answered(served, datagram):
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.sendto(datagram, ("127.0.0.1", served[1]))
        assert client.recvfrom(100) == (listeners.ANSWER, ("127.0.0.1", served[1]))


def test_an_answer_is_not_answered(served):
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.sendto(listeners.ANSWER, ("127.0.0.1", served[1]))
        client.sendto(b"?", ("127.0.0.1", served[1]))
        assert client.recv(100) == listeners.ANSWER
        client.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.recv(100)
