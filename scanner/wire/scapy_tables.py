"""What Scapy reads of this machine: its interfaces and its routes, on systems where `ip` is not.

No policy rules, no route types, no several next hops: those systems, or Scapy, do not tell of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from scanner.model import UsageError
from scanner.wire.prefixes import ADDRESS_BITS, Range, parse_address, prefix_range
from scanner.wire.scapy_handles import load_scapy, quiet

_GROUPS = {4: prefix_range(0xE0 << 24, 4, 4), 6: prefix_range(0xFF << 120, 8, 6)}
"""Multicast (RFC 5771; RFC 4291, 2.7)."""


@dataclass(frozen=True, slots=True)
class Device:
    """An interface.

    name: as sockets are opened on it. index: its number, from 1. mac: None without Ethernet headers.
    addresses: its own, numbers by version of IP.
    """

    name: str
    index: int
    mac: bytes | None
    loopback: bool
    addresses: dict[int, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class TableRoute:
    """A route.

    covers: addresses. bits: of its prefix. gateway: None where they are on the link.
    source: the address to send from, None where it does not say.
    """

    version: int
    covers: Range
    bits: int
    metric: int
    interface: str
    gateway: int | None
    source: int | None


@dataclass(frozen=True, slots=True)
class Tables:
    """Interfaces and routes of a machine."""

    devices: tuple[Device, ...]
    routes: tuple[TableRoute, ...]


def read_tables() -> Tables:
    """Those of this machine, as they are now. Raises UsageError where Scapy cannot tell."""
    try:
        return _read()
    # Scapy raises what it likes, and what the programs do that it runs.
    except Exception as error:
        said = " ".join(str(error).split())
        raise UsageError(f"Scapy cannot read this machine's routes: {said}") from None


def _read() -> Tables:
    with quiet():
        conf = load_scapy()
        from scapy.arch import read_routes, read_routes6  # noqa: PLC0415
        from scapy.interfaces import resolve_iface  # noqa: PLC0415

        devices = tuple(device_of(interface) for interface in conf.ifaces.values() if not interface.dummy)
        rows = [*routes_of(read_routes()), *routes6_of(read_routes6())]
        # Windows has a name of its own for what sockets are opened on.
        names = {row.interface: resolve_iface(row.interface).network_name for row in rows}
    known = {device.name for device in devices}
    routes = (replace(row, interface=names[row.interface]) for row in rows)
    return Tables(devices, tuple(route for route in routes if route.interface in known))


def device_of(interface: Any) -> Device:  # noqa: ANN401 - a scapy.interfaces.NetworkInterface
    """What Scapy says of an interface."""
    octets = bytes.fromhex((interface.mac or "").replace(":", "").replace("-", ""))
    addresses = {
        version: tuple(
            number
            for text in interface.ips[version]
            if (number := parse_address(text.partition("%")[0], version)) is not None
        )
        for version in ADDRESS_BITS
    }
    own = [*addresses[4], *addresses[6]]
    return Device(
        name=interface.network_name,
        index=interface.index,
        mac=octets if len(octets) == 6 and any(octets) else None,
        loopback=1 in own or any(address >> 24 == 127 for address in addresses[4]),
        addresses=addresses,
    )


def routes_of(rows: Iterable[tuple[int, int, str, Any, str, int]]) -> list[TableRoute]:
    """IPv4 routes, of rows of (network, mask, gateway, interface, source, metric)."""
    return [
        TableRoute(
            version=4,
            covers=(network & mask, network | mask ^ 0xFFFF_FFFF),
            bits=mask.bit_count(),
            metric=metric,
            interface=str(interface),
            gateway=parse_address(gateway, 4) or None,
            source=parse_address(source, 4) or None,
        )
        for network, mask, gateway, interface, source, metric in rows
        if not _is_group(network, 4)
    ]


def routes6_of(rows: Iterable[tuple[str, int, str, Any, list[str], int]]) -> list[TableRoute]:
    """IPv6 routes, of rows of (prefix, its length, gateway, interface, sources, metric)."""
    return [
        TableRoute(
            version=6,
            covers=prefix_range(network, bits, 6),
            bits=bits,
            metric=metric,
            interface=str(interface),
            gateway=parse_address(gateway.partition("%")[0], 6) or None,
            source=parse_address(sources[0].partition("%")[0], 6) if sources else None,
        )
        for prefix, bits, gateway, interface, sources, metric in rows
        if (network := parse_address(prefix.partition("%")[0], 6)) is not None and not _is_group(network, 6)
    ]


def _is_group(network: int, version: int) -> bool:
    first, last = _GROUPS[version]
    return first <= network <= last
