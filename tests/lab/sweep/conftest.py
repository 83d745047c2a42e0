"""A user at the prober's shell: runs the command as a whole process, and reads what it left."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scanner.lab import Lab
from scanner.model import Protocol, Reason
from scanner.probes.mark import IP_ID

PORT = 401

Record = dict[str, Any]
"""A line of JSONL."""


@dataclass(frozen=True)
class Ran:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def records(self) -> list[Record]:
        """Standard output, as JSONL."""
        return records(self.out)


@dataclass(frozen=True)
class Evidence:
    """What a sweep left on disk, and how it and its reading ended."""

    sweep: Ran
    read: Ran
    capture: Path
    swept: bytes
    again: bytes

    @property
    def records(self) -> list[Record]:
        return records(self.swept.decode())

    @property
    def plan(self) -> Record:
        return dict(json.loads(Path(f"{self.capture}.json").read_text()))


class Prober:
    """Runs `ghostport` in the prober's place of a lab."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self.folder = folder

    def ghostport(self, *words: object, wrap: Sequence[str] = (), **options: Any) -> Ran:
        """Run it to its end; `wrap` is a command to run it by."""
        command = [*wrap, str(GHOSTPORT), *map(str, words)]
        ended = self.lab.run(command, **{"capture_output": True, "text": True, "timeout": 60, **options})
        return Ran(ended.returncode, ended.stdout or "", ended.stderr or "")

    def start(self, *words: object, **options: Any) -> subprocess.Popen[str]:
        """Start it, and come back at once."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return self.lab.popen([str(GHOSTPORT), *map(str, words)], **{**pipes, **options})

    @staticmethod
    def end(process: subprocess.Popen[str]) -> Ran:
        """Wait for one that was started."""
        out, err = process.communicate(timeout=20)
        return Ran(process.returncode, out, err)

    def records(self, *words: object) -> list[Record]:
        """The records of a sweep that must go well."""
        ran = self.ghostport("sweep", *words, "-q", "--format", "jsonl")
        assert (ran.code, ran.err) == (0, "")
        return ran.records

    def sweep_and_read(
        self, *words: object, code: int = 0, evidence: str = "sweep.pcap", **options: Any
    ) -> Evidence:
        """Sweep with evidence, and read that back."""
        capture, swept = self.folder / evidence, self.folder / "swept.jsonl"
        ran = self.ghostport("sweep", *words, "-o", swept, "--evidence", capture, **options)
        assert ran.code == code, ran.err
        return self.read_back(ran, capture, swept)

    def read_back(self, ran: Ran, capture: Path, swept: Path) -> Evidence:
        """Read evidence, where no network is needed for it."""
        again = self.folder / "again.jsonl"
        ended = subprocess.run(
            [str(GHOSTPORT), "read", str(capture), "-o", str(again)],
            capture_output=True,
            text=True,
            check=False,
        )
        read = Ran(ended.returncode, ended.stdout, ended.stderr)
        return Evidence(ran, read, capture, swept.read_bytes(), again.read_bytes())

    def sent(self) -> dict[str, int]:
        """Packets that have left over loopback, and probes that came to the target.

        The interface's own counter would not do: the kernels keep asking after each other by ARP.
        """
        shown = self._ip("-n", self.lab.prober, "-json", "-statistics", "link", "show", "lo")
        counted = self._ip("netns", "exec", self.lab.target, "nft", "-j", "list", "table", "ip", COUNTING)
        (rule,) = (each["rule"] for each in json.loads(counted)["nftables"] if "rule" in each)
        (counter,) = (each["counter"] for each in rule["expr"] if "counter" in each)
        return {"lo": json.loads(shown)[0]["stats64"]["tx"]["packets"], "target": counter["packets"]}

    def count(self) -> None:
        """Have the target count probes, which it tells by their mark."""
        rules = f"""
            add table ip {COUNTING}
            delete table ip {COUNTING}
            add table ip {COUNTING}
            add chain ip {COUNTING} arriving {{ type filter hook prerouting priority raw; }}
            add rule ip {COUNTING} arriving ip id {IP_ID} counter
        """
        self._ip("netns", "exec", self.lab.target, "nft", "-f", "-", stdin=rules)

    def known_neighbours(self) -> set[str]:
        """The addresses in the kernel's own neighbour table, whatever became of them."""
        shown = self._ip("-n", self.lab.prober, "-json", "neighbour", "show")
        return {entry["dst"] for entry in json.loads(shown or "[]")}

    @staticmethod
    def _ip(*words: str, stdin: str = "") -> str:
        return subprocess.run(["ip", *words], input=stdin, text=True, capture_output=True, check=True).stdout


COUNTING = "counting"
CONFLICT = "address-conflict"
GHOSTPORT = Path(sys.executable).with_name("ghostport")


def records(text: str) -> list[Record]:
    return [json.loads(line) for line in text.splitlines()]


def against_truth(lab: Lab, found: Iterable[Record]) -> list[tuple[Record, object]]:
    """The records that contradict the ground truth, each with what is true.

    Where the lab itself loses packets, `no-response` is an honest answer. Of two hardware addresses that
    answer for one target either may be told, and that there are two.
    """
    wrong: list[tuple[Record, object]] = []
    for record in found:
        expected = lab.expected(record["ip"], Protocol(record["proto"]), record["port"])
        says = (record["state"], record["reason"], record["responder"])
        unheard = not expected.certain and record["reason"] == Reason.NO_RESPONSE
        is_right = says == (expected.state, expected.reason, expected.responder)
        knows_hardware = record["mac"] in (expected.macs or (None,))
        knows_conflict = (record["note"] == CONFLICT) == (len(expected.macs) > 1)
        if not (unheard or is_right) or not knows_hardware or not knows_conflict:
            wrong.append((record, expected))
    return wrong


@pytest.fixture
def prober(lab: Lab, tmp_path: Path) -> Prober:
    """At the shell of the shared lab."""
    prober = Prober(lab, tmp_path)
    prober.count()
    return prober


@pytest.fixture
def prober_at(tmp_path: Path) -> Callable[[Lab], Prober]:
    """`prober_at(lab)`: at the shell of another lab."""
    return lambda lab: Prober(lab, tmp_path)


@pytest.fixture
def wrong(lab: Lab) -> Any:
    """`wrong(records)`: those that contradict the ground truth of the shared lab."""
    return lambda found: against_truth(lab, found)


@pytest.fixture(scope="session")
def tshark() -> str:
    path = shutil.which("tshark")
    if path is None:
        pytest.skip("tshark is not installed (make lab-packages)")
    return path
