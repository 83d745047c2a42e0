"""The machine's interfaces, as `ip -j link` shows them. Source: ip-link(8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scanner.model import UsageError
from scanner.wire.ip_command import parse_json_list

_MAC_LENGTH = 6


@dataclass(frozen=True, slots=True)
class Link:
    """One interface: name, ARPHRD name, own MAC (or None), MTU."""

    name: str
    kind: str
    mac: bytes | None
    mtu: int


def parse_links(text: str) -> dict[str, Link]:
    """The interfaces of a recorded `ip -j link show`, by name."""
    links: dict[str, Link] = {}
    for entry in parse_json_list(text):
        name, kind = str(entry.get("ifname", "")), str(entry.get("link_type", ""))
        mac = parse_mac(entry.get("address")) if kind == "ether" else None
        links[name] = Link(name=name, kind=kind, mac=mac, mtu=int(entry.get("mtu", 0)))
    return links


def require_interface(interface: str, links: Mapping[str, Link]) -> None:
    """Raise UsageError, naming the interfaces there are, where `interface` is none of them."""
    if interface not in links:
        raise UsageError(f"there is no interface {interface!r}; there are: {', '.join(sorted(links))}")


def parse_mac(text: object) -> bytes | None:
    """An Ethernet address as `ip` prints it; None where it is none, or of another kind of link."""
    try:
        mac = bytes.fromhex(str(text).replace(":", ""))
    except ValueError:
        return None
    return mac if len(mac) == _MAC_LENGTH else None
