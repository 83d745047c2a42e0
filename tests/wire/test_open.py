from __future__ import annotations

import pytest

from scanner.contracts import Hop
from scanner.wire import open as opening
from scanner.wire.receive_ring import RingOptions


@pytest.mark.parametrize(("mac", "expected"), [(b"\x02\0\0\0\0\1", "PacketRing"), (None, "RawIP")])
def test_ethernet_gets_rings_and_all_else_raw_ip(
    mac: bytes | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PacketRing", "RawIP"):
        monkeypatch.setattr(opening, name, lambda *args, name=name: (name, *args))
    hop = Hop(interface="x0", source=1, gateway=None, on_link=True, loopback=False, mac=mac, mtu=1500)
    options = RingOptions(blocks=4)
    opened: object = opening.open_wire(hop, options, 60)
    assert opened == (expected, "x0", options, *([60] if mac else []))
