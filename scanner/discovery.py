"""Finding IPv6 neighbours: every node of a link is asked for an echo at once (RFC 4291, 2.7.1; RFC 4443, 4).

No IPv6 link can be swept address by address. But all its nodes hear what is sent to ff02::1, and most answer
a ping there, each from an address on the network of who asks: so every address of ours asks. A node need not
answer (RFC 4443, 4.2), and some systems do not: what is found is a beginning, and no proof of absence.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scanner.contracts import ETHERTYPE_IPV6, Batch, Hop, Network, Sources, Wire
from scanner.core.book import AddressBook
from scanner.core.decode import decode_untrusted
from scanner.core.hosts import Hosts
from scanner.core.ipv6 import Ipv6Set, halves_of, in_zone, without_zone
from scanner.core.scope import Scope
from scanner.core.template import Field, Stamper
from scanner.gate import Gate
from scanner.model import UsageError
from scanner.probes.icmp_echo import ICMP_ECHO
from scanner.probes.stock import template_of

ALL_NODES = 0xFF02 << 112 | 1
"""ff02::1"""

ROUNDS = 3

_ALL_NODES_MAC: tuple[int, ...] = (0x33, 0x33, 0, 0, 0, 1)  # RFC 2464, 7
_SOMEBODY = 0xFE80 << 112 | 0x4750
"""A link-local address whose route tells of the link; nothing is sent there."""


def discover_ipv6(
    network: Network, interface: str, *, identifier: int, scope: Scope, wait: float = 1.0
) -> Hosts:
    """The neighbours on a link that answer, as far as they are in scope, this host's own addresses left out.

    Args:
        network: where.
        interface: by which device.
        identifier: 16 bits, drawn anew each time, by which answers are told from others'.
        scope: what may be probed.
        wait: seconds for each of the `ROUNDS`.

    Raises:
        UsageError: there is no such interface, or it has no IPv6 address. WireError: the wire failed.
    """
    zone = network.zone(interface)
    own = [in_zone(address, zone) for address in network.own_addresses(interface, 6)]
    hop = _hop(network, interface, zone)
    if hop is None or not own:
        msg = f"--discover-v6: {interface} has no IPv6 address to ask from"
        raise UsageError(msg)
    template = template_of(ICMP_ECHO, 0, 6)
    asking = _Asking(own, zone, identifier, Stamper(template, len(own)))
    gate = Gate(scope, Hosts(), all_nodes=True)
    wire = network.open(hop, len(own), len(template.packet))
    try:
        for number in range(ROUNDS):
            gate.send(wire, asking.batch(number, hop))
            ends = network.clock.steady() + wait
            while (left := ends - network.clock.steady()) > 0:
                asking.hear(wire, left)
    finally:
        wire.close()
    return Hosts(ipv6=asking.found() & scope.permitted.ipv6)


def _hop(network: Network, interface: str, zone: int) -> Hop | None:
    somebody = in_zone(_SOMEBODY, zone)
    ways = network.routes(Hosts(ipv6=Ipv6Set.of([(somebody, somebody)])), interface, Sources())
    return next((hop for hop, _ in ways if hop is not None), None)


class _Asking:
    """What is asked, and who has answered."""

    def __init__(self, own: list[int], zone: int, identifier: int, stamper: Stamper) -> None:
        self._zone = zone
        self._identifier = identifier
        self._stamper = stamper
        self._book = AddressBook(forgetful=True)
        self._own: NDArray[np.uint32] = self._book.ipv6(*halves_of(own))
        self._sources = np.stack(halves_of([without_zone(address) for address in own]), axis=1)
        self._found: set[int] = set()

    def batch(self, number: int, hop: Hop) -> Batch:
        """One request from each address of ours."""
        group = np.stack(halves_of([ALL_NODES]), axis=1)
        packets = self._stamper.stamp(
            len(self._own),
            {
                Field.SOURCE: self._sources,
                Field.DESTINATION: group,
                Field.SOURCE_PORT: self._identifier,
                Field.ECHO_SEQUENCE: number,
            },
        )
        mac = None if hop.mac is None else np.array(_ALL_NODES_MAC, dtype=np.uint8)
        return Batch(packets, ETHERTYPE_IPV6, mac, self._zone)

    def hear(self, wire: Wire, patience: float) -> None:
        """Take in what has come."""
        frames = wire.receive(patience)
        decoded = decode_untrusted(
            frames.buffer,
            frames.starts,
            frames.lengths,
            frames.times,
            frames.link_type,
            self._book,
            self._zone,
        )
        echoes = decoded.echoes
        ours = echoes.reply & (echoes.identifier == self._identifier) & (echoes.sequence < ROUNDS)
        ours &= np.isin(echoes.ip.destination, self._own) & ~np.isin(echoes.ip.source, self._own)
        self._found.update(echoes.ip.source[ours].tolist())

    def found(self) -> Ipv6Set:
        """Who has answered; of too many, some."""
        numbers = np.array(sorted(self._found), dtype=np.uint32)
        is_ipv6, high, low = self._book.halves(numbers)
        return Ipv6Set.from_halves(high[is_ipv6], low[is_ipv6])
