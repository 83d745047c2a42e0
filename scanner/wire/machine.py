"""The network of the machine that this runs on, by what its system offers."""

from __future__ import annotations

import socket

from scanner.contracts import Network
from scanner.wire.linux import LinuxNetwork
from scanner.wire.scapy_network import ScapyNetwork


def this_machine() -> Network:
    """The kernel's own word on Linux, Scapy's elsewhere."""
    return LinuxNetwork() if hasattr(socket, "AF_PACKET") else ScapyNetwork()
