"""Who answered for which address, however many did and in whatever pieces they come."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.core import runs
from scanner.core.addresses import AddressSet
from scanner.core.outcomes import ABSENT
from scanner.core.packets import ARP_REPLY, ArpPackets
from scanner.core.presence import Presence
from tests.core.memory_scratch import MemoryScratch

Answer = tuple[int, int]
"""Address, and the last byte of a hardware address."""


def answers_of(answers: list[Answer], operation: int = ARP_REPLY, first: int = 2) -> ArpPackets:
    count = len(answers)
    macs = np.zeros((count, 6), dtype=np.uint8)
    macs[:, 0], macs[:, 5] = first, [mac for _, mac in answers]
    return ArpPackets(
        frame=np.arange(count),
        times=np.zeros(count, dtype=np.int64),
        operation=np.full(count, operation, dtype=np.uint16),
        sender_mac=macs,
        sender=np.array([address for address, _ in answers], dtype=np.uint32),
        target_mac=macs,
        target=np.zeros(count, dtype=np.uint32),
    )


def presence_of(answers: list[Answer], most: int, together: int) -> Presence:
    presence = Presence(MemoryScratch(), most)
    for begin in range(0, len(answers), together):
        presence.add(answers_of(answers[begin : begin + together]))
    return presence


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 2)), max_size=40),
    st.lists(st.integers(0, 13), unique=True).map(sorted),
    st.integers(1, 9),
    st.integers(1, 9),
)
def test_against_plain_words(answers: list[Answer], asked: list[int], most: int, together: int) -> None:
    said: dict[int, list[int]] = {}
    for address, mac in answers:
        said.setdefault(address, []).append((2 << 40) + mac)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "_SAMPLED", 2)
        presence = presence_of(answers, most, together)
        macs, contested = presence.of(np.array(asked, dtype=np.uint32))
        among = AddressSet.from_addresses(np.array(asked, dtype=np.uint32))
        there = presence.addresses(among)
    assert macs.tolist() == [said.get(address, [ABSENT])[0] for address in asked]
    assert contested.tolist() == [len(set(said.get(address, []))) > 1 for address in asked]
    assert there == AddressSet.of([(address, address) for address in asked if address in said])


def test_requests_and_groups_answer_for_nobody() -> None:
    presence = Presence(MemoryScratch(), 9)
    presence.add(answers_of([(1, 1)], operation=1))
    presence.add(answers_of([(1, 1)], first=3))
    assert presence.of(np.array([1], dtype=np.uint32))[0].tolist() == [ABSENT]


def test_more_than_memory_holds_is_put_away() -> None:
    scratch = MemoryScratch()
    presence = Presence(scratch, 16)
    for begin in range(0, 1000, 8):
        presence.add(answers_of([(address, 1) for address in range(begin, begin + 8)]))
    macs, _ = presence.of(np.array([3, 999, 1000], dtype=np.uint32))
    assert macs.tolist() == [(2 << 40) + 1, (2 << 40) + 1, ABSENT]
    assert len(scratch.data) >= 900 * 13
