"""IPv6 neighbours, found by one echo request to all nodes of the link."""

from __future__ import annotations

import numpy as np
import pytest

from scanner.contracts import ETHERTYPE_IPV6, Batch
from scanner.core.hosts import Hosts
from scanner.core.ipv6 import format_ipv6
from scanner.core.scope import Scope
from scanner.core.targets import parse_targets
from scanner.discovery import ROUNDS, discover_ipv6
from scanner.gate import Gate
from scanner.model import ScopeRefused, UsageError
from scanner.wire.behaviours import closed_port
from scanner.wire.memory import Conditions, SimulatedNetwork


def found(place: SimulatedNetwork, scope: Scope | None = None) -> list[str]:
    hosts = discover_ipv6(place, "memory", identifier=0x4750, scope=scope or Scope.private(), wait=0.5)
    return [format_ipv6(first) for first, last in hosts.ipv6.ranges for first in range(first, last + 1)]


def network(**more) -> SimulatedNetwork:
    place = SimulatedNetwork(source6="fd00::1", **more)
    for address in ("fd00::7", "fd00::9", "fd00::abcd"):
        place.place(address, closed_port())
    place.place("fd00::8", closed_port(), answers_ping=False)
    return place


def test_who_answers_is_found():
    assert found(network()) == ["fd00::7", "fd00::9", "fd00::abcd"]


def test_what_is_lost_is_asked_for_again():
    assert found(network(seed=3, conditions=Conditions(probe_loss=0.3, reply_loss=0.3))) == [
        "fd00::7",
        "fd00::9",
        "fd00::abcd",
    ]
    assert ROUNDS == 3


def test_whoever_is_not_in_scope_is_not_named():
    scope = Scope(parse_targets(["fe80::/10", "fd00::8/125"]))
    assert found(network(), scope) == ["fd00::9"]


def test_without_link_local_addresses_in_scope_nothing_is_sent():
    with pytest.raises(ScopeRefused):
        found(network(), Scope(parse_targets(["fd00::/16"])))


def test_an_interface_that_is_not_there():
    with pytest.raises(UsageError, match="eth9"):
        discover_ipv6(network(), "eth9", identifier=1, scope=Scope.private())


def test_only_echo_requests_may_go_to_all_nodes():
    """And only through a gate that was opened for it."""
    packet = np.zeros((1, 64), dtype=np.uint8)
    packet[0, 0], packet[0, 6], packet[0, 40] = 0x60, 58, 128
    packet[0, 24:40] = np.frombuffer(bytes.fromhex("ff020000000000000000000000000001"), dtype=np.uint8)
    batch = Batch(packet, ETHERTYPE_IPV6)
    place = network()
    (hop, _), *_ = place.routes(parse_targets(["fd00::7"]), None, _no_sources())
    assert hop is not None
    wire = place.open(hop)
    with pytest.raises(ScopeRefused, match="ff02::1"):
        Gate(Scope.private(), Hosts()).send(wire, batch)
    packet[0, 40] = 135
    with pytest.raises(ScopeRefused):
        Gate(Scope.private(), Hosts(), all_nodes=True).send(wire, batch)


def _no_sources():
    from scanner.contracts import Sources

    return Sources()
