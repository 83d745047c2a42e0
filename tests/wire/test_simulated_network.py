from __future__ import annotations

import cProfile
from collections.abc import Sequence
from ipaddress import IPv6Address
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.inet6 import (
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
)
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet

from scanner.contracts import ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Batch, Hop, Network, Sources
from scanner.core.addresses import AddressSet
from scanner.core.hosts import Hosts
from scanner.core.ipv6 import Ipv6Set, parse_ipv6
from scanner.model import UsageError
from scanner.wire.behaviours import Behaviour, Probe, Reply, closed_port, open_port, silent
from scanner.wire.memory import Conditions, MemoryWire, SimulatedClock, SimulatedNetwork
from scanner.wire.simulated_network import host_mac

FIRST = 0x0A000000
TEMPLATE = np.frombuffer(bytes(IP(src="192.0.2.1", id=1) / TCP(sport=40000, dport=401)), dtype=np.uint8)


def probes(addresses: Sequence[int]) -> NDArray[np.uint8]:
    rows = np.repeat(TEMPLATE[None], len(addresses), axis=0)
    rows[:, 16:20] = np.array(addresses, dtype=">u4").view(np.uint8).reshape(-1, 4)
    return rows


def opened(network: SimulatedNetwork) -> MemoryWire:
    [(hop, _)] = network.routes(Hosts(AddressSet.of([(FIRST, FIRST)])), None, Sources())
    assert hop is not None
    return network.open(hop, packets=1)


def answers(network: SimulatedNetwork, addresses: Sequence[int], batch: int = 10**6) -> list[tuple[int, str]]:
    """Who answered, and how, in the order of arrival."""
    wire = opened(network)
    for first in range(0, len(addresses), batch):
        wire.send(Batch(probes(addresses[first : first + batch])))
    found = []
    while len(frames := wire.receive(30.0)):
        for start, length in zip(frames.starts.tolist(), frames.lengths.tolist(), strict=True):
            packet = Ether(frames.buffer[start : start + length].tobytes())[IP]
            found.append((int.from_bytes(bytes(packet)[12:16], "big"), str(packet[TCP].flags)))
    return found


def test_hosts_answer_as_they_were_placed_and_the_last_placed_counts() -> None:
    network = SimulatedNetwork()
    network.place("10.0.0.16/28", closed_port())
    network.place("10.0.0.20-21", open_port())
    network.place("10.0.0.21", silent())
    found = dict(answers(network, range(FIRST, FIRST + 64)))
    expected = {FIRST + n: "RA" for n in range(16, 32) if n not in {20, 21}} | {FIRST + 20: "SA"}
    assert found == expected
    assert (network.received("10.0.0.21"), network.received("10.0.0.64")) == (1, 0)


def test_the_ends_of_the_address_space_are_addresses_like_others() -> None:
    network = SimulatedNetwork()
    network.place(AddressSet.of([(0, 0), (2**32 - 1, 2**32 - 1)]), open_port())
    assert {address for address, _ in answers(network, [0, 1, 2**32 - 2, 2**32 - 1])} == {0, 2**32 - 1}


def test_what_is_placed_later_is_met_by_later_probes() -> None:
    network = SimulatedNetwork()
    assert answers(network, [FIRST]) == []
    network.place("10.0.0.0/24", open_port())
    assert answers(network, [FIRST]) == [(FIRST, "SA")]


def test_an_address_that_is_none_cannot_be_placed() -> None:
    with pytest.raises(UsageError):
        SimulatedNetwork().place("10.0.0.300", silent())


def test_loss_each_way_is_as_large_as_told() -> None:
    many = range(FIRST, FIRST + 4096)
    for conditions, expected in (
        (Conditions(probe_loss=0.25), 0.75),
        (Conditions(reply_loss=0.25), 0.75),
        (Conditions(probe_loss=0.25, reply_loss=0.25), 0.5625),
        (Conditions(probe_loss=1.0), 0.0),
    ):
        network = SimulatedNetwork(seed=3, conditions=conditions)
        network.place("10.0.0.0/20", closed_port())
        assert len(answers(network, many)) / 4096 == pytest.approx(expected, abs=0.03)


def test_lost_probes_reach_nobody_and_lost_replies_were_asked_for() -> None:
    for conditions, reached in ((Conditions(probe_loss=1.0), 0), (Conditions(reply_loss=1.0), 1)):
        network = SimulatedNetwork(conditions=conditions)
        network.place("10.0.0.0", open_port())
        assert answers(network, [FIRST]) == []
        assert network.received("10.0.0.0") == reached


def test_replies_are_duplicated() -> None:
    network = SimulatedNetwork(conditions=Conditions(duplication=0.5))
    network.place("10.0.0.0/20", closed_port())
    assert len(answers(network, range(FIRST, FIRST + 4096))) / 4096 == pytest.approx(1.5, abs=0.03)


def test_a_straight_road_keeps_the_order_and_detours_do_not() -> None:
    def order(reordering: float) -> list[int]:
        network = SimulatedNetwork(conditions=Conditions(delay=0.01, reordering=reordering))
        network.place("10.0.0.0/24", closed_port())
        return [address for address, _ in answers(network, range(FIRST, FIRST + 256))]

    assert order(0.0) == list(range(FIRST, FIRST + 256))
    assert order(0.3) != order(0.0)
    assert sorted(order(0.3)) == order(0.0)


def test_replies_take_the_delay_and_at_most_the_jitter_more() -> None:
    network = SimulatedNetwork(conditions=Conditions(delay=0.1, jitter=0.05))
    network.place("10.0.0.0/24", closed_port())
    wire = opened(network)
    [moment] = set(wire.send(Batch(probes(range(FIRST, FIRST + 256)))).times.tolist())
    network.clock.sleep(1)
    waits = (wire.receive(0).times - moment) / 1e9
    assert len(waits) == 256
    assert waits.min() >= 0.1
    assert waits.max() <= 0.15
    assert waits.max() - waits.min() > 0.04


ROUGH = Conditions(probe_loss=0.2, reply_loss=0.1, duplication=0.1, delay=0.02, jitter=0.01, reordering=0.2)


def test_one_seed_is_one_fate_however_probes_are_cut_into_batches() -> None:
    def fate(seed: int, batch: int) -> list[tuple[int, str]]:
        network = SimulatedNetwork(seed=seed, conditions=ROUGH)
        network.place("10.0.0.0/23", closed_port())
        return answers(network, range(FIRST, FIRST + 512), batch)

    assert fate(1, 512) == fate(1, 7)
    assert fate(1, 512) != fate(2, 512)


def test_hosts_know_how_often_they_were_asked() -> None:
    seen: list[int] = []

    def watch(probe: Probe) -> Sequence[Reply]:
        seen.append(probe.nth)
        return ()

    network = SimulatedNetwork()
    network.place("10.0.0.0/24", watch)
    answers(network, [FIRST, FIRST + 1, FIRST, FIRST])
    assert seen == [1, 1, 2, 3]


def test_hosts_on_the_link_answer_arp() -> None:
    network = SimulatedNetwork()
    network.place("10.0.0.1", silent())
    network.place("10.0.0.2", open_port(), answers_arp=False)
    wire = opened(network)
    asked = b"".join(
        bytes(ARP(op=1, hwsrc="02:00:00:00:00:00", psrc="192.0.2.1", pdst=f"10.0.0.{n}")) for n in (1, 2, 3)
    )
    wire.send(Batch(np.frombuffer(asked, dtype=np.uint8).reshape(3, 28), ETHERTYPE_ARP))
    frames = wire.receive(1)
    assert len(frames) == 1
    reply = Ether(frames.buffer[: frames.lengths[0]].tobytes())[ARP]
    assert (reply.op, reply.psrc, reply.hwsrc) == (2, "10.0.0.1", "02:00:0a:00:00:01")
    assert (reply.pdst, reply.hwdst) == ("192.0.2.1", "02:00:00:00:00:00")


def test_replies_by_a_gateway_come_from_its_address_and_it_answers_arp() -> None:
    network = SimulatedNetwork(gateway="192.0.2.254")
    network.place("10.0.0.0/24", open_port())
    wire = opened(network)
    wire.send(Batch(probes([FIRST])))
    assert wire.receive(1).buffer[6:12].tobytes() == host_mac(0xC00002FE)
    body = bytes(ARP(op=1, hwsrc="02:00:00:00:00:00", psrc="192.0.2.1", pdst="192.0.2.254"))
    wire.send(Batch(np.frombuffer(body, dtype=np.uint8)[None], ETHERTYPE_ARP))
    assert len(wire.receive(1)) == 1


FIRST6 = int(IPv6Address("2001:db8:1::"))
TEMPLATE6 = np.frombuffer(bytes(IPv6(src="2001:db8::1") / TCP(sport=40000, dport=401)), dtype=np.uint8)


def answers6(
    network: SimulatedNetwork, addresses: Sequence[int], batch: int = 10**6
) -> list[tuple[int, str]]:
    """As `answers`, of IPv6."""
    [(hop, _)] = network.routes(Hosts(ipv6=Ipv6Set.of([(FIRST6, FIRST6)])), None, Sources())
    assert hop is not None
    wire = network.open(hop)
    octets = b"".join(address.to_bytes(16, "big") for address in addresses)
    rows = np.repeat(TEMPLATE6[None], len(addresses), axis=0)
    rows[:, 24:40] = np.frombuffer(octets, dtype=np.uint8).reshape(-1, 16)
    for first in range(0, len(addresses), batch):
        wire.send(Batch(rows[first : first + batch], ETHERTYPE_IPV6))
    found = []
    for frame in arrived(wire):
        assert frame.src == ":".join(
            f"{octet:02x}" for octet in host_mac(int(IPv6Address(frame[IPv6].src)), 6)
        )
        found.append((int(IPv6Address(frame[IPv6].src)), str(frame[TCP].flags)))
    return found


def arrived(wire: MemoryWire) -> list[Any]:
    """Every frame that comes in within the next half minute."""
    found = []
    while len(frames := wire.receive(30.0)):
        for start, length in zip(frames.starts.tolist(), frames.lengths.tolist(), strict=True):
            found.append(Ether(frames.buffer[start : start + length].tobytes()))
    return found


def send6(network: SimulatedNetwork, *packets: Packet) -> list[Any]:
    """What comes back of IPv6 packets of one length."""
    wire = network.open(Hop("memory", 1, None, on_link=True, loopback=False, mac=b"", mtu=1500, version=6))
    data = b"".join(bytes(packet) for packet in packets)
    wire.send(Batch(np.frombuffer(data, dtype=np.uint8).reshape(len(packets), -1), ETHERTYPE_IPV6))
    return arrived(wire)


def test_over_ipv6_hosts_answer_where_they_were_placed() -> None:
    network = SimulatedNetwork()
    network.place("2001:db8:1::10-2001:db8:1::1f", closed_port())
    network.place("2001:db8:1::14/127", open_port())
    network.place("2001:db8:1::15", silent())
    network.place("0.0.0.16/28", open_port())
    found = dict(answers6(network, range(FIRST6, FIRST6 + 64)))
    assert found == {FIRST6 + n: "RA" for n in range(16, 32) if n not in {20, 21}} | {FIRST6 + 20: "SA"}
    assert (network.received("2001:db8:1::15"), network.received("2001:db8:1::40")) == (1, 0)


def test_over_ipv6_one_seed_is_one_fate_however_probes_are_cut_into_batches() -> None:
    def fate(seed: int, batch: int) -> list[tuple[int, str]]:
        network = SimulatedNetwork(seed=seed, conditions=ROUGH)
        network.place("2001:db8:1::/119", closed_port())
        return answers6(network, range(FIRST6, FIRST6 + 512), batch)

    assert fate(1, 512) == fate(1, 7)
    assert fate(1, 512) != fate(2, 512)
    assert 0.5 < len(set(fate(1, 512))) / 512 < 0.95


def test_hosts_on_the_link_answer_solicitations() -> None:
    network = SimulatedNetwork()
    network.place("2001:db8:1::1", silent())
    network.place("2001:db8:1::2", open_port(), answers_arp=False)
    asked = [
        IPv6(src="2001:db8::1", dst=f"ff02::1:ff00:{n}", hlim=255)
        / ICMPv6ND_NS(tgt=f"2001:db8:1::{n}")
        / ICMPv6NDOptSrcLLAddr(lladdr="02:00:00:00:00:00")
        for n in (1, 2, 3)
    ]
    [frame] = send6(network, *asked)
    said = frame[ICMPv6ND_NA]
    assert (frame.src, frame[IPv6].src, frame[IPv6].dst) == (
        "02:06:00:00:00:01",
        "2001:db8:1::1",
        "2001:db8::1",
    )
    assert (said.tgt, said[ICMPv6NDOptDstLLAddr].lladdr) == ("2001:db8:1::1", "02:06:00:00:00:01")
    unicast = asked[0].copy()
    unicast.dst = "2001:db8:1::1"
    assert len(send6(network, unicast)) == 1
    assert network.received("2001:db8:1::1") == 0


def test_a_lost_solicitation_is_not_answered() -> None:
    network = SimulatedNetwork(conditions=Conditions(probe_loss=1.0))
    network.place("2001:db8:1::1", silent())
    asked = IPv6(src="2001:db8::1", dst="ff02::1:ff00:1", hlim=255) / ICMPv6ND_NS(tgt="2001:db8:1::1")
    assert send6(network, asked) == []


def test_all_nodes_of_the_link_answer_a_call_from_their_own_scope() -> None:
    network = SimulatedNetwork()
    network.place("fe80::7%memory", silent())
    network.place("fe80::8%memory", silent(), answers_ping=False)
    network.place("2001:db8::9", closed_port())
    for source, expected in (("fe80::1", "fe80::7"), ("2001:db8::1", "2001:db8::9")):
        [frame] = send6(
            network, IPv6(src=source, dst="ff02::1") / ICMPv6EchoRequest(id=401, seq=3, data=b"x")
        )
        reply = frame[ICMPv6EchoReply]
        assert (frame[IPv6].src, frame[IPv6].dst) == (expected, source)
        assert (reply.id, reply.seq, reply.data) == (401, 3, b"x")
        again = frame[IPv6].copy()
        del again[ICMPv6EchoReply].cksum
        assert bytes(again) == bytes(frame[IPv6])


def test_hosts_answer_echo_requests_unless_they_are_told_not_to() -> None:
    network = SimulatedNetwork()
    for target in ("10.0.0.1", "2001:db8:1::1"):
        network.place(target, silent())
    network.place("10.0.0.2", open_port(), answers_ping=False)
    echo = IP(src="192.0.2.1") / ICMP(type=8, id=401, seq=2) / b"odd"
    rows = [bytes(IP(src="192.0.2.1", dst=f"10.0.0.{n}") / echo[ICMP]) for n in (1, 2)]
    wire = opened(network)
    wire.send(Batch(np.frombuffer(b"".join(rows), dtype=np.uint8).reshape(2, -1)))
    [frame] = arrived(wire)
    assert (frame[IP].src, frame[ICMP].type, frame[ICMP].id, frame[ICMP].seq) == ("10.0.0.1", 0, 401, 2)
    [frame6] = send6(network, IPv6(src="2001:db8::1", dst="2001:db8:1::1") / ICMPv6EchoRequest(id=401))
    assert frame6[ICMPv6EchoReply].id == 401
    assert network.received("10.0.0.1") == network.received("2001:db8:1::1") == 0


def test_ways_differ_by_version_and_for_link_local_addresses() -> None:
    network = SimulatedNetwork(source6="2001:db8::5", gateway6="fe80::99%memory")
    global_, local = FIRST6, parse_ipv6("fe80::7%memory", network.zone)
    targets = Hosts(AddressSet.of([(FIRST, FIRST)]), Ipv6Set.of([(global_, global_), (local, local)]))
    ways = network.routes(targets, "memory", Sources())
    assert [(hop.version, hop.source, hop.gateway, hop.on_link) for hop, _ in ways if hop] == [
        (4, 0xC0000201, None, True),
        (6, int(IPv6Address("2001:db8::5")), int(IPv6Address("fe80::99")), False),
        (6, int(IPv6Address("fe80::1")), None, True),
    ]
    assert [reached.size for _, reached in ways] == [1, 1, 1]
    assert network.routes(Hosts(), None, Sources()) == []
    [(hop, _)] = network.routes(Hosts(ipv6=Ipv6Set.of([(global_, global_)])), None, Sources(ipv6=9))
    assert hop is not None
    assert hop.source == 9


def test_replies_by_a_gateway_come_from_it_and_link_local_ones_do_not() -> None:
    network = SimulatedNetwork(gateway6="fe80::99%memory")
    network.place("2001:db8:1::1", closed_port())
    network.place("fe80::7%memory", closed_port())
    for target, mac in (("2001:db8:1::1", "02:06:00:00:00:99"), ("fe80::7", "02:06:00:00:00:07")):
        [frame] = send6(network, IPv6(src="fe80::1", dst=target) / TCP(sport=40000, dport=401))
        assert (frame.src, frame[IPv6].src) == (mac, target)
    asked = IPv6(src="fe80::1", dst="ff02::1:ff00:99", hlim=255) / ICMPv6ND_NS(tgt="fe80::99")
    assert len(send6(network, asked)) == 1


@given(st.integers(0, 80).flatmap(lambda length: st.binary(min_size=length, max_size=length)))
def test_any_bytes_may_be_sent(data: bytes) -> None:
    network = SimulatedNetwork()
    network.place(Hosts(AddressSet.of([(0, 2**32 - 1)]), Ipv6Set.of([(0, 2**128 - 1)])), open_port())
    row = np.frombuffer(data, dtype=np.uint8)[None]
    for ethertype in (ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, 0x88CC):
        assert len(network.carry(row, ethertype, 0)) <= 1


def test_it_is_a_network() -> None:
    clock = SimulatedClock()
    network: Network = SimulatedNetwork(clock=clock, source="192.0.2.7")
    targets = Hosts(AddressSet.of([(FIRST, FIRST + 9)]))
    [(hop, reached)] = network.routes(targets, None, Sources())
    assert isinstance(hop, Hop)
    assert (hop.source, hop.gateway, hop.on_link, hop.loopback) == (0xC0000207, None, True, False)
    assert reached == targets
    [(other, _)] = network.routes(targets, hop.interface, Sources(5))
    assert other is not None
    assert other.source == 5
    assert network.clock is clock
    assert (network.specials(), network.neighbours(hop.interface, 4)) == (AddressSet.empty(), {})
    with pytest.raises(UsageError, match="eth0"):
        network.routes(targets, "eth0", Sources())


@pytest.mark.parametrize("behaviour", [None, silent()])
def test_where_nobody_is_placed_single_packets_are_not_touched(behaviour: Behaviour | None) -> None:
    network = SimulatedNetwork()
    if behaviour is not None:
        network.place("10.255.0.0/16", behaviour)
    wire = opened(network)

    def calls(count: int) -> int:
        profile = cProfile.Profile()
        profile.runcall(wire.send, Batch(probes(range(FIRST, FIRST + count))))
        return sum(entry.callcount for entry in profile.getstats())

    calls(1)  # draws the map
    assert calls(10_000) == calls(20_000) < 200
