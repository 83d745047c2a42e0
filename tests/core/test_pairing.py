"""Which frame was the probe and which the reply that decided, against plain lists of packets."""

from __future__ import annotations

import numpy as np
import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPerror
from scapy.packet import Packet

from scanner.core.decode import decode_untrusted
from scanner.core.pairing import Pairing, Pairs
from scanner.core.recorded import Question

PROBER, TARGET, ROUTER = "10.0.0.1", "10.50.3.4", "10.9.9.9"
RAW = 101


def paired(*packets: Packet, at_once: int = 100) -> Pairs:
    """The pairs of packets that came a millisecond apart, some frames at a time."""
    ports = np.zeros(1 << 16, dtype=np.bool_)
    ports[401] = True
    pairing = Pairing(Question(ports=ports))
    for first in range(0, len(packets), at_once):
        frames = [bytes(packet) for packet in packets[first : first + at_once]]
        lengths = np.array([len(frame) for frame in frames], dtype=np.int64)
        decoded = decode_untrusted(
            np.frombuffer(b"".join(frames), dtype=np.uint8),
            np.cumsum(lengths) - lengths,
            lengths,
            np.arange(first, first + len(frames), dtype=np.int64) * 1_000_000,
            RAW,
        )
        pairing.add(decoded, first)
    return pairing.pairs()


def places(pairs: Pairs) -> tuple[list[tuple[int, int]], list[int]]:
    answered = zip(pairs.probe.tolist(), pairs.reply.tolist(), strict=True)
    return list(answered), pairs.unanswered.tolist()


def syn(port: int = 50_000, target: str = TARGET) -> Packet:
    return IP(src=PROBER, dst=target) / TCP(sport=port, dport=401, seq=7, flags="S")


def reply(flags: str, port: int = 50_000, target: str = TARGET, ack: int = 8) -> Packet:
    return IP(src=target, dst=PROBER) / TCP(sport=401, dport=port, ack=ack, flags=flags)


def unreachable(probe: Packet) -> Packet:
    return IP(src=ROUTER, dst=PROBER) / ICMP(type=3, code=1) / IPerror(bytes(probe[IP]))


@pytest.mark.parametrize("at_once", [1, 2, 100])
def test_a_reply_is_paired_with_its_probe_and_who_is_silent_with_the_last_one(at_once):
    packets = [syn(), syn(50_001, "10.50.3.5"), reply("SA"), syn(50_002, "10.50.3.5")]

    assert places(paired(*packets, at_once=at_once)) == ([(0, 2)], [3])


def test_pairs_are_in_order_of_address():
    targets = ["10.50.3.9", "10.50.3.1", "10.50.3.5"]
    probes = [syn(target=target) for target in targets]
    replies = [reply("RA", target=target) for target in targets]

    assert places(paired(*probes, *replies))[0] == [(1, 4), (2, 5), (0, 3)]


def test_the_reply_that_decides_is_the_first_of_the_highest_rank():
    probe = syn()

    pairs = paired(probe, unreachable(probe), reply("RA"), reply("SA"), reply("SA"), reply("RA"))

    assert places(pairs) == ([(0, 3)], [])


def test_the_probe_is_the_one_that_was_answered():
    assert places(paired(syn(1), syn(2), syn(3), reply("SA", 2)))[0] == [(1, 3)]


def test_a_reply_with_a_wrong_number_pairs_with_nothing():
    assert places(paired(syn(), reply("SA", ack=99))) == ([], [0])


def test_what_tells_of_an_answer_is_none():
    """The prober's own reset betrays an answer that was not captured."""
    betrayal = IP(src=PROBER, dst=TARGET) / TCP(sport=50_000, dport=401, seq=8, flags="R")

    assert places(paired(syn(), betrayal)) == ([], [0])


def test_both_protocols_of_an_address_have_a_pair():
    datagram = IP(src=PROBER, dst=TARGET) / UDP(sport=5, dport=401)
    said = IP(src=TARGET, dst=PROBER) / UDP(sport=401, dport=5) / b"x"

    assert places(paired(datagram, syn(), said, reply("RA")))[0] == [(1, 3), (0, 2)]


def test_without_packets_there_are_no_pairs():
    assert places(paired()) == ([], [])
