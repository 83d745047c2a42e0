"""Stamping, against a plain reading of RFC 1071, 791, 768 and 9293."""

from __future__ import annotations

import random
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from scanner.core.template import Checksum, Field, Stamper, Template

Values = Mapping[Field, NDArray[np.unsignedinteger] | int]


def internet_checksum(data: bytes) -> int:
    """RFC 1071, section 1."""
    padded = data + bytes(len(data) % 2)
    total = sum(int.from_bytes(padded[at : at + 2], "big") for at in range(0, len(padded), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


FIELDS = {
    Field.SOURCE: (12, 4),
    Field.DESTINATION: (16, 4),
    Field.SOURCE_PORT: (20, 2),
    Field.DESTINATION_PORT: (22, 2),
}


def udp_template(payload: bytes) -> Template:
    length = 8 + len(payload)
    header = (
        bytes.fromhex("4500")
        + (20 + length).to_bytes(2, "big")
        + bytes.fromhex("4750000040110000")
        + bytes(8)
    )
    return Template(
        packet=header + bytes(4) + length.to_bytes(2, "big") + bytes(2) + payload,
        fields=FIELDS,
        checksums=(
            Checksum(offset=10, start=0, stop=20),
            Checksum(
                offset=26,
                start=20,
                stop=28 + len(payload),
                constant=17 + length,
                pseudo_header=True,
                zero_means_none=True,
            ),
        ),
    )


def expected(template: Template, values: Mapping[Field, int]) -> bytes:
    """One packet, filled in and summed byte by byte."""
    packet = bytearray(template.packet)
    for field, (offset, width) in template.fields.items():
        packet[offset : offset + width] = values[field].to_bytes(width, "big")
    for checksum in template.checksums:
        covered = bytes(packet[checksum.start : checksum.stop])
        if checksum.pseudo_header:
            covered = bytes(packet[12:20]) + checksum.constant.to_bytes(2, "big") + covered
        found = internet_checksum(covered)
        if checksum.zero_means_none and not found:
            found = 0xFFFF
        packet[checksum.offset : checksum.offset + 2] = found.to_bytes(2, "big")
    return bytes(packet)


def arrays(rows: list[tuple[int, int, int, int]]) -> Values:
    source, destination, source_port, destination_port = zip(*rows, strict=True)
    return {
        Field.SOURCE: np.array(source, dtype=np.uint32),
        Field.DESTINATION: np.array(destination, dtype=np.uint32),
        Field.SOURCE_PORT: np.array(source_port, dtype=np.uint16),
        Field.DESTINATION_PORT: np.array(destination_port, dtype=np.uint16),
    }


edges = st.sampled_from([0, 1, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF])
halves = st.integers(0, 0xFFFF) | edges
addresses = st.builds(lambda high, low: high << 16 | low, halves, halves)


@given(
    st.binary(max_size=9) | st.just(b"\xff" * 1001),
    st.lists(st.tuples(addresses, addresses, halves, halves), min_size=1, max_size=8),
)
def test_stamped_bytes(payload: bytes, rows: list[tuple[int, int, int, int]]) -> None:
    template = udp_template(payload)
    stamped = Stamper(template, 8).stamp(len(rows), arrays(rows))
    assert stamped.shape == (len(rows), len(template.packet))
    assert [row.tobytes() for row in stamped] == [
        expected(template, dict(zip(FIELDS, row, strict=True))) for row in rows
    ]


def test_a_udp_checksum_of_zero_is_sent_as_all_ones() -> None:
    template = udp_template(b"abc")
    fixed = {Field.SOURCE: 0x0A000001, Field.DESTINATION: 0x0A000002, Field.DESTINATION_PORT: 401}
    # The source port that brings the sum to 0xFFFF is what the checksum is without one.
    without = expected(template, {**fixed, Field.SOURCE_PORT: 0})
    port = int.from_bytes(without[26:28], "big")
    stamped = Stamper(template, 1).stamp(1, {**fixed, Field.SOURCE_PORT: port})
    assert stamped[0, 26:28].tolist() == [0xFF, 0xFF]
    assert stamped[0].tobytes() == expected(template, {**fixed, Field.SOURCE_PORT: port})


def test_a_checksum_of_zero_stays_zero_elsewhere() -> None:
    template = Template(
        packet=bytes(6), fields={Field.SOURCE_PORT: (0, 2)}, checksums=(Checksum(offset=4, start=0, stop=6),)
    )
    assert Stamper(template, 1).stamp(1, {Field.SOURCE_PORT: 0xFFFF}).tolist() == [[0xFF, 0xFF, 0, 0, 0, 0]]


def test_a_carry_out_of_the_carry() -> None:
    """A sum of 0x1FFFF folds to 0x10000, and that to 1."""
    template = Template(
        packet=b"\0\1" + bytes(6),
        fields={Field.SOURCE_PORT: (2, 2), Field.DESTINATION_PORT: (4, 2)},
        checksums=(Checksum(offset=6, start=0, stop=8),),
    )
    stamped = Stamper(template, 1).stamp(1, {Field.SOURCE_PORT: 0xFFFF, Field.DESTINATION_PORT: 0xFFFF})
    assert stamped[0, 6:].tolist() == [0xFF, 0xFE]


def test_numbers_for_all_rows_and_arrays_mix() -> None:
    template = udp_template(b"")
    ports = np.array([1, 2, 3], dtype=np.uint16)
    stamped = Stamper(template, 4).stamp(
        3,
        {
            Field.SOURCE: 0xFFFFFFFF,
            Field.DESTINATION: np.full(3, 0x0A000002, dtype=np.uint32),
            Field.SOURCE_PORT: ports,
            Field.DESTINATION_PORT: 401,
        },
    )
    assert [row.tobytes() for row in stamped] == [
        expected(template, dict(zip(FIELDS, (0xFFFFFFFF, 0x0A000002, port, 401), strict=True)))
        for port in ports.tolist()
    ]


def test_the_buffer_is_used_again_and_keeps_nothing() -> None:
    template, drawn = udp_template(b"odd"), random.Random(1)
    stamper = Stamper(template, 50)
    assert stamper.capacity == 50
    for count in (50, 1, 0, 17, 50):
        rows = [
            (
                drawn.getrandbits(32),
                drawn.getrandbits(32),
                drawn.getrandbits(16),
                drawn.getrandbits(16),
            )
            for _ in range(count)
        ]
        values = arrays(rows) if rows else dict.fromkeys(FIELDS, 0)
        stamped = stamper.stamp(count, values)
        assert [row.tobytes() for row in stamped] == [
            expected(template, dict(zip(FIELDS, row, strict=True))) for row in rows
        ]


def test_values_are_left_alone() -> None:
    values = arrays([(1, 2, 3, 4)])
    Stamper(udp_template(b""), 1).stamp(1, values)
    assert [np.asarray(value).tolist() for value in values.values()] == [[1], [2], [3], [4]]


def test_a_template_without_checksums() -> None:
    template = Template(packet=b"\1" * 28, fields={Field.DESTINATION: (24, 4)})
    stamped = Stamper(template, 2).stamp(2, {Field.DESTINATION: np.array([1, 0xFFFFFFFF], dtype=np.uint32)})
    assert [row.tobytes() for row in stamped] == [b"\1" * 24 + b"\0\0\0\1", b"\1" * 24 + b"\xff" * 4]


def test_a_hardware_address_is_stamped_as_it_is_and_summed() -> None:
    template = Template(
        packet=bytes(12),
        fields={Field.SOURCE_MAC: (2, 6), Field.SOURCE_PORT: (8, 2)},
        checksums=(Checksum(offset=10, start=0, stop=12),),
    )
    mac = bytes.fromhex("00fe80ff0100")
    stamped = Stamper(template, 2).stamp(
        2, {Field.SOURCE_MAC: mac, Field.SOURCE_PORT: np.array([0, 0xFFFF], dtype=np.uint16)}
    )
    for row, port in zip(stamped, (b"\0\0", b"\xff\xff"), strict=True):
        body = bytes(2) + mac + port
        assert row.tobytes() == body + internet_checksum(body).to_bytes(2, "big")


def test_more_than_the_capacity_is_an_error() -> None:
    values = arrays([(1, 2, 3, 4)] * 3)
    with pytest.raises(ValueError, match="broadcast"):
        Stamper(udp_template(b""), 2).stamp(3, values)
