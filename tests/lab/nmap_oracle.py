"""nmap as a witness: what it says of targets, in the terms of the lab's truth.

Its words are other ones for some of ICMPv6 (portreasons.cc of nmap 7.93), and one it leaves out of account.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from scanner.lab import Expectation, Lab
from scanner.model import Protocol, Reason, State

SCANS = {Protocol.TCP: "-sS", Protocol.UDP: "-sU"}

_WORDS6 = {
    Reason.ADDR_UNREACH: "host-unreach",
    Reason.POLICY: "admin-prohibited",
    Reason.PROTO_UNREACH: "param-problem",
    Reason.TIME_EXCEEDED: "no-response",
}
_UNHEARD = {Protocol.TCP: State.FILTERED, Protocol.UDP: State.OPEN_FILTERED}


class Seen(NamedTuple):
    """What it says of a target. `mac` is None where it asked for none, or nobody answered."""

    state: str
    reason: str
    responder: str | None
    mac: str | None = None


def nmap_says(
    lab: Lab, protocol: Protocol, targets: Iterable[str], folder: Path, options: Sequence[str] = ()
) -> dict[str, Seen]:
    """Have it scan targets, all of one version of IP, on port 401; gives what it says by address."""
    listed, output = folder / "targets", folder / "nmap.xml"
    listed.write_text("\n".join(targets))
    version = ["-6"] if ":" in listed.read_text() else []
    pace = ["-T4", "--min-rate", "2000", "--max-retries", "6"]
    command = ["nmap", *version, SCANS[protocol], "-n", "-Pn", "-v", "-p401", *pace, *options]
    command += ["-iL", str(listed), "-oX", str(output)]
    lab.run(command, check=True, capture_output=True, timeout=100)
    root = ET.parse(output).getroot()  # noqa: S314 - nmap's own
    return dict(_seen(host) for host in root.iter("host"))


def _seen(host: ET.Element) -> tuple[str, Seen]:
    addresses = {a.attrib["addrtype"]: a.attrib["addr"] for a in host.iter("address")}
    mac = addresses.pop("mac", None)
    (address,) = addresses.values()
    state, status = host.find("ports/port/state"), host.find("status")
    assert status is not None
    if state is None:
        return address, Seen(status.attrib["state"], status.attrib["reason"], None)
    silent = state.attrib["reason"] == "no-response"
    responder = None if silent else state.attrib.get("reason_ip", address)
    return address, Seen(state.attrib["state"], state.attrib["reason"], responder, mac and mac.lower())


def disagreements(
    lab: Lab, protocol: Protocol, seen: dict[str, Seen], port: int = 401
) -> dict[str, tuple[Expectation, Seen]]:
    """Where it says other than what is true, or knows of other hardware."""
    expected = {address: lab.expected(address, protocol, port) for address in seen}
    return {
        address: (expected[address], found)
        for address, found in seen.items()
        if not _agrees(expected[address], found, protocol)
    }


def _agrees(expected: Expectation, seen: Seen, protocol: Protocol) -> bool:
    if not expected.certain and seen.reason == Reason.NO_RESPONSE:
        return True
    if seen.mac is not None and seen.mac not in expected.macs:
        return False
    return seen[:3] == in_its_words(protocol, expected.state, expected.reason, expected.responder)


def in_its_words(
    protocol: Protocol, state: State, reason: Reason, responder: str | None
) -> tuple[str, str, str | None]:
    """How it would put a verdict: state, reason and responder."""
    if state is State.DOWN:
        return state, Reason.NO_RESPONSE, None
    words = _WORDS6 if responder is not None and ":" in responder else {}
    word = words.get(reason, reason)
    if word == Reason.NO_RESPONSE:
        return _UNHEARD[protocol], word, None
    return state, word, responder and responder.partition("%")[0]
