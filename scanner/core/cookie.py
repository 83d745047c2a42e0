"""The cookie: how a reply proves that it answers a probe of ours, with nothing stored a probe.

A keyed hash of (source, destination, destination port, protocol) gives each target a TCP sequence
number and an offset into a range of source ports. Each try moves the source port on by one, so a
reply also tells which try it answers and its round trip is never ambiguous (Karn's problem).
A forged TCP reply has to guess 32 bits of sequence number, a forged UDP reply the source port.
The key is an argument, and is kept beside the evidence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanner.core.siphash import siphash

PORT_SPAN = 1 << 14
"""Source ports that a try can fall on."""

DYNAMIC_PORTS = 49152
"""First of the dynamic ports (RFC 6335, section 6), where source ports are taken from."""

# Source ports by the probed port: from each port on, the first source port. They go round in a ring, so that
# a probe from p to q never has a probe from q to p as its mirror image: on loopback, where our own probes
# come in again, none can look like the answer to another.
_RANGES = (
    (0, DYNAMIC_PORTS),
    (DYNAMIC_PORTS - PORT_SPAN, DYNAMIC_PORTS - 2 * PORT_SPAN),
    (DYNAMIC_PORTS, DYNAMIC_PORTS - PORT_SPAN),
)

LOWEST_SOURCE_PORT = min(first for _, first in _RANGES)
"""No probe leaves from a port below, so no reply goes to one."""

_MESSAGE_BYTES = 11
_IPV6_MESSAGE_BYTES = 35


@dataclass(frozen=True, slots=True)
class Flows:
    """What the key makes of N targets.

    offset: `(N,)` uint16 below PORT_SPAN.
    sequence: `(N,)` uint32, the TCP sequence number of every try.
    """

    offset: NDArray[np.uint16]
    sequence: NDArray[np.uint32]


def flows(
    key: bytes,
    source: int,
    destinations: NDArray[np.uint32],
    ports: NDArray[np.uint16],
    protocol: int,
) -> Flows:
    """Derive the flow of each target.

    Args:
        key: 16 bytes.
        source: the prober's IPv4 address as a number.
        destinations: `(N,)` targets.
        ports: `(N,)` probed ports, or `(1,)` where it is the same of all.
        protocol: IP protocol number (6 TCP, 17 UDP).
    """
    word = destinations.astype(np.uint64)
    word <<= np.uint64(32)
    word |= np.uint64(source)
    return _parted(siphash(key, [word], _tail(ports, protocol), _MESSAGE_BYTES))


def ipv6_flows(
    key: bytes,
    source: tuple[int, int],
    destinations: tuple[NDArray[np.uint64], NDArray[np.uint64]],
    ports: NDArray[np.uint16],
    protocol: int,
) -> Flows:
    """As `flows`; addresses are given as their halves."""
    high, low = destinations
    ours = [np.full(len(high), half, dtype=np.uint64) for half in source]
    return _parted(siphash(key, [high, low, *ours], _tail(ports, protocol), _IPV6_MESSAGE_BYTES))


def _tail(ports: NDArray[np.uint16], protocol: int) -> NDArray[np.uint64]:
    tail = ports.astype(np.uint64)
    tail |= np.uint64(protocol << 16)
    return tail


def _parted(mixed: NDArray[np.uint64]) -> Flows:
    return Flows(
        offset=((mixed >> np.uint64(32)) & np.uint64(PORT_SPAN - 1)).astype(np.uint16),
        sequence=mixed.astype(np.uint32),
    )


def source_ports(offset: NDArray[np.uint16], ports: NDArray[np.uint16], attempt: int) -> NDArray[np.uint16]:
    """The source port of one try (0 is the first) towards each target; `ports` as in `flows`."""
    moved = (offset.astype(np.int32) + attempt) & (PORT_SPAN - 1)
    return (moved + _base(ports)).astype(np.uint16)


def is_source_port(ports: NDArray[np.uint16], source_port: NDArray[np.uint16]) -> NDArray[np.bool_]:
    """Whether a probe to each port may leave from that source port, whatever the target and the try."""
    distance = source_port.astype(np.int32) - _base(ports)
    return (distance >= 0) & (distance < PORT_SPAN)


def attempts(
    offset: NDArray[np.uint16], ports: NDArray[np.uint16], source_port: NDArray[np.uint16]
) -> NDArray[np.int32]:
    """Which try each source port belongs to: `(N,)` int32 below PORT_SPAN, or -1 for none.

    Whether that many tries were sent is for the caller to know. `ports` as in `flows`.
    """
    distance = source_port.astype(np.int32) - _base(ports)
    found: NDArray[np.int32] = (distance - offset.astype(np.int32)) & (PORT_SPAN - 1)
    found[(distance < 0) | (distance >= PORT_SPAN)] = -1
    return found


def _base(ports: NDArray[np.uint16]) -> NDArray[np.int32]:
    borders = np.array([border for border, _ in _RANGES])
    firsts = np.array([first for _, first in _RANGES], dtype=np.int32)
    base: NDArray[np.int32] = firsts[np.searchsorted(borders, ports, side="right") - 1]
    return base
