from __future__ import annotations

import socket
import sys
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from scapy.layers.l2 import Ether

from scanner.contracts import ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Batch
from scanner.model import UsageError
from scanner.wire.framer import Framer
from scanner.wire.interface import LINKTYPE_LOOP, LINKTYPE_NULL, LINKTYPE_RAW

MAC = bytes.fromhex("020000000001")
HOP = np.array([2, 0, 0, 0, 0, 9], dtype=np.uint8)


def packets(count: int, length: int) -> NDArray[np.uint8]:
    return np.arange(count * length, dtype=np.uint32).astype(np.uint8).reshape(count, length)


def test_frames_read_back_as_ethernet() -> None:
    batch = Batch(packets(3, 28), ethertype=ETHERTYPE_ARP)
    for row, frame in zip(batch.packets, Framer("v0", MAC, 1500).frame(batch, HOP), strict=True):
        read = Ether(frame.tobytes())
        assert (read.dst, read.src, read.type) == ("02:00:00:00:00:09", "02:00:00:00:00:01", 0x0806)
        assert frame[14:].tobytes() == row.tobytes()


def test_each_packet_may_have_its_own_next_hop() -> None:
    hops = np.arange(18, dtype=np.uint8).reshape(3, 6)
    frames = Framer("v0", MAC, 1500).frame(Batch(packets(3, 40)), hops)
    assert np.array_equal(frames[:, :6], hops)


def test_without_a_header_packets_travel_bare() -> None:
    batch = Batch(packets(2, 40))
    frames = Framer("tun0", MAC, 1500, link_type=LINKTYPE_RAW).frame(batch, HOP)
    assert np.array_equal(frames, batch.packets)


@pytest.mark.parametrize(
    ("platform", "family6"), [("darwin", socket.AF_INET6), ("freebsd14", socket.AF_INET6), ("win32", 24)]
)
@pytest.mark.parametrize("link_type", [LINKTYPE_NULL, LINKTYPE_LOOP])
def test_loopback_of_other_systems_says_the_family(
    monkeypatch: pytest.MonkeyPatch, platform: str, family6: int, link_type: int
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    framer = Framer("lo0", link_type=link_type)
    order: Literal["little", "big"] = "big" if link_type == LINKTYPE_LOOP else sys.byteorder
    for ethertype, family in ((ETHERTYPE_IPV4, 2), (ETHERTYPE_IPV6, family6)):
        frames = framer.frame(Batch(packets(2, 40), ethertype), HOP)
        assert np.array_equal(frames[:, 4:], packets(2, 40))
        assert {row[:4].tobytes() for row in frames} == {int(family).to_bytes(4, order)}


def test_frames_last_until_the_next_batch_and_no_longer() -> None:
    framer = Framer("v0", MAC, 1500)
    first = framer.frame(Batch(packets(4, 40)), HOP)
    second = framer.frame(Batch(packets(2, 40) + 1), HOP)
    assert np.shares_memory(first, second)
    assert not np.shares_memory(second, framer.frame(Batch(packets(2, 44)), HOP))


def test_packets_in_any_memory_order_are_taken() -> None:
    scattered = packets(40, 6).T[::2]
    frames = Framer("v0", MAC, 1500).frame(Batch(scattered), HOP)
    assert np.array_equal(frames[:, 14:], scattered)


def test_a_batch_of_none_is_no_frames() -> None:
    assert Framer("v0", MAC, 1500).frame(Batch(packets(0, 40)), HOP).shape == (0, 54)


@pytest.mark.parametrize(
    ("batch", "hops", "says"),
    [
        (Batch(packets(1, 1501)), HOP, "1501 bytes do not fit interface v0 (MTU 1500)"),
        (Batch(packets(3, 40)), np.zeros((2, 6), dtype=np.uint8), "next hops"),
        (Batch(packets(3, 40)), np.zeros(4, dtype=np.uint8), "next hops"),
        (Batch(packets(3, 40)[0]), HOP, r"\(N, L\) uint8"),
        (Batch(packets(3, 40).astype(np.int64)), HOP, r"\(N, L\) uint8"),
    ],
)
def test_what_is_no_batch_is_refused_in_one_line(batch: Batch, hops: NDArray[np.uint8], says: str) -> None:
    with pytest.raises(UsageError, match=says.replace("(MTU 1500)", r"\(MTU 1500\)")) as caught:
        Framer("v0", MAC, 1500).frame(batch, hops)
    assert "\n" not in str(caught.value)
