"""Which recorded probe a claim answers, against the plain rule: the last of its flow that it names."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.packet import Packet, Raw

from scanner.core.addresses import parse_address
from scanner.core.decode import decode_untrusted
from scanner.core.flowtable import Joined, Probes, candidate_probes, copies, join, to_themselves
from scanner.core.packets import MIRRORED, Decoded
from scanner.core.rules import Check, Claims, Rules

PROBER, TARGET, ROUTER = "10.0.0.1", "10.50.3.4", "10.9.9.9"

Timed = tuple[int, Packet]


def decoded(packets: list[Timed]) -> Decoded:
    """Packets as they stand in a capture: time in ns, and the packet."""
    frames = [bytes(packet) for _, packet in packets]
    lengths = np.array([len(frame) for frame in frames], dtype=np.int64)
    buffer = np.frombuffer(b"".join(frames), dtype=np.uint8)
    times = np.array([time for time, _ in packets], dtype=np.int64)
    return decode_untrusted(buffer, np.cumsum(lengths) - lengths, lengths, times, 101)


def ports_asked(*ports: int) -> NDArray[np.bool_]:
    asked = np.zeros(65536, dtype=np.bool_)
    asked[list(ports)] = True
    return asked


def read(packets: list[Timed], *ports: int) -> tuple[Probes, Claims, Joined]:
    """As a capture is read: what may be probes, claims, and which belong together."""
    found, asked = decoded(packets), ports_asked(*(ports or (401,)))
    probes, claims = candidate_probes(found, asked), Rules().claims(found)
    return probes, claims, join(probes, claims, asked)


def true_probes(packets: list[Timed], *ports: int) -> Probes:
    probes, _, joined = read(packets, *ports)
    return probes.take(joined.true)


def pairs(packets: list[Timed], *ports: int) -> list[tuple[int, int, bool]]:
    """For each claim that belongs to a probe: frame of the claim, time of the probe, genuine."""
    probes, claims, answered = read(packets, *ports)
    return sorted(
        zip(
            claims.frame[answered.row].tolist(),
            probes.times[answered.probe].tolist(),
            answered.genuine.tolist(),
            strict=True,
        )
    )


def syn(sport: int = 51000, seq: int = 100, dport: int = 401, src: str = PROBER, dst: str = TARGET) -> Packet:
    return IP(src=src, dst=dst) / TCP(sport=sport, dport=dport, flags="S", seq=seq)


def syn_ack(sport: int = 51000, ack: int = 101, flags: str = "SA") -> Packet:
    return IP(src=TARGET, dst=PROBER) / TCP(sport=401, dport=sport, flags=flags, ack=ack)


def datagram(sport: int = 51000, dport: int = 401, src: str = PROBER, dst: str = TARGET) -> Packet:
    return IP(src=src, dst=dst) / UDP(sport=sport, dport=dport)


def error_about(probe: Packet, sender: str = ROUTER) -> Packet:
    return IP(src=sender, dst=PROBER) / ICMP(type=3, code=1) / Raw(bytes(probe)[:28])


# --- who asked ----------------------------------------------------------------------------------


def test_candidates_are_opening_segments_and_datagrams_to_the_ports_asked_about() -> None:
    packets: list[Packet] = [
        syn(),
        syn(dport=402),
        syn_ack(),
        IP(src=PROBER, dst=TARGET) / TCP(sport=51000, dport=401, flags="SR"),
        IP(src=PROBER, dst=TARGET) / TCP(sport=51000, dport=401, flags="A"),
        IP(src=PROBER, dst=TARGET) / TCP(sport=51001, dport=401, flags="SEC", seq=7),
        datagram(sport=5),
        datagram(dport=402),
        error_about(datagram()),
    ]
    found = candidate_probes(decoded(list(enumerate(packets))), ports_asked(401))
    rows = [getattr(found, name).tolist() for name in found.__slots__]
    prober, target = parse_address(PROBER), parse_address(TARGET)
    assert list(zip(*rows, strict=True)) == [
        (0, 0, 6, prober, target, 51000, 401, 0, 100, 1, 0, 1),
        (5, 5, 6, prober, target, 51001, 401, 0, 7, 1, 0, 1),
        (6, 6, 17, prober, target, 5, 401, 0, 0, 1, 0, 1),
    ]
    nothing = Probes.none()
    for name in found.__slots__:
        assert getattr(found, name).dtype == getattr(nothing, name).dtype, name


def test_who_spoke_first_is_the_prober() -> None:
    """A split handshake: the target's own SYN goes to a port that is asked about as well."""
    packets: list[Timed] = [
        (10, syn(sport=3493)),
        (20, syn(sport=401, dport=3493, src=TARGET, dst=PROBER, seq=900)),
        (30, syn(sport=3493)),
    ]
    probes, claims, answered = read(packets, 401, 3493)
    assert probes.times[answered.true].tolist() == [10, 30]
    assert claims.frame[answered.row].tolist() == [1]
    assert probes.times[answered.probe].tolist() == [10]
    assert answered.genuine.tolist() == [True]


def test_who_spoke_first_by_time_and_not_by_place_in_the_file() -> None:
    packets: list[Timed] = [
        (20, datagram(sport=401, dport=3493, src=TARGET, dst=PROBER)),
        (10, datagram(sport=3493)),
    ]
    assert true_probes(packets, 401, 3493).prober.tolist() == [parse_address(PROBER)]
    assert pairs(packets, 401, 3493) == [(0, 10, True)]


def test_of_equal_times_the_first_in_the_file_spoke_first() -> None:
    there, back = datagram(sport=3493), datagram(sport=401, dport=3493, src=TARGET, dst=PROBER)
    for first, second in ((there, back), (back, there)):
        probes = true_probes([(10, first), (10, second)], 401, 3493)
        assert probes.prober.tolist() == [parse_address(first.src)]


def test_a_syn_from_a_port_asked_about_to_another_makes_its_sender_the_prober() -> None:
    packets = [
        (10, syn(sport=401, dport=80)),
        (20, syn(sport=80, dport=401, src=TARGET, dst=PROBER, seq=900)),
    ]
    assert len(candidate_probes(decoded(packets), ports_asked(401))) == 1
    assert len(true_probes(packets, 401)) == 0
    assert true_probes(packets, 80, 401).prober.tolist() == [parse_address(PROBER)]


def test_a_datagram_from_a_port_asked_about_may_be_of_a_talk_that_began_earlier() -> None:
    packets = [
        (10, datagram(sport=401, dport=51000, src=TARGET, dst=PROBER)),
        (20, datagram()),
        (30, datagram(sport=401, dport=51000, src=TARGET, dst=PROBER)),
    ]
    assert pairs(packets, 401) == [(2, 20, True)]


def test_each_flow_has_its_own_prober() -> None:
    packets: list[Timed] = [
        (10, datagram(sport=3493)),
        (20, datagram(sport=401, dport=3493, src=TARGET, dst=PROBER)),
        (30, datagram(sport=401, dport=3494, src=TARGET, dst=PROBER)),
        (40, syn(sport=401, dport=3493, src=TARGET, dst=PROBER)),
    ]
    probes = true_probes(packets, 401, 3493, 3494)
    assert sorted(probes.times.tolist()) == [10, 30, 40]


def test_what_goes_to_the_port_that_it_comes_from_answers_nothing() -> None:
    own = IP(src=TARGET, dst=TARGET)
    packets: list[Packet] = [
        datagram(sport=401, src=TARGET),
        syn(sport=401, src=TARGET),
        own / TCP(sport=401, dport=401, flags="SA", ack=101),
        own / TCP(sport=401, dport=402, flags="S"),
        syn(sport=401),
        datagram(),
    ]
    found = decoded(list(enumerate(packets)))
    assert len(candidate_probes(found, ports_asked(401))) == 4
    claims = Rules().claims(found)
    frames = claims.frame[to_themselves(claims)]
    assert sorted(frames.tolist()) == [0, 1]


# --- what belongs to what -----------------------------------------------------------------------


def test_an_answer_belongs_to_the_last_probe_before_it() -> None:
    packets: list[Timed] = [
        (10, syn()),
        (20, syn()),
        (25, syn_ack()),
        (30, syn()),
        (35, syn_ack()),
        (9, syn_ack()),
    ]
    assert pairs(packets) == [(2, 20, True), (4, 30, True)], "and what came before all probes to none"


def test_a_reply_as_old_as_its_probe_belongs_to_it() -> None:
    for packets in ([(10, syn()), (10, syn_ack())], [(10, syn_ack()), (10, syn())]):
        [(_, time, genuine)] = pairs(packets)
        assert (time, genuine) == (10, True)


@pytest.mark.parametrize(
    ("reply", "genuine"),
    [
        (syn_ack(ack=101), True),
        (syn_ack(ack=100), False),
        (syn_ack(ack=102), False),
        (syn_ack(ack=101, flags="RA"), True),
        (syn_ack(ack=100, flags="RA"), True),
        (syn_ack(ack=99, flags="RA"), False),
        (syn_ack(ack=0, flags="S"), True),
        (error_about(syn(seq=100)), True),
        (error_about(syn(seq=101)), False),
    ],
)
def test_the_number_must_be_the_probes(reply: Packet, genuine: bool) -> None:
    assert pairs([(10, syn(seq=100)), (20, reply)]) == [(1, 10, genuine)]


def test_a_reply_belongs_to_the_earlier_probe_whose_number_it_names() -> None:
    """As of nmap, which from a port of the user's (-g) asks again with another number."""
    packets: list[Timed] = [
        (10, syn(seq=100)),
        (20, syn(seq=500)),
        (30, syn_ack(ack=101)),
        (40, syn_ack(ack=501)),
        (50, syn_ack(ack=301)),
        (60, error_about(syn(seq=100))),
        (70, syn_ack(ack=100, flags="RA")),
        (80, syn_ack(ack=100)),
    ]
    assert pairs(packets) == [
        (2, 10, True),
        (3, 20, True),
        (4, 20, False),
        (5, 10, True),
        (6, 10, True),
        (7, 20, False),
    ]


def test_of_several_earlier_probes_with_one_number_it_is_the_last() -> None:
    packets: list[Timed] = [
        (5, syn_ack(ack=101)),
        (10, syn(seq=100)),
        (20, syn(seq=100)),
        (30, syn(seq=500)),
        (40, syn_ack(ack=101)),
        (50, syn(seq=100)),
    ]
    assert pairs(packets) == [(4, 20, True)]
    assert pairs([(10, syn(sport=6, seq=100)), (20, syn(seq=100)), (30, syn(seq=5)), (40, syn_ack())]) == [
        (3, 20, True)
    ]


def test_data_of_the_first_syn_may_be_acknowledged_after_one_without() -> None:
    """Of TCP Fast Open (RFC 7413): what is sent again has none."""
    packets = [(10, with_data(syn(seq=100), 10)), (20, syn(seq=100)), (30, syn_ack(ack=111))]
    assert pairs([*packets, (40, syn_ack(ack=101))]) == [(2, 10, True), (3, 20, True)]


@pytest.mark.parametrize(
    ("ack", "flags", "time"),
    [
        (101, "SA", 10),
        (111, "SA", 10),
        (111, "RA", 10),
        (100, "RA", 10),
        (106, "SA", 10),
        (112, "SA", None),
    ],
)
def test_an_earlier_syn_may_have_had_data(ack: int, flags: str, time: int | None) -> None:
    packets = [(10, with_data(syn(seq=100), 10)), (20, syn(seq=500)), (30, syn_ack(ack=ack, flags=flags))]
    assert pairs(packets) == [(2, 20 if time is None else time, time is not None)]


@pytest.mark.parametrize(
    "stranger",
    [
        syn_ack(sport=51001),
        IP(src=TARGET, dst=PROBER) / TCP(sport=402, dport=51000, flags="SA", ack=101),
        IP(src=ROUTER, dst=PROBER) / TCP(sport=401, dport=51000, flags="SA", ack=101),
        IP(src=TARGET, dst=ROUTER) / TCP(sport=401, dport=51000, flags="SA", ack=101),
        datagram(sport=401, dport=51000, src=TARGET, dst=PROBER),
        error_about(datagram()),
        error_about(syn(dst=ROUTER)),
        syn(),
    ],
)
def test_what_is_of_another_flow_belongs_to_none(stranger: Packet) -> None:
    assert pairs([(10, syn()), (20, stranger)]) == []


def test_errors_belong_to_the_probe_they_quote() -> None:
    packets: list[Timed] = [
        (10, datagram()),
        (20, datagram(sport=51001)),
        (30, error_about(datagram(sport=51001))),
        (40, error_about(datagram(), sender=TARGET)),
    ]
    assert pairs(packets) == [(2, 20, True), (3, 10, True)]


def test_nothing_recorded() -> None:
    for packets in ([], [(10, syn_ack())], [(10, syn())]):
        _, _, answered = read(packets)
        assert [len(getattr(answered, name)) for name in ("row", "probe", "genuine")] == [0, 0, 0]


def test_some_and_all_of_several() -> None:
    probes, _, _ = read([(10, syn()), (20, syn(sport=6)), (30, syn(sport=7))])
    both = Probes.concatenate([probes.take(np.array([2])), probes.take(probes.times < 30)])
    assert both.times.tolist() == [30, 10, 20]


# --- what else may be in it ----------------------------------------------------------------------


def with_data(packet: Packet, count: int) -> Packet:
    return packet / Raw(b"x" * count)


@pytest.mark.parametrize(
    ("ack", "genuine"), [(100, False), (101, True), (105, True), (111, True), (112, False)]
)
def test_data_in_a_syn_may_be_acknowledged_as_far_as_it_goes(ack: int, genuine: bool) -> None:
    """RFC 7413, 4.2.2: the SYN alone, or data as well."""
    assert pairs([(10, with_data(syn(seq=100), 10)), (20, syn_ack(ack=ack))]) == [(1, 10, genuine)]


@pytest.mark.parametrize(
    ("flags", "ack", "genuine"), [("SF", 102, True), ("SFPU", 102, True), ("S", 102, False)]
)
def test_a_fin_counts_as_a_byte(flags: str, ack: int, genuine: bool) -> None:
    """RFC 9293, 3.4: as nmap asks with --scanflags SYNFIN, and is refused."""
    probe = IP(src=PROBER, dst=TARGET) / TCP(sport=51000, dport=401, flags=flags, seq=100)
    assert pairs([(10, probe), (20, syn_ack(ack=ack, flags="RA"))]) == [(1, 10, genuine)]
    assert pairs([(10, probe), (20, syn_ack(ack=101))]) == [(1, 10, True)]


def test_an_error_quotes_the_syns_own_number_whatever_data_it_had() -> None:
    probe = with_data(syn(seq=100), 10)
    assert pairs([(10, probe), (20, error_about(syn(seq=105)))]) == [(1, 10, False)]
    assert pairs([(10, probe), (20, error_about(probe))]) == [(1, 10, True)]


def test_probe_and_reply_travel_in_one_tunnel() -> None:
    found = decoded([(10, syn()), (20, syn_ack())])
    probes, claims = candidate_probes(found, ports_asked(401)), Rules().claims(found)
    for there, back, together in ((0, 0, 1), (5, 5, 1), (5, 6, 0), (0, 5, 0), (5, 0, 0)):
        out = replace(probes, tunnel=np.full(len(probes), there, dtype=np.uint32))
        came = replace(claims, tunnel=np.full(len(claims), back, dtype=np.uint32))
        assert len(join(out, came, ports_asked(401)).row) == together, (there, back)


@pytest.mark.parametrize(
    ("later", "other", "copied"),
    [
        (0, syn(), True),
        (MIRRORED, syn(), True),
        (MIRRORED + 1, syn(), False),
        (5, syn(seq=101), False),
        (5, syn(sport=51001), False),
        (5, with_data(syn(), 1), False),
        (5, IP(src=PROBER, dst=TARGET, id=2) / syn().payload, False),
        (5, IP(src=PROBER, dst=TARGET, ttl=7) / syn().payload, True),
    ],
)
def test_the_same_packet_seen_again_at_once_is_a_copy(later: int, other: Packet, copied: bool) -> None:
    probes, _, _ = read([(10, syn()), (10 + later, other)])
    assert copies(probes).tolist() == [False, copied]
    elsewhere = replace(probes, tunnel=np.array([0, 9], dtype=np.uint32))
    assert copies(elsewhere).tolist() == [False, copied], "in a tunnel or not"


# --- any capture --------------------------------------------------------------------------------

narrow = st.integers(0, 1)
probe_rows = st.lists(st.tuples(st.integers(0, 9), narrow, narrow, narrow, st.integers(0, 2)), max_size=12)


def columns_of(rows: list[tuple[int, int, int, int, int]]) -> dict[str, NDArray[np.int64]]:
    table = np.array(rows, dtype=np.int64).reshape(-1, 5)
    return {
        "times": table[:, 0],
        "protocol": np.where(table[:, 1] == 1, 6, 17),
        "prober": table[:, 2] + 0xFFFFFFFE,
        "target": table[:, 3] + 7,
        "sequence": table[:, 4],
    }


@settings(max_examples=300)
@given(probe_rows, probe_rows)
def test_match_against_a_plain_search(
    probed: list[tuple[int, int, int, int, int]], claimed: list[tuple[int, int, int, int, int]]
) -> None:
    ours, theirs = columns_of(probed), columns_of(claimed)
    constant = np.full(len(probed), 65535, dtype=np.uint16)
    probes = replace(
        Probes.none().take(np.zeros(0, dtype=np.int64)),
        frame=np.arange(len(probed)),
        times=ours["times"],
        protocol=ours["protocol"].astype(np.uint8),
        prober=ours["prober"].astype(np.uint32),
        target=ours["target"].astype(np.uint32),
        prober_port=constant,
        target_port=constant,
        tunnel=constant.astype(np.uint32) & np.uint32(1),
        sequence=ours["sequence"].astype(np.uint32),
        size=np.zeros(len(probed), dtype=np.uint32),
    )
    count = len(claimed)
    ports = np.full(count, 65535, dtype=np.uint16)
    zeros = np.zeros(count, dtype=np.uint8)
    claims = Claims(
        frame=np.arange(count),
        times=theirs["times"],
        protocol=theirs["protocol"].astype(np.uint8),
        prober=theirs["prober"].astype(np.uint32),
        target=theirs["target"].astype(np.uint32),
        prober_port=ports,
        target_port=ports,
        tunnel=ports.astype(np.uint32) & np.uint32(1),
        sequence=theirs["sequence"].astype(np.uint32),
        check=np.full(count, Check.SEQUENCE, dtype=np.uint8),
        rank=zeros,
        reason=zeros,
        responder=zeros.astype(np.uint32),
        ttl=zeros,
    )
    expected = {}
    for row in range(count):
        before = [
            (int(probes.times[at]), at)
            for at in range(len(probes))
            if (probes.protocol[at], probes.prober[at], probes.target[at])
            == (claims.protocol[row], claims.prober[row], claims.target[row])
            and probes.times[at] <= claims.times[row]
        ]
        if before:
            named = [item for item in before if probes.sequence[item[1]] == claims.sequence[row]]
            expected[row] = max(named or before)[1], bool(named)
    found = join(probes, claims, None)
    assert {
        row: (probe, genuine)
        for row, probe, genuine in zip(
            found.row.tolist(), found.probe.tolist(), found.genuine.tolist(), strict=True
        )
    } == expected
    assert len(found.row) == len(expected)


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 5), narrow, narrow, narrow, narrow), max_size=12))
def test_true_probes_against_a_plain_search(rows: list[tuple[int, int, int, int, int]]) -> None:
    """Two hosts, two ports, either way: in each flow only the direction of its first packet is left."""
    rows = [(time, end, port, other, end if alone else 1 - end) for time, end, port, other, alone in rows]
    packets = [
        (time, datagram(sport=4 + port, dport=4 + other, src=f"10.0.0.{end}", dst=f"10.0.0.{to}"))
        for time, end, port, other, to in rows
    ]
    candidates = candidate_probes(decoded(packets), ports_asked(4, 5))
    assert len(candidates) == len(rows)
    spoken: dict[frozenset[tuple[int, int]], tuple[int, int]] = {}
    for _, end, port, other, to in sorted(rows, key=lambda row: row[0]):
        spoken.setdefault(frozenset({(end, port), (to, other)}), (end, port))
    expected = [
        (time, end, port)
        for time, end, port, other, to in rows
        if spoken[frozenset({(end, port), (to, other)})] == (end, port)
    ]
    left = true_probes(packets, 4, 5)
    assert (
        list(
            zip(
                left.times.tolist(),
                (left.prober & 1).tolist(),
                (left.prober_port - np.uint16(4)).tolist(),
                strict=True,
            )
        )
        == expected
    )
