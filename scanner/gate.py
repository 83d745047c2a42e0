"""The gate: the one place in the package that sends, and it asks the scope first.

What is asked about are the addresses in the very bytes that would leave, not those somebody meant to put
there. A test holds that nothing else calls a wire's `send`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scanner.contracts import (
    ETHERTYPE_ARP,
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    Batch,
    Conversation,
    Exit,
    Hop,
    Launch,
    Network,
    Sent,
)
from scanner.core.addresses import AddressSet
from scanner.core.hosts import Hosts
from scanner.core.ipv6 import Halves, Ipv6Set, high_in_zone, solicited_node
from scanner.core.packets import ECHO_TYPES, ICMPV6, NEIGHBOUR_SOLICITATION, TCP, UDP
from scanner.core.scope import Scope
from scanner.core.targets import parse_targets
from scanner.model import ScopeRefused

_NO_OPTIONS = 0x45
"""IPv4's first byte: version 4, a header of five words."""

_IPV6 = 6

_IPV4_DESTINATION, _ARP_TARGET, _IPV6_DESTINATION = 16, 24, 24
"""Where the address asked sits: RFC 791, 3.1; RFC 826; RFC 8200, 3."""

_NEXT_HEADER, _IPV6_HEADER = 6, 40
_PLAIN = (TCP, UDP, ICMPV6, 132)
"""What an IPv6 header may be followed by: transports, SCTP (132) among them."""
_SOLICITED = 48
"""Where a neighbour solicitation names whom it asks for (RFC 4861, 4.3)."""

_ALL_NODES = (0xFF02 << 48, 1)
"""ff02::1 (RFC 4291, 2.7.1)."""
_LINK_LOCAL = Ipv6Set(((0xFE80 << 112, (0xFEC0 << 112) - 1),))


class Gate:
    """Lets packets to permitted addresses out; who asks for hardware addresses may ask for next hops too."""

    def __init__(self, scope: Scope, next_hops: Hosts, *, all_nodes: bool = False) -> None:
        """`next_hops`: gateways that the kernel's routes name for the targets.

        `all_nodes`: echo requests may go to all nodes of a link, where the scope has link-local addresses.
        """
        self._scope = scope
        self._next_hops = next_hops
        self._all_nodes = all_nodes

    def send(self, way_out: Exit, batch: Batch) -> Sent:
        """Send a batch, all of it or nothing of it permitted.

        Raises:
            ScopeRefused: a packet is addressed to where nothing may go. Nothing has left.
            WireError: as `Exit.send`.
        """
        self._check(batch)
        return way_out.send(batch)

    def stage(self, way_out: Exit, batch: Batch) -> Launch:
        """Stage a batch, all of it or nothing of it permitted; as `Exit.stage`.

        Raises:
            ScopeRefused: a packet is addressed to where nothing may go. Nothing can be launched.
        """
        self._check(batch)
        return way_out.stage(batch)

    def connect(self, network: Network, hop: Hop, address: str, port: int, seconds: float) -> Conversation:
        """Connect to a permitted address.

        Raises:
            ScopeRefused: nothing may go there. Nothing has left.
            OSError: as `Network.connect`.
        """
        self._scope.check(parse_targets([address], network.zone))
        return network.connect(hop, address, port, seconds)

    def _check(self, batch: Batch) -> None:
        refused = (
            self._refused_ipv6(batch) if batch.ethertype == ETHERTYPE_IPV6 else self._refused_ipv4(batch)
        )
        if refused is not None:
            self._scope.check(refused)
            msg = "outside the scope: a packet was stopped at the gate"
            raise ScopeRefused(msg)

    def _refused_ipv4(self, batch: Batch) -> Hosts | None:
        packets = batch.packets
        if batch.ethertype == ETHERTYPE_ARP:
            destinations = _address(batch, _ARP_TARGET)
            permitted = self._scope.permits(destinations) | self._next_hops.ipv4.contains(destinations)
        else:
            if batch.ethertype != ETHERTYPE_IPV4:
                raise _unread(batch)
            destinations = _address(batch, _IPV4_DESTINATION)
            # IPv4 options may name further destinations (source routes, RFC 791, 3.1).
            if (packets[:, 0] != _NO_OPTIONS).any():
                msg = "outside the scope: IPv4 options may route a packet to other addresses than it names"
                raise ScopeRefused(msg)
            permitted = self._scope.permits(destinations)
        return None if permitted.all() else Hosts(AddressSet.from_addresses(destinations[~permitted]))

    def _refused_ipv6(self, batch: Batch) -> Hosts | None:
        high, low = _halves(batch, _IPV6_DESTINATION)
        if (batch.packets[:, 0] >> 4 != _IPV6).any():
            raise _unread(batch)
        next_header = batch.packets[:, _NEXT_HEADER]
        # Extension headers may name further destinations (routing headers, RFC 8200, 4.4).
        if not np.isin(next_header, _PLAIN).all():
            msg = "outside the scope: IPv6 extension headers may route a packet elsewhere than it names"
            raise ScopeRefused(msg)
        permitted = self._scope.permits_ipv6(high, low)
        if self._all_nodes and _is_all(batch, ECHO_TYPES[6][0]) and self._scope.allowed.ipv6 & _LINK_LOCAL:
            permitted |= (high == np.uint64(_ALL_NODES[0])) & (low == np.uint64(_ALL_NODES[1]))
        if not permitted.all() and _is_all(batch, NEIGHBOUR_SOLICITATION):
            asked_high, asked_low = _halves(batch, _SOLICITED)
            asked = self._scope.permits_ipv6(asked_high, asked_low)
            asked |= self._next_hops.ipv6.contains(asked_high, asked_low)
            group_high, group_low = solicited_node(asked_low)
            permitted = asked & (high == group_high) & (low == group_low)
            high, low = asked_high, asked_low
        return None if permitted.all() else Hosts(ipv6=Ipv6Set.from_halves(high[~permitted], low[~permitted]))


def _is_all(batch: Batch, kind: int) -> bool:
    """Whether all packets are ICMPv6 messages of a type, and whole."""
    packets = batch.packets
    if packets.shape[1] < (_SOLICITED + 16 if kind == NEIGHBOUR_SOLICITATION else _SOLICITED):
        return False
    return bool(((packets[:, _NEXT_HEADER] == ICMPV6) & (packets[:, _IPV6_HEADER] == kind)).all())


def _address(batch: Batch, offset: int) -> NDArray[np.uint32]:
    if batch.packets.shape[1] < offset + 4:
        raise _unread(batch)
    return np.ascontiguousarray(batch.packets[:, offset : offset + 4]).view(">u4")[:, 0].astype(np.uint32)


def _halves(batch: Batch, offset: int) -> tuple[Halves, Halves]:
    if batch.packets.shape[1] < _IPV6_HEADER:
        raise _unread(batch)
    words = np.ascontiguousarray(batch.packets[:, offset : offset + 16]).view(">u8").astype(np.uint64)
    return high_in_zone(words[:, 0], batch.zone), words[:, 1]


def _unread(batch: Batch) -> ScopeRefused:
    return ScopeRefused(
        f"outside the scope: packets of EtherType {batch.ethertype:#06x} name no address to ask about"
    )
