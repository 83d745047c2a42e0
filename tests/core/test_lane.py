"""A lane under a simulated network: probes go out, answers come in, outcomes come of it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.packet import Packet, Raw

from scanner.core.addresses import AddressSet, format_address, parse_address
from scanner.core.decode import decode_untrusted
from scanner.core.hostpace import HostPace
from scanner.core.lane import Lane
from scanner.core.ledger import Replies
from scanner.core.records import verdicts
from scanner.core.rtt import LEAST_TIMEOUT, RoundTrip
from scanner.core.rules import Rank, Rules
from scanner.core.transport import TransportFlows
from scanner.model import Protocol, Reason, State, Verdict
from scanner.probes.compiler import compile_packet
from scanner.probes.tcp_syn import TCP_SYN
from scanner.probes.udp import UDP as UDP_PROBE

KEY = bytes(range(16))
SOURCE = "192.168.7.1"
TEMPLATES = {6: compile_packet(TCP_SYN.packet(b"")), 17: compile_packet(UDP_PROBE.packet(b""))}
WALL = 1_700_000_000 * 10**9
MS = 10**6


def lane_of(
    protocol: int = 6,
    *,
    first: str = "10.0.0.0",
    count: int = 8,
    ports: tuple[int, ...] = (401, 3493),
    attempts: int = 3,
    ways: int = 1,
    round_trip: RoundTrip | None = None,
) -> Lane:
    start, gap = parse_address(first), max(500, count)
    flows = TransportFlows(
        template=TEMPLATES[protocol],
        protocol=protocol,
        source=parse_address(SOURCE),
        # Two ranges, with a gap between them.
        addresses=AddressSet.of(
            [(start, start + count // 2 - 1), (start + gap, start + gap - 1 + count - count // 2)]
        ),
        ports=ports,
        key=KEY,
        capacity=4096,
    )
    return Lane(flows, seed=3, attempts=attempts, round_trip=round_trip or RoundTrip(60.0), ways=ways)


def send(lane: Lane, now: float, limit: int = 4096) -> dict[int, bytes]:
    """All probes that may leave now, by task; packet k leaves k milliseconds after the first."""
    sent: dict[int, bytes] = {}
    for way in lane.schedule.ways:
        while (selection := way.take(limit, now)) is not None:
            packets = lane.stamp(selection)
            sent |= {task: row.tobytes() for task, row in zip(selection.tasks.tolist(), packets, strict=True)}
            times = WALL + round(now * 1e9) + MS * np.arange(len(selection), dtype=np.int64)
            way.sent(selection, times, now)
    return sent


def hear(lane: Lane, packets: list[Packet], seconds: float) -> tuple[NDArray[np.int64], Replies]:
    """Hand packets to a lane as if they had come in together at a moment, in seconds."""
    frames = [bytes(packet) for packet in packets]
    lengths = np.array([len(frame) for frame in frames], dtype=np.int64)
    buffer = np.frombuffer(b"".join(frames), dtype=np.uint8)
    times = np.full(len(frames), WALL + round(seconds * 1e9), dtype=np.int64)
    decoded = decode_untrusted(buffer, np.cumsum(lengths) - lengths, lengths, times, 101)
    return lane.hear(Rules().claims(decoded), decoded.arp)


def reply_to(probe: bytes, flags: str = "SA", *, acknowledge: int = 1, ttl: int = 57) -> Packet:
    asked = IP(probe)
    answer = IP(src=asked.dst, dst=asked.src, ttl=ttl)
    if TCP not in asked:
        return answer / UDP(sport=asked.dport, dport=asked.sport)
    number = (asked.seq + acknowledge) & 0xFFFFFFFF
    return answer / TCP(sport=asked.dport, dport=asked.sport, flags=flags, ack=number)


def error_about(probe: bytes, *, sender: str | None = None, code: int = 3) -> Packet:
    asked = IP(probe)
    return IP(src=sender or asked.dst, dst=asked.src, ttl=250) / ICMP(type=3, code=code) / Raw(probe[:28])


def whole(lane: Lane) -> list[Verdict]:
    return list(verdicts(lane.outcomes(0, 0xFFFFFFFF)))


def test_an_answer_decides_its_task() -> None:
    lane = lane_of()
    sent = send(lane, 0.0)
    assert len(sent) == 16
    task = 5
    order = list(sent).index(task)
    evidence, changed = hear(lane, [reply_to(sent[task])], 0.250)
    assert evidence.tolist() == [0]
    assert changed.task.tolist() == [task]
    assert changed.rank.tolist() == [Rank.OPEN]
    assert changed.rtt.tolist() == [250 * MS - order * MS], "from its own probe"
    assert (lane.replies, lane.forged, lane.open, lane.answered) == (1, 0, 1, 1)
    assert lane.ledger.unanswered == 15


@pytest.mark.parametrize("attempt", [0, 1, 2])
def test_the_round_trip_is_from_the_try_that_is_answered(attempt: int) -> None:
    """Karn's problem does not arise: the source port tells which try it is, however late the answer."""
    lane = lane_of(count=2, ports=(401,))
    probes = [send(lane, now)[0] for now in (0.0, 10.0, 30.0)]
    left = [lane.schedule.sent_at(np.array([0]), np.array([k])).item() - WALL for k in range(3)]
    hear(lane, [reply_to(probes[attempt])], 40.0)
    [verdict] = list(verdicts(lane.outcomes_of(np.array([0]))))
    assert verdict.rtt_ms == pytest.approx((40 * 10**9 - left[attempt]) / MS)
    assert verdict.tries == 3


def test_forged_answers_are_counted_and_change_nothing() -> None:
    lane = lane_of()
    sent = send(lane, 0.0)
    probe = sent[0]
    wrong_port = reply_to(probe)
    wrong_port[TCP].dport -= 1
    never_sent = reply_to(probe)
    never_sent[TCP].dport = 49152 + (never_sent[TCP].dport - 49152 + 1) % 16384
    quoting = IP(probe)
    quoting[TCP].seq ^= 1
    forged = [reply_to(probe, acknowledge=2), wrong_port, never_sent, error_about(bytes(quoting))]
    asked = IP(probe)
    ours = [
        IP(src=SOURCE, dst=asked.dst) / TCP(sport=asked.sport, dport=401, flags="R", seq=asked.seq + 1),
        IP(src=SOURCE, dst=asked.dst) / TCP(sport=asked.sport, dport=401, flags="RA", ack=asked.seq + 1),
        IP(probe),
    ]
    before = whole(lane)
    evidence, changed = hear(lane, [*ours, *forged], 0.1)
    assert sorted(evidence.tolist()) == [3, 4, 5, 6], "the forged are evidence, our own are not"
    assert len(changed.task) == 0
    assert (lane.replies, lane.forged, lane.open, lane.answered) == (0, 4, 0, 0)
    assert whole(lane) == before
    assert lane.schedule.due(0.1) > 0.1, "and none of them measured the path"
    hear(lane, [*forged, reply_to(probe, "RA")], 0.2)
    assert (lane.replies, lane.forged) == (1, 8)
    assert whole(lane)[0].state == State.CLOSED


def test_verdicts_of_all_kinds() -> None:
    lane = lane_of(count=3, ports=(401, 3493))
    sent = send(lane, 0.0)
    hear(
        lane,
        [
            reply_to(sent[0]),
            reply_to(sent[1], "RA", ttl=128),
            error_about(sent[2], sender="10.9.9.9", code=13),
            error_about(sent[3]),
            reply_to(sent[4], "S"),
        ],
        0.5,
    )
    found = whole(lane)
    assert [(verdict.ip, verdict.port) for verdict in found] == [
        ("10.0.0.0", 401),
        ("10.0.0.0", 3493),
        ("10.0.1.244", 401),
        ("10.0.1.244", 3493),
        ("10.0.1.245", 401),
        ("10.0.1.245", 3493),
    ]
    assert [(verdict.state, verdict.reason, verdict.ttl, verdict.responder) for verdict in found] == [
        (State.OPEN, Reason.SYN_ACK, 57, "10.0.0.0"),
        (State.CLOSED, Reason.RESET, 128, "10.0.0.0"),
        (State.FILTERED, Reason.ADMIN_PROHIBITED, 250, "10.9.9.9"),
        (State.FILTERED, Reason.PORT_UNREACH, 250, "10.0.1.244"),
        (State.OPEN, Reason.SPLIT_HANDSHAKE_SYN, 57, "10.0.1.245"),
        (State.FILTERED, Reason.NO_RESPONSE, None, None),
    ]
    assert {verdict.proto for verdict in found} == {Protocol.TCP}
    assert {verdict.time for verdict in found[:5]} == {"2023-11-14T22:13:20.500000Z"}
    assert {verdict.tries for verdict in found} == {1}
    order = list(sent).index(5)
    assert found[5].time == f"2023-11-14T22:13:20.00{order}000Z", "of its last probe"
    assert found[5].rtt_ms is None


def test_udp() -> None:
    lane = lane_of(17, count=3, ports=(401,))
    sent = send(lane, 0.0)
    hear(lane, [reply_to(sent[0]), error_about(sent[1])], 0.5)
    assert [(verdict.proto, verdict.state, verdict.reason) for verdict in whole(lane)] == [
        (Protocol.UDP, State.OPEN, Reason.UDP_RESPONSE),
        (Protocol.UDP, State.CLOSED, Reason.PORT_UNREACH),
        (Protocol.UDP, State.OPEN_FILTERED, Reason.NO_RESPONSE),
    ]


def test_a_stronger_answer_replaces_a_weaker_one() -> None:
    lane = lane_of(count=2, ports=(401,))
    sent = send(lane, 0.0)
    _, first = hear(lane, [error_about(sent[0], sender="10.9.9.9", code=1)], 0.1)
    _, second = hear(lane, [reply_to(sent[0])], 0.2)
    _, third = hear(lane, [reply_to(sent[0], "RA"), error_about(sent[0])], 0.3)
    assert [first.rank.tolist(), second.rank.tolist(), third.rank.tolist()] == [[1], [3], []]
    assert (lane.open, lane.replies, lane.answered) == (1, 4, 1)
    [verdict] = list(verdicts(lane.outcomes_of(np.array([0]))))
    assert (verdict.state, verdict.responder) == (State.OPEN, "10.0.0.0")


def test_only_the_first_word_of_a_target_measures_the_path() -> None:
    """A SYN/ACK that is sent again, for want of our reset, would look like a path of many seconds."""
    trip = RoundTrip(60.0)
    lane = lane_of(round_trip=trip)
    sent = send(lane, 0.0)
    hear(lane, [reply_to(sent[task]) for task in range(15)], 0.02)
    assert trip.smoothed is not None
    learnt = trip.smoothed, trip.timeout(0)
    assert learnt[1] < 0.2
    hear(lane, [reply_to(sent[task]) for task in range(15)], 7.0)
    hear(lane, [error_about(sent[15], sender="10.9.9.9", code=1)], 9.0)
    assert (trip.smoothed, trip.timeout(0)) == learnt
    assert trip.timeout(0) >= LEAST_TIMEOUT
    assert (lane.replies, lane.open) == (31, 15)


def test_lanes_do_not_take_each_others_answers() -> None:
    tcp, udp = lane_of(6), lane_of(17)
    other_ports, other_targets = lane_of(6, ports=(80,)), lane_of(6, first="10.7.0.0")
    lanes = [tcp, udp, other_ports, other_targets]
    answers = [[reply_to(probe) for probe in send(lane, 0.0).values()] for lane in lanes]
    mixed = [packet for some in zip(*(answer[:8] for answer in answers), strict=True) for packet in some]
    for number, lane in enumerate(lanes):
        evidence, changed = hear(lane, mixed, 0.1)
        assert sorted(evidence.tolist()) == list(range(number, 32, 4))
        assert len(changed.task) == 8
        assert (lane.replies, lane.forged) == (8, 0)


def test_outcomes_of_a_part() -> None:
    lane = lane_of(count=8, ports=(401, 3493))
    send(lane, 0.0)
    addresses = lane.addresses.chunk(0, 8).tolist()
    for first in (0, *addresses, 0xFFFFFFFF):
        for last in (0, *addresses, 0xFFFFFFFF):
            found = lane.outcomes(first, last)
            expected = [(at, port) for at in addresses if first <= at <= last for port in (401, 3493)]
            assert list(zip(found.address.tolist(), found.port.tolist(), strict=True)) == expected


def test_outcomes_of_some_tasks() -> None:
    lane = lane_of(count=8, ports=(401,))
    sent = send(lane, 0.0)
    hear(lane, [reply_to(sent[task]) for task in (1, 4, 6)], 0.1)
    found = list(verdicts(lane.outcomes_of(np.array([1, 2, 6]))))
    assert [(verdict.ip[:7], verdict.state) for verdict in found] == [
        ("10.0.0.", State.OPEN),
        ("10.0.0.", State.FILTERED),
        ("10.0.1.", State.OPEN),
    ]
    assert len(lane.outcomes_of(np.empty(0, dtype=np.int64))) == 0


def test_nothing_is_said_of_who_was_never_asked() -> None:
    lane = lane_of(count=8, ports=(401,))
    assert whole(lane) == []
    selection = lane.schedule.ways[0].take(3, 0.0)
    assert selection is not None
    lane.stamp(selection)
    lane.schedule.ways[0].sent(selection, np.full(2, WALL, dtype=np.int64), 0.0)
    addresses = lane.addresses.at(np.sort(selection.tasks[:2])).tolist()
    assert [verdict.ip for verdict in whole(lane)] == [format_address(address) for address in addresses]


def test_tries_and_time_of_a_silent_target() -> None:
    lane = lane_of(count=2, ports=(401,))
    for now in (0.0, 10.0, 30.0):
        send(lane, now)
    found = whole(lane)
    assert {verdict.tries for verdict in found} == {3}
    assert {verdict.time[:19] for verdict in found if verdict.time} == {"2023-11-14T22:13:50"}


@pytest.mark.parametrize("ways", [2, 3])
def test_several_ways_ask_what_one_does(ways: int) -> None:
    one, several = lane_of(count=9), lane_of(count=9, ways=ways)
    for now in (0.0, 10.0, 30.0):
        assert send(several, now) == send(one, now)
    assert send(several, 90.0) == {}
    assert [verdict.tries for verdict in whole(several)] == [3] * 18
    assert several.schedule.progress == 1.0
    assert several.schedule.attempts == 3


def test_answers_to_any_of_several_ways_are_timed_by_their_own_probe() -> None:
    lane = lane_of(count=9, ports=(401,), ways=2)
    probes = send(lane, 0.0)
    # Each way has one after the other, a millisecond apart.
    _, changed = hear(lane, [reply_to(probe) for probe in probes.values()], 1.0)
    left = sorted((1000 * MS - changed.rtt).tolist())
    assert left == sorted([k * MS for k in range(5)] + [k * MS for k in range(4)])
    assert lane.schedule.finished(1.0)
    assert lane.schedule.due(1.0) == float("inf")


def test_up_to_when_all_ways_have_asked_again() -> None:
    lane = lane_of(count=9, ports=(401,), ways=2)
    send(lane, 0.0)
    first, second = lane.schedule.ways
    for way, now in ((first, 70.0), (second, 80.0)):
        assert lane.schedule.asked_again(0) == 0.0, "nobody, or only half of them"
        selection = way.take(100, now)
        assert selection is not None
        way.sent(selection, np.full(len(selection), WALL, dtype=np.int64), now)
    assert lane.schedule.asked_again(0) == float("inf")


def test_whoever_paces_by_the_host_has_one_way() -> None:
    flows = lane_of().flows
    pace = HostPace(8, 100.0)
    lane = Lane(flows, seed=3, attempts=1, round_trip=RoundTrip(60.0), hosts=pace, ways=2)
    assert len(lane.schedule.ways) == 1


def test_a_busy_turn() -> None:
    """More targets than a batch, all of them answered at once."""
    lane = lane_of(count=10_000, ports=(401,))
    sent = send(lane, 0.0)
    rows = np.stack([np.frombuffer(probe, dtype=np.uint8) for probe in sent.values()])
    answers = rows.copy()
    answers[:, 12:16], answers[:, 16:20] = rows[:, 16:20], rows[:, 12:16]
    answers[:, 20:22], answers[:, 22:24] = rows[:, 22:24], rows[:, 20:22]
    number = rows[:, 24:28].copy().view(">u4") + np.uint32(1)
    answers[:, 28:32] = number.astype(">u4").view(np.uint8)
    answers[:, 33] = 0x12
    _, changed = hear(lane, list(map(bytes, answers)), 5.0)  # type: ignore[arg-type]
    assert changed.task.tolist() == list(range(10_000))
    assert (lane.forged, lane.ledger.unanswered) == (0, 0)
    assert lane.schedule.finished(5.0)


def test_hearing_nothing() -> None:
    lane = lane_of()
    evidence, changed = hear(lane, [], 0.0)
    assert len(evidence) == len(changed.task) == 0
