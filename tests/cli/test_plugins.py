"""Plugins on the command line: listed, chosen, and kept from harming anything but themselves."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import time

import pytest

from scanner.plugins import registry

PREAMBLE = """
import sys, time
from pathlib import Path
from scanner.contracts import *
from scanner.model import *
"""


@pytest.fixture
def plugin(tmp_path):
    def write(name: str, code: str) -> str:
        path = tmp_path / f"{name}.py"
        path.write_text(PREAMBLE + textwrap.dedent(code))
        return str(path)

    return write


@pytest.fixture(autouse=True)
def impatience(monkeypatch):
    """What may take five seconds, may here take half a one."""
    monkeypatch.setattr(registry.Plugins.__init__, "__kwdefaults__", {
        "load_installed": True, "fault": None, "limit": 0.5,
    })  # fmt: skip


def records(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_they_are_listed_with_where_they_are_from(ghostport, plugin):
    path = plugin(
        "mine",
        "def ghostport_sweep_ended(): pass\ndef ghostport_identifiers(): return [Identifier('x', '', print)]",
    )
    ran = ghostport("plugins", "--plugin", path)
    assert (ran.code, ran.err) == (0, "")
    rows = [line.split(maxsplit=2) for line in ran.out.splitlines()]
    assert rows[0][:2] == ["PLUGIN", "VERSION"]
    assert [row[0] for row in rows[1:]] == [
        "tcp-syn", "udp", "ack", "sctp-init", "icmp-echo", "udp-payload",
        "nut", "banner", "text", "terminal", "jsonl", "csv", "mine",
    ]  # fmt: skip
    assert rows[7][2].split() == ["ghostport", "(scanner.identify.nut)", "identifier", "nut"]
    assert rows[-1][2].split() == [path, "identifier", "x,", "hook", "sweep_ended"]


def test_one_that_does_not_fit_is_refused(ghostport, plugin):
    path = plugin("mine", "def ghostport_sweep_over(): pass")
    for words in (["plugins"], ["sweep", "10.0.0.1"], ["read", "x.pcap"]):
        ran = ghostport(*words, "--plugin", path)
        assert (ran.code, ran.out) == (2, "")
        assert ran.err.startswith("ghostport: plugin mine: ghostport_sweep_over is no hook; there are: ")
        assert ran.err.count("\n") == 1


def test_help_and_a_plain_sweep_do_not_wait_for_pluggy():
    code = (
        "import sys\nfrom scanner.cli import main\n"
        "try: main({!r})\nexcept SystemExit: print('pluggy' in sys.modules)"
    )
    for words in (["--help"], ["sweep", "--help"]):
        ran = subprocess.run(
            [sys.executable, "-c", code.format(words)], capture_output=True, text=True, check=True
        )
        assert ran.stdout.splitlines()[-1] == "False"


def test_a_plain_sweep_registers_nothing(ghostport, monkeypatch):
    monkeypatch.setattr(registry, "Plugins", None)
    assert ghostport("sweep", "10.0.0.0/27", "--format", "csv", "-q").code == 0


# --- identification -----------------------------------------------------------------------------


def nut(heard: bytes) -> bytes:
    answers = {b"VER\n": b"Network UPS Tools upsd 2.8.0\x1b[2J - http://x/\n", b"LOGOUT\n": b"OK Goodbye\n"}
    return answers.get(heard, b"")


def test_identify_names_the_service(ghostport, network):
    network.serve("10.0.0.9", 401, nut)
    ran = ghostport("sweep", "10.0.0.8/30", "--tcp", "--identify", "--format", "jsonl", "-q")
    assert (ran.code, ran.err) == (0, "")
    services = {record["ip"]: record["service"] for record in records(ran.out)}
    assert services == {
        "10.0.0.8": None,
        "10.0.0.9": {
            "name": "nut",
            "product": "Network UPS Tools upsd",
            "version": "2.8.0\x1b[2J",
            "confidence": 1.0,
            "evidence": "Network UPS Tools upsd 2.8.0\x1b[2J - http://x/\nOK Goodbye",
        },
        "10.0.0.10": None,
        "10.0.0.11": None,
    }
    table = ghostport("sweep", "10.0.0.9", "--tcp", "--identify").out
    assert r"nut Network UPS Tools upsd 2.8.0\x1b[2J" in table
    assert "\x1b" not in table


def test_an_identifier_in_a_file(ghostport, network, plugin):
    network.serve("10.0.0.9", 401, lambda heard: b"" if heard else b"MINE 7\n")
    path = plugin("mine", """
        def look(talk):
            print("\\x1b[31mlooking\\nat", talk.address, file=sys.stdout)
            sys.stdout.buffer.write(b"straight")
            if talk.line().startswith(b"MINE "):
                return Service(name="mine", version="\\x1b]0;x\\x07", confidence=1.0)
        def ghostport_identifiers():
            return [Identifier(name="mine", summary="", identify=look, ports=(401,))]
    """)  # fmt: skip
    ran = ghostport("sweep", "10.0.0.9", "--tcp", "--identify", "--plugin", path, "--format", "csv", "-q")
    assert ran.code == 0
    assert '""name"":""mine""' in ran.out
    assert "looking" not in ran.out
    assert "straight" not in ran.out
    assert ran.err == "plugin mine says: \\x1b[31mlooking\nplugin mine says: at 10.0.0.9\n"
    shown = ghostport("sweep", "10.0.0.9", "--tcp", "--identify", "--plugin", path)
    assert r"mine \x1b]0;x\x07" in shown.out


def test_one_that_fails_is_said_once_and_no_record_is_lost(ghostport, plugin):
    path = plugin("mine", """
        def ghostport_batch_sent(): raise ValueError("\\x1b[2J")
        def ghostport_verdict_final(): time.sleep(60)
    """)  # fmt: skip
    ran = ghostport("sweep", "10.0.0.0/27", "--tcp", "--plugin", path, "--format", "jsonl", "-q")
    assert ran.code == 0
    assert len(records(ran.out)) == 32
    assert (
        ran.err
        == r"ghostport: plugin mine: ghostport_batch_sent raised ValueError: \x1b[2J; disabled for this run"
        + "\n"
    )


# --- formats ------------------------------------------------------------------------------------

FORMAT = """
class Lines:
    def __init__(self, stream): self.stream = stream
    def write(self, verdicts):
        for verdict in verdicts:
            self.stream.write(f"{verdict.ip} {verdict.state}\\n".encode())
            ACT
    def close(self): self.stream.write(b"end\\n")
def ghostport_reporters():
    return [Format(name="lines", summary="", reporter=Lines, suffix=".lines")]
"""


def test_a_format_of_a_plugin(ghostport, plugin, tmp_path):
    path = plugin("mine", FORMAT.replace("ACT", "pass"))
    ran = ghostport("sweep", "10.0.0.8/30", "--tcp", "-q", "--plugin", path, "--format", "lines")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "".join(f"10.0.0.{last} open\n" for last in range(8, 12)) + "end\n"
    ran = ghostport("sweep", "10.0.0.8/30", "--tcp", "-q", "--plugin", path, "-o", tmp_path / "x.lines")
    assert (tmp_path / "x.lines").read_text().endswith("open\nend\n")


@pytest.mark.parametrize("act", ["raise ValueError", "time.sleep(60)", "sys.exit()"])
@pytest.mark.parametrize("to_file", [False, True])
def test_where_it_fails_the_records_are_json_lines(ghostport, plugin, tmp_path, act, to_file):
    path = plugin("mine", FORMAT.replace("ACT", act))
    output = ["-o", tmp_path / "x.lines"] if to_file else []
    began = time.monotonic()
    ran = ghostport("sweep", "10.0.0.0/27", "--tcp", "-q", "--plugin", path, "--format", "lines", *output)
    assert time.monotonic() - began < 5
    assert ran.code == 4
    assert len(records((tmp_path / "x.lines").read_text() if to_file else ran.out)) == 32
    assert "--format lines: failed; the records are JSON lines instead" in ran.err
    assert "plugin mine: format lines " in ran.err


def test_a_format_that_there_is_none_of(ghostport):
    ran = ghostport("sweep", "10.0.0.1", "--format", "xml")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        "ghostport: --format xml: there is no such format; there is: text, terminal, jsonl, csv\n"
    )


# --- sinks and scopes ---------------------------------------------------------------------------

SINK = """
class Sink:
    def write(self, frames, *, sent): ACT
    def close(self): Path(WHERE).write_text("closed")
def ghostport_evidence_sinks():
    return [EvidenceSink(name="sink", summary="", open=lambda where: Sink())]
"""


@pytest.mark.parametrize(("act", "code"), [("pass", 0), ("1/0", 4)])
def test_an_evidence_sink(ghostport, plugin, tmp_path, act, code):
    path = plugin("mine", SINK.replace("ACT", act).replace("WHERE", repr(str(tmp_path / "closed"))))
    ran = ghostport("sweep", "10.0.0.0/27", "--tcp", "-q", "--plugin", path, "--evidence-sink", "sink:x")
    assert ran.code == code
    assert (tmp_path / "closed").exists() is (code == 0)
    assert ("evidence sink sink: did not take everything" in ran.err) is (code == 4)


@pytest.mark.parametrize(
    ("networks", "code", "said"),
    [
        ("['10.0.0.0/30']", 3, "outside the scope: 10.0.0.4-10.0.0.31"),
        ("['10.0.0.0/8']", 0, ""),
        ("['8.8.8.0/24', '10.0.0.0/8']", 0, ""),
        ("[]", 3, "outside the scope"),
        ("['\\x1b[2J']", 2, "--scope-from cmdb: "),
        ("[7]", 2, "--scope-from cmdb: gave something else than texts of networks"),
        ("1/0", 2, "--scope-from cmdb: plugin mine raised ZeroDivisionError"),
        ("time.sleep(60)", 2, "--scope-from cmdb: plugin mine took longer than"),
    ],
)
def test_a_scope_provider_narrows_and_where_it_fails_nothing_is_sent(
    ghostport, network, plugin, networks, code, said
):
    path = plugin("mine", f"""
        def know(which):
            return {networks}
        def ghostport_scope_providers():
            return [ScopeProvider(name="cmdb", summary="", networks=know)]
    """)  # fmt: skip
    ran = ghostport("sweep", "10.0.0.0/27", "--tcp", "-q", "--plugin", path, "--scope-from", "cmdb:lab")
    assert ran.code == code
    assert said in ran.err
    assert "\x1b" not in ran.err
    assert (network.received("10.0.0.1") > 0) is (code == 0)


def test_no_provider_widens_what_may_be_probed(ghostport, plugin):
    path = plugin("mine", """
        def ghostport_scope_providers():
            return [ScopeProvider(name="cmdb", summary="", networks=lambda which: ["0.0.0.0/0"])]
    """)  # fmt: skip
    ran = ghostport("sweep", "8.8.8.8", "--plugin", path, "--scope-from", "cmdb")
    assert ran.code == 3


# --- probes -------------------------------------------------------------------------------------


def test_another_probe_asks_instead(ghostport):
    ran = ghostport("sweep", "10.0.0.8/30", "--probe", "ack", "--dry-run")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("sweeping 10.0.0.8/30 (4 addresses): tcp 401 by ack; ")
    both = ghostport("sweep", "10.0.0.8/30", "--probe", "icmp-echo", "--tcp", "--dry-run")
    assert ": tcp 401, icmp by icmp-echo; " in both.out


def test_a_payload_is_short_for_its_probe(ghostport, tmp_path):
    (tmp_path / "payload").write_bytes(b"x")
    ran = ghostport("sweep", "10.0.0.8/30", "--payload", tmp_path / "payload", "--dry-run")
    assert ": udp 401 by udp-payload; " in ran.out


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["--probe", "ack", "--tcp"], "--tcp and --probe ack ask for the same: leave one out"),
        (["--probe", "ack", "--probe", "tcp-syn"], "both ask over tcp: sweep once for each"),
        (["--probe", "xmas"], "--probe xmas: there is no such probe; there is: tcp-syn, udp, ack, "),
        (["--probe", "ack:now"], "--probe ack:now: nothing may stand behind ack"),
        (["--probe", "udp-payload"], "say which file has the payload"),
        (["--payload", "/no/such/file"], "/no/such/file: cannot be read: "),
    ],
)
def test_probes_that_cannot_be(ghostport, network, words, fault):
    ran = ghostport("sweep", "10.0.0.1", *words)
    assert (ran.code, ran.out) == (2, "")
    assert fault in ran.err
    assert ran.err.count("\n") == 1
    assert network.received("10.0.0.1") == 0
