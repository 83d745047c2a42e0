"""The UDP probe, and its questions as tshark reads them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.dns import DNS
from scapy.layers.inet import IP, UDP
from scapy.layers.ntp import NTPHeader
from scapy.utils import wrpcap

from scanner.model import Protocol
from scanner.probes.udp import UDP as PROBE

ASKED = (53, 123, 161)


def test_declared() -> None:
    assert PROBE.name == "udp"
    assert PROBE.protocol is Protocol.UDP
    assert [port for port in range(1, 65536) if PROBE.payload(port)] == list(ASKED)


@pytest.mark.parametrize("port", [401, *ASKED])
def test_the_packet_carries_the_payload_and_our_mark(port: int) -> None:
    payload = PROBE.payload(port)
    read = IP(bytes(PROBE.packet(payload)))
    assert (read.id, read.ttl, read.frag, int(read.flags), read.options) == (0x4750, 64, 0, 0, [])
    assert read[UDP].len == 8 + len(payload)
    assert bytes(read[UDP])[8:] == payload


def test_dns_asks_for_the_status_of_the_server() -> None:
    question = DNS(PROBE.payload(53))
    assert (question.qr, question.opcode, question.rd) == (0, 2, 0)
    assert (question.qdcount, question.ancount, question.nscount, question.arcount) == (0, 0, 0, 0)
    assert len(PROBE.payload(53)) == 12


def test_ntp_is_a_client_of_version_4() -> None:
    question = NTPHeader(PROBE.payload(123))
    assert (question.leap, question.version, question.mode) == (0, 4, 3)
    assert len(PROBE.payload(123)) == 48


def ber(data: bytes) -> list[Any]:
    """Read BER (X.690, 8.1) to its end: numbers, byte strings, and lists of them for what is constructed."""
    values: list[Any] = []
    while data:
        tag, length = data[0], data[1]
        assert length < 0x80
        assert len(data) >= 2 + length
        content, data = data[2 : 2 + length], data[2 + length :]
        values.append(ber(content) if tag & 0x20 else int.from_bytes(content) if tag == 2 else content)
    return values


def test_snmp_asks_for_the_engine() -> None:
    [[version, header, security, scoped]] = ber(PROBE.payload(161))
    assert version == 3
    assert header == [0x4750, 0xFFE3, b"\x04", 3], "reportable, or nobody answers; user-based security"
    assert ber(security) == [[b"", 0, 0, b"", b"", b""]]
    assert scoped == [b"", b"", [0x2B06, 0, 0, []]]


FIELDS = (
    "_ws.malformed",
    "_ws.expert.message",
    "udp.length",
    "dns.flags.opcode",
    "dns.flags.response",
    "ntp.flags.mode",
    "ntp.flags.vn",
    "snmp.msgVersion",
    "snmp.msgFlags",
    "snmp.data",
)


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_tshark_finds_nothing_amiss(tmp_path: Path) -> None:
    capture = tmp_path / "questions.pcap"
    packets = []
    for port in ASKED:
        packet = PROBE.packet(PROBE.payload(port))
        packet.src, packet.dst = "127.0.0.1", "127.0.0.2"
        packet[UDP].sport, packet[UDP].dport = 50000, port
        packets.append(packet)
    wrpcap(str(capture), packets, linktype=101)
    command = ["tshark", "-n", "-r", str(capture), "-T", "fields", "-E", "separator=|"]
    for field in FIELDS:
        command += ["-e", field]
    read = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    rows = [dict(zip(FIELDS, line.split("|"), strict=True)) for line in read]
    assert [row["_ws.malformed"] + row["_ws.expert.message"] for row in rows] == ["", "", ""]
    dns, ntp, snmp = rows
    assert (dns["udp.length"], dns["dns.flags.opcode"]) == ("20", "2")
    assert dns["dns.flags.response"] in {"0", "False"}
    assert (ntp["ntp.flags.vn"], ntp["ntp.flags.mode"]) == ("4", "3")
    assert (snmp["snmp.msgVersion"], snmp["snmp.data"]) == ("3", "0"), "a get-request"
    assert snmp["snmp.msgFlags"] == "04"
