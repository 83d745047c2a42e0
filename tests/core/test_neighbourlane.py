"""The ARP lane: who is there, at which hardware address, and whom not to believe."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet

from scanner.core.addresses import AddressSet, parse_address
from scanner.core.decode import decode_untrusted
from scanner.core.ledger import Replies
from scanner.core.neighbourlane import NeighbourLane
from scanner.core.rtt import RoundTrip
from scanner.core.rules import Rules
from scanner.probes.arp import arp_request
from scanner.probes.compiler import compile_arp

OURS, OUR_MAC = "10.0.0.1", "02:00:00:00:00:01"
HOSTS = ["10.0.0.7", "10.0.0.8", "10.0.0.9", "10.0.5.1"]
WALL = 10**18
MS = 10**6


def mac(last: int) -> str:
    return f"02:aa:00:00:00:{last:02x}"


def lane_of(round_trip: RoundTrip | None = None) -> NeighbourLane:
    return NeighbourLane(
        compile_arp(arp_request()),
        own=(parse_address(OURS), bytes.fromhex(OUR_MAC.replace(":", ""))),
        addresses=AddressSet.from_addresses(
            np.array([parse_address(host) for host in HOSTS], dtype=np.uint32)
        ),
        seed=5,
        attempts=2,
        round_trip=round_trip or RoundTrip(1.0),
        capacity=4,
    )


def send(lane: NeighbourLane, now: float, limit: int = 4) -> list[bytes]:
    selection = lane.schedule.take(limit, now)
    if selection is None:
        return []
    bodies = [row.tobytes() for row in lane.stamp(selection)]
    lane.schedule.sent(selection, np.full(len(bodies), WALL + round(now * 1e9), dtype=np.int64), now)
    return bodies


def answer(host: str, hwsrc: str, **fields: Any) -> Packet:
    reply: dict[str, Any] = {"op": 2, "psrc": host, "hwsrc": hwsrc, "pdst": OURS, "hwdst": OUR_MAC, **fields}
    return Ether(src=hwsrc, dst=OUR_MAC) / ARP(**reply)


def hear(lane: NeighbourLane, packets: list[Packet], seconds: float) -> tuple[NDArray[np.int64], Replies]:
    frames = [bytes(packet) for packet in packets]
    lengths = np.array([len(frame) for frame in frames], dtype=np.int64)
    buffer = np.frombuffer(b"".join(frames), dtype=np.uint8)
    times = WALL + round(seconds * 1e9) + MS * np.arange(len(frames), dtype=np.int64)
    decoded = decode_untrusted(buffer, np.cumsum(lengths) - lengths, lengths, times, 1)
    return lane.hear(Rules().claims(decoded), decoded.arp)


def macs_of(lane: NeighbourLane) -> dict[str, str]:
    there = lane.conclude()
    names = [host for host in HOSTS if there.contains(np.array([parse_address(host)], dtype=np.uint32))[0]]
    return dict(zip(names, (row.tobytes().hex(":") for row in lane.mac_of(there)), strict=True))


def test_every_address_is_asked_for() -> None:
    asked = [ARP(body) for body in send(lane_of(), 0.0)]
    assert sorted(request.pdst for request in asked) == HOSTS
    assert {(request.op, request.psrc, request.hwsrc, request.hwdst) for request in asked} == {
        (1, OURS, OUR_MAC, "00:00:00:00:00:00")
    }


def test_who_answers_is_there_with_its_own_address() -> None:
    lane = lane_of()
    send(lane, 0.0)
    evidence, changed = hear(lane, [answer(HOSTS[3], mac(3)), answer(HOSTS[0], mac(0))], 0.01)
    assert sorted(evidence.tolist()) == [0, 1]
    assert sorted(changed.task.tolist()) == [0, 3]
    assert macs_of(lane) == {HOSTS[0]: mac(0), HOSTS[3]: mac(3)}
    assert (lane.replies, lane.conflicts, lane.ledger.unanswered) == (2, 0, 2)


def test_only_the_silent_are_asked_again() -> None:
    lane = lane_of()
    send(lane, 0.0)
    hear(lane, [answer(host, mac(at)) for at, host in enumerate(HOSTS[:3])], 0.01)
    assert send(lane, 0.02) == []
    again = send(lane, lane.schedule.due(0.02))
    assert [ARP(body).pdst for body in again] == [HOSTS[3]]
    assert send(lane, 60.0) == []
    assert lane.schedule.finished(60.0)
    assert macs_of(lane).keys() == set(HOSTS[:3])


@pytest.mark.parametrize(
    "packet",
    [
        answer(HOSTS[0], mac(0), op=1),
        answer(HOSTS[0], mac(0), pdst="10.0.0.2"),
        answer(HOSTS[0], mac(0), hwdst="02:00:00:00:00:99"),
        answer("10.0.0.6", mac(0)),
        answer(OURS, mac(0)),
        answer(HOSTS[0], "ff:ff:ff:ff:ff:ff"),
        answer(HOSTS[0], "01:00:5e:00:00:01"),
        Ether(src=mac(0), dst=OUR_MAC) / IP(src=HOSTS[0], dst=OURS) / TCP(flags="SA"),
    ],
    ids=[
        "a request",
        "to another host",
        "to another hardware address",
        "from an address that was not asked",
        "from our own address",
        "says it is everybody",
        "says it is a group",
        "not ARP",
    ],
)
def test_not_an_answer(packet: Packet) -> None:
    lane = lane_of()
    send(lane, 0.0)
    evidence, changed = hear(lane, [packet], 0.01)
    assert len(evidence) == len(changed.task) == 0
    assert (lane.replies, lane.ledger.unanswered, macs_of(lane)) == (0, 4, {})


def test_who_was_not_asked_yet_cannot_answer() -> None:
    lane = lane_of()
    [body] = send(lane, 0.0, limit=1)
    hear(lane, [answer(host, mac(at)) for at, host in enumerate(HOSTS)], 0.01)
    assert list(macs_of(lane)) == [ARP(body).pdst]


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "one by one"])
def test_the_first_answer_stands_and_another_is_a_conflict(together: bool) -> None:
    lane = lane_of()
    send(lane, 0.0)
    packets = [answer(HOSTS[1], mac(last)) for last in (1, 0x66, 1, 0x66)]
    if together:
        hear(lane, packets, 0.01)
    else:
        for at, packet in enumerate(packets):
            hear(lane, [packet], 0.01 + at)
    assert macs_of(lane) == {HOSTS[1]: mac(1)}
    assert (lane.replies, lane.conflicts) == (4, 2)


def test_only_the_answer_to_the_first_try_measures_the_path() -> None:
    trip = RoundTrip(1.0)
    lane = lane_of(trip)
    send(lane, 0.0)
    hear(lane, [answer(HOSTS[0], mac(0))], 0.05)
    assert trip.smoothed == pytest.approx(0.05)
    hear(lane, [answer(HOSTS[0], mac(0))], 0.9)
    send(lane, 1.0)
    assert lane.ledger.tries.tolist() == [1, 2, 2, 2]
    hear(lane, [answer(HOSTS[1], mac(1))], 1.1)
    assert trip.smoothed == pytest.approx(0.05)
    assert list(macs_of(lane)) == HOSTS[:2]


def test_nobody_answers() -> None:
    lane = lane_of()
    assert len(lane.conclude()) == 0
    assert lane.mac_of(lane.conclude()).shape == (0, 6)
