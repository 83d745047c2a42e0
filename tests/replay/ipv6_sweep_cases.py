"""Our own sweep over IPv6, of the networks that every lab has, with its plan beside the evidence."""

from __future__ import annotations

from tests.replay.case import Case, Tool
from tests.replay.commands import sweep
from tests.replay.hosts import BOTH, TCP, UDP

_BRIEF = "--retries 1 --wait 0.3"


def _behind(*numbers: int) -> tuple[str, ...]:
    return tuple(f"fd00:50::{number:x}" for number in numbers)


_REFUSED = _behind(*(0xC31 + 16 * row for row in range(16)), 0xD51, 0xD61)
"""By each ICMPv6 code, from hosts and from the router; and by the router's table."""

IPV6_SWEEP_CASES = (
    Case(
        name="ipv6-sweep",
        shows="Open over TCP, open over UDP, closed, reset by a firewall, and three kinds of silence.",
        tool=Tool.SWEEP,
        command=sweep(f"--tcp --udp {_BRIEF}"),
        targets=_behind(0x26, 0x7, 0x1, 0xC21, 0xC01, 0xC11, 0xD41),
        protocols=BOTH,
    ),
    *(
        Case(
            name=f"ipv6-sweep-refused-{protocols[0]}",
            shows="Probes refused by ICMPv6 type 1, codes 0 to 6, and type 4, code 1, by hosts and by a "
            "router, and by the router's table.",
            tool=Tool.SWEEP,
            command=sweep(f"--{protocols[0]}"),
            targets=_REFUSED,
            protocols=protocols,
        )
        for protocols in (TCP, UDP)
    ),
    Case(
        name="ipv6-sweep-time-exceeded",
        shows="Probes whose hop limit was reached on the way: ICMPv6 type 3 code 0.",
        tool=Tool.SWEEP,
        command=sweep("--tcp --udp"),
        targets=_behind(0xD31, 0xD32),
        protocols=BOTH,
    ),
    Case(
        name="ipv6-sweep-on-link",
        shows="On the prober's own link, each host is first asked for its hardware address by neighbour "
        "solicitation. Who does not answer is down and never probed.",
        tool=Tool.SWEEP,
        command=sweep(f"--tcp --udp {_BRIEF}"),
        targets=tuple(f"fd00:49::{last}" for last in ("2", "a", "10", "28", "38", "48", "54", "99", "ff")),
        protocols=BOTH,
    ),
    Case(
        name="ipv6-sweep-link-local",
        shows="Link-local addresses, which have their interface in their name. The plan knows which it was.",
        tool=Tool.SWEEP,
        command=sweep(f"--tcp --udp {_BRIEF}"),
        targets=tuple(f"fe80::{last}%gpv0" for last in (2, 3, 4, 9)),
        protocols=BOTH,
    ),
)
