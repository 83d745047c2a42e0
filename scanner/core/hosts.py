"""Sets of addresses of both versions of IP."""

from __future__ import annotations

from dataclasses import dataclass, field

from scanner.core.addresses import AddressSet
from scanner.core.ipv6 import Ipv6Set


@dataclass(frozen=True, slots=True)
class Hosts:
    """IPv4 and IPv6 addresses."""

    ipv4: AddressSet = field(default_factory=AddressSet.empty)
    ipv6: Ipv6Set = field(default_factory=Ipv6Set)

    @property
    def size(self) -> int:
        """How many addresses."""
        return self.ipv4.size + self.ipv6.size

    def __bool__(self) -> bool:
        return bool(self.ipv4) or bool(self.ipv6)

    def __or__(self, other: Hosts) -> Hosts:
        return Hosts(self.ipv4 | other.ipv4, self.ipv6 | other.ipv6)

    def __and__(self, other: Hosts) -> Hosts:
        return Hosts(self.ipv4 & other.ipv4, self.ipv6 & other.ipv6)

    def __sub__(self, other: Hosts) -> Hosts:
        return Hosts(self.ipv4 - other.ipv4, self.ipv6 - other.ipv6)
