"""What Scapy reads, in the forms that its readers for different systems give."""

from __future__ import annotations

import types
from collections import defaultdict

import pytest

from scanner.lab import namespaces
from scanner.model import UsageError
from scanner.wire import scapy_tables
from scanner.wire.prefixes import parse_address
from scanner.wire.scapy_tables import device_of, read_tables, routes6_of, routes_of

NOWHERE = "0.0.0.0"  # noqa: S104 - how Scapy says that there is none
A = {text: parse_address(text, 4) for text in ("10.0.0.0", "10.0.0.1", "10.0.0.9", "10.0.0.255")}


def interface(**told: object) -> types.SimpleNamespace:
    usual = {"name": "en0", "network_name": "en0", "index": 4, "mac": "02:00:00:00:00:01", "dummy": False}
    ips = defaultdict(list, told.pop("ips", {}))  # type: ignore[call-overload]
    return types.SimpleNamespace(**usual | told, ips=ips)


def test_an_interface_is_a_device() -> None:
    device = device_of(interface(ips={4: ["10.0.0.1"], 6: ["fe80::1%en0", "fd00::1"]}))
    assert (device.name, device.index, device.mac, device.loopback) == ("en0", 4, b"\2\0\0\0\0\1", False)
    assert device.addresses == {
        4: (A["10.0.0.1"],),
        6: (parse_address("fe80::1", 6), parse_address("fd00::1", 6)),
    }


@pytest.mark.parametrize("mac", [None, "", "00:00:00:00:00:00", "00:00"])
def test_without_a_hardware_address_there_is_no_ethernet(mac: str | None) -> None:
    assert device_of(interface(name="utun0", mac=mac)).mac is None


@pytest.mark.parametrize("ips", [{4: ["127.0.0.1"]}, {6: ["::1"]}])
def test_loopback_is_known_by_its_address(ips: dict[int, list[str]]) -> None:
    assert device_of(interface(name="lo0", mac="00:00:00:00:00:00", ips=ips)).loopback


def test_windows_opens_sockets_on_another_name() -> None:
    assert device_of(interface(name="Ethernet", network_name=r"\Device\NPF_{1}")).name == r"\Device\NPF_{1}"


def test_routes_say_what_they_cover_and_groups_are_left_out() -> None:
    link, default = routes_of(
        [
            (A["10.0.0.0"] or 0, 0xFFFFFF00, NOWHERE, "en0", "10.0.0.1", 5),
            (0, 0, "10.0.0.9", "en0", NOWHERE, 7),
            (0xE0000000, 0xF0000000, NOWHERE, "en0", "10.0.0.1", 250),
        ]
    )
    assert (link.covers, link.bits, link.gateway) == ((A["10.0.0.0"], A["10.0.0.255"]), 24, None)
    assert (link.source, link.metric, link.interface, link.version) == (A["10.0.0.1"], 5, "en0", 4)
    assert (default.covers, default.bits) == ((0, 2**32 - 1), 0)
    assert (default.gateway, default.source) == (A["10.0.0.9"], None)


def test_routes_of_ipv6_likewise() -> None:
    link, default = routes6_of(
        [
            ("fd00::", 64, "::", "en0", ["fd00::1", "fe80::1"], 1),
            ("::", 0, "fe80::99%en0", "en0", [], 1),
            ("ff00::", 8, "::", "en0", ["fe80::1"], 1),
            ("no prefix", 8, "::", "en0", ["fe80::1"], 1),
        ]
    )
    first = parse_address("fd00::", 6) or 0
    assert (link.covers, link.bits, link.gateway) == ((first, first | (1 << 64) - 1), 64, None)
    assert link.source == parse_address("fd00::1", 6)
    assert (default.covers, default.source) == ((0, 2**128 - 1), None)
    assert default.gateway == parse_address("fe80::99", 6)


def test_what_cannot_be_read_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        msg = "netstat:\nnot found"
        raise OSError(msg)

    monkeypatch.setattr(scapy_tables, "load_scapy", fail)
    with pytest.raises(UsageError, match="cannot read this machine's routes: netstat: not found"):
        read_tables()


@pytest.mark.lab
def test_this_machine_is_read(veth6) -> None:
    namespaces.ip_batch(
        veth6.near, ["route add 10.5.0.0/16 via 10.77.0.9", "route add fd05::/64 via fe80::9 dev near"]
    )
    with namespaces.entered(veth6.near):
        tables = read_tables()
    near = next(device for device in tables.devices if device.name == "near")
    assert (near.mac, near.loopback) == (veth6.near_mac, False)
    assert near.addresses[4] == (parse_address("10.77.0.1", 4),)
    assert set(near.addresses[6]) == {parse_address(text, 6) for text in ("2001:db8:77::1", "fe80::77:1")}
    gateways = {(route.version, route.bits): route.gateway for route in tables.routes if route.gateway}
    assert gateways == {(4, 16): parse_address("10.77.0.9", 4), (6, 64): parse_address("fe80::9", 6)}
