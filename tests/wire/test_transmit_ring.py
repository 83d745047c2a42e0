from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.wire.transmit_ring import SHORT_SLOT, slot_size_for


@pytest.mark.parametrize(
    ("length", "slot"), [(1, 128), (54, 128), (96, 128), (97, 256), (1514, 2048), (9014, 16384)]
)
def test_a_slot_is_the_next_power_of_two(length: int, slot: int) -> None:
    assert slot_size_for(length) == slot


@given(st.integers(1, 1 << 16))
def test_a_slot_holds_its_header_and_its_frame(length: int) -> None:
    slot = slot_size_for(length)
    assert slot.bit_count() == 1
    assert slot >= 32 + length
    assert slot == SHORT_SLOT or slot // 2 < 32 + length
