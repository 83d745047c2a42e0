"""The large segment and the host with many ways out do what their tables say."""

from __future__ import annotations

import socket
import struct
import time
from ipaddress import ip_address

import pytest

from scanner.lab import PROFILES, Lab, Plan, Way
from scanner.lab.netplan import NetPlan
from scanner.lab.profile import Kind
from scanner.model import TRANSPORTS, Protocol
from tests.lab.nmap_oracle import disagreements, nmap_says

pytestmark = pytest.mark.lab

SO_RCVBUFFORCE = 33  # asm-generic/socket.h
LINKS = Plan(PROFILES["links"])
SWEPT = [net for net in LINKS.nets if net.way.kind is not Kind.NOWHERE]
REFUSED = [net for net in LINKS.nets if net.way.kind is Kind.NOWHERE]


def named(one: NetPlan | Way) -> str:
    return one.net.prefix if isinstance(one, NetPlan) else one.device


WAYS = [(net, way) for net in SWEPT for way in net.ways]


@pytest.mark.usefixtures("nmap")
@pytest.mark.parametrize(("net", "way"), WAYS, ids=named)
def test_nmap_says_of_every_network_what_the_truth_says(links, tmp_path, net, way):
    # Where two gateways lead there, it must not leave it to the kernel which one to take: it listens at one.
    options = ["--send-eth", "-e", way.device] if len(net.ways) > 1 else []
    for protocol in TRANSPORTS:
        truth = net.truth(protocol, 401)

        seen = nmap_says(links, protocol, (record["ip"] for record in truth.records()), tmp_path, options)

        assert len(seen) == len(truth)
        assert disagreements(links, protocol, seen) == {}


@pytest.mark.parametrize("net", REFUSED, ids=named)
def test_the_prober_s_own_table_refuses(links, net):
    family = socket.AF_INET if net.network.version == 4 else socket.AF_INET6
    with links.enter():
        prober = socket.socket(family, socket.SOCK_DGRAM)
    with prober, pytest.raises(OSError, match=r"unreachable|No route|Permission|Invalid argument"):
        prober.sendto(b"", (str(net.network[3]), 401))


@pytest.mark.usefixtures("nmap")
@pytest.mark.parametrize("protocol", TRANSPORTS)
def test_nmap_says_the_truth_of_the_segment_s_beginning(lan, tmp_path, protocol):
    net = lan.plan.net()
    opened = [str(net.network[offset]) for offset in net.open_offsets(protocol)[::30]]
    targets = [*(str(net.network[offset]) for offset in range(1, 512)), *opened]

    # Not by the kernel, whose one neighbour table for all namespaces would fill.
    seen = nmap_says(lan, protocol, targets, tmp_path, ["--send-eth"])

    assert set(seen) == set(targets)
    assert disagreements(lan, protocol, seen) == {}


def hardware_of(lab: Lab, network: str, addresses: list[str]) -> dict[str, list[str]]:
    """Ask each of a network for its hardware address (RFC 826) and gather all answers."""
    net = lab.plan.net(network)
    interface, source = net.way.device, ip_address(net.net.prober or "").packed
    with lab.enter():
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
        wire.bind((interface, 0x0806))
    found: dict[str, list[str]] = {address: [] for address in addresses}
    with wire:
        wire.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
        own = wire.getsockname()[4]
        for address in addresses:
            request = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + own + source + bytes(6)
            wire.send(b"\xff" * 6 + own + b"\x08\x06" + request + ip_address(address).packed)
        deadline = time.monotonic() + 1
        while (left := deadline - time.monotonic()) > 0:
            wire.settimeout(left)
            try:
                frame, (_, _, kind, *_) = wire.recvfrom(100)
            except TimeoutError:
                break
            answer = str(ip_address(frame[28:32]))
            if kind != socket.PACKET_OUTGOING and frame[20:22] == b"\x00\x02" and answer in found:
                assert frame[6:12] == frame[22:28]
                found[answer].append(frame[6:12].hex(":"))
    return found


def test_exactly_those_of_the_segment_answer_for_hardware_who_are_to(lan):
    network = lan.plan.net().network
    addresses = [str(network[offset]) for offset in (*range(2, 2048), *range(60_000, 65_535))]

    found = hardware_of(lan, "10.52.0.0/16", addresses)

    expected = {a: sorted(lan.expected(a, Protocol.TCP).macs) for a in addresses}
    assert {address: sorted(macs) for address, macs in found.items()} == expected
    assert {len(macs) for macs in expected.values()} == {0, 1, 2}


def test_on_one_link_of_many_there_are_a_proxy_and_duplicates_too(links):
    network = links.plan.net("10.49.0.0/24").network
    addresses = [str(network[offset]) for offset in range(2, 255)]

    found = hardware_of(links, "10.49.0.0/24", addresses)

    expected = {a: sorted(links.expected(a, Protocol.TCP).macs) for a in addresses}
    assert {address: sorted(macs) for address, macs in found.items()} == expected
    assert found["10.49.0.32"] == found["10.49.0.33"] == ["02:00:0a:31:00:02"]
    assert len(found["10.49.0.16"]) == 2
