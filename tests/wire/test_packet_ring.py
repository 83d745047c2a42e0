"""The rings on scratch hosts. That a ring keeps the contract of a wire is in tests/conformance."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from scanner.contracts import ETHERTYPE_ARP, Batch
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
        with pytest.raises(WireError, match="1614 byte frames on near failed"):
            ring.send(too_long)
        assert len(ring.send(too_long[:, :60])) == 1
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
