from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.l2 import ARP

from scanner.wire.arp import REPLY, REQUEST, ArpBody, arp_reply, parse_arp_untrusted

OURS, THEIRS = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
ASKED = ArpBody(REQUEST, OURS, 0x0A000001, b"\0" * 6, 0x0A000002)


def test_a_request_is_what_scapy_calls_one() -> None:
    expected = ARP(
        op="who-has", hwsrc="02:00:00:00:00:01", psrc="10.0.0.1", hwdst="00:00:00:00:00:00", pdst="10.0.0.2"
    )
    assert ASKED.pack() == bytes(expected)


def test_a_reply_answers_its_request() -> None:
    expected = ARP(
        op="is-at", hwsrc="02:00:00:00:00:02", psrc="10.0.0.2", hwdst="02:00:00:00:00:01", pdst="10.0.0.1"
    )
    assert arp_reply(ASKED, THEIRS).pack() == bytes(expected)


addresses = st.integers(0, 2**32 - 1)
hosts = st.binary(min_size=6, max_size=6).filter(lambda mac: not mac[0] & 1 and any(mac))


@given(
    st.builds(ArpBody, st.integers(0, 65535), hosts, addresses, st.binary(min_size=6, max_size=6), addresses),
    st.binary(max_size=20),
)
def test_what_is_written_is_read_whatever_padding_follows(body: ArpBody, padding: bytes) -> None:
    assert parse_arp_untrusted(body.pack() + padding) == body


@pytest.mark.parametrize("cut", range(28))
def test_a_short_body_is_none(cut: int) -> None:
    assert parse_arp_untrusted(ASKED.pack()[:cut]) is None


@pytest.mark.parametrize("place", range(6))
def test_another_hardware_or_protocol_is_none(place: int) -> None:
    body = bytearray(ASKED.pack())
    body[place] ^= 0x40
    assert parse_arp_untrusted(bytes(body)) is None


@pytest.mark.parametrize("mac", [b"\0" * 6, b"\xff" * 6, b"\x01\0\x5e\0\0\1"])
def test_nobody_has_an_empty_or_a_multicast_address(mac: bytes) -> None:
    assert parse_arp_untrusted(ArpBody(REPLY, mac, 1, OURS, 2).pack()) is None


@given(st.binary(max_size=64))
def test_any_bytes_are_a_body_or_none(data: bytes) -> None:
    body = parse_arp_untrusted(data)
    assert body is None or data.startswith(body.pack())
