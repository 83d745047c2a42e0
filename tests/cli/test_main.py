"""The way out of every command: one line for a fault, an exit code, and never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scanner.cli import main
from scanner.model import CaptureError, ScopeRefused, UsageError, WireError


@pytest.fixture
def ending(monkeypatch, capfd):
    """`ending(error)`: exit code and standard error where a command ends so."""

    def end(error: BaseException) -> tuple[int, str]:
        def fail(words: list[str]) -> int:
            raise error

        monkeypatch.setattr("scanner.cli._run", fail)
        return main([]), capfd.readouterr().err

    return end


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UsageError("no targets"), 2, "ghostport: no targets\n"),
        (CaptureError("x.pcap: is empty"), 2, "ghostport: x.pcap: is empty\n"),
        (ScopeRefused("outside the scope"), 3, "ghostport: outside the scope\n"),
        (WireError("gone"), 4, "ghostport: gone\n"),
        (MemoryError(), 4, "ghostport: out of memory; take fewer targets or ports at a time\n"),
        (OSError(28, "No space left on device"), 4, "ghostport: standard output: No space left on device\n"),
        (OSError(13, "Permission denied", "/x"), 4, "ghostport: /x: Permission denied\n"),
        (BrokenPipeError(), 4, ""),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_every_end_has_its_code_and_its_line(ending, error, code, said):
    assert ending(error) == (code, said)


def test_a_fault_of_ours_is_not_hidden(ending):
    with pytest.raises(ZeroDivisionError):
        ending(ZeroDivisionError())


COMMAND = [sys.executable, "-m", "scanner"]


def test_python_m_scanner_is_ghostport():
    ran = subprocess.run([*COMMAND, "sweep"], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("ghostport: no targets")


@pytest.mark.parametrize("redirection", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_streams_that_the_caller_closed(redirection, tmp_path):
    words = f'"$@" read {tmp_path / "missing"} {redirection}'
    ran = subprocess.run(["sh", "-c", words, "sh", *COMMAND], capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert ran.stderr.count("\n") == (0 if "2>" in redirection else 1)


def test_a_disk_that_is_full_under_standard_output():
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run([*COMMAND, "--version"], stdout=full, stderr=subprocess.PIPE, check=False)
    assert b"Exception" not in ran.stderr


@pytest.mark.parametrize(
    ("encoding", "shown"), [("ascii", "\\xb7\\u2014"), ("latin-1", "\xb7\\u2014"), ("utf-8", "\xb7\u2014")]
)
def test_what_an_encoding_does_not_hold_is_escaped(encoding, shown):
    script = "from scanner.cli import _prepare_outputs; _prepare_outputs(); print('\\xb7\\u2014', end='')"
    environment = {**os.environ, "PYTHONIOENCODING": f"{encoding}:strict"}
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, env=environment)
    assert ran.stdout.decode(encoding) == shown


def test_the_lab_is_one_of_the_commands(capfd):
    with pytest.raises(SystemExit) as ended:
        main(["lab", "--help"])
    assert ended.value.code == 0
    assert "usage: ghostport lab" in capfd.readouterr().out
    assert main(["lab", "truth", "--profile", "small"]) == 0
    assert capfd.readouterr().out.count('{"ip":"10.50.') == 1024
