"""Writes a capture of Ethernet frames anew, as another machine would have recorded it.

`python -m tests.replay.rewrite [--link N] [--order big] [--precision us] [--mirrored] [--reversed]
[--crossed] IN OUT`

For link types that this kernel cannot record, and byte orders that this machine does not have. The link
header is put in place of Ethernet's (https://www.tcpdump.org/linktypes.html); frames that are not IP are
left out then. `--mirrored` writes ERSPAN: each frame as a switch sends a copy of it to whoever watches.
`--crossed` moves what the router sends in a VXLAN into another one.
"""

from __future__ import annotations

import argparse
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from scanner.lab.topology import ROUTER
from tests.replay.encapsulation import PROBER_END, TARGET_END, Encapsulation, wrapped

_NANO, _MICRO = 0xA1B23C4D, 0xA1B2C3D4
_ETHERNET = 14
_SOURCE, _UDP_DESTINATION, _VNI = slice(26, 30), slice(36, 38), slice(46, 49)
"""Of Ethernet, IPv4 without options, UDP and VXLAN (RFC 7348, 5)."""
_VXLAN_PORT, _OTHER_VNI = (4789).to_bytes(2), (402).to_bytes(3)
_ORDERS = {"big": ">", "little": "<"}
_VERSIONS = {0x0800: 4, 0x86DD: 6}
_PPP = {4: b"\x00\x21", 6: b"\x00\x57"}
_BSD_FAMILIES = {4: 2, 6: 30}


def _pppoe(version: int, length: int) -> bytes:
    return b"\x11\x00" + struct.pack(">HH", 401, length + 2) + _PPP[version]


_HEADERS: dict[int, Callable[[str, int, int], bytes]] = {
    0: lambda order, version, _: struct.pack(order + "I", _BSD_FAMILIES[version]),
    9: lambda _order, version, _: b"\xff\x03" + _PPP[version],
    50: lambda _order, version, _: b"\xff\x03" + _PPP[version],
    51: lambda _order, version, length: _pppoe(version, length),
    108: lambda _order, version, _: struct.pack(">I", _BSD_FAMILIES[version]),
    **{number: (lambda _order, _version, _length: b"") for number in (12, 14, 101, 228, 229)},
}
"""What stands before an IP packet, by link type: of byte order, IP version and length."""


def main() -> None:
    """Do as the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--link", type=int, default=1)
    parser.add_argument("--order", choices=_ORDERS, default="little")
    parser.add_argument("--precision", choices=("us", "ns"), default="ns")
    parser.add_argument("--mirrored", action="store_true")
    parser.add_argument("--reversed", action="store_true")
    parser.add_argument("--crossed", action="store_true")
    parser.add_argument("source", type=Path)
    parser.add_argument("destination", type=Path)
    chosen = parser.parse_args()
    order = _ORDERS[chosen.order]
    frames = list(_frames(chosen.source.read_bytes()))
    if chosen.mirrored:
        frames = [(time, _mirrored(frame)) for time, frame in frames]
    if chosen.crossed:
        frames = [(time, _crossed(frame)) for time, frame in frames]
    if chosen.reversed:
        frames.reverse()
    if chosen.link != 1:
        frames = list(_relinked(frames, chosen.link, order))
    chosen.destination.write_bytes(_capture(frames, chosen.link, order, micro=chosen.precision == "us"))


def _frames(capture: bytes) -> Iterator[tuple[int, bytes]]:
    """Time in ns, and bytes, of all frames; of a file in this machine's own byte order."""
    (magic,) = struct.unpack_from("<I", capture)
    scale = 1 if magic == _NANO else 1000
    at = 24
    while at < len(capture):
        seconds, fraction, length, _ = struct.unpack_from("<IIII", capture, at)
        yield seconds * 10**9 + fraction * scale, capture[at + 16 : at + 16 + length]
        at += 16 + length


def _mirrored(frame: bytes) -> bytes:
    return wrapped(Encapsulation.ERSPAN, frame, PROBER_END, TARGET_END)


def _crossed(frame: bytes) -> bytes:
    if frame[_SOURCE] != ROUTER.packed or frame[_UDP_DESTINATION] != _VXLAN_PORT:
        return frame
    return frame[: _VNI.start] + _OTHER_VNI + frame[_VNI.stop :]


def _relinked(frames: list[tuple[int, bytes]], link: int, order: str) -> Iterator[tuple[int, bytes]]:
    for time, frame in frames:
        version = _VERSIONS.get(int.from_bytes(frame[12:_ETHERNET]))
        if version is not None:
            packet = frame[_ETHERNET:]
            yield time, _HEADERS[link](order, version, len(packet)) + packet


def _capture(frames: list[tuple[int, bytes]], link: int, order: str, *, micro: bool) -> bytes:
    scale = 1000 if micro else 1
    parts = [struct.pack(order + "IHHiIII", _MICRO if micro else _NANO, 2, 4, 0, 0, 65_535, link)]
    for time, frame in frames:
        stamp = (time // 10**9, time % 10**9 // scale)
        parts.append(struct.pack(order + "IIII", *stamp, len(frame), len(frame)) + frame)
    return b"".join(parts)


if __name__ == "__main__":
    main()
