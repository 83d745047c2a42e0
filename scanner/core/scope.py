"""Which addresses may be probed, and why the others may not.

The law: an address may be probed when it is allowed and not one of those that are never
probed; whoever sends asks `Scope.permits` first, and `Scope.check` speaks of the very same
set. There is no way to allow what can never be one host: multicast, reserved and
"this network" addresses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from scanner.core.addresses import format_range
from scanner.core.hosts import Hosts
from scanner.core.ipv6 import Halves, format_ipv6_range
from scanner.core.targets import parse_targets
from scanner.model import ScopeRefused

PRIVATE_NETWORKS: tuple[tuple[str, str], ...] = (
    ("10.0.0.0/8", "private (RFC 1918 section 3)"),
    ("172.16.0.0/12", "private (RFC 1918 section 3)"),
    ("192.168.0.0/16", "private (RFC 1918 section 3)"),
    ("127.0.0.0/8", "loopback (RFC 1122 section 3.2.1.3)"),
    ("169.254.0.0/16", "link-local (RFC 3927 section 2.1)"),
    ("fc00::/7", "unique local (RFC 4193 section 3.1)"),
    ("::1/128", "loopback (RFC 4291 section 2.5.3)"),
    ("fe80::/10", "link-local (RFC 4291 section 2.5.6)"),
)
"""The networks of `Scope.private`, and why each is allowed."""

NEVER_NETWORKS: tuple[tuple[str, str], ...] = (
    ("0.0.0.0/8", "'this network' (RFC 1122 section 3.2.1.3)"),
    ("224.0.0.0/4", "multicast (RFC 5771)"),
    ("240.0.0.0/4", "reserved or broadcast (RFC 1112 section 4, RFC 919 section 7)"),
    ("::/128", "the unspecified address (RFC 4291 section 2.5.2)"),
    ("::ffff:0:0/96", "IPv4-mapped, never on the wire (RFC 4291 section 2.5.5.2)"),
    ("ff00::/8", "multicast (RFC 4291 section 2.7)"),
)
"""The networks that no scope permits, and why."""

NOT_PRIVATE = "not private, loopback or link-local"
NOT_AUTHORISED = "not in the authorised scope"
NEVER_PROBED = "set apart as never to be probed"

_MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class Scope:
    """What may be probed: `allowed` without `never`, without NEVER_NETWORKS.

    allowed: what was authorised.
    never: what is not probed although it was, such as network and broadcast addresses.
    outside: how an error describes an address that is not in `allowed`.
    permitted: what comes of it, the addresses for which `permits` is true.
    """

    allowed: Hosts
    never: Hosts = field(default_factory=Hosts)
    outside: str = NOT_AUTHORISED
    permitted: Hosts = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Work out `permitted`."""
        object.__setattr__(self, "permitted", self.allowed - self.never - _all(NEVER_NETWORKS))

    @classmethod
    def private(cls) -> Scope:
        """The scope where none was given: PRIVATE_NETWORKS."""
        return cls(_all(PRIVATE_NETWORKS), outside=NOT_PRIVATE)

    def without(self, addresses: Hosts) -> Scope:
        """This scope with more addresses that are never probed.

        Such are the network and broadcast addresses of the links this host is on, where one
        probe would reach every host (RFC 919 section 7, RFC 922 section 7).
        """
        return Scope(self.allowed, self.never | addresses, self.outside)

    def permits(self, addresses: NDArray[np.uint32]) -> NDArray[np.bool_]:
        """Which of the IPv4 addresses `(N,)` uint32 may be probed, as `(N,)` bool; every send asks."""
        return self.permitted.ipv4.contains(addresses)

    def permits_ipv6(self, high: Halves, low: Halves) -> NDArray[np.bool_]:
        """Which of the IPv6 addresses may be probed, given as their halves; every send asks."""
        return self.permitted.ipv6.contains(high, low)

    def check(self, targets: Hosts) -> None:
        """Refuse targets that are not all permitted; to skip those instead, take `targets & permitted`.

        Raises ScopeRefused, one line that names the first refused ranges, how many addresses
        are refused in all, and why.
        """
        refused = targets - self.permitted
        if not refused:
            return
        ranges = [format_range(first, last) for first, last in refused.ipv4.ranges()]
        ranges += [format_ipv6_range(first, last) for first, last in refused.ipv6.ranges]
        named = ", ".join(ranges[:_MOST_NAMED])
        more = f" and {len(ranges) - _MOST_NAMED} more ranges" if len(ranges) > _MOST_NAMED else ""
        addresses = "1 address" if refused.size == 1 else f"{refused.size} addresses"
        raise ScopeRefused(
            f"outside the scope: {named}{more} ({addresses} in all): {'; '.join(self._why(refused))}"
        )

    def _why(self, refused: Hosts) -> Iterator[str]:
        """The reasons that hold for some of the refused addresses."""
        rest = refused
        for cidr, reason in NEVER_NETWORKS:
            network = parse_targets([cidr])
            if rest & network:
                yield reason
                rest = rest - network
        if rest & self.never:
            yield NEVER_PROBED
        if rest - self.allowed:
            yield self.outside


def _all(networks: Iterable[tuple[str, str]]) -> Hosts:
    return parse_targets(cidr for cidr, _ in networks)
