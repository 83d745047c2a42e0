"""The built-in plugins, by what they bring: so that whoever names one waits for no other to be imported."""

from __future__ import annotations

from importlib import import_module

from scanner.contracts import Format

FORMATS = {
    "text": "scanner.reporters.text",
    "terminal": "scanner.reporters.terminal",
    "jsonl": "scanner.reporters.jsonl",
    "csv": "scanner.reporters.csv",
}

IDENTIFIERS = {
    "nut": "scanner.identify.nut",
    "banner": "scanner.identify.banner",
}

PROBES = {
    "tcp-syn": "scanner.probes.tcp_syn",
    "udp": "scanner.probes.udp",
    "ack": "scanner.probes.ack",
    "sctp-init": "scanner.probes.sctp_init",
    "icmp-echo": "scanner.probes.icmp_echo",
    "udp-payload": "scanner.probes.udp_payload",
}

MODULES = (*PROBES.values(), *IDENTIFIERS.values(), *FORMATS.values())


def format_named(name: str) -> Format | None:
    """The built-in format of that name, if there is one; no other is imported."""
    place = FORMATS.get(name)
    if place is None:
        return None
    declared: tuple[Format, ...] = import_module(place).ghostport_reporters()
    return next(each for each in declared if each.name == name)


def format_of(file: str) -> str:
    """The name of the built-in format that a file of that name has."""
    return "csv" if file.lower().endswith(".csv") else "jsonl"
