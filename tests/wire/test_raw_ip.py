"""The raw wire on loopback, on a tunnel, and against the kernel's refusals, in scratch namespaces."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, IPv6
from scapy.packet import Packet

from scanner.contracts import ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Batch, Frames
from scanner.lab import namespaces
from scanner.model import UsageError, WireError
from scanner.wire.interface import LINKTYPE_RAW
from scanner.wire.raw_ip import RawIP
from scanner.wire.receive_ring import RingOptions

pytestmark = pytest.mark.lab

IFF_TUN = 0x0001
SMALL = RingOptions(block_size=1 << 16, blocks=4)


@pytest.fixture
def on(veth) -> Iterator[Callable[[str], RawIP]]:
    """Opens raw wires in the near namespace."""
    wires: list[RawIP] = []

    def open_wire(interface: str, namespace: str = veth.near) -> RawIP:
        with namespaces.entered(namespace):
            wires.append(RawIP(interface, SMALL))
        return wires[-1]

    yield open_wire
    for wire in wires:
        wire.close()


def batch(*packets: Packet) -> Batch:
    data = b"".join(bytes(packet) for packet in packets)
    ethertype = ETHERTYPE_IPV6 if IPv6 in packets[0] else ETHERTYPE_IPV4
    return Batch(np.frombuffer(data, dtype=np.uint8).reshape(len(packets), -1), ethertype)


def udp(destination: str, number: int = 1, source: str = "10.77.0.1") -> Packet:
    return IP(src=source, dst=destination, id=number) / UDP(sport=40000, dport=401) / (b"%04d" % number)


def udp6(destination: str, number: int = 1, source: str = "2001:db8:77::1") -> Packet:
    return IPv6(src=source, dst=destination) / UDP(sport=40000, dport=401) / (b"%04d" % number)


def read(frames: Frames) -> list[bytes]:
    return [
        frames.buffer[start : start + length].tobytes()
        for start, length in zip(frames.starts.tolist(), frames.lengths.tolist(), strict=True)
    ]


def test_on_loopback_a_reply_is_seen_once(on) -> None:
    wire = on("lo")
    wire.send(batch(IP(src="127.0.0.1", dst="127.0.0.9", id=3) / TCP(sport=40000, dport=401, seq=77)))
    [reply] = read(wire.receive(1.0))
    segment = IP(reply[14:])[TCP]
    assert (str(segment.flags), segment.ack) == ("RA", 78)
    assert len(wire.receive(0.05)) == 0


def test_on_loopback_what_left_is_reported_with_the_header_a_capture_shows(veth, on) -> None:
    with namespaces.entered(veth.near):
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
    with tap:
        tap.bind(("lo", 0x0003))
        wire = on("lo")
        sent = wire.send(batch(udp("127.0.0.9", 5, source="127.0.0.1")))
        assert sent.frames[0, :14].tobytes() == bytes(12) + b"\x08\x00"
        assert tap.recv(2048) == sent.frames[0].tobytes()


def test_on_a_tunnel_packets_travel_bare_both_ways(make_tap, on) -> None:
    tun = make_tap(IFF_TUN)
    wire = on("tap", tun.namespace)
    tun.read_all()
    sent = wire.send(batch(udp("10.77.0.2", 1), udp("10.77.0.3", 2)))
    assert wire.link_type == LINKTYPE_RAW
    assert tun.read_all() == [row.tobytes() for row in sent.frames]
    assert [IP(row.tobytes()).dst for row in sent.frames] == ["10.77.0.2", "10.77.0.3"]
    reply = bytes(IP(src="10.77.0.2", dst="10.77.0.1") / ICMP(type=3, code=3) / bytes(udp("10.77.0.2")))
    tun.write(bytes(IP(src="10.77.0.2", dst="10.77.0.1") / UDP(dport=53)))
    tun.write(reply)
    assert read(wire.receive(1.0)) == [reply]


def test_one_wire_carries_both_versions(veth6, on) -> None:
    wire = on("lo", veth6.near)
    wire.send(batch(IP(src="127.0.0.1", dst="127.0.0.9", id=3) / TCP(sport=40000, dport=401, seq=4)))
    wire.send(batch(IPv6(src="::1", dst="::1") / TCP(sport=40000, dport=401, seq=6)))
    replies = read(wire.receive(1.0))
    if len(replies) < 2:
        replies += read(wire.receive(1.0))
    assert [(reply[12:14].hex(), reply[14] >> 4) for reply in replies] == [("0800", 4), ("86dd", 6)]
    assert (IP(replies[0][14:])[TCP].ack, IPv6(replies[1][14:])[TCP].ack) == (5, 7)


def test_a_link_local_address_is_on_the_link_of_the_wire(veth6, on) -> None:
    wire = on("near", veth6.near)
    wire.send(batch(udp6("fe80::77:2", source="fe80::77:1")))
    packets = [IPv6(reply[14:]) for reply in read(wire.receive(1.0)) + read(wire.receive(0.2))]
    [error] = [packet for packet in packets if ICMPv6DestUnreach in packet]  # and an advertisement
    assert (error.src, error[ICMPv6DestUnreach].code) == ("fe80::77:2", 4)


@pytest.mark.parametrize("own", ["2001:db8:77::1", "fe80::77:1"])
def test_our_own_addresses_answer_on_loopback(veth6, on, own: str) -> None:
    wire = on("lo", veth6.near)
    wire.send(batch(IPv6(src=own, dst=own) / TCP(sport=40000, dport=401, seq=6)))
    [reply] = read(wire.receive(1.0))
    assert IPv6(reply[14:])[TCP].ack == 7


def test_on_a_tunnel_ipv6_travels_bare_both_ways(make_tap, on) -> None:
    tun = make_tap(IFF_TUN)
    namespaces.set_sysctls(tun.namespace, {"net.ipv6.conf.tap.disable_ipv6": "0"})
    namespaces.ip_batch(tun.namespace, ["addr add 2001:db8:77::1/64 dev tap nodad"])
    wire = on("tap", tun.namespace)
    tun.read_all()
    sent = wire.send(batch(udp6("2001:db8:77::2", 1), udp6("2001:db8:77::3", 2)))
    left = [packet for packet in tun.read_all() if packet[6] == 17]
    assert left == [row.tobytes() for row in sent.frames]
    reply = bytes(IPv6(src="2001:db8:77::2", dst="2001:db8:77::1") / UDP(sport=401, dport=40000))
    tun.write(reply)
    assert read(wire.receive(1.0)) == [reply]


def test_what_a_full_queue_refuses_is_not_reported_as_sent(make_tap, on) -> None:
    tc = shutil.which("tc", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if tc is None:
        pytest.skip("no tc")
    tun = make_tap(IFF_TUN)
    shaper = ["qdisc", "add", "dev", "tap", "root", "tbf", "rate", "800kbit", "burst", "2kb", "limit", "3kb"]
    subprocess.run(namespaces.exec_command(tun.namespace, [tc, *shaper]), check=True)
    wire = on("tap", tun.namespace)
    tun.read_all()
    many = np.repeat(batch(udp("10.77.0.2")).packets, 300, axis=0)
    many[:, -4:] = np.arange(300, dtype=">u4").view(np.uint8).reshape(-1, 4)
    reported: list[bytes] = []
    for _ in range(200):
        sent = wire.send(Batch(many[len(reported) :]))
        reported += [row.tobytes() for row in sent.frames]
        if len(reported) == len(many):
            break
        time.sleep(0.005)
    time.sleep(0.05)
    assert len(reported) == len(many)
    assert tun.read_all() == reported
    assert wire.statistics().sent == len(many)
    assert wire.statistics().send_refused > 0


REJECT = "table ip t {{ chain c {{ type filter hook output priority 0; ip daddr {} {}; }}; }}\n"


@pytest.mark.parametrize("verdict", ["drop", "reject with icmp type admin-prohibited"])
def test_a_packet_a_firewall_keeps_in_is_counted_and_the_rest_goes_on(veth, on, verdict: str) -> None:
    wire = on("near")
    namespaces.nft(veth.near, REJECT.format("10.77.0.100-10.77.0.101", verdict))
    with namespaces.entered(veth.far):
        far = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0003))
    with far:
        far.bind(("far", 0x0003))
        far.settimeout(0.5)
        hosts = ["10.77.0.2", "10.77.0.100", "10.77.0.101", "10.77.0.2", "10.77.0.100"]
        packets = [udp(host, number + 1) for number, host in enumerate(hosts)]
        sent = wire.send(batch(*packets))
        assert [row[-4:].tobytes() for row in sent.frames] == [b"0001", b"0002", b"0003", b"0004", b"0005"]
        assert (np.diff(sent.times) >= 0).all()
        arrived: list[bytes] = []
        while len(arrived) < 2:
            data, (_, _, kind, *_) = far.recvfrom(2048)
            if kind == socket.PACKET_HOST:
                arrived.append(data[-4:])
        assert arrived == [b"0001", b"0004"]
    assert (wire.statistics().sent, wire.statistics().send_refused) == (2, 3)


def test_of_ipv6_too_what_is_kept_in_is_counted_and_the_rest_goes_on(veth6, on) -> None:
    wire = on("near", veth6.near)
    rules = (
        "table ip6 t { chain c { type filter hook output priority 0; ip6 daddr 2001:db8:77::9 drop; }; }\n"
    )
    namespaces.nft(veth6.near, rules)
    hosts = ["2001:db8:77::2", "2001:db8:77::9", "2001:db8:99::1", "2001:db8:77::2"]
    assert len(wire.send(batch(*(udp6(host, n) for n, host in enumerate(hosts)))).times) == 4
    assert (wire.statistics().sent, wire.statistics().send_refused) == (2, 2)


def test_a_packet_the_kernel_calls_malformed_does_not_stop_the_sweep(on) -> None:
    wire = on("near")
    rows = batch(udp("10.77.0.2", 1), udp("10.77.0.2", 2), udp("10.77.0.2", 3)).packets.copy()
    rows[1, 0] = 0x4F
    assert len(wire.send(Batch(rows)).times) == 3
    assert (wire.statistics().sent, wire.statistics().send_refused) == (2, 1)


def test_a_broadcast_is_kept_in(on) -> None:
    wire = on("near")
    wire.send(batch(udp("10.77.0.255")))
    assert (wire.statistics().sent, wire.statistics().send_refused) == (0, 1)


@pytest.mark.parametrize(
    ("command", "says"), [("link set near down", "near is down"), ("link delete near", "no interface near")]
)
def test_an_interface_that_goes_away_is_an_error(veth, on, command: str, says: str) -> None:
    wire = on("near")
    namespaces.ip_batch(veth.near, [command])
    for _ in range(2):
        with pytest.raises(WireError, match=says):
            wire.send(batch(udp("10.77.0.2")))


def test_what_is_no_batch_for_this_wire_is_refused(on) -> None:
    wire = on("near")
    with pytest.raises(UsageError, match="0x0806"):
        wire.send(Batch(np.zeros((1, 28), dtype=np.uint8), ethertype=ETHERTYPE_ARP))
    with pytest.raises(UsageError, match="no IPv4"):
        wire.send(Batch(np.zeros((1, 19), dtype=np.uint8)))
    with pytest.raises(UsageError, match="no IPv6"):
        wire.send(Batch(np.zeros((1, 39), dtype=np.uint8), ethertype=ETHERTYPE_IPV6))
    with pytest.raises(UsageError, match="MTU"):
        wire.send(Batch(np.zeros((1, 1501), dtype=np.uint8)))


def numbered(count: int) -> NDArray[np.uint8]:
    rows = np.repeat(batch(udp("127.0.0.9", source="127.0.0.1")).packets, count, axis=0)
    rows[:, -4:] = np.arange(count, dtype=">u4").view(np.uint8).reshape(-1, 4)
    return rows


def test_a_large_batch_leaves_whole(on, veth) -> None:
    with namespaces.entered(veth.near):
        inward = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with inward:
        inward.setsockopt(socket.SOL_SOCKET, 33, 1 << 26)  # SO_RCVBUFFORCE
        inward.bind(("127.0.0.9", 401))
        inward.settimeout(1)
        rows = numbered(3000)
        rows[:, 26:28] = 0  # no UDP checksum
        assert len(on("lo").send(Batch(rows)).times) == 3000
        assert [inward.recv(64) for _ in range(3000)] == [row[-4:].tobytes() for row in rows]
