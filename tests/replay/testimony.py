"""What the tool that probed says itself of its targets, to be held against the expectation.

Each tool speaks of as much as it does; a fact that it does not give is absent from its testimony.
"""

from __future__ import annotations

import csv
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable
from pathlib import Path

from scanner.model import Protocol, Reason, State
from tests.replay.case import Case, Tool
from tests.replay.oracle import Record, Target

Testimony = dict[Target, Record]


def testimony(case: Case, folder: Path, printed: str) -> Testimony:
    """What the tool of a case says; `printed` is what it wrote to standard output."""
    said = _WITNESSES[case.tool](folder, printed)
    if case.tool is Tool.SWEEP and case.capture is not None:
        # Another clock has stamped the frames.
        for record in said.values():
            del record["time"], record["rtt_ms"]
    return said


def contradictions(case: Case, records: Iterable[Record], said: Testimony) -> list[str]:
    """Where a tool says other than what is expected, one line each."""
    expected = {
        (str(record["ip"]), Protocol(str(record["proto"])), int(str(record["port"]))): record
        for record in records
    }
    lines = []
    for target, record in sorted(expected.items()):
        if target[0] in case.ignored or (case.partial and record["reason"] == Reason.NO_RESPONSE):
            continue
        if target[0] in case.believed:
            lines += _not_fooled(target, case.believed[target[0]], said.get(target, {}))
            continue
        if case.tool in _TELLS_ALL and target not in said:
            lines.append(f"{_named(target)}: {case.tool} says nothing, expected is {record['state']}")
        lines += [
            f"{_named(target)}: {key} is {value!r} by {case.tool}, expected is {record[key]!r}"
            for key, value in said.get(target, {}).items()
            if record[key] != value
        ]
        if target not in said and record["state"] == State.OPEN:
            lines.append(f"{_named(target)}: {case.tool} does not find it open")
    unasked = [] if case.partial else [target for target in said if target not in expected]
    lines += [f"{_named(target)}: {case.tool} speaks of it, nobody asked" for target in unasked]
    return lines


def _not_fooled(target: Target, belief: tuple[State, Reason], said: Record) -> list[str]:
    """Where a tool no longer believes what it is known to believe: then the case must say so."""
    if (said.get("state"), said.get("reason")) == belief:
        return []
    return [f"{_named(target)}: is said to be {said}, and the case says that it is taken for {belief}"]


def _named(target: Target) -> str:
    return f"{target[0]} {target[1]}/{target[2]}"


def forged_by_sweep(printed: str) -> int:
    """How many forged replies a sweep says that it met."""
    found = re.search(r"forged or late replies, ignored: ([\d,]+)", printed)
    return int(found[1].replace(",", "")) if found else 0


def _by_sweep(folder: Path, _printed: str) -> Testimony:
    said: Testimony = {}
    for line in (folder / "sweep.jsonl").read_text().splitlines():
        record = json.loads(line)
        said[record["ip"], Protocol(record["proto"]), record["port"]] = record
    return said


_NMAP_WORDS = {"conn-refused": Reason.RESET.value}
_NMAP_IPV6_WORDS = {**_NMAP_WORDS, "host-unreach": Reason.ADDR_UNREACH.value}


def _by_nmap(folder: Path, _printed: str) -> Testimony:
    said: Testimony = {}
    root = ET.parse(folder / "nmap.xml").getroot()  # noqa: S314 - nmap's own
    connects = root.find("scaninfo[@type='connect']") is not None
    for host in root.iter("host"):
        (address,) = [a.attrib["addr"] for a in host.iter("address") if a.attrib["addrtype"] != "mac"]
        for port in host.iter("port"):
            state = port.find("state")
            assert state is not None
            reason = state.attrib["reason"]
            words = _NMAP_IPV6_WORDS if ":" in address else _NMAP_WORDS
            record: Record = {"state": state.attrib["state"], "reason": words.get(reason, reason)}
            silent = reason == Reason.NO_RESPONSE
            if not connects:
                record["ttl"] = None if silent else int(state.attrib["reason_ttl"])
                record["responder"] = None if silent else state.attrib.get("reason_ip", address)
            elif not silent and record["state"] != State.CLOSED:
                # connect(2) gives an errno: neither a time to live nor a sender, and one for many codes. Nor
                # does success tell how it came.
                del record["reason"]
            said[address, Protocol(port.attrib["protocol"]), int(port.attrib["portid"])] = record
    return said


def _by_zmap(folder: Path, _printed: str) -> Testimony:
    states = {"synack": State.OPEN.value, "rst": State.CLOSED.value}
    with (folder / "zmap.csv").open(newline="") as stream:
        return {
            (row["saddr"], Protocol.TCP, 401): {"state": states[row["classification"]]}
            for row in csv.DictReader(stream)
            if row["classification"] in states
        }


def _by_masscan(_folder: Path, printed: str) -> Testimony:
    found = re.findall(r"Discovered open port (\d+)/(tcp|udp) on ([\d.]+)", printed)
    said: Testimony = {}
    for port, protocol, address in found:
        said[address, Protocol(protocol), int(port)] = {"state": State.OPEN.value}
    return said


def _by_scapy(_folder: Path, printed: str) -> Testimony:
    states = {"SA": State.OPEN.value, "RA": State.CLOSED.value, "icmp": State.FILTERED.value}
    lines = (line.split() for line in printed.splitlines())
    return {(address, Protocol.TCP, 401): {"state": states[answer]} for address, answer in lines}


_WITNESSES: dict[Tool, Callable[[Path, str], Testimony]] = {
    Tool.SWEEP: _by_sweep,
    Tool.NMAP: _by_nmap,
    Tool.ZMAP: _by_zmap,
    Tool.MASSCAN: _by_masscan,
    Tool.SCAPY: _by_scapy,
}
_TELLS_ALL = frozenset({Tool.SWEEP, Tool.NMAP})
