"""Services of single cases: `python -m tests.replay.services KIND ADDRESS PORT [SECONDS]`.

They run in the target namespace. `late` begins to listen, over TCP and UDP, after so many seconds; `large`
answers a datagram with one that does not fit into a packet. It writes `ready` first, and stays until it is
killed.
"""

from __future__ import annotations

import socket
import sys
import threading
import time

READY = b"ready\n"
_LARGE = b"large\n" * 500


def main() -> None:
    """Serve as the command line says."""
    kind, address, port, *rest = sys.argv[1:]
    sys.stdout.buffer.write(READY)
    sys.stdout.flush()
    if kind == "late":
        time.sleep(float(rest[0]))
        threading.Thread(target=_accept, args=(address, int(port)), daemon=True).start()
        _answer(address, int(port), b"late\n")
    else:
        _answer(address, int(port), _LARGE)


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _accept(address: str, port: int) -> None:
    with socket.create_server((address, port), family=_family(address)) as listener:
        while True:
            listener.accept()[0].close()


def _answer(address: str, port: int, answer: bytes) -> None:
    with socket.socket(_family(address), socket.SOCK_DGRAM) as service:
        service.bind((address, port))
        while True:
            _, sender = service.recvfrom(2048)
            service.sendto(answer, sender)


if __name__ == "__main__":
    main()
