from __future__ import annotations

import pytest

from scanner.wire.linux import LinuxNetwork
from scanner.wire.machine import this_machine
from scanner.wire.scapy_network import ScapyNetwork


def test_a_machine_without_packet_sockets_is_seen_by_scapy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(this_machine(), LinuxNetwork)
    monkeypatch.delattr("socket.AF_PACKET")
    assert isinstance(this_machine(), ScapyNetwork)
