"""The cookie: source ports within their range, and tries that are read back from them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from scanner.core import cookie
from scanner.core.siphash import siphash

KEY = bytes(range(16))
SOURCE = 0xC0A80001
ALL_PORTS = np.arange(1, 65536, dtype=np.uint16)
TRIES = range(21)


def flows_of(
    ports: NDArray[np.uint16],
    destinations: NDArray[np.uint32] | None = None,
    *,
    key: bytes = KEY,
    source: int = SOURCE,
    protocol: int = 6,
) -> cookie.Flows:
    if destinations is None:
        destinations = np.full(len(ports), 0x0A000001, dtype=np.uint32)
    return cookie.flows(key, source, destinations, ports, protocol)


def test_the_hash_is_of_eleven_bytes() -> None:
    """Source, destination, port and protocol, little-endian: a saved key must stay good for ever."""
    found = cookie.flows(
        KEY, 0x01020304, np.array([0x05060708], dtype=np.uint32), np.array([401], dtype=np.uint16), 17
    )
    words = np.array([0x0506070801020304], dtype=np.uint64)
    mixed = int(siphash(KEY, [words], 17 << 16 | 401, 11)[0])
    assert found.sequence.tolist() == [mixed & 0xFFFFFFFF]
    assert found.offset.tolist() == [mixed >> 32 & 0x3FFF]


@pytest.mark.parametrize("attempt", TRIES)
def test_source_ports_stay_in_their_range(attempt: int) -> None:
    chosen = cookie.source_ports(flows_of(ALL_PORTS).offset, ALL_PORTS, attempt)
    first = np.array([first_source_port(port) for port in ALL_PORTS.tolist()])
    assert chosen.dtype == np.uint16
    assert (chosen >= first).all()
    assert (chosen.astype(int) < first + 16384).all()
    assert not (chosen == ALL_PORTS).any(), "a probe to this host would answer itself"


@given(st.integers(0, 0x3FFF), st.integers(1, 65535), st.integers(0, 254))
def test_any_offset_and_try_never_makes_the_probed_port(offset: int, port: int, attempt: int) -> None:
    offsets, ports = np.array([offset], dtype=np.uint16), np.array([port], dtype=np.uint16)
    [chosen] = cookie.source_ports(offsets, ports, attempt).tolist()
    assert chosen != port
    assert first_source_port(port) <= chosen < first_source_port(port) + 16384
    assert cookie.attempts(offsets, ports, np.array([chosen], dtype=np.uint16)).tolist() == [attempt]


def first_source_port(port: int) -> int:
    if port >= 49152:
        return 32768
    return 16384 if port >= 32768 else 49152


def test_no_probe_is_the_mirror_image_of_another() -> None:
    """Else one that comes in again on loopback could pass for an answer."""
    first = {port: first_source_port(port) for port in (1, 16384, 32767, 32768, 49151, 49152, 65535)}
    for asked, lowest in first.items():
        for source in (lowest, lowest + 16383):
            assert not first_source_port(source) <= asked < first_source_port(source) + 16384
    assert min(first.values()) == cookie.LOWEST_SOURCE_PORT


def test_all_ports_of_the_range_are_used() -> None:
    destinations = np.arange(1 << 18, dtype=np.uint32)
    ports = np.full(1 << 18, 401, dtype=np.uint16)
    chosen = cookie.source_ports(flows_of(ports, destinations).offset, ports, 0)
    counts = np.bincount(chosen, minlength=65536)
    assert not counts[:49152].any()
    assert (counts[49152:] > 0).mean() > 0.999
    assert counts.max() < 60, "sixteen on average"


@pytest.mark.parametrize("attempt", TRIES)
def test_attempts_inverts_source_ports(attempt: int) -> None:
    offset = flows_of(ALL_PORTS).offset
    tries = cookie.attempts(offset, ALL_PORTS, cookie.source_ports(offset, ALL_PORTS, attempt))
    assert (tries == attempt).all()


@pytest.mark.parametrize("port", [401, 32767, 32768, 49151, 49152, 65535])
def test_every_source_port_has_one_meaning(port: int) -> None:
    """Ports of the range are each another try, all others none."""
    every = np.arange(65536).astype(np.uint16)
    ports = np.full(65536, port, dtype=np.uint16)
    offset = np.full(65536, 12345, dtype=np.uint16)
    tries = cookie.attempts(offset, ports, every)
    first = first_source_port(port)
    within = (every >= first) & (every.astype(int) < first + 16384)
    assert (tries[~within] == -1).all()
    assert sorted(tries[within].tolist()) == list(range(16384))


def test_whatever_changes_changes_everything() -> None:
    ports = np.full(4096, 401, dtype=np.uint16)
    destinations = np.arange(4096, dtype=np.uint32)
    known = flows_of(ports, destinations)
    others = [flows_of(ports, destinations, key=bytes([1, *range(1, 16)]))]
    others.append(flows_of(ports, destinations, key=bytes([*range(15), 0x8F])))
    others.append(flows_of(ports, destinations, source=SOURCE + 1))
    others.append(flows_of(ports, destinations, protocol=17))
    others.append(flows_of(ports, destinations + np.uint32(1 << 31)))
    others.append(flows_of(ports + np.uint16(1), destinations))
    for other in others:
        assert np.count_nonzero(other.sequence == known.sequence) <= 1
        assert np.count_nonzero(other.offset == known.offset) <= 8
        bits = np.unpackbits((other.sequence ^ known.sequence).view(np.uint8)).mean()
        assert 0.48 < bits < 0.52


def test_addresses_from_end_to_end() -> None:
    destinations = np.array([0, 0xFFFFFFFF], dtype=np.uint32)
    ports = np.array([1, 65535], dtype=np.uint16)
    found = flows_of(ports, destinations, source=0xFFFFFFFF)
    assert found.offset.dtype == np.uint16
    assert found.sequence.dtype == np.uint32
    assert (found.offset < cookie.PORT_SPAN).all()
    assert destinations.tolist() == [0, 0xFFFFFFFF], "arguments are left alone"


def test_no_targets() -> None:
    nothing = np.empty(0, dtype=np.uint16)
    assert len(flows_of(nothing).sequence) == 0
    assert len(cookie.attempts(nothing, nothing, nothing)) == 0
