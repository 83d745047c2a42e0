"""pytest's plugin as its user meets it: pytest run in a process of its own, on tests of its own."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from scanner import read_capture

HEAD = """
import pytest
from scanner.wire.behaviours import closed_port, icmp_error, open_port
from scanner.wire.memory import SimulatedNetwork

@pytest.fixture
def network():
    made = SimulatedNetwork()
    made.place("10.0.0.0/24", closed_port())
    made.place("10.0.0.7", open_port())
    made.place("10.0.0.9", icmp_error(3, 13, responder=(10 << 24) + 99))
    return made
"""

EXPOSED = (
    HEAD
    + """
@pytest.mark.subnet("10.0.0.0/28", ports=[401], protocols=["tcp"])
def test_closed(sweep, network):
    assert sweep(network=network).open() == []
"""
)


@pytest.fixture
def run(pytester):
    """Runs pytest on a test file, strict about markers."""

    def call(test: str, *options: str) -> pytest.RunResult:
        pytester.makepyfile(test)
        done: pytest.RunResult = pytester.runpytest_subprocess(
            "--strict-markers", "--strict-config", "-ra", "-p", "no:cacheprovider", *options
        )
        assert "INTERNALERROR" not in done.stdout.str()
        return done

    return call


def junit_properties(folder: Path) -> list[tuple[str, str]]:
    report = ElementTree.parse(folder / "junit.xml")  # noqa: S314 - of our own run
    return [(each.attrib["name"], each.attrib["value"]) for each in report.iter("property")]


def test_what_is_exposed_is_shown_in_a_table_with_reasons(run, pytester):
    done = run(EXPOSED, f"--basetemp={pytester.path / 'kept'}")

    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(
        [
            "E*assert [[]10.0.0.7 401/tcp open (syn-ack)] == [[]]",
            "E*not expected: 10.0.0.7 401/tcp",
            "E*ADDRESS*PORT*STATE*REASON*",
            "E*10.0.0.7*401/tcp*open*syn-ack*",
            "*- ghostport -*",
            "10.0.0.0/28 (tcp 401): 401/tcp 1 open (syn-ack) · 14 closed (reset) · 1 filtered (*)",
            "10.0.0.7 *401/tcp*open*syn-ack*",
            "10.0.0.9 *401/tcp*filtered*admin-prohibited*10.0.0.99*",
            "evidence: */test_closed0/sweep-1.pcapng (read it with: ghostport read */sweep-1.pcapng)",
        ]
    )


def test_the_evidence_is_kept_and_says_the_same(run, pytester):
    run(EXPOSED, f"--basetemp={pytester.path / 'kept'}")

    (evidence,) = pytester.path.glob("kept/test_closed0/sweep-1.pcapng")
    assert [verdict.ip for verdict in read_capture(evidence).open()] == ["10.0.0.7"]


def test_junit_names_the_evidence(run, pytester):
    run(EXPOSED, f"--basetemp={pytester.path / 'kept'}", "--junitxml=junit.xml")

    properties = dict(junit_properties(pytester.path))
    assert Path(properties["ghostport_evidence"]).is_file()
    assert properties["ghostport_sweep"].startswith("10.0.0.0/28 (tcp 401): 401/tcp 1 open (syn-ack) · ")


def test_a_test_that_passes_says_nothing(run):
    done = run(EXPOSED.replace("== []", "!= []"))

    done.assert_outcomes(passed=1)
    assert "10.0.0" not in done.stdout.str()


def test_what_a_call_says_stands_above_the_mark(run):
    done = run(
        EXPOSED
        + """
@pytest.mark.subnet("10.0.0.0/28", ports=[401])
def test_other(sweep, network):
    exposure = sweep("10.0.0.7", "10.0.0.8", protocols="tcp", ports="400-402", network=network)
    assert [(v.ip, v.port) for v in exposure] == [
        (ip, port) for ip in ("10.0.0.7", "10.0.0.8") for port in (400, 401, 402)
    ]
    assert repr(exposure) == (
        "<Exposure of 10.0.0.7, 10.0.0.8 (tcp 400-402): 400/tcp 1 open (syn-ack) · 1 closed (reset); "
        "401/tcp 1 open (syn-ack) · 1 closed (reset); 402/tcp 1 open (syn-ack) · 1 closed (reset)>"
    )

class TestMarkedAsAWhole:
    pytestmark = pytest.mark.subnet("10.0.0.7", protocols=["udp"])

    def test_class(self, sweep, network):
        assert [v.proto for v in sweep(network=network)] == ["udp"]
        assert sweep(network=network, protocols=["tcp"]).evidence.name == "sweep-2.pcapng"
"""
    )

    done.assert_outcomes(passed=2, failed=1)


def test_other_probes_ask_for_their_protocols(run):
    done = run(
        HEAD
        + """
def test_titles(sweep, network):
    assert sweep("10.0.0.7", probes=["icmp-echo"], network=network).title == "10.0.0.7 (icmp)"
    assert sweep("10.0.0.7", probes=["sctp-init"], network=network).title == "10.0.0.7 (sctp 401)"
    both = sweep("10.0.0.7", protocols="tcp", probes=["icmp-echo"], network=network)
    assert both.title == "10.0.0.7 (tcp 401, icmp)"
"""
    )

    done.assert_outcomes(passed=1)


def test_several_sweeps_of_a_test_are_all_shown(run):
    done = run(
        HEAD
        + """
def test_twice(sweep, network):
    sweep("10.0.0.7", network=network)
    sweep("10.0.0.8", network=network).assert_open("10.0.0.8")
"""
    )

    done.stdout.fnmatch_lines(
        [
            "E*AssertionError: not open, but required: 10.0.0.8 401/tcp, 10.0.0.8 401/udp",
            "10.0.0.7 (tcp and udp 401): 401/tcp 1 open (syn-ack); 401/udp 1 open (udp-response)",
            "evidence: */sweep-1.pcapng*",
            "10.0.0.8 (tcp and udp 401): 401/tcp 1 closed (reset); 401/udp 1 closed (port-unreach)",
            "evidence: */sweep-2.pcapng*",
        ]
    )


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("sweep(network=network)", "no targets: write sweep(\"10.0.0.0/24\"), or mark the test with *"),
        ('sweep("203.0.113.0/24", network=network)', "outside the scope: 203.0.113.0/24 (256 *"),
        ('sweep("10.0.0.300", network=network)', "'10.0.0.300' is not a target: *"),
        ('sweep("10.0.0.1", ports="0", network=network)', "port 0 does not exist; *"),
        ('classify_capture("missing.pcap")', "missing.pcap: cannot be read: No such file or directory"),
    ],
)  # fmt: skip
def test_what_cannot_be_fails_in_one_line(run, call, said):
    done = run(f"{HEAD}\ndef test_it(sweep, classify_capture, network):\n    {call}\n", "--tb=long")

    done.assert_outcomes(failed=1)
    failures = (
        done.stdout.str().partition("= FAILURES =")[2].partition("= short test summary")[0].splitlines()
    )
    told = [line for line in failures if line.strip("=_ ") and "test_it" not in line]
    assert len(told) == 1
    assert told[0].startswith("ghostport: ")
    done.stdout.fnmatch_lines([f"ghostport: {said.replace('[', '[[]')}"])


# --- the scope --------------------------------------------------------------------------------


def test_only_what_the_scope_names_is_swept(run, pytester):
    pytester.makefile(".txt", scope="10.0.0.0/28  # the rack\n\n203.0.113.7\n")
    done = run(
        HEAD
        + """
def test_inside(sweep, network):
    network.place("203.0.113.7", closed_port())
    assert sweep("10.0.0.0/28", "203.0.113.7", network=network).of("203.0.113.7")

def test_outside(sweep, network):
    sweep("10.0.0.0/27", network=network)
""",
        "--ghostport-scope=scope.txt",
    )

    done.assert_outcomes(passed=1, failed=1)
    done.stdout.fnmatch_lines(
        [
            "ghostport scope: scope.txt",
            "ghostport: outside the scope: 10.0.0.16/28 (16 *): not in scope.txt (--ghostport-scope)",
        ]
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "--ghostport-scope scope.txt: cannot be read: No such file or directory"),
        (b"10.0.0.0/24\n10.0.0.0/99\n", "--ghostport-scope scope.txt:2: '10.0.0.0/99' is not *"),
        (b"\xff\xfe\x00", "--ghostport-scope scope.txt: is not a text file of targets"),
    ],
)
def test_a_scope_that_cannot_be_read_ends_the_run(run, pytester, content, said):
    if content is not None:
        Path(pytester.path, "scope.txt").write_bytes(content)

    done = run(EXPOSED, "--ghostport-scope", "scope.txt")

    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines([f"ERROR: {said}"])
    assert "Traceback" not in done.stderr.str()


# --- captures ---------------------------------------------------------------------------------


def test_a_capture_is_classified(run):
    capture = Path(__file__).parents[2] / "pcaps" / "refused-then-open" / "capture.pcap"
    done = run(
        f"""
def test_capture(classify_capture):
    exposure = classify_capture({str(capture)!r}, ports="401")
    exposure.assert_open("10.50.0.10 401/udp")
    exposure.assert_only_open("10.50.0.11")
"""
    )

    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(
        [
            "E*AssertionError: open, but not allowed: 10.50.0.10 401/tcp, 10.50.0.10 401/udp",
            "E*before: closed (reset) from 10.50.0.10 at *",
            "E*allowed: 10.50.0.11",
            f"evidence: {capture} *",
        ]
    )


# --- other ways to run ------------------------------------------------------------------------


def test_it_works_in_several_processes(run, pytester):
    tests = "".join(EXPOSED.removeprefix(HEAD).replace("closed(", f"closed_{n}(") for n in range(4))
    done = run(HEAD + tests, "-n", "2", "--junitxml=junit.xml")

    done.assert_outcomes(failed=4)
    assert done.stdout.str().count("- ghostport -") == 4
    kept = {value for name, value in junit_properties(pytester.path) if name == "ghostport_evidence"}
    assert len(kept) == 4
    assert all(map(Path.is_file, map(Path, kept)))


def test_the_mark_is_told_of(run):
    run("", "--markers").stdout.fnmatch_lines(["@pytest.mark.subnet(*targets, ports=[[]401], *"])


def test_a_run_without_sweeps_loads_none_of_what_they_need(run):
    done = run(
        """
import sys
def test_light():
    assert "scanner.pytest_plugin" in sys.modules
    assert not {"numpy", "scapy", "msgspec", "netaddr", "rich"} & sys.modules.keys()
    assert not [name for name in sys.modules if name.startswith("scanner.") and "pytest_plugin" not in name]
"""
    )

    done.assert_outcomes(passed=1)


REAL = """
import pytest

@pytest.mark.subnet("127.0.0.0/29", ports=[401], protocols=["tcp"])
def test_loopback(sweep):
    sweep().assert_only_open("127.0.0.2 401/tcp")
"""


@pytest.fixture
def _listener():
    """Somebody on port 401, in the network namespace in which all tests are."""
    with socket.create_server(("127.0.0.2", 401)):
        yield


@pytest.mark.lab
@pytest.mark.usefixtures("_listener")
def test_the_machines_own_network_is_swept(run):
    run(REAL).assert_outcomes(passed=1)
    run(REAL.replace("127.0.0.2 401", "127.0.0.3 401")).stdout.fnmatch_lines(
        ["E*AssertionError: open, but not allowed: 127.0.0.2 401/tcp"]
    )


@pytest.mark.lab
def test_without_the_privilege_it_is_skipped_and_says_why(pytester):
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("no setpriv")
    pytester.makepyfile(REAL + EXPOSED)
    without = [setpriv, "--bounding-set", "-net_raw", "--inh-caps", "-net_raw"]

    done = subprocess.run(
        [*without, sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider"],
        cwd=pytester.path, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert "1 failed, 1 skipped" in done.stdout  # what needs no privilege runs
    assert "ghostport cannot sweep here: raw packets need CAP_NET_RAW: run with sudo" in done.stdout
