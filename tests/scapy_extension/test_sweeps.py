"""`ghost_sweep` on a network in memory: a list like Scapy's own, and the verdicts of the library."""

from __future__ import annotations

import logging
import pickle
import socket
import sys

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.plist import PacketList, SndRcvList

from scanner import Protocol, Reason, ScopeRefused, State, UsageError, WireError, read_capture, sweep
from scanner.scapy_extension.sweeps import ghost_sweep
from scanner.wire.behaviours import closed_port, icmp_error, in_turn, open_port, silent
from scanner.wire.memory import SimulatedNetwork
from scanner.wire.memory_wire import MemoryWire

SYN = IP(dst="10.0.0.0/28") / TCP(dport=401, flags="S")


def network() -> SimulatedNetwork:
    """Eight closed, four open, two silent, one behind a router, one down."""
    made = SimulatedNetwork(seed=3)
    made.place("10.0.0.0/29", closed_port())
    made.place("10.0.0.8/30", open_port(b"hello"))
    made.place("10.0.0.12/31", silent())
    made.place("10.0.0.14", icmp_error(3, 1, responder=(10 << 24) + 99))
    return made


@pytest.fixture
def swept():
    return ghost_sweep(SYN, network=network(), seed=5, retries=1)


def test_the_verdicts_are_those_of_the_library(swept):
    expected = list(sweep("10.0.0.0/28", protocols=["tcp"], retries=1, seed=5, network=network()).result())

    assert len(swept.verdicts) == 16
    assert [(v.ip, v.state, v.reason, v.tries) for v in swept.verdicts] == [
        (v.ip, v.state, v.reason, v.tries) for v in expected
    ]
    assert [v.ip for v in swept.verdicts.open()] == [f"10.0.0.{n}" for n in range(8, 12)]
    assert swept.verdicts[15].reason is Reason.NO_ARP_RESPONSE
    assert [v.ip for v in swept.verdicts[:2]] == ["10.0.0.0", "10.0.0.1"]


def test_pairs_are_packets_as_sr_gives_them(swept):
    assert isinstance(swept, SndRcvList)
    assert len(swept) == 13
    for query, answer in swept:
        assert type(query) is IP
        assert (query.dport, query[TCP].flags) == (401, "S")
        assert answer.src == query.dst or answer.haslayer(ICMP)
        assert query.sent_time is not None
        assert 0 <= float(answer.time) - float(query.sent_time) < 1
    assert [query.dst for query, _ in swept] == [f"10.0.0.{n}" for n in [*range(12), 14]]
    flags = [str(answer[TCP].flags) for _, answer in swept if TCP in answer and ICMP not in answer]
    assert flags == ["RA"] * 8 + ["SA"] * 4


def test_the_silent_are_unanswered_and_who_is_down_was_never_asked(swept):
    assert isinstance(swept.unanswered, PacketList)
    assert [packet.dst for packet in swept.unanswered] == ["10.0.0.12", "10.0.0.13"]


def test_it_has_the_habits_of_scapys_lists(swept, capsys):
    swept.summary(lfilter=lambda query, answer: answer.sprintf("%TCP.flags%") == "SA")
    assert len(capsys.readouterr().out.splitlines()) == 4
    swept.nsummary()
    assert capsys.readouterr().out.splitlines()[8].startswith("0008 IP / TCP ")
    swept.show()
    assert len(capsys.readouterr().out.splitlines()) == 13
    swept.make_table(lambda query, answer: (query.dport, query.dst, answer.sprintf("%TCP.flags%")))
    table = capsys.readouterr().out.splitlines()
    assert table[0].strip() == "401"
    assert table[9].split() == ["10.0.0.8", "SA"]
    assert [query.dst for query, _ in swept.filter(lambda query, answer: answer[IP].src != query.dst)] == [
        "10.0.0.14"
    ]
    assert [query.dst for query, _ in swept[:2]] == ["10.0.0.0", "10.0.0.1"]
    assert (swept[-1].query.dst, swept[8].answer[TCP].flags) == ("10.0.0.14", "SA")
    assert len(swept[ICMP]) == 1
    assert len(swept + swept) == 26
    assert sum(map(len, swept.sessions().values())) == 13
    with pytest.raises(IndexError):
        swept[13]


def test_parts_of_it_are_scapys_own_lists(swept):
    for part in (swept.answered, swept[:2], swept[TCP], swept + swept, swept.filter(lambda *_: True)):
        assert type(part) is SndRcvList
    again = pickle.loads(pickle.dumps(swept))  # noqa: S301 - our own
    assert [bytes(answer) for _, answer in again] == [bytes(answer) for _, answer in swept]


def test_it_sums_itself_up_without_making_packets(swept, monkeypatch):
    monkeypatch.setattr("scanner.scapy_extension.sweeps.packets_at", None)

    assert repr(swept) == (
        "<ghost_sweep: 13 answered, 2 unanswered; 401/tcp  4 open (syn-ack) · 8 closed (reset) · "
        "3 filtered (no-response 2, host-unreach 1) · 1 down (no-arp-response)>"
    )
    assert repr(swept.verdicts) == (
        "401/tcp  4 open (syn-ack) · 8 closed (reset) · 3 filtered (no-response 2, host-unreach 1) · "
        "1 down (no-arp-response)"
    )
    assert len(swept) == 13


def test_verdicts_are_shown_as_a_table(swept, capfd):
    swept.verdicts.show()

    lines = capfd.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["ADDRESS", "PORT", "STATE", "REASON"]
    assert len(lines) == 17


def test_a_datagram_asks_several_ports():
    packet = IP(dst=["10.0.0.6", "10.0.0.9"]) / UDP(dport=[401, (53, 54)]) / b"who?"

    swept = ghost_sweep(packet, network=network(), retries=0)

    assert {(query.dst, query.dport) for query, _ in swept} == {
        (address, port) for address in ("10.0.0.6", "10.0.0.9") for port in (53, 54, 401)
    }
    assert {bytes(query[UDP].payload) for query, _ in swept} == {b"who?"}
    assert {v.state for v in swept.verdicts.open()} == {State.OPEN}


def test_only_the_reply_that_decided_is_in_a_pair():
    made = SimulatedNetwork(seed=3)
    made.place("10.0.0.1", in_turn(icmp_error(3, 1, responder=(10 << 24) + 99), open_port()))

    ((_, answer),) = ghost_sweep(IP(dst="10.0.0.1") / TCP(dport=401), network=made)

    assert answer.haslayer(ICMP)


def test_what_is_excluded_is_not_asked():
    swept = ghost_sweep(SYN, network=network(), exclude="10.0.0.8/29")

    assert [v.ip for v in swept.verdicts] == [f"10.0.0.{n}" for n in range(8)]


def test_evidence_is_kept_where_it_is_wanted(tmp_path):
    swept = ghost_sweep(SYN, network=network(), evidence=tmp_path / "audit.pcap")

    assert list(read_capture(tmp_path / "audit.pcap")) == list(swept.verdicts)
    del swept
    assert (tmp_path / "audit.pcap").exists()


def test_else_it_goes_with_the_list(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    swept = ghost_sweep(SYN, network=network())
    assert len(list(tmp_path.glob("ghostport-*/*"))) == 2

    del swept

    assert list(tmp_path.iterdir()) == []


def test_a_target_outside_the_scope_is_refused_and_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(ScopeRefused, match=r"203\.0\.113\.1"):
        ghost_sweep(IP(dst="203.0.113.1") / TCP(dport=401), network=network())
    with pytest.raises(UsageError, match="--rate"):
        ghost_sweep(SYN, rate=0, network=network())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "said"), [(KeyboardInterrupt(), "interrupted"), (WireError("gpv0: is down"), "gpv0: is down")]
)
def test_what_ends_a_sweep_early_leaves_what_was_learnt(error, said, monkeypatch, caplog):
    receive = MemoryWire.receive
    arrived: list[int] = []

    def interrupted(self, timeout):
        if sum(arrived) >= 15 + 6:  # who is there, and some answers
            raise error
        frames = receive(self, timeout)
        arrived.append(len(frames))
        return frames

    monkeypatch.setattr(MemoryWire, "receive", interrupted)
    with caplog.at_level(logging.WARNING, logger="scapy.runtime"):
        swept = ghost_sweep(SYN, network=network(), rate=200)

    assert said in caplog.text
    assert 0 < len(swept) < 13
    assert {v.reason for v in swept.verdicts} <= {
        Reason.RESET,
        Reason.SYN_ACK,
        Reason.HOST_UNREACH,
        Reason.NO_ARP_RESPONSE,
    }
    assert "incomplete: " in repr(swept)


LAB_SCRIPT = """
import sys
from scapy.config import conf
conf.exts.load("ghostport")
from scapy.layers.inet import IP, TCP
from scapy.contrib.ghostport import *
swept = ghost_sweep(IP(dst=sys.argv[1]) / TCP(dport=401, flags="S", options=[("MSS", 1460)]))
for verdict in swept.verdicts:
    print(verdict.ip, verdict.state, verdict.reason)
assert len(swept) == len([v for v in swept.verdicts if v.responder])
"""


@pytest.mark.lab
def test_on_a_real_network_it_finds_what_is_there(lab):
    ran = lab.run(
        [sys.executable, "-c", LAB_SCRIPT, "10.50.0.0/24"], capture_output=True, text=True, timeout=60
    )

    assert ran.returncode == 0, ran.stderr
    found = {address: (state, reason) for address, state, reason in map(str.split, ran.stdout.splitlines())}
    assert len(found) == 256
    for address, said in found.items():
        truth = lab.expected(address, Protocol.TCP)
        assert said == (truth.state, truth.reason), address


@pytest.fixture
def _listener():
    """Somebody on port 401 of ::1, in the network namespace in which all tests are."""
    try:
        listener = socket.create_server(("::1", 401), family=socket.AF_INET6)
    except OSError as error:
        pytest.skip(f"no IPv6: {error}")
    with listener:
        yield


@pytest.mark.lab
@pytest.mark.usefixtures("_listener")
def test_it_sweeps_ipv6():
    swept = ghost_sweep(IPv6(dst="::1") / TCP(dport=[401, 402], flags="S"))

    assert [(v.ip, v.port, v.state) for v in swept.verdicts] == [("::1", 401, "open"), ("::1", 402, "closed")]
    assert [(type(query), query.dport, str(answer[TCP].flags)) for query, answer in swept] == [
        (IPv6, 401, "SA"),
        (IPv6, 402, "RA"),
    ]
