"""The gate: what may not be reached is stopped by its bytes, and nothing gets round the gate."""

from __future__ import annotations

import ast
import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scapy.layers.inet import IP, TCP, UDP, IPOption_LSRR, IPOption_Router_Alert
from scapy.layers.inet6 import ICMPv6EchoRequest, ICMPv6ND_NS, IPv6, IPv6ExtHdrRouting
from scapy.layers.l2 import ARP
from scapy.packet import Packet

import scanner
from scanner.contracts import (
    ETHERTYPE_ARP,
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    Batch,
    Frames,
    Hop,
    Launch,
    Sent,
    WireStatistics,
)
from scanner.core.hosts import Hosts
from scanner.core.scope import Scope
from scanner.core.targets import parse_targets
from scanner.gate import Gate
from scanner.model import ScopeRefused
from scanner.wire.memory_service import MemoryConversation

PROBER = "10.0.0.1"
INSIDE = ["10.50.0.0", "10.50.0.7", "10.50.255.255"]
OUTSIDE = ["10.49.255.255", "10.51.0.0", "8.8.8.8", "1.0.0.0", "255.255.255.255", "224.0.0.1"]
SET_APART = "10.50.0.9"
GATEWAY = "172.20.0.1"
GATEWAY6 = "fd00:20::1"


class FakeWire:
    """Keeps what was sent."""

    link_type = 101

    def __init__(self) -> None:
        self.batches: list[Batch] = []

    def send(self, batch: Batch) -> Sent:
        self.batches.append(batch)
        return Sent(batch.packets, np.arange(len(batch), dtype=np.int64))

    def stage(self, batch: Batch) -> Launch:
        return lambda: lambda: self.send(batch)

    def receive(self, timeout: float) -> Frames:
        raise NotImplementedError

    def statistics(self) -> WireStatistics:
        return WireStatistics()

    def fileno(self) -> int:
        return -1

    def close(self) -> None:
        pass


def gate() -> Gate:
    allowed = parse_targets(["10.50.0.0/16", "fd00:50::/64", "fe80::/10"])
    return Gate(Scope(allowed, parse_targets([SET_APART])), parse_targets([GATEWAY, GATEWAY6]))


def rows(packets: list[bytes]) -> NDArray[np.uint8]:
    return np.frombuffer(b"".join(packets), dtype=np.uint8).reshape(len(packets), -1)


def syns(*targets: str) -> NDArray[np.uint8]:
    return rows([bytes(IP(src=PROBER, dst=target) / TCP(dport=401)) for target in targets])


def requests(*targets: str) -> NDArray[np.uint8]:
    mac = "02:00:00:00:00:01"
    return rows([bytes(ARP(hwsrc=mac, hwdst=mac, psrc=PROBER, pdst=target)) for target in targets])


def test_permitted_packets_leave_as_they_are() -> None:
    wire, batch = FakeWire(), Batch(syns(*INSIDE))
    sent = gate().send(wire, batch)
    assert wire.batches == [batch]
    assert sent.times.tolist() == [0, 1, 2], "the wire's own answer"


@pytest.mark.parametrize("target", [*OUTSIDE, SET_APART, GATEWAY])
@pytest.mark.parametrize("place", [0, 1, 3])
def test_one_packet_elsewhere_stops_them_all(target: str, place: int) -> None:
    targets = list(INSIDE)
    targets.insert(place, target)
    wire = FakeWire()
    with pytest.raises(ScopeRefused) as caught:
        gate().send(wire, Batch(syns(*targets)))
    assert wire.batches == []
    assert str(caught.value).startswith(f"outside the scope: {target} (1 address in all)")
    assert "\n" not in str(caught.value)


@given(st.lists(st.integers(0, 0xFFFFFFFF) | st.integers(0x0A31FFF0, 0x0A330010), min_size=1, max_size=6))
def test_any_addresses(addresses: list[int]) -> None:
    packets = np.zeros((len(addresses), 40), dtype=np.uint8)
    packets[:, 0] = 0x45
    packets[:, 16:20] = np.array(addresses, dtype=">u4").view(np.uint8).reshape(-1, 4)
    allowed = all(0x0A320000 <= address <= 0x0A32FFFF and address != 0x0A320009 for address in addresses)
    wire = FakeWire()
    if allowed:
        gate().send(wire, Batch(packets))
    else:
        with pytest.raises(ScopeRefused):
            gate().send(wire, Batch(packets))
    assert len(wire.batches) == allowed


def test_packets_with_options_do_not_leave() -> None:
    """A source route would send them to addresses that were never asked about."""
    wire = FakeWire()
    for option in (IPOption_LSRR(routers=[OUTSIDE[0]]), IPOption_Router_Alert()):
        packet = IP(src=PROBER, dst=INSIDE[0], options=[option]) / TCP()
        with pytest.raises(ScopeRefused, match="options"):
            gate().send(wire, Batch(rows([bytes(packet)])))
    assert wire.batches == []


def test_it_looks_at_the_bytes_in_every_kind_of_packet() -> None:
    for target, leaves in ((INSIDE[0], True), (OUTSIDE[0], False)):
        for packet in (
            IP(src=PROBER, dst=target) / UDP(dport=401),
            IP(src=PROBER, dst=target) / TCP() / b"payload",
            IP(src=target, dst=target, proto=255),
        ):
            wire = FakeWire()
            if leaves:
                gate().send(wire, Batch(rows([bytes(packet)])))
            else:
                with pytest.raises(ScopeRefused):
                    gate().send(wire, Batch(rows([bytes(packet)])))
            assert len(wire.batches) == leaves


def test_columns_of_a_larger_array_are_read_rightly() -> None:
    wide = np.zeros((6, 100), dtype=np.uint8)
    wide[::2, 50:90] = syns(*INSIDE)
    wire = FakeWire()
    gate().send(wire, Batch(wide[::2, 50:90]))
    assert len(wire.batches) == 1
    with pytest.raises(ScopeRefused):
        gate().send(wire, Batch(wide[:, 50:90]))


def test_arp_may_ask_for_targets_and_next_hops() -> None:
    wire = FakeWire()
    gate().send(wire, Batch(requests(*INSIDE, GATEWAY), ETHERTYPE_ARP))
    assert len(wire.batches) == 1


@pytest.mark.parametrize("target", [*OUTSIDE, SET_APART, "172.20.0.2"])
def test_arp_may_ask_for_nobody_else(target: str) -> None:
    wire = FakeWire()
    with pytest.raises(ScopeRefused, match=f"outside the scope: {target}"):
        gate().send(wire, Batch(requests(INSIDE[0], GATEWAY, target), ETHERTYPE_ARP))
    assert wire.batches == []


@pytest.mark.parametrize("ethertype", [0x86DD, 0x8100, 0, 0x0806 + 1])
def test_what_names_no_address_does_not_leave(ethertype: int) -> None:
    wire = FakeWire()
    with pytest.raises(ScopeRefused, match=f"EtherType {ethertype:#06x} name no address"):
        gate().send(wire, Batch(syns(*INSIDE), ethertype))
    assert wire.batches == []


@pytest.mark.parametrize(
    ("ethertype", "length"), [(ETHERTYPE_IPV4, 19), (ETHERTYPE_ARP, 27), (ETHERTYPE_IPV4, 0)]
)
def test_packets_too_short_for_an_address_do_not_leave(ethertype: int, length: int) -> None:
    wire = FakeWire()
    for count in (0, 2):
        with pytest.raises(ScopeRefused):
            gate().send(wire, Batch(np.zeros((count, length), dtype=np.uint8), ethertype))
    assert wire.batches == []


def test_no_packets() -> None:
    wire = FakeWire()
    assert len(gate().send(wire, Batch(syns(*INSIDE)[:0])).times) == 0


class FakeNetwork:
    """Keeps what was connected to."""

    def __init__(self) -> None:
        self.connected: list[tuple[str, int]] = []

    def zone(self, interface: str) -> int:
        return 1

    def connect(self, hop: Hop, address: str, port: int, seconds: float) -> MemoryConversation:
        self.connected.append((address, port))
        return MemoryConversation(lambda _: b"", address, port)


HOP = Hop(interface="eth0", source=0x0A000001, gateway=None, on_link=True, loopback=False, mac=None, mtu=1500)


@pytest.mark.parametrize("target", INSIDE)
def test_connections_to_permitted_addresses_are_made(target: str) -> None:
    network = FakeNetwork()
    talk = gate().connect(network, HOP, target, 401, 1.0)  # type: ignore[arg-type]
    assert network.connected == [(target, 401)]
    assert talk.address == target


@pytest.mark.parametrize("target", [*OUTSIDE, SET_APART, GATEWAY])
def test_connections_elsewhere_are_not(target: str) -> None:
    network = FakeNetwork()
    with pytest.raises(ScopeRefused, match=f"outside the scope: {target}"):
        gate().connect(network, HOP, target, 401, 1.0)  # type: ignore[arg-type]
    assert network.connected == []


# --- nothing gets round it ----------------------------------------------------------------------

SENDING = {
    "stage",
    "send",
    "sendall",
    "sendmsg",
    "sendmmsg",
    "sendto",
    "sendp",
    "sendpfast",
    "sr",
    "sr1",
    "srp",
    "srp1",
    "connect",
    "connect_ex",
    "create_connection",
    "open_connection",
}
"""How packets leave a socket, a wire, or Scapy."""

ASKING = {"stage", "send", "connect"}
"""What a gate has of these."""

GATES = {"gate", "_gate"}
OWN_SOCKETS = {"wire", "lab"}
"""wire/ is what the gate hands packets to; lab/ has listeners, which speak when spoken to."""


def senders(source: str) -> list[str]:
    """Whatever in a module names a way to send other than a gate's, called or handed on."""
    found = []
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Attribute) and not (node.attr in ASKING and _name(node.value) in GATES):
            names = [node.attr]
        elif isinstance(node, ast.Name):
            names = [node.id]
        elif isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.Constant):
            names = [str(node.value)]
        found += [f"line {getattr(node, 'lineno', 0)}: {name}" for name in names if name in SENDING]
    return found


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


MODULES = sorted(Path(scanner.__file__).parent.rglob("*.py"))


def test_nothing_else_sends() -> None:
    root = Path(scanner.__file__).parent
    found = {}
    for path in MODULES:
        inside = path.relative_to(root)
        if inside.parts[0] not in OWN_SOCKETS and inside.name != "gate.py":
            lines = senders(path.read_text(encoding="utf-8"))
            if lines:
                found[str(inside)] = lines
    assert found == {}
    assert len(MODULES) > 30


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("send", "return way_out.send(batch)"),
        ("stage", "return way_out.stage(batch)"),
        ("connect", "return network.connect(hop, address, port, seconds)"),
    ],
)
def test_the_gate_sends_once_and_after_it_asked(name: str, last: str) -> None:
    source = (Path(scanner.__file__).parent / "gate.py").read_text(encoding="utf-8")
    assert len(senders(source)) == len(ASKING)
    [method] = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef) and node.name == name
    ]
    assert ast.unparse(method.body[-1]) == last
    assert len(method.body) > 2, "a docstring, the question, and the sending"
    assert not [
        node for statement in method.body[:-1] for node in ast.walk(statement) if isinstance(node, ast.Return)
    ]


@pytest.mark.parametrize(
    "source",
    [
        "wire.send(batch)",
        "way.exit.stage(batch)()",
        "self.wire.send(batch)",
        "flight.wire.send(batch)",
        "leave = wire.send",
        "map(wire.send, batches)",
        "getattr(wire, 'send')(batch)",
        "network.connect(hop, address, port, 1.0)",
        "socket.create_connection(where)",
        "gates[0].send(batch)",
        "socket.socket().sendto(b'', where)",
        "gate.sendto(b'', where)",
        "from scapy.sendrecv import sendp",
        "from scapy.sendrecv import sr1 as ask",
        "sr(packet)",
    ],
)
def test_the_search_finds_what_it_looks_for(source: str) -> None:
    assert senders(source)


@pytest.mark.parametrize(
    "source",
    [
        "gate.send(wire, batch)",
        "gate.stage(way.exit, batch)()",
        "gate.connect(network, hop, address, port, 1.0)",
        "self._gate.send(wire, batch)",
        "self._send(flight)",
    ],
)
def test_the_search_lets_the_gate_be(source: str) -> None:
    assert senders(source) == []


OWN6 = "fd00:49::1"


def six(*packets: Packet) -> Batch:
    return Batch(rows([bytes(packet) for packet in packets]), ETHERTYPE_IPV6)


@pytest.mark.parametrize(
    ("target", "leaves"),
    [
        ("fd00:50::", True),
        ("fd00:50::ffff:ffff:ffff:ffff", True),
        ("fd00:50:0:1::", False),
        ("fd00:4f:ffff:ffff:ffff:ffff:ffff:ffff", False),
        ("fe80::1", True),
        ("2001:db8::1", False),
        ("ff02::1", False),
        (GATEWAY6, False),
    ],
)
def test_ipv6_destinations(target: str, leaves: bool) -> None:
    for payload in (TCP(dport=401), UDP(), ICMPv6EchoRequest()):
        wire = FakeWire()
        batch = six(*(IPv6(src=OWN6, dst=to) / payload for to in ("fd00:50::7", target)))
        if leaves:
            gate().send(wire, batch)
        else:
            with pytest.raises(ScopeRefused, match=f"outside the scope: {target} "):
                gate().send(wire, batch)
        assert len(wire.batches) == leaves


def test_a_routing_header_does_not_leave() -> None:
    wire = FakeWire()
    routed = IPv6(src=OWN6, dst="fd00:50::7") / IPv6ExtHdrRouting(addresses=["2001:db8::1"]) / TCP()
    with pytest.raises(ScopeRefused, match="extension headers"):
        gate().send(wire, six(routed))
    assert wire.batches == []


def solicitation(target: str, group: str) -> Packet:
    return IPv6(src=OWN6, dst=group, hlim=255) / ICMPv6ND_NS(tgt=target)


@pytest.mark.parametrize(
    ("target", "group", "leaves"),
    [
        ("fd00:50::1:2:3", "ff02::1:ff02:3", True),
        (GATEWAY6, "ff02::1:ff00:1", True),
        ("fd00:50::1:2:3", "ff02::1:ff02:4", False),
        ("fd00:50::1:2:3", "ff02::1", False),
        ("fd00:20::2", "ff02::1:ff00:2", False),
        ("2001:db8::1", "ff02::1:ff00:1", False),
    ],
)
def test_solicitations_ask_the_group_of_a_permitted_address(target: str, group: str, leaves: bool) -> None:
    wire = FakeWire()
    batch = six(solicitation("fd00:50::7", "ff02::1:ff00:7"), solicitation(target, group))
    if leaves:
        gate().send(wire, batch)
    else:
        with pytest.raises(ScopeRefused):
            gate().send(wire, batch)
    assert len(wire.batches) == leaves


def test_link_local_addresses_are_of_the_link_they_leave_by() -> None:
    """What is excluded on one link may be asked on another."""
    there = parse_targets(["fe80::1%eth0"], {"eth0": 2}.__getitem__)
    guard = Gate(Scope(parse_targets(["fe80::/10"]), never=there), Hosts())
    for zone, leaves in ((2, False), (3, True)):
        wire, batch = FakeWire(), six(IPv6(src="fe80::9", dst="fe80::1") / TCP())
        batch = dataclasses.replace(batch, zone=zone)
        if leaves:
            guard.send(wire, batch)
        else:
            with pytest.raises(ScopeRefused):
                guard.send(wire, batch)
        assert len(wire.batches) == leaves
