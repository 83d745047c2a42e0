"""A real upsd answers on the port that IANA keeps for UPSs."""

from __future__ import annotations

import dataclasses
import socket
from pathlib import Path

import pytest

from scanner.lab.profiles import SMALL
from scanner.model import Protocol, Reason, UsageError

pytestmark = pytest.mark.lab

ADDRESS = "10.50.0.40"


@pytest.fixture
def ups_lab(make_lab):
    if not Path("/lib/nut/upsd").exists():
        pytest.skip("upsd is not installed (make lab-packages)")
    few = SMALL.with_network(open_tcp=1, open_udp=1)
    lab = make_lab(dataclasses.replace(few, ports=(401, 3493), ups=ADDRESS))
    lab.up()
    return lab


@pytest.mark.parametrize("port", [401, 3493])
def test_upsd_answers(ups_lab, port):
    with ups_lab.enter():
        client = socket.create_connection((ADDRESS, port), timeout=5)
    with client, client.makefile("rw") as lines:

        def ask(request: str) -> str:
            lines.write(f"{request}\n")
            lines.flush()
            return lines.readline()

        assert ask("VER").startswith("Network UPS Tools upsd")
        assert ask("GET VAR demo ups.status") == 'VAR demo ups.status "OL"\n'
    assert ups_lab.expected(ADDRESS, Protocol.TCP, port).reason is Reason.SYN_ACK
    assert ups_lab.expected(ADDRESS, Protocol.UDP, port).reason is Reason.PORT_UNREACH


def test_no_ups_is_left_running(ups_lab):
    assert ups_lab.status().processes == 3
    ups_lab.down()
    assert ups_lab.status().processes == 0
    assert not Path("/run/nut/upsd.pid").exists()


def test_missing_programs_are_named_with_their_package(make_lab, monkeypatch, tmp_path):
    monkeypatch.setattr("scanner.lab.nut._FOLDERS", (tmp_path,))
    with pytest.raises(UsageError, match=r"upsd.*apt-get install nut-server"):
        make_lab(dataclasses.replace(SMALL, ups=ADDRESS)).up()
