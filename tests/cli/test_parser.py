"""The words of the command line."""

from __future__ import annotations

import subprocess
import sys

import pytest

from scanner.cli.parser import lab_parser, parse
from scanner.model import UsageError


def test_what_is_not_said_has_its_default():
    said = vars(parse(["sweep", "10.0.0.1"]))

    assert said == {
        "command": "sweep", "targets": ["10.0.0.1"], "targets_file": [], "ports": "401", "tcp": False,
        "udp": False, "exclude": [], "exclude_file": [], "rate": "auto", "max_rate": None,
        "max_per_host": None, "retries": "2", "wait": "1",
        "interface": None, "source_ip": None, "wire": "auto", "no_arp": False, "seed": None,
        "dry_run": False, "format": None, "output": None, "probe": [], "payload": [],
        "show": None, "quiet": False, "verbose": False, "evidence": None,
        "ping": False, "discover_v6": False,
        "evidence_sink": [], "scope_from": [], "identify": False, "plugin": [], "no_plugins": False,
    }  # fmt: skip
    assert vars(parse(["read", "x.pcap"])) == {
        "command": "read", "captures": ["x.pcap"], "ports": None, "prober": [], "target": [], "since": None,
        "until": None, "per_prober": False, "conversations": False, "format": None, "output": None,
        "show": None, "quiet": False, "verbose": False, "plugin": [], "no_plugins": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [
        ["10.0.0.1", "10.0.0.2", "--tcp", "-p", "1"],
        ["--tcp", "-p", "1", "10.0.0.1", "10.0.0.2"],
        ["10.0.0.1", "--tcp", "10.0.0.2", "-p", "1"],
        ["--tcp", "10.0.0.1", "-p1", "--", "10.0.0.2"],
    ],
)
def test_targets_may_stand_anywhere_among_the_options(words):
    said = parse(["sweep", *words])

    assert said.targets == ["10.0.0.1", "10.0.0.2"]
    assert (said.tcp, said.udp, said.ports) == (True, False, "1")


def test_options_may_come_several_times():
    words = ["--exclude", "a", "--exclude", "b", "--targets-file", "c", "--targets-file", "-"]
    said = parse(["sweep", *words, "--exclude-file", "d"])

    assert (said.exclude, said.targets_file, said.exclude_file) == (["a", "b"], ["c", "-"], ["d"])


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ([], "required: COMMAND; see ghostport --help"),
        (["swipe"], "invalid choice: 'swipe'"),
        (["--fast", "sweep"], "'--fast'|COMMAND|--fast"),
        (["sweep", "--fast"], "unrecognized arguments: --fast; see ghostport sweep --help"),
        (["sweep", "--retrie", "1"], "unrecognized arguments: --retrie"),
        (["sweep", "-p"], "argument -p/--ports: expected one argument"),
        (["sweep", "-q", "-v"], "not allowed with argument -q/--quiet"),
        (["sweep", "--show", "closed"], "invalid choice: 'closed'"),
        (["read"], "required: FILE; see ghostport read --help"),
        (["read", "a", "--per-prober", "b", "--fast"], "unrecognized arguments: --fast"),
    ],
)
def test_words_that_say_nothing_are_refused_in_one_line(words, fault):
    with pytest.raises(UsageError) as error:
        parse(words)
    assert any(part in str(error.value) for part in fault.split("|"))
    assert "\n" not in str(error.value)


def test_the_lab_s_words_are_refused_in_the_same_way():
    with pytest.raises(UsageError, match="see ghostport lab --help"):
        lab_parser().parse_args(["--fast"])


@pytest.mark.parametrize("words", [["--help"], ["sweep", "--help"], ["read", "-h"]])
def test_help_is_given_and_names_every_exit_code(words, capsys):
    with pytest.raises(SystemExit) as ended:
        parse(words)
    shown = capsys.readouterr().out
    assert ended.value.code == 0
    assert shown.startswith("usage: ghostport")
    if words[0] == "sweep":
        assert all(f"{code} " in shown for code in (0, 2, 3, 4))


def test_the_version_is_that_of_the_distribution(capsys):
    from importlib.metadata import version

    with pytest.raises(SystemExit) as ended:
        parse(["--version"])
    assert (ended.value.code, capsys.readouterr().out) == (0, f"ghostport {version('ghostport')}\n")


def test_help_waits_for_nothing_heavy():
    heavy = {"numpy", "scapy", "rich", "netaddr", "argcomplete", "importlib.metadata"}
    script = (
        f"import sys, scanner.cli\ntry: scanner.cli.main(['--help'])\nexcept SystemExit: pass\n"
        f"print(sorted({heavy} & {{*sys.modules}}), file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stderr == "[]\n"
