"""A large segment: a /16 on the prober's own link, where 30 000 hosts are, each with hardware of its own."""

from __future__ import annotations

import random
from ipaddress import IPv4Network

from scanner.lab.behaviours import ABSENT, CLOSED, DUPLICATE, PROXIED, SILENT
from scanner.lab.ipv6_nets import IPV6_BEHIND, IPV6_ON_LINK, LINK_LOCAL
from scanner.lab.profile import PROBER_INTERFACE, TARGET_INTERFACE, Net, Place, Profile, Way

_SEED = 401

# With the router at 10.52.0.2 these are 176 hosts.
_FIRST_BLOCKS = (
    Place("10.52.0.4/30", DUPLICATE),
    Place("10.52.0.8/29", CLOSED),
    Place("10.52.0.16/29", SILENT),
    Place("10.52.0.64/26", PROXIED),
    Place("10.52.0.128/26", CLOSED),
    *(Place(p, CLOSED) for p in ("10.52.0.192/28", "10.52.0.208/29", "10.52.0.216/31", "10.52.0.218/32")),
)


def _scattered(count: int) -> tuple[Place, ...]:
    """So many blocks of 64 hosts, anywhere but in the first 256 addresses and the last 64."""
    blocks = list(IPv4Network("10.52.0.0/16").subnets(new_prefix=26))[4:-1]
    chosen = random.Random(_SEED).sample(blocks, count)  # noqa: S311 - to be the same every time is the point
    return tuple(Place(str(block), CLOSED) for block in sorted(chosen))


_SEGMENT = Net(
    prefix="10.52.0.0/16",
    prober="10.52.0.1",
    router="10.52.0.2",
    places=(*_FIRST_BLOCKS, *_scattered(466)),
    rest=ABSENT,
    open_tcp=300,
    open_udp=300,
    own_hardware=True,
)

LAN = Profile(
    name="lan",
    ways=(
        Way(
            device=PROBER_INTERFACE,
            far_device=TARGET_INTERFACE,
            nets=(_SEGMENT, IPV6_BEHIND, IPV6_ON_LINK, LINK_LOCAL),
        ),
    ),
)
"""For sweeps of the segment one sits in: 65 536 addresses, of which 30 000 answer ARP."""
