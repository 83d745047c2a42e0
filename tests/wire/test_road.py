"""The road's figures are held against the network, in test_simulated_network; here is what they rest on."""

from __future__ import annotations

import numpy as np

from scanner.wire.clock import NANOSECONDS
from scanner.wire.road import Conditions, Road

ROUGH = Conditions(probe_loss=0.3, reply_loss=0.3, duplication=0.3, delay=0.1, jitter=0.05, reordering=0.3)


def test_an_even_road_brings_every_packet_once_after_its_delay() -> None:
    road = Road(1, Conditions(delay=0.25))
    assert not road.lost(100).any()
    [arrival] = road.arrivals(0x86DD, b"mac", b"packet", 1000)
    assert (arrival.moment, arrival.ethertype, arrival.mac, arrival.packet) == (
        1000 + NANOSECONDS // 4, 0x86DD, b"mac", b"packet",
    )  # fmt: skip


def test_luck_is_the_seeds_and_no_kind_of_chance_disturbs_another() -> None:
    one, two, other = Road(1, ROUGH), Road(1, ROUGH), Road(2, ROUGH)
    lost = one.lost(1000)
    for _ in range(50):
        list(two.arrivals(0, b"", b"", 0))
    assert np.array_equal(lost, np.concatenate([two.lost(1), two.lost(999)]))
    assert not np.array_equal(lost, other.lost(1000))
