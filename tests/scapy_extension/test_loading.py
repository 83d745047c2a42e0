"""Scapy's own loader, and its shell, with the wheel as a user installs it."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

import pytest
from scapy.config import ExtsManager, ScapyExt

import scanner
from scanner.scapy_extension import scapy_ext
from tests.test_packaging import wheel

__all__ = ["wheel"]

Python = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Python:
    """Runs the interpreter of a fresh environment that has the wheel, away from the checkout.

    What the wheel depends on is this environment's, all but ourselves.
    """
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    place = subprocess.check_output(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
    ).strip()
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", place, wheel],
        check=True,
    )
    for shared in Path(sysconfig.get_path("purelib")).iterdir():
        if (
            "ghostport" not in shared.name
            and shared.suffix != ".pth"
            and not Path(place, shared.name).exists()
        ):
            Path(place, shared.name).symlink_to(shared)

    def run(*words: str, text: str = "") -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "TERM": "dumb"}
        done: subprocess.CompletedProcess[str] = subprocess.run(
            [python, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False,
            timeout=60, input=text,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    return run


def test_the_top_level_package_has_what_the_loader_calls():
    assert scanner.scapy_ext is scapy_ext
    assert "scapy_ext" not in scanner.__all__


def test_the_extension_says_what_it_brings():
    ext = ScapyExt()

    scapy_ext(ext)

    assert ext.name == "ghostport"
    assert ext.version
    assert list(ext.specs) == ["scapy.contrib.ghostport"]
    assert not ext.specs["scapy.contrib.ghostport"].default


def test_loading_it_twice_is_loading_it_once(monkeypatch):
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    manager = ExtsManager()

    manager.load("ghostport")
    manager.load("ghostport")

    assert len(manager.exts) == 1
    assert "ghostport" in repr(manager)


COST = """
import sys
import scanner
scanner.scapy_ext
heavy = sorted({"scapy", "numpy", "netaddr", "msgspec"} & sys.modules.keys())
print(heavy)
"""


def test_finding_it_loads_nothing(installed):
    assert installed("-c", COST).stdout.strip() == "[]"


def test_it_is_the_wheel_that_is_loaded(installed, tmp_path):
    code = """
from scapy.config import conf
conf.exts.load("ghostport")
from scapy.contrib.ghostport import *
import scanner
print(scanner.__file__)
print(sorted(name for name in dir() if name.startswith(("ghost_", "NUT"))))
"""
    where, names = installed("-c", code).stdout.splitlines()

    assert Path(where).is_relative_to(Path(sys.prefix)) is False
    assert where.endswith("site-packages/scanner/__init__.py")
    assert (
        names == "['NUT', 'NUTAnswer', 'NUTCommand', 'NUTResponse', 'NUTText', 'ghost_read', 'ghost_sweep']"
    )


SHELL = """
conf.exts.load("ghostport")
load_contrib("ghostport")
import socket
listener = socket.create_server(("127.0.0.2", 401))
swept = ghost_sweep(IP(dst="127.0.0.0/29") / TCP(dport=401, flags="S"))
print(repr(swept))
print(swept[1].answer.sprintf("%IP.src% %TCP.flags%"))
exit()
"""


@pytest.mark.lab
def test_a_line_in_scapys_shell_sweeps(installed):
    """In a network namespace with loopback alone, where all tests are."""
    shell = installed("-m", "scapy.main", "-H", text=SHELL)

    said = shell.stdout.replace(">>> ", "")
    assert "<ghost_sweep: 7 answered, 0 unanswered; 401/tcp  1 open (syn-ack) · 6 closed (reset)>" in said
    assert "127.0.0.2 SA" in said
