"""Who is behind an open port: Debian's upsd, a service that is silent, and ones that never end."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scanner.lab import namespaces
from scanner.lab.profiles import SMALL
from scanner.model import Protocol

pytestmark = pytest.mark.lab

UPS = "10.50.0.40"
FLOOD, DRIBBLE, SILENT, SSH = 4401, 4402, 4403, 4404


def flood(peer: socket.socket) -> None:
    while True:
        peer.sendall(b"\x1b[2J" * 1000)


def dribble(peer: socket.socket) -> None:
    while True:
        peer.sendall(b".")
        time.sleep(0.05)


def silence(peer: socket.socket) -> None:
    peer.recv(1)
    time.sleep(10)


def greet(peer: socket.socket) -> None:
    peer.sendall(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")
    peer.recv(100)


@pytest.fixture
def place(make_lab, prober_at) -> Iterator[Any]:
    """A lab with upsd and, at the same address, services that behave badly."""
    if not Path("/lib/nut/upsd").exists():
        pytest.skip("upsd is not installed (make lab-packages)")
    lab = make_lab(dataclasses.replace(SMALL.with_network(open_tcp=3, open_udp=1), ports=(401,), ups=UPS))
    lab.up()
    with contextlib.ExitStack() as closing:
        for port, serve in ((FLOOD, flood), (DRIBBLE, dribble), (SILENT, silence), (SSH, greet)):
            with namespaces.entered(lab.target):
                listener = closing.enter_context(socket.create_server((UPS, port)))

            def accept(listener: socket.socket = listener, serve=serve) -> None:
                with contextlib.suppress(OSError):
                    while True:
                        threading.Thread(
                            target=handle, args=(listener.accept()[0], serve), daemon=True
                        ).start()

            threading.Thread(target=accept, daemon=True).start()
        yield prober_at(lab)


def handle(peer: socket.socket, serve) -> None:
    with peer, contextlib.suppress(OSError):
        serve(peer)


def test_upsd_is_named_and_nobody_else_holds_it_up(place):
    ports = f"401,{FLOOD}-{SSH}"
    began = time.monotonic()
    found = place.records(UPS, "-p", ports, "--tcp", "--identify")
    assert time.monotonic() - began < 10

    assert {record["state"] for record in found} == {"open"}
    services = {record["port"]: record["service"] for record in found}
    ups = services[401]
    assert (ups["name"], ups["product"], ups["confidence"]) == ("nut", "Network UPS Tools upsd", 1.0)
    assert ups["version"][0].isdigit()
    assert ups["evidence"].startswith(f"Network UPS Tools upsd {ups['version']} - http")
    assert ups["evidence"].endswith("OK Goodbye")
    assert services[SILENT] is None
    assert services[SSH]["name"] == "ssh"
    assert (services[FLOOD]["name"], len(services[FLOOD]["evidence"])) == ("unknown", 4096)
    assert 10 < len(services[DRIBBLE]["evidence"]) < 100

    shown = place.ghostport("sweep", UPS, "-p", ports, "--tcp", "--identify", "--format", "text")
    assert f"nut Network UPS Tools upsd {ups['version']}" in shown.out
    assert "\x1b" not in shown.out


def test_ports_that_say_nothing_are_null_and_the_sweep_is_not_disturbed(place):
    evidence = place.sweep_and_read("10.50.0.0/22", "--tcp", "--identify", "--rate", "max")
    opened = {record["ip"]: record["service"] for record in evidence.records if record["state"] == "open"}
    assert len(opened) == 4
    assert [ip for ip, service in opened.items() if service is not None] == [UPS]
    assert "forged" not in evidence.sweep.out
    assert len(evidence.records) == 1024
    # Connections are no part of the evidence; all else is.
    unidentified = [{**record, "service": None} for record in evidence.records]
    again = [json.loads(line) for line in evidence.again.splitlines()]
    assert again == unidentified
    expected = {ip for ip in opened if place.lab.expected(ip, Protocol.TCP, 401).state == "open"}
    assert expected == set(opened)


def test_an_interrupt_keeps_what_is_known(place):
    process = place.start(
        "sweep", UPS, "-p", f"401,{SILENT}", "--tcp", "--identify", "--format", "jsonl", "-q"
    )
    time.sleep(1.5)
    process.send_signal(2)
    began = time.monotonic()
    ended = place.end(process)
    assert time.monotonic() - began < 1.5
    assert ended.code == 4
    assert ended.err == "ghostport: cut short: 1 open port was not identified\n"
    assert {record["port"]: bool(record["service"]) for record in ended.records} == {401: True, SILENT: False}


def test_nothing_is_said_to_a_port_that_identifiers_do_not_know(place):
    """The first knows 401 and 3493; whatever is elsewhere only gets listened to."""
    heard: list[bytes] = []
    with namespaces.entered(place.lab.target):
        listener = socket.create_server((UPS, 4410))

    def accept() -> None:
        with contextlib.suppress(OSError):
            peer, _ = listener.accept()
            with peer:
                heard.append(peer.recv(100))

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    with listener:
        place.records(UPS, "-p", "4410", "--tcp", "--identify")
        thread.join(10)
    assert heard == [b""]
