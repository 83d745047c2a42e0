"""The labs that cases take place in, each built when a case first needs it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from ipaddress import IPv4Address, IPv4Network

from scanner.lab import Lab
from scanner.lab.behaviours import SILENT, Route, routed_nowhere
from scanner.lab.namespaces import ip_batch
from scanner.lab.profiles import FULL, Place, Profile
from scanner.lab.topology import PROBER_INTERFACE, TARGET_INTERFACE
from scanner.model import Reason

SILENT_NET = "10.51.0.0/16"
WIDE_NET = "10.64.0.0/12"
LINK_NET = IPv4Network("10.53.0.0/16")
"""On the prober's own link; the hosts of its lower half are there."""

_ABSENT = routed_nowhere("absent", Route.THROW, Reason.NET_UNREACH)

PROFILES = {
    "full": FULL,
    "silent": Profile("silent", SILENT_NET, (Place(SILENT_NET, SILENT),), open_tcp=0, open_udp=0),
    "wide": Profile("wide", WIDE_NET, (Place("10.72.0.0/18", SILENT),), open_tcp=1000, open_udp=0),
    "link": Profile("link", "10.52.0.0/15", (Place("10.53.128.0/17", _ABSENT),), open_tcp=0, open_udp=0),
}


class Labs:
    """Labs by name; closing removes those that were built."""

    def __init__(self, prefix: str) -> None:
        """`prefix`: of the names that they have on this machine."""
        self._prefix = prefix
        self._built: dict[str, Lab] = {}
        self._closing = ExitStack()

    def get(self, name: str, ready: Callable[[Lab], None]) -> Lab:
        """One of them; `ready` is told when it is new."""
        if name not in self._built:
            lab = self._closing.enter_context(Lab(PROFILES[name], f"{self._prefix}-{name}"))
            if name == "link":
                _put_on_link(lab)
            ready(lab)
            self._built[name] = lab
        return self._built[name]

    def close(self) -> None:
        """Take them down."""
        self._closing.close()


def _put_on_link(lab: Lab) -> None:
    prober, target = LINK_NET[1], LINK_NET[2]
    ip_batch(lab.prober, [f"addr add {prober}/{LINK_NET.prefixlen} dev {PROBER_INTERFACE}"])
    # The whole is local there already, so that every host of it answers ARP.
    ip_batch(lab.target, [f"addr add {target}/32 dev {TARGET_INTERFACE}"])


def link_states() -> dict[str, str]:
    """What is true of each address on the link that can be asked."""
    middle = LINK_NET.num_addresses // 2
    apart = {0, 1, LINK_NET.num_addresses - 1}
    return {
        str(IPv4Address(int(LINK_NET[0]) + number)): "closed" if number < middle else "down"
        for number in range(LINK_NET.num_addresses)
        if number not in apart
    }
