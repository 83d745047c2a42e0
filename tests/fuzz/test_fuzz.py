"""The fuzzer's question, asked of what hypothesis makes up."""

from __future__ import annotations

import struct
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.target import AS_FILE, LINK_TYPES, PER_PROBER, TALKS, USUAL_PORT, one_input

RECORDED = [path.read_bytes() for path in sorted(Path(__file__).parents[2].glob("pcaps/*/capture*[gz]*"))]
SMALL = [data for data in RECORDED if len(data) < 4096]

asked = st.sampled_from([0, USUAL_PORT, PER_PROBER, TALKS, USUAL_PORT | TALKS])
slow = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@slow
@given(st.binary(max_size=600))
def test_any_bytes(data: bytes) -> None:
    one_input(data)


@slow
@given(
    st.sampled_from(SMALL),
    st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=12),
    st.integers(0, 255),
)
def test_recorded_captures_with_other_bytes(data: bytes, changes: list[tuple[int, int]], kind: int) -> None:
    spoilt = bytearray(data)
    for place, value in changes:
        spoilt[place % len(spoilt)] = value
    one_input(bytes([kind | AS_FILE]) + bytes(spoilt))


@slow
@given(st.sampled_from(SMALL), st.integers(0, 4096), asked)
def test_recorded_captures_cut_off(data: bytes, length: int, kind: int) -> None:
    one_input(bytes([kind | AS_FILE]) + data[:length])


@slow
@given(st.integers(0, len(LINK_TYPES) - 1), st.sampled_from(SMALL), asked, st.data())
def test_recorded_frames_under_any_link_type(kind: int, data: bytes, asked: int, draw) -> None:
    """What is an address in one header is a length in another."""
    frames = b""
    for _ in range(draw.draw(st.integers(1, 6))):
        begin = draw.draw(st.integers(0, len(data)))
        piece = data[begin : begin + draw.draw(st.integers(0, 200))]
        frames += struct.pack("B", len(piece)) + piece
    one_input(bytes([kind | asked]) + frames)
