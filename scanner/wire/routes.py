"""Where the kernel would send each target: asked of its tables, not worked out from them.

Policy rules, metrics and route types are the kernel's business. We only need to ask often
enough: between two neighbouring prefix boundaries of all its routes and rules the answer
cannot change, so the targets are cut at those boundaries and one address of each piece is
asked for (`scanner.wire.kernel_routes`). Pieces with several next hops are dealt out among
them (`scanner.wire.multipath`).

Parsing and running are separate: what `ip` printed goes through pure functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from scanner.contracts import Hop
from scanner.model import UsageError
from scanner.wire.ip_command import Runner, parse_json_list, run_ip
from scanner.wire.kernel_routes import Kernel, Ways
from scanner.wire.links import parse_links, require_interface
from scanner.wire.multipath import block_size, deal_out
from scanner.wire.own_addresses import require_source
from scanner.wire.prefixes import Range, address_text, cut_ranges, prefix_boundaries, prefix_range

_LINK_LOCAL = prefix_range(0xFE80 << 112, 10, 6)


def plan_routes(
    targets: Sequence[Range],
    version: int,
    interface: str | None = None,
    source: int | None = None,
    run: Runner = run_ip,
) -> list[tuple[Hop | None, list[Range]]]:
    """The targets, grouped by how they are reached; None for those with no route.

    targets: address ranges of one version of IP. interface, source: what every packet must leave
    by, or from; None leaves it to the kernel. Groups come in the order of their first target,
    ranges in the order of the targets. A route with several next hops gives a group for each.

    Raises UsageError where there is no such interface or source address here, where an
    interface has no address to send from, where link-local IPv6 targets come without an
    interface, or where `ip` is missing.
    """
    family = f"-{version}"
    kernel = Kernel(
        version=version,
        interface=interface,
        run=run,
        links=parse_links(run(["-j", "link", "show"], "")),
        routes=parse_json_list(run(["-j", family, "route", "show", "table", "all"], "")),
        rules=parse_json_list(run(["-j", family, "rule", "show"], "")),
    )
    if interface is not None:
        require_interface(interface, kernel.links)
    elif version == 6:
        refuse_link_local(targets)
    if source is not None:
        require_source(source, kernel.routes, version)
    pieces = cut_ranges(targets, prefix_boundaries(kernel.routes, kernel.rules, version))
    ways = kernel.ways(sorted({first for first, _ in pieces}), source)
    return group_pieces(pieces, ways)


def refuse_link_local(targets: Iterable[Range]) -> None:
    """Raise UsageError where a target is link-local: such an address is another host on every link."""
    for first, last in targets:
        if first <= _LINK_LOCAL[1] and last >= _LINK_LOCAL[0]:
            address = address_text(max(first, _LINK_LOCAL[0]), 6)
            raise UsageError(f"{address} is link-local: name the interface, as in {address}%eth0")


def group_pieces(pieces: Sequence[Range], ways: Mapping[int, Ways]) -> list[tuple[Hop | None, list[Range]]]:
    """Pieces by hop; those of several ways are dealt out, and neighbouring ranges of one hop joined.

    pieces: ranges. ways: by the first address of a piece; one without has no route.
    """
    found = [ways.get(first, ()) for first, _ in pieces]
    sizes: dict[Ways, int] = {}
    for (first, last), way in zip(pieces, found, strict=True):
        if len(way) > 1:
            sizes[way] = sizes.get(way, 0) + last - first + 1
    groups: dict[Hop | None, list[Range]] = {}
    lists: dict[int, list[Range]] = {}  # by id: hashing a hop for every piece would take most of the time

    def add(hop: Hop | None, first: int, last: int) -> None:
        ranges = lists.get(id(hop))
        if ranges is None:
            ranges = lists[id(hop)] = groups.setdefault(hop, [])
        if ranges and ranges[-1][1] + 1 == first:
            ranges[-1] = (ranges[-1][0], last)
        else:
            ranges.append((first, last))

    for piece, way in zip(pieces, found, strict=True):
        if len(way) > 1:
            weights = [weight for _, weight in way]
            for taken, part in deal_out(piece, block_size(sizes[way]), weights):
                add(way[taken][0], *part)
        else:
            add(way[0][0] if way else None, *piece)
    return list(groups.items())
