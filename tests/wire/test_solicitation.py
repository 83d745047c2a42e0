"""Neighbour discovery, written and read by Scapy, which knows the format from elsewhere."""

from __future__ import annotations

from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet6 import (
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
)

from scanner.wire.solicitation import Solicitation, advertisement, parse_solicitation_untrusted

SOURCE, TARGET = (int(IPv6Address(text)) for text in ("2001:db8::1", "2001:db8::2"))


def solicitation(source: str = "2001:db8::1", hlim: int = 255, code: int = 0) -> bytes:
    header = IPv6(src=source, dst="ff02::1:ff00:2", hlim=hlim)
    return bytes(
        header / ICMPv6ND_NS(tgt="2001:db8::2", code=code) / ICMPv6NDOptSrcLLAddr(lladdr="02:00:00:00:00:01")
    )


def test_a_solicitation_says_who_asks_for_whom() -> None:
    assert parse_solicitation_untrusted(solicitation()) == Solicitation(SOURCE, TARGET)


def test_the_answer_is_read_by_others() -> None:
    packet = IPv6(advertisement(Solicitation(SOURCE, TARGET), bytes(range(6))))
    said = packet[ICMPv6ND_NA]
    assert (packet.src, packet.dst, packet.hlim) == ("2001:db8::2", "2001:db8::1", 255)
    assert (said.R, said.S, said.O, said.tgt) == (0, 1, 1, "2001:db8::2")
    assert said[ICMPv6NDOptDstLLAddr].lladdr == "00:01:02:03:04:05"
    again = packet.copy()
    del again[ICMPv6ND_NA].cksum
    assert bytes(again) == bytes(packet)


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        solicitation()[:63],
        solicitation(hlim=254),  # from beyond a router
        solicitation(code=1),
        solicitation(source="::"),  # whether an address is free
        bytes(IPv6() / ICMPv6ND_NA()),
    ],
)
def test_what_no_host_answers_is_none(packet: bytes) -> None:
    assert parse_solicitation_untrusted(packet) is None


@given(st.binary(max_size=90).map(lambda tail: solicitation()[:40] + tail))
def test_any_message_is_a_solicitation_or_none(packet: bytes) -> None:
    asked = parse_solicitation_untrusted(packet)
    assert asked is None or len(advertisement(asked, bytes(6))) == 40 + 32
