"""`ghost_read`: files, and packets that Scapy holds."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw
from scapy.plist import PacketList, QueryAnswer, SndRcvList
from scapy.utils import rdpcap

from scanner import CaptureError, Protocol, UsageError, read_capture
from scanner.lab.topology import PROBER_INTERFACE
from scanner.scapy_extension.reads import ghost_read
from scanner.scapy_extension.sweeps import ghost_sweep
from tests.scapy_extension.test_sweeps import SYN, network

CASES = Path(__file__).parents[2] / "pcaps"


def cases() -> list[str]:
    """Recorded cases that Scapy can read, and whose link it knows."""
    return [path.parent.name for path in sorted(CASES.glob("*/capture.pcap"))]


@pytest.mark.parametrize("case", ["refused-then-open", *cases()[::8]])
def test_a_packet_list_says_what_its_file_says(case, tmp_path):
    path = tmp_path / "capture.pcap"  # away from a plan
    path.write_bytes((CASES / case / "capture.pcap").read_bytes())
    try:
        expected = list(read_capture(path))
    except CaptureError as error:
        pytest.skip(f"cannot be read at all: {error}")
    packets = rdpcap(str(path))
    if any(type(packet) is Raw for packet in packets):
        pytest.skip("Scapy does not know the link type")

    from_file, from_list = ghost_read(path), ghost_read(packets)

    assert list(from_file.verdicts) == expected
    assert list(from_list.verdicts) == expected
    assert len(from_file) == len(from_list)
    for one, two in zip(from_file, from_list, strict=True):
        assert [bytes(packet) for packet in one] == [bytes(packet) for packet in two]
        assert [packet.time for packet in one] == [packet.time for packet in two]


def test_pairs_are_the_very_packets():
    packets = rdpcap(str(CASES / "refused-then-open" / "capture.pcap"))

    found = ghost_read(packets)

    assert len(found) == 6
    assert all(packet in list(packets) for pair in found for packet in pair)
    assert [type(query) for query, _ in found] == [Ether] * 6
    assert "401/tcp  1 open (syn-ack)" in repr(found)


def test_the_evidence_of_a_sweep_is_read_with_its_plan(tmp_path):
    swept = ghost_sweep(SYN, network=network(), evidence=tmp_path / "audit.pcap")

    found = ghost_read(str(tmp_path / "audit.pcap"))

    assert list(found.verdicts) == list(swept.verdicts)
    assert [query[IP].dst for query, _ in found] == [query.dst for query, _ in swept]


def exchange(port: int) -> tuple[Packet, Packet]:
    query = IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=5, dport=port, seq=7)
    answer = IP(src="10.0.0.2", dst="10.0.0.1") / TCP(sport=port, dport=5, ack=8, flags="SA")
    query.time, query.sent_time, answer.time = 100.0, 100.5, 101.0
    return query, answer


def test_what_sr_gives_can_be_read():
    answered = SndRcvList([QueryAnswer(*exchange(401))])
    silent = PacketList([IP(src="10.0.0.1", dst="10.0.0.3") / TCP(sport=6, dport=401)])

    one, two = ghost_read((answered, silent)).verdicts

    assert (one.ip, one.state, one.rtt_ms) == ("10.0.0.2", "open", 500.0)
    assert (two.ip, two.reason) == ("10.0.0.3", "no-response")


def test_pairs_are_in_order_of_address_whatever_its_version():
    targets = ["fd00::2", "10.0.0.9", "fd00::1", "10.0.0.3"]
    packets: list[Packet] = []
    for target in targets:
        layer, own = (IPv6, "fd00::99") if ":" in target else (IP, "10.0.0.99")
        packets.append(layer(src=own, dst=target) / TCP(sport=5, dport=401, seq=7))
        packets.append(layer(src=target, dst=own) / TCP(sport=401, dport=5, ack=8, flags="RA"))

    found = ghost_read(packets)

    assert [v.ip for v in found.verdicts] == [query.dst for query, _ in found]
    assert {query.dst for query, _ in found} == {*targets}


def test_other_ports_are_asked_about():
    packets = [*exchange(401), *exchange(3493)]

    assert [v.port for v in ghost_read(packets).verdicts] == [401]
    assert [v.port for v in ghost_read(packets, ports="3000-4000").verdicts] == [3493]
    assert [v.port for v in ghost_read(packets, ports=[401, 3493]).verdicts] == [401, 3493]


def test_nothing_gives_nothing():
    found = ghost_read([])

    assert (len(found), len(found.verdicts), len(found.unanswered)) == (0, 0, 0)
    assert repr(found) == "<ghost_read: 0 answered, 0 unanswered; no verdicts>"


@pytest.mark.parametrize("source", [5, b"bytes", [5], None])
def test_what_is_no_capture_is_refused(source):
    with pytest.raises(UsageError, match="is no capture: give a file, a PacketList or an AsyncSniffer"):
        ghost_read(source)


def test_a_file_that_is_none_is_refused(tmp_path):
    with pytest.raises(CaptureError, match="cannot be read"):
        ghost_read(tmp_path / "missing.pcap")


SNIFFED = """
import sys, threading
from scapy.config import conf
conf.exts.load("ghostport")
from scapy.layers.inet import IP, TCP
from scapy.sendrecv import AsyncSniffer, sr
from scapy.contrib.ghostport import *
ready = threading.Event()
sniffer = AsyncSniffer(iface=sys.argv[1], started_callback=ready.set)
sniffer.start()
ready.wait(5)
try:
    ghost_read(sniffer)
except Exception as error:
    print(error)
probes = [IP(dst=address) / TCP(sport=40000, dport=401, flags="S") for address in sys.argv[2:]]
answered, unanswered = sr(probes, timeout=1, verbose=0)
sniffer.stop()
for found in (ghost_read(sniffer), ghost_read((answered, unanswered))):
    print(*(f"{verdict.ip}={verdict.state}({verdict.reason})" for verdict in found.verdicts))
"""


@pytest.mark.lab
def test_what_a_sniffer_saw_is_judged_as_a_sweep_would(lab):
    addresses = [f"10.50.0.{last}" for last in range(1, 9)]
    ran = lab.run(
        [sys.executable, "-c", SNIFFED, PROBER_INTERFACE, *addresses],
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert ran.returncode == 0, ran.stderr
    running, sniffed, exchanged = ran.stdout.splitlines()
    assert running == "the sniffer is running: stop() it first"
    truths = ((address, lab.expected(address, Protocol.TCP)) for address in addresses)
    expected = " ".join(f"{address}={truth.state}({truth.reason})" for address, truth in truths)
    assert sniffed == exchanged == expected
