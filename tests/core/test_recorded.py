"""What a capture says of ports, against a plain reading of the same packets, one by one."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.packet import Packet, Raw

from scanner.core import recorded, runs, thinning
from scanner.core.addresses import parse_address
from scanner.core.decode import decode_untrusted
from scanner.core.outcomes import HINTS, NOTES, in_address_order
from scanner.core.packets import Decoded
from scanner.core.recorded import Judgement, Question, RecordedTraffic
from scanner.core.rules import Rank
from scanner.model import REASONS, Reason
from tests.core.memory_scratch import MemoryScratch

PROBER, TARGET, ROUTER = "10.0.0.1", "10.50.3.4", "10.9.9.9"
MS = 1_000_000

Timed = tuple[int, Packet]


class Found(NamedTuple):
    address: int
    protocol: int
    port: int
    rank: Rank
    reason: Reason
    tries: int
    responder: int
    rtt: int
    time: int


def decoded(packets: list[Timed]) -> Decoded:
    frames = [bytes(packet) for _, packet in packets]
    lengths = np.array([len(frame) for frame in frames], dtype=np.int64)
    buffer = np.frombuffer(b"".join(frames), dtype=np.uint8)
    times = np.array([time for time, _ in packets], dtype=np.int64)
    return decode_untrusted(buffer, np.cumsum(lengths) - lengths, lengths, times, 101)


def ports_asked(*ports: int) -> NDArray[np.bool_]:
    asked = np.zeros(65536, dtype=np.bool_)
    asked[list(ports)] = True
    return asked


def judged(packets: list[Timed], *ports: int, chunk: int = 1 << 30, heard: bool = True, **more) -> Judgement:
    traffic = RecordedTraffic(Question(ports_asked(*(ports or (401,))), **more), MemoryScratch())
    for begin in range(0, len(packets), chunk):
        traffic.add(decoded(packets[begin : begin + chunk]), begin)
    return traffic.judge(lambda numbers: np.full(len(numbers), heard))


def outcomes(judgement: Judgement) -> Iterator[dict[str, Any]]:
    for piece in in_address_order([judgement.store]):
        for row in range(len(piece)):
            yield {name: getattr(piece, name)[row] for name in piece.__slots__}


def found(judgement: Judgement) -> list[Found]:
    return [
        Found(
            int(row["address"]), int(row["protocol"]), int(row["port"]), Rank(row["rank"]),
            REASONS[row["reason"]], int(row["tries"]), int(row["responder"]), int(row["rtt"]),
            int(row["time"]),
        )
        for row in outcomes(judgement)
    ]  # fmt: skip


def only(packets: list[Timed], *ports: int, **more) -> dict[str, Any]:
    [row] = outcomes(judged(packets, *ports, **more))
    return row


def syn(sport: int = 51000, seq: int = 100, dst: str = TARGET, src: str = PROBER, dport: int = 401) -> Packet:
    return IP(src=src, dst=dst) / TCP(sport=sport, dport=dport, flags="S", seq=seq)


def reply(flags: str = "SA", ack: int = 101, sport: int = 51000, src: str = TARGET) -> Packet:
    return IP(src=src, dst=PROBER) / TCP(sport=401, dport=sport, flags=flags, ack=ack, seq=9)


def own(flags: str, seq: int = 101, data: bytes = b"") -> Packet:
    """What the prober says after its SYN."""
    return IP(src=PROBER, dst=TARGET) / TCP(sport=51000, dport=401, flags=flags, seq=seq, ack=10) / Raw(data)


def error(quoted: Packet, code: int = 1, src: str = ROUTER) -> Packet:
    return IP(src=src, dst=PROBER) / ICMP(type=3, code=code) / Raw(bytes(quoted)[:28])


# --- captures that show one way only -------------------------------------------------------------


@pytest.mark.parametrize(
    ("then", "note"),
    [
        ([], ""),
        ([own("R")], "open-inferred"),
        ([own("RA")], "open-inferred"),
        ([own("A")], "open-inferred"),
        ([own("R", seq=100)], ""),
        ([own("A", seq=102)], ""),
        ([own("PA", data=b"x")], ""),
        ([own("SA")], ""),
    ],
)
def test_what_the_prober_says_next_betrays_an_open_port(then: list[Packet], note: str) -> None:
    row = only([(10, syn()), *((20 + at, packet) for at, packet in enumerate(then))], heard=False)
    assert (row["rank"], REASONS[row["reason"]]) == (Rank.UNANSWERED, Reason.NO_RESPONSE)
    assert NOTES[row["note"]] == note
    assert HINTS[row["hint"]] == "one-way capture: no inbound packets on this link"


def test_where_others_are_heard_the_hint_speaks_of_the_target_alone() -> None:
    row = only([(10, syn()), (20, own("R"))], heard=True)
    assert NOTES[row["note"]] == "open-inferred"
    assert HINTS[row["hint"]] == "one-way capture: no inbound packets from this target"


def test_silence_alone_is_no_one_way_capture() -> None:
    row = only([(10, syn())], heard=True)
    assert (row["note"], row["hint"]) == (0, 0)


@pytest.mark.parametrize("one_is", [False, True])
def test_of_however_many_probers_few_are_asked_about_at_once(one_is: bool, monkeypatch) -> None:
    """A flood has a prober for every packet; whether any of them was sent something, all hints depend on."""
    monkeypatch.setattr(recorded, "_HELD", 8)
    monkeypatch.setattr(runs, "_SAMPLED", 2)
    lucky = parse_address("10.0.0.255") if one_is else 0
    asked: list[int] = []

    def heard(numbers: NDArray[np.uint32]) -> NDArray[np.bool_]:
        asked.append(len(numbers))
        return np.isin(numbers, [lucky])

    traffic = RecordedTraffic(Question(ports_asked(401), per_prober=True), MemoryScratch())
    for begin in range(0, 300, 6):
        sources = [f"10.0.{number // 256}.{number % 256}" for number in range(begin, begin + 6)]
        traffic.add(decoded([(begin, syn(src=source)) for source in sources]), begin)
    rows = list(outcomes(traffic.judge(heard)))
    assert sum(asked) == 300
    assert max(asked) <= 3 * 8
    hints = {HINTS[row["hint"]] for row in rows if row["prober"] != lucky}
    assert hints == {f"one-way capture: no inbound packets {'to this prober' if one_is else 'on this link'}"}


@pytest.mark.parametrize("answer", [reply(), reply("RA")])
def test_where_the_answer_was_captured_nothing_is_inferred(answer: Packet) -> None:
    row = only([(10, syn()), (20, answer), (30, own("R"))], heard=False)
    assert (row["note"], row["hint"]) == (0, 0)


@pytest.mark.parametrize("backwards", [False, True])
def test_what_the_target_said_before_the_probe_hides_nothing_that_it_says_later(backwards: bool) -> None:
    packets = [(5, reply("A")), (10, syn()), (20, reply("A")), (30, own("A"))]
    row = only(packets[::-1] if backwards else packets, heard=True)
    assert (row["note"], row["hint"]) == (0, 0)


def test_a_probe_that_begins_at_zero_is_like_any_other() -> None:
    packets = [
        (10, syn(seq=0)),
        (20, own("R", seq=1)),
        (30, syn(seq=0)),
        (40, reply("A", ack=1)),
        (50, own("A", seq=1)),
    ]
    assert only(packets, heard=True)["note"] == 0


def test_the_prober_of_an_earlier_connection_betrays_nothing() -> None:
    assert only([(5, own("A")), (10, syn())], heard=True)["note"] == 0
    assert NOTES[only([(5, own("A")), (10, syn()), (20, own("A"))], heard=True)["note"]] == "open-inferred"


def test_whoever_is_refused_on_the_way_and_yet_answered() -> None:
    row = only([(10, syn()), (20, error(syn())), (30, own("R"))], heard=True)
    assert (row["rank"], NOTES[row["note"]], row["hint"]) == (Rank.FILTERED, "open-inferred", 0)


# --- what came before ----------------------------------------------------------------------------


def test_a_refusal_and_a_later_accept_are_both_told() -> None:
    packets = [(10, syn()), (20, reply("RA")), (30, syn(51001)), (40, reply(sport=51001)), (50, reply("RA"))]
    row = only(packets)
    assert (row["rank"], row["time"]) == (Rank.OPEN, 40)
    [earlier] = row["superseded"]
    assert earlier[:2] == (Rank.CLOSED, REASONS.index(Reason.RESET))
    assert earlier[3:] == (parse_address(TARGET), 20)


def test_whoever_asks_again_with_another_number_may_be_answered_what_it_asked_first() -> None:
    packets: list[Timed] = [
        (10 * MS, syn(seq=100)),
        (1000 * MS, syn(seq=500)),
        (1200 * MS, reply(ack=101)),
    ]
    judgement = judged(packets)
    [row] = found(judgement)
    assert (row.rank, row.tries, row.rtt, judgement.forged) == (Rank.OPEN, 2, 1190 * MS, 0)


def test_a_land_attack_opens_nothing() -> None:
    """A SYN from the address and port that it goes to, perhaps again and again (CERT CA-1997-28)."""
    packets: list[Timed] = [(place * 100 * MS, syn(401, src=TARGET)) for place in range(3)]
    for count in (1, 3):
        row = only(packets[:count], heard=False)
        assert (row["rank"], row["tries"]) == (Rank.UNANSWERED, count)
    accepted = IP(src=TARGET, dst=TARGET) / TCP(sport=401, dport=401, flags="SA", ack=101)
    assert only([*packets, (400 * MS, accepted)])["rank"] == Rank.OPEN


def test_mirrored_frames_are_one_try() -> None:
    packets = [(10, syn()), (11, syn()), (30, reply()), (31, reply())]
    assert only(packets)["tries"] == 1
    assert only([(10, syn()), (10 + 200 * MS, syn())])["tries"] == 2


# --- selection -----------------------------------------------------------------------------------


def is_address(*addresses: str):
    return lambda numbers: np.isin(numbers, [parse_address(address) for address in addresses])


def test_probers_and_targets_may_be_chosen() -> None:
    other = "10.0.0.2"
    packets = [(10, syn()), (20, syn(src=other)), (30, syn(dst=ROUTER)), (40, reply())]
    assert len(found(judged(packets))) == 2
    [row] = found(judged(packets, target=is_address(ROUTER)))
    assert row.address == parse_address(ROUTER)
    [row] = found(judged(packets, prober=is_address(other)))
    assert (row.rank, row.tries) == (Rank.UNANSWERED, 1)


def test_an_outcome_for_each_prober() -> None:
    other = "10.0.0.2"
    packets = [(10, syn(src=other)), (20, syn()), (30, reply())]
    assert [row.rank for row in found(judged(packets))] == [Rank.OPEN]
    rows = list(outcomes(judged(packets, per_prober=True)))
    assert [(row["prober"], row["rank"]) for row in rows] == [
        (parse_address(PROBER), Rank.OPEN),
        (parse_address(other), Rank.UNANSWERED),
    ]


# --- any capture ---------------------------------------------------------------------------------

HOSTS = ("10.0.0.1", "10.0.0.2", "10.0.1.0")
PORTS = (401, 5000)

hosts, ports = st.sampled_from(HOSTS), st.sampled_from(PORTS)
moments = st.integers(0, 20).map(lambda time: time * 100 * MS)


@st.composite
def packets_of(draw) -> Timed:
    src, dst, sport, dport = draw(hosts), draw(hosts), draw(ports), draw(ports)
    number = draw(st.integers(0, 1)) * 1000
    kind = draw(st.sampled_from(["syn", "syn-ack", "reset", "udp", "error", "ack"]))
    if kind == "udp":
        packet = IP(src=src, dst=dst) / UDP(sport=sport, dport=dport)
    elif kind == "error":
        layer: Packet = TCP(sport=dport, dport=sport, seq=number)
        if draw(st.booleans()):
            layer = UDP(sport=dport, dport=sport)
        packet = IP(src=draw(hosts), dst=dst) / ICMP(type=3, code=draw(st.sampled_from([1, 3])))
        packet /= Raw(bytes(IP(src=dst, dst=src) / layer)[:28])
    else:
        flags = {"syn": "S", "syn-ack": "SA", "reset": "RA", "ack": "A"}[kind]
        packet = IP(src=src, dst=dst) / TCP(sport=sport, dport=dport, flags=flags, seq=number, ack=number + 1)
    return draw(moments), packet


def opens(packet: Packet) -> bool:
    """Whether it may be a probe."""
    if ICMP in packet:
        return False
    return bool(packet.proto == 17 or packet[TCP].flags == "S")


def plainly(packets: list[Timed], asked: set[int]) -> list[Found]:
    """The rules, one packet at a time, in plain words."""
    ordered = [(time, place, packet) for place, (time, packet) in enumerate(packets)]
    ordered.sort(key=lambda item: item[:2])

    def ends(packet):
        layer = packet[TCP] if TCP in packet else packet[UDP]
        return (packet.src, layer.sport), (packet.dst, layer.dport)

    def asks(packet):
        return opens(packet) and ends(packet)[1][1] in asked

    leaders: dict[tuple[int, frozenset[object]], object] = {}
    for _, _, packet in ordered:
        # A datagram to another port may be of a talk that began earlier; a SYN begins one.
        if asks(packet) or (opens(packet) and packet.proto == 6):
            here, there = ends(packet)
            leaders.setdefault((packet.proto, frozenset({here, there})), here)
    probes: dict[tuple[int, object, object], list[tuple[int, int]]] = {}
    tries: dict[tuple[int, int, int], list[tuple[int, object]]] = {}
    for time, _, packet in ordered:
        if asks(packet):
            here, there = ends(packet)
            if leaders[packet.proto, frozenset({here, there})] == here:
                number = packet[TCP].seq if packet.proto == 6 else 0
                probes.setdefault((packet.proto, here, there), []).append((time, number))
                target = parse_address(there[0]), packet.proto, there[1]
                tries.setdefault(target, []).append((time, (here, number)))
    decided: dict[tuple[int, int, int], Found] = {}
    for time, _, packet in ordered:
        claim = claimed(packet, ends)
        if claim is None or (opens(packet) and len({*ends(packet)}) == 1):
            continue
        protocol, here, there, rank, reason, check = claim
        earlier = probes.get((protocol, here, there), [])
        before = [item for item in earlier if item[0] <= time and check(item[1])]
        if not before:
            continue
        target = parse_address(there[0]), protocol, there[1]
        known = decided.get(target)
        if known is None or rank > known.rank:
            rtt = time - before[-1][0]
            decided[target] = Found(*target, rank, reason, 0, parse_address(packet.src), rtt, time)
    result = []
    for target, sent in sorted(tries.items()):
        silent = Found(*target, Rank.UNANSWERED, Reason.NO_RESPONSE, 0, -1, -1, max(time for time, _ in sent))
        # Two packets of one instant, alike in everything, are one and its copy.
        result.append(decided.get(target, silent)._replace(tries=len(set(sent))))
    return result


def claimed(packet, ends):
    """What a packet claims: of which probe, what, and what the probe's number must be."""
    if ICMP in packet:
        quoted = bytes(packet[Raw])
        protocol = quoted[9]
        sport, dport, number = struct.unpack("!HHI", quoted[20:28])
        here, there = (str(IPv4Address(quoted[12:16])), sport), (str(IPv4Address(quoted[16:20])), dport)
        rank, reason = Rank.FILTERED, Reason.HOST_UNREACH
        if packet[ICMP].code == 3:
            reason = Reason.PORT_UNREACH
            rank = Rank.CLOSED if protocol == 17 and packet.src == there[0] else Rank.FILTERED
        return protocol, here, there, rank, reason, lambda asked: protocol == 17 or asked == number
    there, here = ends(packet)
    if packet.proto == 17:
        return 17, here, there, Rank.OPEN, Reason.UDP_RESPONSE, lambda _: True
    said = packet[TCP].ack - 1
    flags = str(packet[TCP].flags)
    if flags == "SA":
        return 6, here, there, Rank.OPEN, Reason.SYN_ACK, lambda number: number == said
    if flags == "RA":
        return 6, here, there, Rank.CLOSED, Reason.RESET, lambda number: said in (number, number - 1)
    if flags == "S":
        return 6, here, there, Rank.OPEN, Reason.SPLIT_HANDSHAKE_SYN, lambda _: True
    return None


def between(src: str, dst: str, flags: str = "S", number: int = 0) -> Packet:
    """A segment from port 401 to port 401."""
    return IP(src=src, dst=dst) / TCP(sport=401, dport=401, flags=flags, seq=number, ack=number + 1)


# Two answers of one moment, from flows of which the second has the lower hash.
AT_ONCE: list[Timed] = [
    (0, between(HOSTS[1], HOSTS[2])),
    (100 * MS, between(HOSTS[2], HOSTS[1])),
    (100 * MS, between(HOSTS[2], HOSTS[2])),
]
# That a port is open, one flow of it tells, and another has a number that its probe had not.
IN_ANOTHER_FLOW: list[Timed] = [
    *((0, between(HOSTS[0], HOSTS[0], "SA")) for _ in range(3)),
    (0, between(HOSTS[0], HOSTS[1])),
    (0, between(HOSTS[0], HOSTS[1], number=1000)),
    (0, between(HOSTS[1], HOSTS[1])),
    *((0, between(HOSTS[0], HOSTS[0])) for _ in range(6)),
    *((0, between(HOSTS[0], HOSTS[0], "SA")) for _ in range(4)),
    (100 * MS, between(HOSTS[0], HOSTS[1])),
    (0, between(HOSTS[1], HOSTS[0], "RA")),
]


@settings(max_examples=200, deadline=None)
@example(AT_ONCE, {401})
@given(st.lists(packets_of(), max_size=30), st.sampled_from([{401}, {401, 5000}]))
def test_against_a_plain_reading(packets: list[Timed], asked: set[int]) -> None:
    assert found(judged(packets, *asked)) == plainly(packets, asked)


@settings(max_examples=100, deadline=None)
@example(IN_ANOTHER_FLOW, {401}, 1, 256)
@example([AT_ONCE[0], *AT_ONCE], {401}, 1, 256)
@given(
    st.lists(packets_of(), max_size=40),
    st.sampled_from([{401}, {401, 5000}]),
    st.integers(1, 9),
    st.sampled_from([1, 2, 256]),
)
def test_the_judgement_is_the_same_in_pieces_on_disk(packets, asked, chunk, sampled) -> None:
    whole = judged(packets, *asked)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recorded, "_HELD", 3)
        patch.setattr(runs, "_SAMPLED", sampled)
        patch.setattr(runs, "_MERGED", 3)
        pieces = judged(packets, *asked, chunk=chunk)
        assert found(pieces) == found(whole)
    assert pieces.forged == whole.forged


@settings(max_examples=200, deadline=None)
@given(st.lists(packets_of().filter(lambda item: item[1].proto != 6), max_size=40), st.integers(1, 40))
def test_long_talk_made_short_says_the_same(packets, chunk) -> None:
    asked = {401, 5000}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(thinning, "LONG", 1)
        short = judged(packets, *asked, chunk=chunk)
    plain = [row._replace(tries=0) for row in plainly(packets, asked)]
    assert [row._replace(tries=0) for row in found(short)] == plain


def test_of_long_talk_little_is_kept() -> None:
    there = IP(src=PROBER, dst=TARGET) / UDP(sport=51000, dport=401)
    back = IP(src=TARGET, dst=PROBER) / UDP(sport=401, dport=51000)
    packets: list[Timed] = [(at * 100 * MS, back if at % 3 == 1 else there) for at in range(300)]
    traffic = RecordedTraffic(Question(ports_asked(401)), MemoryScratch())
    traffic.add(decoded(packets), 0)
    assert traffic.kept < 12
    [row] = outcomes(traffic.judge(lambda numbers: np.ones(len(numbers), dtype=np.bool_)))
    assert (row["tries"], row["rank"], row["time"], row["rtt"]) == (200, Rank.OPEN, 100 * MS, 100 * MS)
