"""Network UPS Tools' layers: by Scapy's own test runner, against a real server, and on any bytes."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scanner.lab.profiles import SMALL

CAMPAIGN = Path(__file__).with_name("nut.uts")
LOAD = 'from scapy.config import conf; conf.exts.load("ghostport"); from scapy.contrib.ghostport import *'

words = st.sampled_from(
    [b"LIST", b"VAR", b"BEGIN", b"SET", b"OK", b'"', b"\\", b" ", b"\n", b"\r", b"\t", b"a"]
)
lines = st.lists(words | st.binary(max_size=3), max_size=40).map(b"".join)


def test_the_campaign_passes_in_scapys_own_runner(tmp_path):
    report = tmp_path / "report.txt"
    ran = subprocess.run(
        [sys.executable, "-m", "scapy.tools.UTscapy", "-P", LOAD, "-t", CAMPAIGN, "-f", "text", "-N"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    report.write_text(ran.stdout)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"PASSED={CAMPAIGN.read_text().count(chr(10) + '= ')} FAILED=0" in ran.stdout, ran.stdout


@pytest.fixture(autouse=True)
def _strict(monkeypatch):
    """Dissectors that fail say so, instead of giving raw bytes."""
    from scapy.config import conf

    monkeypatch.setattr(conf, "debug_dissector", True)


@given(data=lines)
@example(data=b'"\\\n"')
@example(data=b"\x16")
def test_any_bytes_are_dissected_and_built_again(data):
    from scanner.scapy_extension.nut import NUT, NUTResponse

    for layer in (NUT, NUTResponse):
        packet = layer(data)
        assert bytes(packet) == data
        assert packet.summary().isprintable()
        packet.answers(NUT(b"GET VAR a b\n"))


@given(value=st.binary(max_size=20).filter(lambda value: not {*b"\r\n"} & {*value}))
def test_a_value_survives_its_quotes(value):
    from scanner.scapy_extension.nut import NUTAnswer, NUTResponse

    built = bytes(NUTAnswer(kind="VAR", ups="u", var="v", value=value))
    (line,) = NUTResponse(built).lines
    assert (line.ups, line.var, line.value, line.more) == (b"u", b"v", value, [])


SCRIPT = """
import socket, sys
from scapy.config import conf
conf.exts.load("ghostport")
from scapy.contrib.ghostport import *
from scapy.supersocket import StreamSocket
stream = StreamSocket(socket.create_connection((sys.argv[1], 401)), NUTResponse)
listing = NUTCommand(verb="LIST", query="VAR", ups="demo")
for command in (NUTCommand(verb="VER"), listing, NUTCommand(verb="LOGIN", ups="demo")):
    query = NUT(lines=command)
    stream.send(query)
    answer = stream.recv()
    assert answer.answers(query), (query, answer)
    print(answer.summary())
"""


@pytest.mark.lab
def test_a_real_server_answers_them(make_lab):
    if not Path("/lib/nut/upsd").exists():
        pytest.skip("upsd is not installed (make lab-packages)")
    lab = make_lab(dataclasses.replace(SMALL.with_network(open_tcp=1, open_udp=1), ups="10.50.0.40"))
    lab.up()

    ran = lab.run([sys.executable, "-c", SCRIPT, "10.50.0.40"], capture_output=True, text=True, timeout=30)

    assert ran.returncode == 0, ran.stderr
    version, listed, refused = ran.stdout.splitlines()
    assert version.startswith("NUTResponse Network UPS Tools upsd")
    assert listed.startswith("NUTResponse BEGIN LIST VAR demo (+")
    assert refused == "NUTResponse ERR USERNAME-REQUIRED"
