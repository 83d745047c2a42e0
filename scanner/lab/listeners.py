"""What listens in the target namespace: one process for every open port of the lab.

It reads a JSON object from its standard input, `{"tcp": [["10.50.0.1", 401], …], "udp": […]}`,
opens all the sockets, writes the line `ready`, and then serves until it is killed: TCP
connections are accepted and closed, datagrams are answered. It is run by its path, away
from the package, so that it starts at once: the standard library alone.
"""

from __future__ import annotations

import json
import resource
import selectors
import socket
import sys
from collections.abc import Callable, Iterable

READY = b"ready\n"
ANSWER = b"ghostport lab\n"
_BACKLOG = 128
_SPARE_FILES = 64


def main() -> None:
    """Serve what standard input names."""
    wanted: dict[str, list[tuple[str, int]]] = json.load(sys.stdin)
    _allow_files(sum(map(len, wanted.values())) + _SPARE_FILES)
    selector = selectors.DefaultSelector()
    for kind, serve, addresses in (
        (socket.SOCK_STREAM, accept_and_close, wanted["tcp"]),
        (socket.SOCK_DGRAM, answer, wanted["udp"]),
    ):
        for listener in _opened(kind, addresses):
            selector.register(listener, selectors.EVENT_READ, serve)
    sys.stdout.buffer.write(READY)
    sys.stdout.flush()
    while True:
        for key, _ in selector.select():
            serve_socket: Callable[[object], None] = key.data
            serve_socket(key.fileobj)


def accept_and_close(listener: socket.socket) -> None:
    """Take one connection and let it go."""
    try:
        connection, _ = listener.accept()
    except OSError:
        return  # the client went first
    connection.close()


def answer(listener: socket.socket) -> None:
    """Answer one datagram."""
    try:
        datagram, sender = listener.recvfrom(2048)
        if datagram != ANSWER:  # two listeners made to speak to each other would never stop
            listener.sendto(ANSWER, sender)
    except OSError:
        return  # the firewall dropped the answer, or nothing is there


def _opened(kind: socket.SocketKind, addresses: Iterable[tuple[str, int]]) -> Iterable[socket.socket]:
    for address, port in addresses:
        # An IPv6 address may have a zone, which bind(2) takes as a number.
        (family, *_, place), *_ = socket.getaddrinfo(address, port, type=kind, flags=socket.AI_NUMERICHOST)
        listener = socket.socket(family, kind)
        listener.setblocking(False)
        if kind == socket.SOCK_STREAM:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        if kind == socket.SOCK_STREAM:
            listener.listen(_BACKLOG)
        yield listener


def _allow_files(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))


if __name__ == "__main__":
    main()
