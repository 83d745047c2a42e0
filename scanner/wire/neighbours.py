"""The kernel's neighbour table: hardware addresses that need not be asked for."""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Address

from scanner.wire.ip_command import parse_json_list

_MAC_LENGTH = 6
_USELESS = frozenset({"FAILED", "INCOMPLETE"})


def parse_neighbours(text: str) -> dict[tuple[str, int], bytes]:
    """MAC by (interface, address) of a recorded `ip -j -4 neigh show`; only what is known."""
    known: dict[tuple[str, int], bytes] = {}
    for entry in parse_json_list(text):
        if _USELESS.intersection(entry.get("state", [])):
            continue
        try:
            address = int(IPv4Address(str(entry.get("dst"))))
            mac = bytes.fromhex(str(entry.get("lladdr")).replace(":", ""))
        except (AddressValueError, ValueError):
            continue
        if len(mac) == _MAC_LENGTH:
            known[str(entry.get("dev")), address] = mac
    return known
