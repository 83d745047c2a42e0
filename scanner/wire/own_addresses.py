"""This host's own addresses, and those of its networks that are never a host.

Source: ip-address(8).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from scanner.model import UsageError
from scanner.wire.ip_command import Runner, parse_json_list, run_ip
from scanner.wire.prefixes import (
    ADDRESS_BITS,
    Range,
    address_text,
    parse_address,
    prefix_range,
    route_range,
)

_POINT_TO_POINT_BITS = 31  # RFC 3021: a /31 has neither network nor broadcast address
_LOOPBACK_ENDS = (0x7F000000, 0x7FFFFFFF)
_UNUSABLE = ("tentative", "dadfailed")
"""Duplicate address detection (RFC 4862, 5.4) has not ended yet, or ended badly."""


def own_addresses(interface: str, version: int, run: Runner = run_ip) -> list[int]:
    """The addresses of an interface that packets may be sent from, in the kernel's order.

    For version 6 that is the link-local ones too. Empty where there is no such interface.
    """
    return parse_own_addresses(run(["-j", f"-{version}", "addr", "show"], ""), interface, version)


def parse_own_addresses(text: str, interface: str, version: int) -> list[int]:
    """`own_addresses` of a recorded `ip -j addr show`."""
    found = []
    for link in parse_json_list(text):
        if link.get("ifname") != interface:
            continue
        for entry in link.get("addr_info", []):
            address = parse_address(entry.get("local"), version)
            if address is not None and not any(entry.get(flag) for flag in _UNUSABLE):
                found.append(address)
    return found


def on_link_specials(version: int = 4, run: Runner = run_ip) -> list[Range]:
    """Addresses that are never a host: network and broadcast addresses of our own networks.

    Sorted, one range each; 127.0.0.0 and 127.255.255.255 are always among them. Networks of
    two addresses or one (prefixes 31 and 32) have none. Neither has IPv6: there is no broadcast,
    and the first address of a subnet is a router's (RFC 4291, 2.6.1).
    """
    if version != 4:
        return []
    return parse_specials(run(["-j", "-4", "addr", "show"], ""))


def parse_specials(text: str) -> list[Range]:
    """`on_link_specials` of a recorded `ip -j -4 addr show`."""
    specials = set(_LOOPBACK_ENDS)
    for link in parse_json_list(text):
        for entry in link.get("addr_info", []):
            bits = int(entry.get("prefixlen", ADDRESS_BITS[4]))
            # On a point-to-point link the network is the peer's ("address"), not our own.
            address = parse_address(entry.get("address", entry.get("local")), 4)
            if address is not None and bits < _POINT_TO_POINT_BITS:
                specials.update(prefix_range(address, bits, 4))
    return [(address, address) for address in sorted(specials)]


def require_source(source: int, routes: Iterable[dict[str, Any]], version: int) -> None:
    """Raise UsageError, naming our addresses, where `source` is none of them.

    routes: of `ip -j route show table all`; addresses are ours that have a local route.
    """
    own = [route for route in routes if route.get("type") == "local"]
    for route in own:
        span = route_range(route, version)
        if span and span[0] <= source <= span[1]:
            return
    known = ", ".join(sorted({str(route.get("dst")) for route in own})) or f"no IPv{version} address"
    raise UsageError(f"{address_text(source, version)} is not an address of this machine; it has: {known}")
