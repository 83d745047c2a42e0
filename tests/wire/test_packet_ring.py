"""The rings on scratch hosts. That a ring keeps the contract of a wire is in tests/conformance."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scapy.layers.inet import TCP, UDP, UDPerror
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from scanner.contracts import ETHERTYPE_ARP, ETHERTYPE_IPV6, Batch
from scanner.lab import namespaces
from scanner.model import UsageError, WireError
from scanner.wire.arp import REQUEST, ArpBody, parse_arp_untrusted
from scanner.wire.packet_ring import PacketRing
from scanner.wire.receive_ring import RingOptions
from scanner.wire.transmit_ring import TransmitRing

pytestmark = pytest.mark.lab

IFF_TAP = 0x0002
SMALL = RingOptions(block_size=1 << 16, blocks=4)


@pytest.fixture
def ring(veth) -> Iterator[PacketRing]:
    with namespaces.entered(veth.near):
        wire = PacketRing("near", SMALL)
    yield wire
    wire.close()


@pytest.fixture
def far(veth) -> Iterator[socket.socket]:
    """Sees every frame that reaches the far end."""
    with namespaces.entered(veth.far):
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
    with sock:
        sock.setsockopt(socket.SOL_SOCKET, 33, 1 << 26)  # SO_RCVBUFFORCE
        sock.bind(("far", 0x0003))
        sock.settimeout(0.5)
        yield sock


def seen(sock: socket.socket, count: int) -> list[bytes]:
    """Up to `count` frames that came in from the near end."""
    found: list[bytes] = []
    try:
        while len(found) < count:
            data, (_, _, kind, *_) = sock.recvfrom(1 << 16)
            if kind != socket.PACKET_OUTGOING:
                found.append(data)
    except TimeoutError:
        pass
    return found


def packets(count: int, length: int) -> NDArray[np.uint8]:
    """IPv4 by their first byte, and nothing a host would answer; each one different."""
    rows = np.zeros((count, length), dtype=np.uint8)
    rows[:, 0] = 0x45
    rows[:, -4:] = np.arange(count, dtype=">u4").view(np.uint8).reshape(-1, 4)
    return rows


def hop(veth) -> NDArray[np.uint8]:
    return np.frombuffer(veth.far_mac, dtype=np.uint8)


@pytest.mark.parametrize("length", [28, 82, 83, 200, 1000, 1500])
def test_frames_of_all_lengths_leave_as_they_were_reported(veth, ring, far, length: int) -> None:
    for _ in range(3):
        sent = ring.send(Batch(packets(300, length), next_hops=hop(veth)))
        assert seen(far, 300) == [row.tobytes() for row in sent.frames]


def test_more_frames_than_slots_leave_all_once_and_in_order(veth, ring, far) -> None:
    many = packets(40_000, 40)
    sent = ring.send(Batch(many, next_hops=hop(veth)))
    assert len(sent.times) == 40_000
    assert seen(far, 40_001) == [row.tobytes() for row in sent.frames]
    assert (np.diff(sent.times) >= 0).all()


def test_times_are_taken_before_frames_leave_slice_by_slice(veth, ring) -> None:
    before = time.time_ns()
    sent = ring.send(Batch(packets(10_000, 40), next_hops=hop(veth)))
    assert before <= sent.times[0]
    assert sent.times[-1] <= time.time_ns()
    assert len(np.unique(sent.times)) >= 10_000 // 512


def test_each_frame_goes_to_its_own_next_hop(veth, ring, far) -> None:
    hops = np.zeros((5, 6), dtype=np.uint8)
    hops[:, 5] = np.arange(5)
    hops[:, 0] = 2
    ring.send(Batch(packets(5, 40), next_hops=hops))
    assert [frame[:6] for frame in seen(far, 5)] == [row.tobytes() for row in hops]


def test_arp_is_asked_and_its_reply_comes_in(veth, ring) -> None:
    body = ArpBody(REQUEST, veth.near_mac, 0x0A4D0001, bytes(6), 0x0A4D0002).pack()
    broadcast = np.full(6, 0xFF, dtype=np.uint8)
    ring.send(Batch(np.frombuffer(body, dtype=np.uint8)[None], ETHERTYPE_ARP, broadcast))
    frames = ring.receive(1.0)
    reply = parse_arp_untrusted(frames.buffer[int(frames.starts[0]) + 14 :][:28].tobytes())
    assert reply is not None
    assert (reply.sender, reply.sender_mac) == (0x0A4D0002, veth.far_mac)


@pytest.fixture
def ring6(veth6) -> Iterator[PacketRing]:
    with namespaces.entered(veth6.near):
        wire = PacketRing("near", SMALL)
    yield wire
    wire.close()


def exchange(wire: PacketRing, packet: Packet, next_hop: bytes, layer: type[Packet]) -> Packet:
    """What an IPv6 packet is answered with: the first with such a layer in it."""
    row = np.frombuffer(bytes(packet), dtype=np.uint8)[None]
    assert len(wire.send(Batch(row, ETHERTYPE_IPV6, np.frombuffer(next_hop, dtype=np.uint8))).times) == 1
    while len(frames := wire.receive(1.0)):
        for start, length in zip(frames.starts.tolist(), frames.lengths.tolist(), strict=True):
            found: Packet = Ether(frames.buffer[start : start + length].tobytes())[IPv6]
            if layer in found:
                return found
    pytest.fail("nothing of the kind came back")


@pytest.mark.parametrize(
    ("source", "target"), [("2001:db8:77::1", "2001:db8:77::2"), ("fe80::77:1", "fe80::77:2")]
)
def test_a_neighbour_is_solicited_and_its_advertisement_comes_in(
    veth6, ring6, source: str, target: str
) -> None:
    group = f"ff02::1:ff{'77' if target.startswith('fe80') else '00'}:2"
    solicitation = (
        IPv6(src=source, dst=group, hlim=255)
        / ICMPv6ND_NS(tgt=target)
        / ICMPv6NDOptSrcLLAddr(lladdr=":".join(f"{octet:02x}" for octet in veth6.near_mac))
    )
    group_mac = b"\x33\x33\xff" + bytes([0x77 if target.startswith("fe80") else 0, 0, 2])
    advertisement = exchange(ring6, solicitation, group_mac, ICMPv6ND_NA)
    assert (advertisement.src, advertisement.dst, advertisement.hlim) == (target, source, 255)
    said = advertisement[ICMPv6ND_NA]
    assert (said.tgt, bytes.fromhex(said.lladdr.replace(":", ""))) == (target, veth6.far_mac)


def test_ports_are_asked_over_ipv6_and_our_kernel_says_where_we_are(veth6, ring6) -> None:
    header = IPv6(src="2001:db8:77::1", dst="2001:db8:77::2")
    reset = exchange(ring6, header / TCP(sport=40000, dport=401, seq=6), veth6.far_mac, TCP)
    assert (reset.src, str(reset[TCP].flags), reset[TCP].ack) == ("2001:db8:77::2", "RA", 7)
    unreachable = exchange(ring6, header / UDP(sport=40000, dport=401), veth6.far_mac, ICMPv6DestUnreach)
    assert (unreachable[ICMPv6DestUnreach].code, unreachable[UDPerror].sport) == (4, 40000)


def test_all_nodes_of_a_link_can_be_called(ring6) -> None:
    call = IPv6(src="fe80::77:1", dst="ff02::1", hlim=1) / ICMPv6EchoRequest(id=401)
    reply = exchange(ring6, call, b"\x33\x33\0\0\0\1", ICMPv6EchoReply)
    assert (reply.src, reply.dst, reply[ICMPv6EchoReply].id) == ("fe80::77:2", "fe80::77:1", 401)


def test_what_a_congested_device_refuses_is_not_reported_as_sent(make_tap: Callable[[int], Any]) -> None:
    tap = make_tap(IFF_TAP)
    with namespaces.entered(tap.namespace):
        wire = PacketRing("tap", SMALL)
    try:
        tap.read_all()
        batch = packets(5_000, 40)
        reported: list[bytes] = []
        left: list[bytes] = []
        taken = 0
        for _ in range(20):
            sent = wire.send(Batch(batch[taken:], next_hops=np.full(6, 2, dtype=np.uint8)))
            reported += [row.tobytes() for row in sent.frames]
            taken += len(sent.times)
            if taken == len(batch):
                break
            assert wire.statistics().send_refused > 0
            left += tap.read_all()
        left += tap.read_all()
        assert taken == len(batch)
        assert left == reported
        assert wire.statistics().sent == len(batch)
    finally:
        wire.close()


def test_an_interface_that_goes_down_is_an_error(veth, ring) -> None:
    namespaces.ip_batch(veth.near, ["link set near down"])
    for _ in range(2):
        with pytest.raises(WireError, match="near is down"):
            ring.send(Batch(packets(10, 40), next_hops=hop(veth)))


def test_an_interface_that_is_gone_is_an_error(veth, ring) -> None:
    namespaces.ip_batch(veth.near, ["link delete near"])
    with pytest.raises(WireError, match="no interface near"):
        ring.send(Batch(packets(10, 40), next_hops=hop(veth)))


def test_a_link_whose_other_end_is_down_is_an_error_soon(veth, ring) -> None:
    namespaces.ip_batch(veth.far, ["link set far down"])

    def send_for_a_while() -> None:
        for _ in range(300):  # the kernel may take a second to look at it (net/core/link_watch.c)
            assert len(ring.send(Batch(packets(10, 40), next_hops=hop(veth))).times) == 0
            time.sleep(0.01)

    with pytest.raises(WireError, match="near has no carrier"):
        send_for_a_while()


def test_an_interface_that_comes_back_can_be_sent_on(veth, ring, far) -> None:
    namespaces.ip_batch(veth.near, ["link set near down"])
    with pytest.raises(WireError):
        ring.send(Batch(packets(10, 40), next_hops=hop(veth)))
    namespaces.ip_batch(veth.near, ["link set near up"])
    sent = ring.send(Batch(packets(4, 40), next_hops=hop(veth)))
    own = [
        frame for frame in seen(far, 50) if frame[:14] == sent.frames[0, :14].tobytes() and frame[14] == 0x45
    ]
    assert own[-4:] == [row.tobytes() for row in sent.frames]


def test_a_frame_the_kernel_calls_malformed_is_an_error_and_does_not_block_the_ring(veth, far) -> None:
    with namespaces.entered(veth.near):
        ring = TransmitRing("near", 2048)
    try:
        header = veth.far_mac + veth.near_mac + b"\x08\x00"
        too_long = np.frombuffer(header + bytes(1600), dtype=np.uint8)[None]
        ring.load(too_long)
        ring.begin()
        with pytest.raises(WireError, match="1614 byte frames on near failed"):
            ring.end()
        ring.load(too_long[:, :60])
        ring.begin()
        assert len(ring.end()) == 1
        assert [len(frame) for frame in seen(far, 2)] == [60]
    finally:
        ring.close()


def test_what_is_no_batch_for_this_wire_is_refused(veth, ring) -> None:
    with pytest.raises(UsageError, match="next hops"):
        ring.send(Batch(packets(1, 40)))
    with pytest.raises(UsageError, match="MTU 1500"):
        ring.send(Batch(packets(1, 1501), next_hops=hop(veth)))


def test_loopback_is_refused(veth) -> None:
    with namespaces.entered(veth.near), pytest.raises(WireError, match="lo is no Ethernet device"):
        PacketRing("lo")


def test_speed_is_that_of_a_packet_generator(veth) -> None:
    # An order of magnitude below what an idle core does, to hold on a busy one; tests/bench measures.
    namespaces.nft(
        veth.far,
        "table netdev t { chain c { type filter hook ingress device far priority 0; policy drop; }; }\n",
    )
    with namespaces.entered(veth.near):
        wire = PacketRing("near", SMALL)
    try:
        batch = Batch(packets(8192, 40), next_hops=hop(veth))
        wire.send(batch)
        before = time.perf_counter()
        for _ in range(6):
            assert len(wire.send(batch).times) == 8192
        assert 6 * 8192 / (time.perf_counter() - before) > 100_000
    finally:
        wire.close()


@pytest.fixture(params=[96, 1000], ids=["slots to spare", "too few slots"])
def two_ways(veth, request) -> Iterator[PacketRing]:
    with namespaces.entered(veth.near):
        wire = PacketRing("near", SMALL, request.param, exits=2)
    yield wire
    wire.close()


def test_two_exits_send_at_once_what_was_staged_while_they_sent(veth, two_ways, far) -> None:
    batches = [packets(3072, 40) for _ in range(8)]
    for number, batch in enumerate(batches):
        batch[:, 4] = number
    arrivals = [way.stage(Batch(batches[k], next_hops=hop(veth)))() for k, way in enumerate(two_ways.exits)]
    sent = []
    for number in range(2, 8):
        way = two_ways.exits[number % 2]
        launch = way.stage(Batch(batches[number], next_hops=hop(veth)))
        sent.append(arrivals.pop(0)())
        arrivals.append(launch())
    sent += [arrived() for arrived in arrivals]
    frames = seen(far, 8 * 3072)
    for number, each in enumerate(sent):
        assert len(each.times) == 3072
        assert (np.diff(each.times) >= 0).all()
        # The contract keeps them as long as the next but one is not framed.
        assert number < 6 or [row.tobytes() for row in each.frames] == [
            frame for frame in frames if frame[18] == number
        ]
    assert sorted(frame[14:] for frame in frames) == sorted(
        row.tobytes() for batch in batches for row in batch
    )
    assert two_ways.statistics().sent == 8 * 3072


def test_what_was_staged_last_is_what_leaves(veth, two_ways, far) -> None:
    way = two_ways.exits[0]
    first, last = packets(600, 40), packets(700, 40)
    last[:, 4] = 1
    forgotten = way.stage(Batch(first, next_hops=hop(veth)))
    launch = way.stage(Batch(last, next_hops=hop(veth)))
    with pytest.raises(RuntimeError, match="another batch was staged"):
        forgotten()
    assert len(launch()().times) == 700
    assert {frame[18] for frame in seen(far, 701)} == {1}


def test_what_was_staged_behind_a_batch_that_left_in_part_leaves_whole(veth, two_ways, far) -> None:
    way = two_ways.exits[0]
    launch = way.stage(Batch(packets(600, 40), next_hops=hop(veth)))
    way._ring._lengths[100] = 0xFFFF  # the kernel stops there
    flying = launch()
    behind = packets(600, 40)
    behind[:, 4] = 1
    launch = way.stage(Batch(behind, next_hops=hop(veth)))
    assert len(flying().times) == 100
    assert len(launch()().times) == 600
    assert [frame[18] for frame in seen(far, 701)] == [0] * 100 + [1] * 600
    assert two_ways.statistics().send_refused == 500


def test_an_interface_that_goes_down_stops_a_sending_process_with_one_line(veth, two_ways) -> None:
    way = two_ways.exits[1]
    namespaces.ip_batch(veth.near, ["link set near down"])
    with pytest.raises(WireError, match="near is down"):
        way.stage(Batch(packets(3000, 40), next_hops=hop(veth)))()()


def test_a_sending_process_that_is_killed_is_missed_with_one_line(veth, two_ways) -> None:
    way = two_ways.exits[1]
    process = way._ring._process
    assert wait_until(process.ready)
    process._process.kill()
    process._process.wait()
    with pytest.raises(WireError, match="the process that sends has ended"):
        way.stage(Batch(packets(512, 40), next_hops=hop(veth)))()()


def test_a_process_sends_once_it_is_there(veth, two_ways, far) -> None:
    way = two_ways.exits[0]
    process = way._ring._process
    begun: list[tuple[int, int]] = []
    begin = process.begin

    def noted(first: int, count: int) -> None:
        begun.append((first, count))
        begin(first, count)

    process.begin = noted
    assert wait_until(process.ready)
    assert len(way.send(Batch(packets(600, 40), next_hops=hop(veth))).times) == 600
    assert begun == [(0, 600)]
    assert len(seen(far, 601)) == 600


@pytest.mark.parametrize("fault", ["the program fails", "no interpreter", "frozen"])
def test_where_no_process_can_be_had_everything_is_sent_here(
    veth, far, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fault: str
) -> None:
    if fault == "frozen":
        monkeypatch.setattr("sys.frozen", True, raising=False)
    elif fault == "no interpreter":
        monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    else:
        (tmp_path / "slots.py").write_text("raise SystemExit(1)\n")
        monkeypatch.setattr("scanner.wire.slots.__file__", str(tmp_path / "slots.py"))
    with namespaces.entered(veth.near):
        wire = PacketRing("near", SMALL, 96, exits=2)
    try:
        for way in wire.exits:
            assert len(way.send(Batch(packets(3000, 40), next_hops=hop(veth))).times) == 3000
            time.sleep(0.1)
            assert len(way.send(Batch(packets(3000, 40), next_hops=hop(veth))).times) == 3000
        assert len(seen(far, 12_001)) == 12_000
    finally:
        wire.close()


def wait_until(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()
