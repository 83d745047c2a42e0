"""Runs a command while somebody listens on an interface, as whoever sends has to: with a receive ring.

Arguments: INTERFACE COMMAND …
"""

from __future__ import annotations

import os
import subprocess
import sys

from scanner.wire.receive_ring import ReceiveRing


def main(interface: str, *command: str) -> int:
    ring = ReceiveRing(interface)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        descriptor = os.pidfd_open(process.pid)
        while os.waitid(os.P_PIDFD, descriptor, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            ring.receive(0.01)
        os.close(descriptor)
    ring.close()
    return process.returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
