"""The kernel's neighbour tables: hardware addresses that need not be asked for."""

from __future__ import annotations

from scanner.wire.ip_command import parse_json_list
from scanner.wire.links import parse_mac
from scanner.wire.prefixes import parse_address

_USELESS = frozenset({"FAILED", "INCOMPLETE"})


def parse_neighbours(text: str, version: int) -> dict[tuple[str, int], bytes]:
    """MAC by (interface, address) of a recorded `ip -j neigh show`; only what is known, of one version.

    Link-local IPv6 addresses may be there once for each interface.
    """
    known: dict[tuple[str, int], bytes] = {}
    for entry in parse_json_list(text):
        if _USELESS.intersection(entry.get("state", [])):
            continue
        address, mac = parse_address(entry.get("dst"), version), parse_mac(entry.get("lladdr"))
        if address is not None and mac is not None:
            known[str(entry.get("dev")), address] = mac
    return known
