"""Plays devices that a kernel lacks, and what is at the other end of a tunnel: one process for all of a lab.

It reads a JSON list from its standard input. Each joint of it joins one descriptor, the `upper`, with one
or more `lowers`; all are open and inherited. What comes by the upper leaves by the lowers in turn, and what
comes by a lower leaves by the upper. `tag`: of an 802.1Q VLAN, whose frames alone are taken from the lowers.
It is run by its path, away from the package, so that it starts at once: the standard library alone.
"""

from __future__ import annotations

import itertools
import json
import os
import selectors
import socket
import stat
import struct
import sys
from collections.abc import Callable, Iterator

READY = b"ready\n"
_MOST = 65_535
_BATCH = 64
"""Frames taken from one descriptor before the others have their turn."""

_PACKET_AUXDATA = 8  # linux/if_packet.h
_AUXDATA = struct.Struct("=IIIHHHH")
"""struct tpacket_auxdata: status, len, snaplen, mac, net, vlan_tci, vlan_tpid."""
_STATUS_VLAN_VALID = 1 << 4
_TAG_AT = 12
"""Behind the two hardware addresses of a frame (IEEE 802.3)."""
_ETHERTYPE_VLAN = b"\x81\x00"
_VLAN_ID_MASK = 0x0FFF

Carry = Callable[[], bool]
"""Take one packet and pass it on; False where there is none."""
Read = Callable[[], bytes | None]
Write = Callable[[bytes], object]


def main() -> None:
    """Join what standard input names, until killed."""
    selector = selectors.DefaultSelector()
    for joint in json.load(sys.stdin):
        for descriptor, carry in carriers(joint["upper"], joint["lowers"], joint.get("tag")):
            os.set_blocking(descriptor, False)
            selector.register(descriptor, selectors.EVENT_READ, carry)
    sys.stdout.buffer.write(READY)
    sys.stdout.flush()
    while True:
        for key, _ in selector.select():
            carry_one: Carry = key.data
            for _ in range(_BATCH):
                if not carry_one():
                    break


def carriers(upper: int, lowers: list[int], tag: int | None) -> Iterator[tuple[int, Carry]]:
    """What to do for each descriptor of a joint when something comes by it."""
    turns = itertools.cycle([_writer(lower) for lower in lowers])
    read_upper, write_upper = _reader(upper), _writer(upper)
    yield upper, lambda: _carry(read_upper, lambda frame: next(turns)(with_tag(frame, tag)))
    for lower in lowers:
        read = _reader(lower)
        yield lower, lambda read=read: _carry(read, lambda frame: _up(frame, tag, write_upper))  # type: ignore[misc]


def with_tag(frame: bytes, tag: int | None) -> bytes:
    """The frame with an 802.1Q tag of this VLAN."""
    if tag is None:
        return frame
    return frame[:_TAG_AT] + _ETHERTYPE_VLAN + tag.to_bytes(2, "big") + frame[_TAG_AT:]


def without_tag(frame: bytes, tag: int) -> bytes | None:
    """The frame as it is inside of this VLAN; None where it is of none, or of another."""
    inside = _TAG_AT + 4
    found = int.from_bytes(frame[_TAG_AT + 2 : inside], "big") & _VLAN_ID_MASK
    if len(frame) < inside or frame[_TAG_AT : _TAG_AT + 2] != _ETHERTYPE_VLAN or found != tag:
        return None
    return frame[:_TAG_AT] + frame[inside:]


def _carry(read: Read, write: Write) -> bool:
    frame = read()
    if frame is None:
        return False
    try:
        write(frame)
    except OSError:
        return True  # its other end is down, or full: it is lost, as on any wire
    return True


def _up(frame: bytes, tag: int | None, write: Write) -> None:
    inside = frame if tag is None else without_tag(frame, tag)
    if inside is not None:
        write(inside)


def _reader(descriptor: int) -> Read:
    if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
        return lambda: _none_where_empty(lambda: os.read(descriptor, _MOST))
    wire = socket.socket(fileno=descriptor)
    return lambda: _none_where_empty(lambda: _received(wire))


def _writer(descriptor: int) -> Write:
    return lambda frame: os.write(descriptor, frame)


def _none_where_empty(read: Callable[[], bytes]) -> bytes | None:
    try:
        return read()
    except OSError:
        return None


def _received(wire: socket.socket) -> bytes:
    """A frame as it was on the wire: the kernel keeps its VLAN tag apart (packet(7), PACKET_AUXDATA)."""
    frame, ancillary, _, _ = wire.recvmsg(_MOST, socket.CMSG_SPACE(_AUXDATA.size))
    for _, kind, data in ancillary:
        if kind == _PACKET_AUXDATA and len(data) >= _AUXDATA.size:
            status, *_, tag, _ = _AUXDATA.unpack(data[: _AUXDATA.size])
            if status & _STATUS_VLAN_VALID:
                return with_tag(frame, tag)
    return frame


if __name__ == "__main__":
    main()
