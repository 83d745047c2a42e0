"""The promise "a Scapy packet is the probe", held against the frames that Scapy itself builds."""

from __future__ import annotations

import random
from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray
from scapy.fields import ByteField, ConditionalField
from scapy.layers.inet import (
    ICMP,
    IP,
    TCP,
    UDP,
    IPOption_Router_Alert,
    IPOption_Timestamp,
)
from scapy.layers.inet6 import ICMPv6EchoReply, IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.layers.sctp import SCTP, SCTPChunkData
from scapy.packet import Packet, Raw
from scapy.volatile import RandShort

from scanner.core.template import Field, Stamper
from scanner.model import UsageError
from scanner.probes.arp import arp_request
from scanner.probes.compiler import compile_arp, compile_packet, compile_probe
from scanner.probes.mark import IP_ID
from scanner.probes.tcp_syn import TCP_SYN
from scanner.probes.udp import UDP as UDP_PROBE

ROWS = 300
WIDTHS = {Field.SOURCE: 32, Field.DESTINATION: 32, Field.SEQUENCE: 32}
MAC = bytes.fromhex("020000000001")


def drawn(fields: Mapping[Field, tuple[int, int]], count: int, seed: int) -> dict[Field, NDArray[np.uint32]]:
    """Random values, the extremes among them."""
    source = random.Random(seed)
    values = {}
    for field in fields:
        bits = WIDTHS.get(field, 16)
        chosen = [0, (1 << bits) - 1, 1 << bits - 1]
        chosen += [source.getrandbits(bits) for _ in range(count - len(chosen))]
        source.shuffle(chosen)
        values[field] = np.array(chosen, dtype=np.uint32 if bits == 32 else np.uint16).astype(np.uint32)
    return values


def built_by_scapy(packet: Packet, values: Mapping[Field, int]) -> bytes:
    """The packet with its fields set the way anybody would set them."""
    made = packet.copy()
    transport = made.payload
    for layer in (made, transport):
        del layer.chksum
    made.src, made.dst = (
        ".".join(map(str, values[field].to_bytes(4, "big"))) for field in (Field.SOURCE, Field.DESTINATION)
    )
    transport.sport, transport.dport = values[Field.SOURCE_PORT], values[Field.DESTINATION_PORT]
    if Field.SEQUENCE in values:
        transport.seq = values[Field.SEQUENCE]
    return bytes(made)


OPTIONS = [("MSS", 1460), ("NOP", None), ("WScale", 7), ("SAckOK", b""), ("Timestamp", (123456, 0))]

PACKETS = {
    "syn": IP() / TCP(flags="S"),
    "syn of the probe": TCP_SYN.packet(b""),
    "syn with options": IP(tos=0x10, ttl=255, flags="DF") / TCP(flags="S", window=0, options=OPTIONS),
    "syn with an odd payload": IP() / TCP(flags="S") / b"odd",
    "syn with an even payload": IP() / TCP(flags="S") / b"even",
    "syn after IP options": IP(options=[IPOption_Router_Alert()]) / TCP(flags="S", options=OPTIONS) / b"x",
    "everything set": IP(id=0xFFFF, tos=0xFF) / TCP(flags=0xFF, ack=0xFFFFFFFF, urgptr=0xFFFF, window=0xFFFF),
    "udp": IP() / UDP(),
    "udp of the probe": UDP_PROBE.packet(b""),
    "udp with an odd payload": IP() / UDP() / b"\xff",
    "udp with an even payload": IP() / UDP() / b"\xff\xff",
    "udp with a payload of all ones": IP() / UDP() / Raw(b"\xff" * 1401),
    "udp after IP options": IP(options=[IPOption_Router_Alert(), IPOption_Timestamp()]) / UDP() / b"odd",
    "udp with a packet in it": IP() / UDP() / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(),
}


@pytest.mark.parametrize("name", PACKETS)
def test_stamped_as_scapy_builds_it(name: str) -> None:
    packet = PACKETS[name]
    template = compile_packet(packet)
    values = drawn(template.fields, ROWS, seed=len(template.packet))
    stamped = Stamper(template, ROWS).stamp(ROWS, values)
    for row in range(ROWS):
        scapy = built_by_scapy(packet, {field: int(column[row]) for field, column in values.items()})
        assert stamped[row].tobytes() == scapy


def test_random_packets_as_scapy_builds_them() -> None:
    source = random.Random(20)
    for number in range(400):
        transport: Packet = UDP()
        if number % 2:
            options = source.choice([[], OPTIONS[:1], OPTIONS])
            window, flags = source.getrandbits(16), source.getrandbits(8)
            transport = TCP(flags=flags, window=window, ack=source.getrandbits(32), options=options)
        header = IP(
            id=source.getrandbits(16),
            ttl=source.getrandbits(8),
            tos=source.getrandbits(8),
            options=source.choice([[], [IPOption_Router_Alert()]]),
        )
        packet = header / transport / source.randbytes(source.randrange(40))
        template = compile_packet(packet)
        values = drawn(template.fields, 4, seed=number)
        stamped = Stamper(template, 4).stamp(4, values)
        for row in range(4):
            scapy = built_by_scapy(packet, {field: int(column[row]) for field, column in values.items()})
            assert stamped[row].tobytes() == scapy


def test_a_udp_checksum_of_zero_is_sent_as_all_ones() -> None:
    packet = IP() / UDP() / b"abc"
    template = compile_packet(packet)
    fixed = {Field.SOURCE: 0x0A000001, Field.DESTINATION: 0x0A000002, Field.DESTINATION_PORT: 401}
    port = int.from_bytes(built_by_scapy(packet, {**fixed, Field.SOURCE_PORT: 0})[26:28], "big")
    values = {**fixed, Field.SOURCE_PORT: port}
    stamped = Stamper(template, 1).stamp(1, values)[0].tobytes()
    assert stamped[26:28] == b"\xff\xff"
    assert stamped == built_by_scapy(packet, values)


def test_the_fields_of_a_syn() -> None:
    template = compile_packet(IP(options=[IPOption_Router_Alert()]) / TCP())
    assert template.fields == {
        Field.SOURCE: (12, 4),
        Field.DESTINATION: (16, 4),
        Field.SOURCE_PORT: (24, 2),
        Field.DESTINATION_PORT: (26, 2),
        Field.SEQUENCE: (28, 4),
    }


def test_compiling_leaves_the_packet_alone() -> None:
    packet = IP(src="10.0.0.9", dst="10.0.0.8") / TCP(sport=1, dport=2, seq=3)
    before = bytes(packet)
    compile_packet(packet)
    assert bytes(packet) == before


class _Odd(IP):
    """A header that begins one byte late."""

    name = "IP"
    fields_desc = [ByteField("pad", 0), *IP.fields_desc]  # noqa: RUF012 - Scapy's own way


class _WithoutSequence(TCP):
    name = "TCP"
    fields_desc = [  # noqa: RUF012 - Scapy's own way
        field for field in TCP.fields_desc if field.name != "seq"
    ]


class _Growing(TCP):
    """A header that is longer for one port."""

    name = "TCP"
    fields_desc = [  # noqa: RUF012 - Scapy's own way
        *TCP.fields_desc,
        ConditionalField(ByteField("more", 0), lambda packet: packet.sport == 0xFFFF),
    ]


@pytest.mark.parametrize(
    ("packet", "fault"),
    [
        (TCP(), "from others; this is TCP"),
        (IP(), "from others; this is IP"),
        (IP() / ICMP(type=13), "of ICMP messages only an echo request"),
        (IP() / SCTP() / SCTPChunkData(data=b"x"), "an SCTP probe begins with an INIT chunk"),
        (IPv6() / ICMPv6EchoReply(), "from others; this is IPv6/ICMPv6EchoReply"),
        (IP() / IP() / TCP(), "from others; this is IP/IP/TCP"),
        (IP() / Raw(b"x"), "from others; this is IP/Raw"),
        (Ether() / IP() / TCP(), "from others; this is Ether/IP/TCP"),
        (Raw(b"x"), "from others; this is Raw"),
        (_Odd() / TCP(), "IP.src does not sit in one even place"),
        (IP() / _WithoutSequence(), "TCP has no field seq"),
        (IP(len=40) / _Growing(dataofs=5), "TCP.sport does not sit in one even place"),
        (IP(id=RandShort()) / TCP(), "does not sit in one even place"),
        (IP(ihl=6) / TCP(), "TCP does not begin where the IP header says it ends"),
    ],
)
def test_refused_in_one_line(packet: Packet, fault: str) -> None:
    with pytest.raises(UsageError) as caught:
        compile_packet(packet, name="my probe")
    message = str(caught.value)
    assert message.startswith("my probe: ")
    assert fault in message
    assert "\n" not in message


@pytest.mark.parametrize("probe", [TCP_SYN, UDP_PROBE], ids=lambda probe: probe.name)
def test_a_probe_is_compiled_with_the_payload_of_its_port(probe: object) -> None:
    for port in (53, 401):
        assert isinstance(probe, type(TCP_SYN))
        template = compile_probe(probe, port)
        assert template.packet.endswith(probe.payload(port))
        assert template.packet[4:6] == IP_ID.to_bytes(2, "big")
        assert len(template.packet) == len(bytes(probe.packet(probe.payload(port))))


def test_arp_as_scapy_builds_it() -> None:
    template = compile_arp(arp_request())
    assert template.fields == {
        Field.SOURCE_MAC: (8, 6),
        Field.SOURCE: (14, 4),
        Field.DESTINATION: (24, 4),
    }
    targets = np.array([random.Random(3).getrandbits(32) for _ in range(ROWS)], dtype=np.uint32)
    targets[:2] = [0, 0xFFFFFFFF]
    stamper = Stamper(template, ROWS)
    for mac, source in ((MAC, 0x0A000001), (b"\xfe" + bytes(5), 0xFFFFFFFF), (bytes(5) + b"\x01", 1)):
        fields: dict[Field, NDArray[np.uint32] | int | bytes] = {
            Field.SOURCE_MAC: mac,
            Field.SOURCE: source,
            Field.DESTINATION: targets,
        }
        stamped = stamper.stamp(ROWS, fields)
        assert stamped.shape == (ROWS, 28)
        for row, target in zip(stamped, targets.tolist(), strict=True):
            made = ARP(op=1, hwsrc=mac.hex(":"), hwdst="00:00:00:00:00:00")
            made.psrc, made.pdst = (".".join(map(str, at.to_bytes(4, "big"))) for at in (source, target))
            assert row.tobytes() == bytes(made)


@pytest.mark.parametrize(
    ("packet", "fault"),
    [
        (Ether() / ARP(), "an ARP probe starts with ARP; this is Ether/ARP"),
        (IP() / TCP(), "an ARP probe starts with ARP; this is IP/TCP"),
        (
            ARP(op=RandShort(), psrc="10.0.0.1", hwsrc="02:00:00:00:00:01"),
            "does not sit in one even place",
        ),
    ],
)
def test_arp_refused_in_one_line(packet: Packet, fault: str) -> None:
    with pytest.raises(UsageError, match=fault) as caught:
        compile_arp(packet)
    assert "\n" not in str(caught.value)
