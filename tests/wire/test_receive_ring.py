"""The ring on scratch hosts. Frames are put on the far end of the link by a plain packet socket."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterator

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet, Raw

from scanner.contracts import Frames
from scanner.lab import namespaces
from scanner.model import WireError
from scanner.wire.bpf import Instruction
from scanner.wire.receive_ring import ReceiveRing, RingOptions

pytestmark = pytest.mark.lab

EVERYTHING: tuple[Instruction, ...] = ((0x06, 0, 0, 0x40000),)
REPLY = IP(src="10.77.0.2", dst="10.77.0.1") / TCP(sport=401, dport=40000, flags="SA")
SMALL = RingOptions(block_size=1 << 16, blocks=4)


@pytest.fixture
def sender(veth) -> Iterator[socket.socket]:
    with namespaces.entered(veth.far):
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    with sock:
        sock.bind(("far", 0))
        yield sock


@pytest.fixture
def open_ring(veth) -> Iterator[Callable[..., ReceiveRing]]:
    """Opens rings on the near end; closed in the end."""
    rings: list[ReceiveRing] = []

    def make(program: tuple[Instruction, ...] | None = None, options: RingOptions = SMALL) -> ReceiveRing:
        with namespaces.entered(veth.near):
            rings.append(ReceiveRing("near", program, options))
        return rings[-1]

    yield make
    for ring in rings:
        ring.close()


def ethernet(veth, packet: Packet) -> bytes:
    return bytes(Ether(dst=veth.near_mac, src=veth.far_mac) / packet)


def read(frames: Frames) -> list[bytes]:
    return [
        frames.buffer[start : start + length].tobytes()
        for start, length in zip(frames.starts.tolist(), frames.lengths.tolist(), strict=True)
    ]


def collect(ring: ReceiveRing, count: int) -> list[bytes]:
    found: list[bytes] = []
    while len(found) < count and len(frames := ring.receive(1.0)):
        found += read(frames)
    return found


def test_frames_come_whole_in_order_and_with_the_kernels_time(veth, sender, open_ring) -> None:
    ring = open_ring()
    sent = [ethernet(veth, REPLY / Raw(bytes([n]) * (n % 50))) for n in range(100)]
    before = time.time_ns()
    for frame in sent:
        sender.send(frame)
    found: list[bytes] = []
    times: list[int] = []
    while len(found) < 100 and len(frames := ring.receive(1.0)):
        found += read(frames)
        times += frames.times.tolist()
    assert found == sent
    assert times == sorted(times)
    assert before <= times[0] <= times[-1] <= time.time_ns()
    assert ring.counts() == (100, 0)


def test_a_single_reply_is_seen_soon(veth, sender, open_ring) -> None:
    ring = open_ring(options=RingOptions())
    waits = []
    for _ in range(20):
        before = time.perf_counter()
        sender.send(ethernet(veth, REPLY))
        assert len(ring.receive(1.0)) == 1
        waits.append(time.perf_counter() - before)
    # A millisecond to retire the block where the kernel's timers are fine enough; a tick of 10 ms at worst.
    assert sorted(waits)[10] < 0.025


def test_nothing_but_replies_enters(veth, sender, open_ring) -> None:
    ring = open_ring()
    others = [
        IP() / TCP(dport=401),
        IP() / UDP(dport=53),
        ARP(op=1, pdst="10.77.0.1"),
        IP(frag=3, proto=17) / Raw(b"\xff" * 60),
    ]
    replies = [REPLY, ARP(op=2), IP() / ICMP(type=11) / IP() / UDP()]
    for packet in [*others, *replies, *others]:
        sender.send(ethernet(veth, packet))
    assert collect(ring, 4) == [ethernet(veth, packet) for packet in replies]


def test_a_vlan_tag_stands_where_it_stood_on_the_wire(veth, sender, open_ring) -> None:
    ring = open_ring()
    tagged = ethernet(veth, Dot1Q(vlan=100, prio=3) / REPLY)
    plain = ethernet(veth, REPLY)
    for frame in (plain, tagged, plain):
        sender.send(frame)
    assert collect(ring, 3) == [plain, tagged, plain]


def test_what_this_host_sends_itself_is_left_out(veth, sender, open_ring) -> None:
    ring = open_ring(EVERYTHING)
    with namespaces.entered(veth.near):
        own = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    with own:
        own.bind(("near", 0))
        own.send(ethernet(veth, REPLY))
    frames = collect(ring, 1)
    assert ethernet(veth, REPLY) not in frames


def test_what_was_received_is_valid_until_the_next_receive(veth, sender, open_ring) -> None:
    ring = open_ring()
    sender.send(ethernet(veth, REPLY))
    frames = ring.receive(1.0)
    held = read(frames)
    for n in range(20):
        sender.send(ethernet(veth, REPLY / Raw(bytes([n]) * 30)))
        time.sleep(0.003)
    assert read(frames) == held


def test_frames_for_which_there_was_no_room_are_counted(veth, sender, open_ring) -> None:
    ring = open_ring(options=RingOptions(block_size=4096, blocks=2))
    for _ in range(200):
        sender.send(ethernet(veth, REPLY / Raw(b"x" * 100)))
    found = len(collect(ring, 200))
    received, dropped = ring.counts()
    assert 0 < found < 200
    assert (received, dropped) == (found, 200 - found)
    assert ring.counts() == (received, dropped), "reading the kernel's counters resets them"


def test_the_ring_goes_round(veth, sender, open_ring) -> None:
    ring = open_ring(options=RingOptions(block_size=4096, blocks=3))
    for round_ in range(40):
        sender.send(ethernet(veth, REPLY / Raw(bytes([round_]))))
        assert collect(ring, 1) == [ethernet(veth, REPLY / Raw(bytes([round_])))]


def test_select_says_when_there_is_something(veth, sender, open_ring) -> None:
    ring = open_ring()
    assert select.select([ring], [], [], 0.05)[0] == []
    sender.send(ethernet(veth, REPLY))
    assert select.select([ring], [], [], 1.0)[0] == [ring]
    assert len(ring.receive(0)) == 1
    assert len(ring.receive(0)) == 0
    assert select.select([ring], [], [], 0.05)[0] == []


@pytest.mark.parametrize("command", ["link set near down", "link delete near"])
def test_an_interface_that_goes_away_is_an_error(veth, open_ring, command: str) -> None:
    ring = open_ring()
    namespaces.ip_batch(veth.near, [command])
    with pytest.raises(WireError, match="interface near went down or away"):
        ring.receive(1.0)


def test_what_came_in_before_the_interface_went_down_is_given_first(veth, sender, open_ring) -> None:
    ring = open_ring()
    sender.send(ethernet(veth, REPLY))
    time.sleep(0.05)
    namespaces.ip_batch(veth.near, ["link set near down"])
    assert read(ring.receive(0)) == [ethernet(veth, REPLY)]
    with pytest.raises(WireError):
        ring.receive(0)


def test_frames_outlive_the_ring(veth, sender, open_ring) -> None:
    ring = open_ring()
    sender.send(ethernet(veth, REPLY))
    frames = ring.receive(1.0)
    ring.close()
    ring.close()
    assert read(frames) == [ethernet(veth, REPLY)]
    with pytest.raises(WireError, match="closed"):
        ring.receive(0)


def test_an_interface_that_is_not_there_or_down_is_an_error(veth, open_ring) -> None:
    with namespaces.entered(veth.near), pytest.raises(WireError, match="ghost0"):
        ReceiveRing("ghost0")
    namespaces.ip_batch(veth.near, ["link set near down"])
    with pytest.raises(WireError, match="near is down"):
        open_ring()


def test_a_ring_the_kernel_cannot_make_is_an_error(open_ring) -> None:
    with pytest.raises(WireError, match="no receive ring on near"):
        open_ring(options=RingOptions(block_size=5000, blocks=4))
