"""Where commands run: a lab that is up, and the words that commands are filled in with."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address
from pathlib import Path

from scanner.lab import Lab
from scanner.lab.namespaces import exec_command, ip_json
from scanner.lab.topology import PROBER_INTERFACE, TARGET_INTERFACE
from scanner.model import Protocol
from tests.bench.outputs import OUT


def words_of(lab: Lab, scratch: Path) -> dict[str, str]:
    """The words that are the same for all commands."""
    beside = Path(sys.executable).with_name("ghostport")
    return {
        "ghostport": os.environ.get("GHOSTPORT", str(beside)),
        "python": sys.executable,
        "bench": str(Path(__file__).parent),
        "evidence": str(scratch / "evidence.pcap"),
        "traffic": str(scratch / "traffic.pcap"),
        "interface": PROBER_INTERFACE,
        "own_mac": _mac(lab.prober, PROBER_INTERFACE),
        "router_mac": _mac(lab.target, TARGET_INTERFACE),
        "open_host": _first(lab.plan.open_addresses(Protocol.TCP)),
    }


def _first(addresses: Sequence[int]) -> str:
    return str(IPv4Address(addresses[0])) if addresses else ""


def command_of(template: str, words: Mapping[str, str], folder: Path, lab: Lab | None) -> list[str]:
    """A command as its program takes it, writing to `folder`; in the prober's place where there is a lab."""
    filled = [word.format(**words, out=folder / OUT) for word in shlex.split(template)]
    return filled if lab is None else exec_command(lab.prober, filled)


def _mac(namespace: str, interface: str) -> str:
    address: str = ip_json(namespace, "link", "show", interface)[0]["address"]
    return address
