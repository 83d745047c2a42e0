"""Routes with several next hops (ECMP): which of them are alive, and who of the targets takes which.

The kernel picks a next hop for each packet by a hash of its own (sysctl fib_multipath_hash_policy)
with a random seed, so the same choice cannot be made here. We make one that is as fair and always the
same: targets are cut into blocks of a power of two addresses, and the blocks are dealt out by weight,
by the fractions of the golden ratio's multiples (a Weyl sequence: neighbouring blocks land far apart,
and any stretch of them is shared out almost exactly). All targets of one route together have up to 256
blocks, however many they are; ranges that begin or end inside of a block have up to two more each.

Source: ip-route(8), ip-nexthop(8).
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scanner.wire.prefixes import Range, parse_address

_MOST_BLOCKS_BITS = 8
_GOLDEN = 0x9E3779B97F4A7C15F39CC0605CEDC835  # 2**128 divided by the golden ratio
_ONE = 1 << 128
_DOWN = frozenset({"dead", "linkdown"})


@dataclass(frozen=True, slots=True)
class NextHop:
    """One of a route's: interface, router (None: on-link) and its weight."""

    interface: str
    gateway: int | None
    weight: int


def may_be_multipath(route: Mapping[str, Any]) -> bool:
    """Whether an `ip -j route show` entry has several next hops, or (nexthop objects) hides them."""
    return "nexthops" in route or ("nhid" in route and "dev" not in route)


def next_hops(
    route: Mapping[str, Any], objects: Mapping[int, Mapping[str, Any]], version: int
) -> list[NextHop]:
    """Those of a route's several next hops that are alive; none for a route with a single one.

    route: of `ip -j route get fibmatch`. objects: of `ip -j nexthop show` by id, where routes name
    nothing but them (sysctl nexthop_compat_mode=0). IPv4 by an IPv6 router (RFC 8950) is left out.
    """
    entries = route.get("nexthops")
    if entries is None and "nhid" in route and "dev" not in route:
        group = objects.get(route["nhid"], {}).get("group", [])
        entries = [{**objects.get(entry["id"], {}), "weight": entry.get("weight", 1)} for entry in group]
    found = []
    for entry in entries or []:
        spoken = "dev" in entry and "via" not in entry and "blackhole" not in entry
        if spoken and not _DOWN.intersection(entry.get("flags", [])):
            gateway = parse_address(entry.get("gateway"), version)
            found.append(NextHop(str(entry["dev"]), gateway, int(entry.get("weight", 1))))
    return found


def block_size(addresses: int) -> int:
    """How many addresses, a power of two, to a block, so that so many have 256 blocks at most."""
    return 1 << max(0, (addresses - 1).bit_length() - _MOST_BLOCKS_BITS)


def deal_out(targets: Range, size: int, weights: Sequence[float]) -> Iterable[tuple[int, Range]]:
    """Cut a range into blocks and say which way each takes: (index of its weight, sub-range).

    A block begins at a multiple of `size`; who takes it depends on that and on the weights alone.
    Neighbouring blocks of one way are one sub-range.
    """
    first, last = targets
    limits = list(itertools.accumulate(weights))
    limits = [limit / limits[-1] for limit in limits[:-1]]

    def way(block: int) -> int:
        return bisect.bisect_right(limits, block * _GOLDEN % _ONE / _ONE)

    for taken, grouped in itertools.groupby(range(first // size, last // size + 1), key=way):
        blocks = list(grouped)
        yield taken, (max(first, blocks[0] * size), min(last, (blocks[-1] + 1) * size - 1))
