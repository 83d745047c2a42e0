"""The other probes on a real network: they say what nmap says, and the same when read back."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import pytest

from scanner.core.crc32c import crc32c
from scanner.lab import namespaces

pytestmark = pytest.mark.lab

SPEAKER = "10.50.0.21"
"""Of all addresses this one has SCTP."""

OPEN, CLOSED = 401, 402
SILENT_TIME = ["--wait", "0.3", "--retries", "1"]


def sctp_answer(packet: bytes) -> bytes:
    """INIT ACK from the open port, ABORT from any other (RFC 9260, 5.1 and 8.4)."""
    source, target, _tag, _sum = struct.unpack_from(">HHLL", packet)
    kind, _flags, _length, initiate = struct.unpack_from(">BBHL", packet, 12)
    assert kind == 1
    covered = packet[:8] + bytes(4) + packet[12:]
    assert struct.unpack_from("<L", packet, 8)[0] == crc32c(covered), "the checksum is right"
    accept, abort = struct.pack(">BBHLLHHL", 2, 0, 20, 7, 32768, 1, 1, 1), struct.pack(">BBH", 6, 0, 4)
    chunk = accept if target == OPEN else abort
    header = struct.pack(">HHLL", target, source, initiate, 0)
    return header[:8] + struct.pack("<L", crc32c(header + chunk)) + chunk


@pytest.fixture
def speaker(lab) -> Iterator[None]:
    with namespaces.entered(lab.target):
        endpoint = socket.socket(socket.AF_INET, socket.SOCK_RAW, 132)
    endpoint.bind((SPEAKER, 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                packet, sender = endpoint.recvfrom(2048)
                endpoint.sendto(sctp_answer(packet[20:]), sender)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield
    endpoint.close()


def nmap_says(lab, nmap: str, *words: str) -> dict[tuple[str, int], tuple[str, str]]:
    """State and reason by address and port; port 0 is the host itself."""
    command = [nmap, "-n", "-oX", "-", "--max-retries", "1", "--max-rtt-timeout", "300ms", *words]
    ran = lab.run(command, capture_output=True, text=True, timeout=100)
    found = {}
    tree: Any = ElementTree.fromstring(ran.stdout)  # noqa: S314 - our own nmap wrote it
    for host in tree.iter("host"):
        address = host.find("address").get("addr")
        status = host.find("status")
        found[address, 0] = (status.get("state"), status.get("reason"))
        for port in host.iter("port"):
            state = port.find("state")
            found[address, int(port.get("portid"))] = (state.get("state"), state.get("reason"))
    return found


def ours(records) -> dict[tuple[str, int], tuple[str, str]]:
    return {(record["ip"], record["port"]): (record["state"], record["reason"]) for record in records}


SOME = "10.50.0.16/29"
SILENT = "10.50.2.0/31"


def test_ack_says_what_nmap_says(prober, lab, nmap):
    evidence = prober.sweep_and_read(SOME, SILENT, "--probe", "ack", *SILENT_TIME)
    assert evidence.again == evidence.swept
    theirs = nmap_says(lab, nmap, "-sA", "-Pn", "-p", "401", SOME, SILENT)
    assert ours(evidence.records) == {key: said for key, said in theirs.items() if key[1]}
    assert {record["state"] for record in evidence.records} == {"unfiltered", "filtered"}
    assert evidence.plan["rules"]["tcp"]["replies"][0]["reason"] == "reset"


def test_echo_says_what_nmap_says(prober, lab, nmap):
    evidence = prober.sweep_and_read(SOME, SILENT, "--probe", "icmp-echo", *SILENT_TIME)
    assert evidence.again == evidence.swept
    theirs = nmap_says(lab, nmap, "-sn", "-PE", "-v", SOME, SILENT)
    assert ours(evidence.records) == theirs
    assert {(record["proto"], record["port"]) for record in evidence.records} == {("icmp", 0)}


@pytest.mark.usefixtures("speaker")
def test_sctp_says_what_nmap_says(prober, lab, nmap):
    words = [SPEAKER, SILENT, "-p", f"{OPEN},{CLOSED}"]
    evidence = prober.sweep_and_read(*words, "--probe", "sctp-init", *SILENT_TIME)
    assert evidence.again == evidence.swept
    said = ours(evidence.records)
    assert (said[SPEAKER, OPEN], said[SPEAKER, CLOSED]) == (("open", "init-ack"), ("closed", "abort"))
    theirs = nmap_says(lab, nmap, "-sY", "-Pn", "-p", f"{OPEN},{CLOSED}", SPEAKER, SILENT)
    assert said == {key: state for key, state in theirs.items() if key[1]}


def test_a_payload_of_one_s_own_gets_the_answers_of_any(prober, wrong, tmp_path):
    (tmp_path / "payload").write_bytes(b"\x00\x01 any bytes \xff")
    evidence = prober.sweep_and_read("10.50.0.0/24", "--payload", tmp_path / "payload")
    assert evidence.again == evidence.swept
    assert wrong(evidence.records) == []
    assert b"\x00\x01 any bytes \xff" in evidence.capture.read_bytes()


@pytest.mark.parametrize(("probe", "state"), [("ack", "unfiltered"), ("icmp-echo", "up")])
def test_over_ipv6(prober, probe, state):
    evidence = prober.sweep_and_read("::1", "--probe", probe)
    assert evidence.again == evidence.swept
    (record,) = evidence.records
    assert (record["ip"], record["state"]) == ("::1", state)


def test_routers_speak_for_targets_whatever_asks(prober, lab):
    """Errors that quote each kind of probe: the same reasons as for TCP."""
    behind = "10.50.2.128/25"
    told = {}
    for probe in ("tcp-syn", "ack", "sctp-init", "icmp-echo"):
        evidence = prober.sweep_and_read(behind, "--probe", probe, "--rate", "max", *SILENT_TIME)
        assert evidence.again == evidence.swept
        told[probe] = {
            record["ip"]: record["reason"]
            for record in evidence.records
            if record["responder"] == "10.49.0.2"
        }
    assert told["tcp-syn"]
    for probe in ("ack", "sctp-init"):
        assert told[probe] == told["tcp-syn"]
    assert told["icmp-echo"].items() <= told["tcp-syn"].items()
