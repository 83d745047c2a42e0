"""Prefixes of the kernel's routes and rules as ranges of numbers, and targets cut at their ends.

Addresses are ints of 32 bits for version 4 and of 128 for version 6; both versions go the same way.
"""

from __future__ import annotations

import bisect
import socket
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

Range: TypeAlias = tuple[int, int]
"""First and last address, both included."""

ADDRESS_BITS = {4: 32, 6: 128}
"""How long an address of each version is."""

_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


def parse_address(text: object, version: int) -> int | None:
    """The number of an address as `ip` prints it; None where it is none of this version."""
    try:
        return int.from_bytes(socket.inet_pton(_FAMILIES[version], str(text)), "big")
    except (OSError, ValueError):
        return None


def address_text(address: int, version: int) -> str:
    """The address as `ip` prints it."""
    return socket.inet_ntop(_FAMILIES[version], address.to_bytes(ADDRESS_BITS[version] // 8, "big"))


def prefix_range(address: int, bits: int, version: int) -> Range:
    """The addresses that share the first `bits` bits with this one."""
    hosts = (1 << (ADDRESS_BITS[version] - bits)) - 1
    return address & ~hosts, address | hosts


def route_range(route: dict[str, Any], version: int) -> Range | None:
    """What the prefix of an `ip -j route` entry covers; None where it is of the other version."""
    text = str(route.get("dst", ""))
    if text == "default":
        return prefix_range(0, 0, version)
    address, _, bits = text.partition("/")
    return _span(address, bits or ADDRESS_BITS[version], version)


def rule_range(rule: dict[str, Any], end: str, version: int) -> Range | None:
    """What an `ip -j rule` entry asks of the "src" or the "dst" of a packet; None where it does not ask."""
    return _span(rule.get(end), rule.get(f"{end}len", ADDRESS_BITS[version]), version)


def prefix_boundaries(
    routes: Iterable[dict[str, Any]], rules: Iterable[dict[str, Any]], version: int
) -> list[int]:
    """Where the answer may change: first address of, and first behind, every prefix; sorted."""
    boundaries: set[int] = set()
    spans = [route_range(route, version) for route in routes]
    spans += [rule_range(rule, "dst", version) for rule in rules]
    for span in spans:
        if span is not None:
            boundaries.update((span[0], span[1] + 1))
    return sorted(boundaries)


def cut_ranges(targets: Iterable[Range], boundaries: Sequence[int]) -> list[Range]:
    """The targets, cut wherever a boundary lies inside of a range."""
    pieces: list[Range] = []
    for first, last in targets:
        cuts = boundaries[bisect.bisect_right(boundaries, first) : bisect.bisect_right(boundaries, last)]
        starts = [first, *cuts]
        ends = [*(cut - 1 for cut in cuts), last]
        pieces.extend(zip(starts, ends, strict=True))
    return pieces


def _span(address: object, bits: object, version: int) -> Range | None:
    number = parse_address(address, version)
    return None if number is None else prefix_range(number, int(str(bits)), version)
