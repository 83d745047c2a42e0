"""The gate: the one place in the package that sends, and it asks the scope first.

What is asked about are the addresses in the very bytes that would leave, not those somebody meant to put
there. A test holds that nothing else calls a wire's `send`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scanner.contracts import ETHERTYPE_ARP, ETHERTYPE_IPV4, Batch, Conversation, Hop, Network, Sent, Wire
from scanner.core.addresses import AddressSet
from scanner.core.scope import Scope
from scanner.core.targets import parse_target
from scanner.model import ScopeRefused

_DESTINATION = {ETHERTYPE_IPV4: 16, ETHERTYPE_ARP: 24}
"""Where the address asked sits: RFC 791, 3.1 and RFC 826."""

_NO_OPTIONS = 0x45
"""IPv4's first byte: version 4, a header of five words."""


class Gate:
    """Lets packets to permitted addresses out; ARP may ask for this host's own next hops besides."""

    def __init__(self, scope: Scope, next_hops: AddressSet) -> None:
        """`next_hops`: gateways that the kernel's routes name for the targets."""
        self._scope = scope
        self._next_hops = next_hops

    def send(self, wire: Wire, batch: Batch) -> Sent:
        """Send a batch, all of it or nothing of it permitted.

        Raises:
            ScopeRefused: a packet is addressed to where nothing may go. Nothing has left.
            WireError: as `Wire.send`.
        """
        destinations = _destinations(batch)
        if batch.ethertype == ETHERTYPE_IPV4:
            _refuse_options(batch.packets)
        permitted = self._scope.permits(destinations)
        if batch.ethertype == ETHERTYPE_ARP:
            permitted |= self._next_hops.contains(destinations)
        if not permitted.all():
            self._scope.check(AddressSet.from_addresses(destinations[~permitted]))
            msg = "outside the scope: a packet was stopped at the gate"
            raise ScopeRefused(msg)
        return wire.send(batch)

    def connect(self, network: Network, hop: Hop, address: str, port: int, seconds: float) -> Conversation:
        """Connect to a permitted address.

        Raises:
            ScopeRefused: nothing may go there. Nothing has left.
            OSError: as `Network.connect`.
        """
        self._scope.check(parse_target(address))
        return network.connect(hop, address, port, seconds)


def _refuse_options(packets: NDArray[np.uint8]) -> None:
    """IPv4 options may name further destinations (source routes, RFC 791, 3.1): such packets stay here."""
    if (packets[:, 0] != _NO_OPTIONS).any():
        msg = "outside the scope: IPv4 options may route a packet to other addresses than it names"
        raise ScopeRefused(msg)


def _destinations(batch: Batch) -> NDArray[np.uint32]:
    offset = _DESTINATION.get(batch.ethertype)
    if offset is None or batch.packets.shape[1] < offset + 4:
        msg = f"outside the scope: packets of EtherType {batch.ethertype:#06x} name no address to ask about"
        raise ScopeRefused(msg)
    return np.ascontiguousarray(batch.packets[:, offset : offset + 4]).view(">u4")[:, 0].astype(np.uint32)
