from __future__ import annotations

import socket

import pytest

from scanner.contracts import Hop
from scanner.model import UsageError, WireKind
from scanner.wire import open as opening
from scanner.wire.receive_ring import RingOptions

MAC = b"\x02\0\0\0\0\1"
OPTIONS = RingOptions(blocks=4)
RING, RAW = ("PacketRing", "x0", OPTIONS, 60, 2), ("RawIP", "x0", OPTIONS)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch):
    """`opened(kind, mac)` gives the name of the class that serves, and what it was given."""
    for name in ("PacketRing", "RawIP", "ScapySocket"):
        monkeypatch.setattr(opening, name, lambda *args, name=name: (name, *args))

    def open_wire(kind: WireKind, mac: bytes | None) -> object:
        hop = Hop("x0", source=1, gateway=None, on_link=True, loopback=False, mac=mac, mtu=1500, wire=kind)
        return opening.open_wire(hop, OPTIONS, 60, 2)

    return open_wire


@pytest.mark.parametrize(
    ("kind", "mac", "expected"),
    [
        (WireKind.AUTO, MAC, RING),
        (WireKind.AUTO, None, RAW),
        (WireKind.RING, MAC, RING),
        (WireKind.RAW, None, RAW),
        (WireKind.SCAPY, MAC, ("ScapySocket", "x0", MAC, 1500)),
        (WireKind.SCAPY, None, ("ScapySocket", "x0", None, 1500)),
    ],
)
def test_the_wire_is_what_was_asked_for_or_fits(opened, kind: WireKind, mac: bytes | None, expected: object):
    assert opened(kind, mac) == expected


def test_without_packet_sockets_there_is_scapy(opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "AF_PACKET")
    for kind in (WireKind.AUTO, WireKind.SCAPY):
        assert opened(kind, MAC) == ("ScapySocket", "x0", MAC, 1500)
    for kind in (WireKind.RING, WireKind.RAW):
        with pytest.raises(UsageError, match=f"--wire {kind} needs packet sockets .* take --wire scapy"):
            opened(kind, MAC)
