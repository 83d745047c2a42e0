"""A plugin of somebody else's, built as a wheel and installed beside ours in an environment of its own."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import threading
import timeit
import venv
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from scanner.core.addresses import AddressSet
from scanner.core.transport import TransportFlows
from scanner.lab import Lab, namespaces
from scanner.lab.profiles import SMALL
from scanner.probes.compiler import compile_probe
from scanner.probes.tcp_syn import TCP_SYN

pytestmark = pytest.mark.lab

TESTS = Path(__file__).parents[2]
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"


def build(source: Path, checkout: Path, target: Path) -> None:
    """Build a wheel offline, from a copy: a build in place would leave files behind."""
    shutil.copytree(source, checkout, ignore=shutil.ignore_patterns("__pycache__", ".*", "pcaps", "build"))
    subprocess.run([sys.executable, "-c", BUILD, str(target)], cwd=checkout, check=True, capture_output=True)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a fresh environment that has our wheel and the plugin's; the libraries are borrowed."""
    folder = tmp_path_factory.mktemp("plugin")
    for name, source in (("ours", TESTS.parent), ("example", TESTS / "example_plugin")):
        build(source, folder / name, folder / "wheels")
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    wheels = sorted(map(str, (folder / "wheels").glob("*.whl")))
    assert len(wheels) == 2
    subprocess.run(
        [python, "-m", "pip", "install", "-q", "--no-index", "--no-deps", *wheels],
        check=True, capture_output=True,
    )  # fmt: skip
    (site,) = (folder / "venv" / "lib").glob("python3*/site-packages")
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    return python.parent


@pytest.fixture(scope="module")
def place() -> Iterator[Lab]:
    """A lab with an echo service at one of its addresses."""
    with contextlib.ExitStack() as closing:
        small = SMALL.with_network(open_tcp=2, open_udp=1)
        lab = closing.enter_context(Lab(small, f"test-{os.getpid()}-plugin"))
        with namespaces.entered(lab.target):
            listener = closing.enter_context(socket.create_server((ECHOING, 401)))

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    peer, _ = listener.accept()
                    with peer:
                        peer.sendall(peer.recv(100))

        threading.Thread(target=serve, daemon=True).start()
        yield lab


ECHOING = "10.50.0.40"


def run(lab: Lab, installed: Path, *words: object) -> str:
    done = lab.run(
        [str(installed / "ghostport"), *map(str, words)], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    return str(done.stdout)


def test_it_is_listed_with_its_distribution(installed, place):
    listed = run(place, installed, "plugins").splitlines()
    assert listed[-1].split() == [
        "example", "1.2.3", "ghostport-example", "(ghostport_example)",
        "probe", "wide-syn,", "identifier", "echo,", "format", "tally",
    ]  # fmt: skip
    assert "example" not in run(place, installed, "plugins", "--no-plugins")
    assert "ghostport-example" in run(place, installed, "plugins", "--no-plugins", "--plugin", "example")


def test_its_identifier_and_its_format_run_end_to_end(installed, place):
    words = ("sweep", ECHOING, "--tcp", "--identify", "-q")
    (record,) = map(json.loads, run(place, installed, *words, "--format", "jsonl").splitlines())
    assert record["service"] == {
        "name": "echo", "product": None, "version": None, "confidence": 0.9,
        "evidence": "ghostport example\n",
    }  # fmt: skip
    assert run(place, installed, *words, "--format", "tally") == "1\topen\n1\tservice echo\n"
    assert "echo" not in run(place, installed, *words, "--format", "jsonl", "--no-plugins")


def test_its_probe_finds_what_the_built_in_one_finds(installed, place, tmp_path):
    found = {}
    for probe in ("tcp-syn", "wide-syn"):
        capture = tmp_path / f"{probe}.pcap"
        words = ("sweep", "10.50.0.0/24", "--probe", probe, "-q", "--format", "jsonl", "--evidence", capture)
        records = run(place, installed, *words)
        again = run(place, installed, "read", capture, "-q", "--format", "jsonl", "--no-plugins")
        assert again == records, "whoever reads it needs no plugin"
        found[probe] = [
            (record["ip"], record["state"], record["reason"])
            for record in map(json.loads, records.splitlines())
        ]
    assert found["wide-syn"] == found["tcp-syn"]
    assert len(found["wide-syn"]) == 256


def test_its_probe_is_stamped_about_as_fast_as_the_built_in_one():
    """Byte for byte: the built-in SYN is given as many as the plugin's has options."""
    specification = importlib.util.spec_from_file_location(
        "wide_syn", TESTS / "example_plugin" / "ghostport_example" / "wide_syn.py"
    )
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    best, lengths = {}, set()
    for probe in (replace(TCP_SYN, payload=lambda _port: bytes(16)), module.WIDE_SYN):
        flows = TransportFlows(
            template=compile_probe(probe, 401), protocol=6, source=1, addresses=AddressSet.of([(0, 65535)]),
            ports=(401,), key=bytes(16), capacity=4096,
        )  # fmt: skip
        lengths.add(flows.stamp(np.arange(1), 0).shape[1])
        stamp = partial(flows.stamp, np.arange(4096), 0)
        best[probe.name] = min(timeit.repeat(stamp, number=20))
    assert len(lengths) == 1
    assert best["tcp-syn"] / best["wide-syn"] > 0.8
