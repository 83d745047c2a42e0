"""Frames left out at one look change nothing: what is read, counted and heard is the same without."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_Router_Alert
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, GRE, Dot1Q
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from scanner.core import sieve
from scanner.core.dissect import Dissector
from tests.core.dissection import ETHERNET, Dissection, ether

SRC, DST = "192.0.2.1", "198.51.100.2"
OTHER, ASKED = 443, 401


def four(transport: Packet, **header: Any) -> Packet:
    return ether(IP(src=SRC, dst=DST, **header) / transport)


def tcp(port: int) -> Packet:
    return TCP(sport=50_000, dport=port, flags="PA") / Raw(b"x" * 20)


def udp(port: int) -> Packet:
    return UDP(sport=50_000, dport=port) / Raw(b"y" * 20)


FRAMES = [
    bytes(packet)
    for packet in (
        four(tcp(OTHER)),
        four(udp(OTHER)),
        four(tcp(ASKED)),
        four(udp(ASKED)),
        four(tcp(OTHER), frag=3),
        four(udp(OTHER), flags="MF"),
        four(udp(OTHER), flags="DF"),
        four(tcp(OTHER), options=[IPOption_Router_Alert()]),
        four(udp(4789) / VXLAN(vni=7) / ether(IP(src=DST, dst=SRC) / tcp(ASKED))),
        four(GRE() / IP(src=DST, dst=SRC) / tcp(ASKED)),
        four(ICMP(type="echo-request") / Raw(b"z" * 20)),
        four(ICMP(type=3, code=3) / IP(src=DST, dst=SRC) / tcp(ASKED)),
        ether(IPv6(src="2001:db8::1", dst="2001:db8::2") / tcp(OTHER)),
        ether(Dot1Q(vlan=7) / IP(src=SRC, dst=DST) / tcp(OTHER)),
        ether(ARP(psrc=SRC, pdst=DST)),
    )
]

# A byte of the headers, and what it becomes.
damage = st.tuples(
    st.integers(12, 47), st.integers(0, 255) | st.sampled_from([0, 4, 6, 17, 0x45, 0x46, 0x20])
)


@st.composite
def hostile(draw: st.DrawFn) -> bytes:
    frame = bytearray(draw(st.sampled_from(FRAMES[:2]) | st.sampled_from(FRAMES)))
    for place, value in draw(st.lists(damage, max_size=2)):
        if place < len(frame):
            frame[place] = value
    return bytes(frame[: draw(st.just(len(frame)) | st.integers(0, len(frame)))])


def read(frames: list[bytes], *, at_a_look: bool) -> tuple[object, ...]:
    with pytest.MonkeyPatch.context() as patch:
        # Always worth it, or never.
        patch.setattr(sieve, "_WORTHWHILE", 1 << 40 if at_a_look else 0)
        found = Dissection((ASKED,)).add(frames, ETHERNET).finish()
    return found.kept, found.unread, found.dissector._heard._table.tobytes()


@settings(max_examples=300, deadline=None)
@example(FRAMES)
@given(st.lists(hostile(), max_size=12))
def test_nothing_is_missed(frames: list[bytes]) -> None:
    assert read(frames, at_a_look=True) == read(frames, at_a_look=False)


def test_what_is_sound_and_of_other_ports_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    whole = Dissector._decoder

    def counting(self: Dissector, buffer: object, times: np.ndarray, *more: object) -> object:
        seen.append(len(times))
        return whole(self, buffer, times, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(Dissector, "_decoder", counting)
    Dissection((ASKED,)).add(FRAMES, ETHERNET)
    assert seen == [len(FRAMES) - 3]
