"""CRC32c: against published values, Scapy's own, and itself however the bytes vary."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.sctp import crc32c as scapys

from scanner.core.crc32c import BatchCrc32c, crc32c


@pytest.mark.parametrize(
    ("data", "crc"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),  # these three: RFC 3720, B.4
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
    ],
)
def test_published_values(data, crc):
    assert crc32c(data) == crc


@given(st.binary(max_size=60))
def test_scapy_agrees(data):
    assert crc32c(data) == int.from_bytes(scapys(data).to_bytes(4, "big"), "little")


@given(st.data())
def test_a_batch_is_its_packets_one_by_one(data):
    length = data.draw(st.integers(1, 40))
    varying = data.draw(st.sets(st.integers(0, length - 1)))
    packet = bytearray(data.draw(st.binary(min_size=length, max_size=length)))
    for place in varying:
        packet[place] = 0
    rows = np.tile(np.frombuffer(bytes(packet), dtype=np.uint8), (5, 1))
    for place in varying:
        rows[:, place] = data.draw(st.lists(st.integers(0, 255), min_size=5, max_size=5))
    found = BatchCrc32c(bytes(packet), varying).of(rows)
    assert found.tolist() == [crc32c(row.tobytes()) for row in rows]
    assert found.dtype == np.uint32
