"""A carrier: one end of a link or tunnel that this kernel has no device for.

`python -m tests.replay.carrier KIND SIDE` takes packets from the device `gpt0`, wraps them and sends them
over the cable, and unwraps what comes; the other side does the same. It writes `ready` when it does.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from scanner.lab.topology import PROBER_INTERFACE, TARGET_INTERFACE
from tests.replay.encapsulation import PROBER_END, TARGET_END, Encapsulation, unwrapped, wrapped

DEVICE = "gpt0"
READY = b"ready\n"
_SIDES = {
    "prober": (PROBER_INTERFACE, PROBER_END, TARGET_END),
    "target": (TARGET_INTERFACE, TARGET_END, PROBER_END),
}
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000  # linux/if_tun.h
_ALL_PROTOCOLS = 3  # ETH_P_ALL, linux/if_ether.h
_MOST = 65_535


def main() -> None:
    """Carry until killed."""
    kind = Encapsulation(sys.argv[1])
    interface, near, far = _SIDES[sys.argv[2]]
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL_PROTOCOLS))
    wire.bind((interface, _ALL_PROTOCOLS))
    sender = bytes.fromhex(far.mac.replace(":", ""))
    # Scapy is imported, and a packet built, before the first probe comes.
    wrapped(kind, bytes([0x45, *bytes(19)]), near, far)
    with _device() as device:
        sys.stdout.buffer.write(READY)
        sys.stdout.flush()
        while True:
            ready, _, _ = select.select([device, wire.fileno()], [], [])
            if device in ready:
                wire.send(wrapped(kind, os.read(device, _MOST), near, far))
            if wire.fileno() in ready:
                frame = wire.recv(_MOST)
                if frame[6:12] == sender:
                    os.write(device, unwrapped(kind, frame))


@contextmanager
def _device() -> Iterator[int]:
    """The tun device, which is there already."""
    device = os.open("/dev/net/tun", os.O_RDWR)
    try:
        fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", DEVICE.encode(), _IFF_TUN | _IFF_NO_PI))
        yield device
    finally:
        os.close(device)


if __name__ == "__main__":
    main()
