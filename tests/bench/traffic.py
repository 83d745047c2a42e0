"""Captures of traffic that was never on a wire, of any size: written, not recorded, and alike for every seed.

    python traffic.py mixed FILE BYTES
    python traffic.py sweep FILE PROBES

`mixed`: web, DNS, SSH, ARP, pings, IPv6 and VLAN-tagged frames of real sizes; a tenth has port 401 on one
side. `sweep`: a SYN to each of so many addresses, and what comes back from most of them.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_BATCH = 1 << 16
_START = 1_750_000_000
_PORT = 401
_SIZES = (60, 66, 74, 90, 130, 340, 590, 1514)
_SHARES = (0.20, 0.22, 0.10, 0.10, 0.08, 0.08, 0.07, 0.15)
_SYN, _SYN_ACK, _RST_ACK, _ACK = 2, 18, 20, 16


def mixed(path: Path, size: int, seed: int = 1) -> None:
    """Write `size` bytes of mixed traffic, or a little more."""
    random = np.random.default_rng(seed)
    moment = 0.0
    with path.open("wb") as stream:
        stream.write(_file_header())
        while stream.tell() < size:
            kinds = random.choice(len(_SIZES), p=_SHARES, size=_BATCH)
            lengths = np.array(_SIZES)[kinds]
            moments = moment + np.cumsum(random.exponential(2e-6, _BATCH))
            moment = float(moments[-1])
            frames = np.zeros((_BATCH, max(_SIZES)), dtype=np.uint8)
            _fill(frames, lengths, random)
            stream.write(_records(frames, lengths, moments))


def sweep(path: Path, probes: int, seed: int = 1) -> None:
    """Write SYNs to so many addresses: 2 % are open, 90 % closed, the rest silent."""
    random = np.random.default_rng(seed)
    moment = 0.0
    with path.open("wb") as stream:
        stream.write(_file_header())
        for begin in range(0, probes, _BATCH):
            count = min(_BATCH, probes - begin)
            target = (10 << 24) + 0x100000 + random.permutation(count) + begin
            answer = random.choice([_RST_ACK, _SYN_ACK, 0], p=[0.9, 0.02, 0.08], size=count)
            moments = moment + np.arange(count) * 2e-6
            moment = float(moments[-1]) + 2e-6
            out, back = (np.zeros((count, 60), dtype=np.uint8) for _ in range(2))
            prober = np.full(count, (10 << 24) + 1)
            source, sequence = random.integers(32768, 60999, count), random.integers(0, 1 << 32, count)
            _headers(out, prober, target, 6, np.full(count, 44))
            _tcp(
                out,
                source,
                np.full(count, _PORT),
                sequence,
                np.zeros(count, dtype=np.int64),
                np.full(count, _SYN),
            )
            _headers(back, target, prober, 6, np.full(count, 44))
            _tcp(back, np.full(count, _PORT), source, sequence, sequence + 1, answer)
            there = answer > 0
            frames = np.concatenate([out, back[there]])
            times = np.concatenate([moments, moments[there] + 3e-4])
            order = np.argsort(times, kind="stable")
            stream.write(_records(frames[order], np.full(len(order), 60), times[order]))


def _file_header() -> bytes:
    return struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, 1)


def _records(frames: NDArray[np.uint8], lengths: NDArray[np.int64], moments: NDArray[np.float64]) -> bytes:
    """The records of frames, one behind the other."""
    header = np.empty((len(frames), 4), dtype="<u4")
    seconds = np.floor(moments).astype(np.int64)
    header[:, 0] = _START + seconds
    header[:, 1] = (moments - seconds) * 1e6
    header[:, 2] = header[:, 3] = lengths
    rows = np.concatenate([header.view(np.uint8).reshape(len(frames), 16), frames], axis=1)
    there = np.arange(rows.shape[1]) < (lengths + 16)[:, None]
    return rows[there].tobytes()


def _fill(frames: NDArray[np.uint8], lengths: NDArray[np.int64], random: np.random.Generator) -> None:
    """Mixed frames: 70 % TCP, 20 % UDP, 4 % ICMP, 3 % IPv6, 2 % tagged, 1 % ARP."""
    count = len(frames)
    inside = (10 << 24) + (1 << 16) + random.integers(0, 2000, count)
    outside = random.integers(1 << 24, 223 << 24, count)
    outward = random.random(count) < 0.5
    source, destination = np.where(outward, inside, outside), np.where(outward, outside, inside)
    protocol = random.choice([6, 17, 1], p=[0.75, 0.21, 0.04], size=count)
    _headers(frames, source, destination, protocol, lengths - 14)
    client = random.integers(1024, 65536, count)
    service = random.choice([443, 80, 53, 22, 8080, 123], size=count)
    ghost = random.random(count) < 0.1
    service[ghost] = _PORT
    flags = random.choice(
        [_ACK, 24, _SYN, _SYN_ACK, _RST_ACK, 17], p=[0.5, 0.3, 0.08, 0.06, 0.03, 0.03], size=count
    )
    one, two = np.where(outward, client, service), np.where(outward, service, client)
    numbers = random.integers(0, 1 << 32, (2, count))
    _tcp(frames, one, two, numbers[0], numbers[1], flags)
    udp = np.flatnonzero(protocol == 17)
    frames[udp, 38:40] = (lengths[udp] - 34).astype(">u2").view(np.uint8).reshape(-1, 2)
    icmp = np.flatnonzero(protocol == 1)
    frames[icmp, 34:36] = (8, 0)
    odd = random.random(count)
    ipv6 = np.flatnonzero(odd < 0.03)
    frames[ipv6, 12:16] = (0x86, 0xDD, 0x60, 0)
    frames[ipv6, 18:22] = (0, 0, 6, 64)
    arp = np.flatnonzero((odd >= 0.03) & (odd < 0.04))
    frames[arp, 12:22] = (8, 6, 0, 1, 8, 0, 6, 4, 0, 1)
    tagged = np.flatnonzero((odd >= 0.04) & (odd < 0.06) & (lengths >= 66))
    frames[tagged, 16:] = frames[tagged, 12:-4]
    frames[tagged, 12:16] = (0x81, 0, 0, 7)


def _headers(
    frames: NDArray[np.uint8],
    source: NDArray[np.int64],
    destination: NDArray[np.int64],
    protocol: NDArray[np.int64] | int,
    length: NDArray[np.int64],
) -> None:
    frames[:, :12] = (2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2)
    frames[:, 12:16] = (8, 0, 0x45, 0)
    frames[:, 16:18] = length.astype(">u2").view(np.uint8).reshape(-1, 2)
    frames[:, 22] = 64
    frames[:, 23] = protocol
    frames[:, 26:30] = source.astype(">u4").view(np.uint8).reshape(-1, 4)
    frames[:, 30:34] = destination.astype(">u4").view(np.uint8).reshape(-1, 4)


def _tcp(
    frames: NDArray[np.uint8],
    source: NDArray[np.int64],
    destination: NDArray[np.int64],
    sequence: NDArray[np.int64],
    acknowledgement: NDArray[np.int64],
    flags: NDArray[np.int64],
) -> None:
    frames[:, 34:36] = source.astype(">u2").view(np.uint8).reshape(-1, 2)
    frames[:, 36:38] = destination.astype(">u2").view(np.uint8).reshape(-1, 2)
    frames[:, 38:42] = sequence.astype(">u4").view(np.uint8).reshape(-1, 4)
    frames[:, 42:46] = acknowledgement.astype(">u4").view(np.uint8).reshape(-1, 4)
    frames[:, 46] = 0x60
    frames[:, 47] = flags


def main(kind: str, name: str, count: str) -> None:
    {"mixed": mixed, "sweep": sweep}[kind](Path(name), int(count))


if __name__ == "__main__":
    main(*sys.argv[1:])
