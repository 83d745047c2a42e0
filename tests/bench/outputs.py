"""What tools wrote, as states by address. Each reader is given the folder of one run.

A reader speaks of port 401 alone, whatever else was probed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

PORT = 401

OUT = "out"
"""The file of a run's folder that tools are told to write to."""

_NMAP = re.compile(rf"^Host: (\S+) \(.*\)\tPorts: {PORT}/([^/]+)/", re.MULTILINE)
_MASSCAN = re.compile(rf"^Discovered open port {PORT}/tcp on (\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Found:
    """What a tool said.

    states: by address. whole: whether it speaks of every target, and not of open ones only.
    """

    states: dict[str, str]
    whole: bool


Reader = Callable[[Path], Found]


class _Record(msgspec.Struct):
    ip: str
    port: int
    state: str


def ghostport_records(folder: Path) -> Found:
    """All records of a JSON lines file."""
    records = msgspec.json.Decoder(_Record).decode_lines((folder / OUT).read_bytes())
    return Found({record.ip: record.state for record in records if record.port == PORT}, whole=True)


def ghostport_ports(folder: Path) -> Found:
    """All records, by address and port."""
    records = msgspec.json.Decoder(_Record).decode_lines((folder / OUT).read_bytes())
    return Found({f"{record.ip} {record.port}": record.state for record in records}, whole=True)


def ghostport_open(folder: Path) -> Found:
    """The same of `--show open`."""
    return Found(ghostport_records(folder).states, whole=False)


def nmap_greppable(folder: Path) -> Found:
    """The file of `nmap -oG`."""
    return Found(dict(_NMAP.findall((folder / OUT).read_text())), whole=True)


def nmap_ports(folder: Path) -> Found:
    """The file of `nmap -oX`: the states of many ports, those of most of them in one word."""
    text = (folder / OUT).read_text()
    (host,) = re.findall(r'<address addr="([^"]+)" addrtype="ipv4"', text)
    (asked,) = re.findall(r'<scaninfo [^>]*services="1-(\d+)"', text)
    rest = re.findall(r'<extraports state="([^"]+)"', text)
    states = {f"{host} {port}": rest[0] if rest else "" for port in range(1, int(asked) + 1)}
    states |= {
        f"{host} {port}": state for port, state in re.findall(r'portid="(\d+)"><state state="([^"]+)"', text)
    }
    return Found(states, whole=True)


def open_addresses(folder: Path) -> Found:
    """One open address a line."""
    return Found(dict.fromkeys((folder / OUT).read_text().split(), "open"), whole=False)


def masscan_discoveries(folder: Path) -> Found:
    """What masscan says as it goes: its files are lost when it does not end."""
    said = (folder / "stdout").read_text()
    return Found(dict.fromkeys(_MASSCAN.findall(said), "open"), whole=False)
