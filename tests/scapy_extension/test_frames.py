"""Packets to frames, and frames to packets."""

from __future__ import annotations

import numpy as np
import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import CookedLinux, Ether
from scapy.packet import Packet, Raw

from scanner.scapy_extension import frames
from scanner.scapy_extension.frames import frames_of, packets_at

ETHERNET = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
IPS = IP(src="10.0.0.1", dst="10.0.0.2")


def packet(number: int, layer: Packet) -> Packet:
    made = layer / IPS / TCP(sport=number)
    made.time = 1_700_000_000.5 + number
    return made


def test_runs_of_one_link_type_are_given_together(monkeypatch):
    monkeypatch.setattr(frames, "_AT_ONCE", 2)
    ethernet = [packet(number, ETHERNET) for number in range(3)]
    packets = [*ethernet, packet(3, CookedLinux()), IPS / TCP(sport=4), packet(5, ETHERNET)]

    found = list(frames_of(packets))

    assert [(piece.link_type, len(piece)) for piece in found] == [(1, 2), (1, 1), (113, 1), (228, 1), (1, 1)]
    assert found[0].times.tolist() == [1_700_000_000_500_000_000, 1_700_000_001_500_000_000]
    assert bytes(found[1].buffer) == bytes(packets[2])


def test_what_begins_at_no_link_is_an_empty_frame():
    (found,) = frames_of([Raw(b"abc")])

    assert (len(found), found.lengths.tolist()) == (1, [0])


def test_a_packet_that_was_sent_has_the_time_when_it_was():
    probe = packet(0, ETHERNET)
    probe.sent_time = 1_700_000_009.25
    probe.wirelen = 1500

    (found,) = frames_of([probe])

    assert found.times.tolist() == [1_700_000_009_250_000_000]
    assert found.original_lengths.tolist() == [1500]


@pytest.mark.parametrize("link", [True, False])
def test_frames_become_packets_again(link, monkeypatch):
    monkeypatch.setattr(frames, "_AT_ONCE", 2)
    packets = [packet(number, ETHERNET) for number in range(5)]

    found = packets_at(frames_of(packets), np.array([4, 1, 1]), link=link)

    assert sorted(found) == [1, 4]
    for place, again in found.items():
        assert again.time == packets[place].time
        assert bytes(again) == bytes(packets[place] if link else packets[place][IP])
