"""The README of a case, generated: what was recorded, with what, between whom, and what to see in it."""

from __future__ import annotations

import platform
import re
import subprocess
import textwrap
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network

from scanner.lab import Plan, topology
from scanner.model import State
from tests.replay.case import Case
from tests.replay.expectation import Record, Target, targets, truth
from tests.replay.recording import environment

_VERSIONS = {
    "ghostport": (("ghostport", "--version"), r"ghostport \S+"),
    "nmap": (("nmap", "--version"), r"Nmap version \S+"),
    "masscan": (("masscan", "--version"), r"Masscan version \S+"),
    "zmap": (("zmap", "--version"), r"zmap \S+"),
    "scapy": (("python", "-c", "import scapy; print('Scapy', scapy.__version__)"), r"Scapy \S+"),
    "tcpdump": (("tcpdump", "--version"), r"tcpdump version \S+"),
    "dumpcap": (("dumpcap", "--version"), r"Dumpcap \(Wireshark\) \S+"),
    "tshark": (("tshark", "--version"), r"TShark \(Wireshark\) \S+"),
}
_WIDTH = 100


def version_of(program: str) -> str:
    """The version that a program gives itself."""
    command, pattern = _VERSIONS[program]
    ended = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    found = re.search(pattern, ended.stdout + ended.stderr)
    return found[0].rstrip(".,") if found else f"{program}, of an unknown version"


def readme(case: Case, plan: Plan, records: Sequence[Record], tool_line: str) -> str:
    """The text. `tool_line`: the command line of the tool that probed."""
    kernel = ".".join(platform.release().split(".")[:2])
    tools = [version_of(case.tool)]
    if case.capture is not None:
        tools.append(f"captured by {version_of(case.capture.split()[0])}")
    parts = [
        f"# {case.name}",
        _filled(case.shows),
        _filled(f"Recorded with {', '.join(tools)}, on Linux {kernel}, {_between(case)}."),
        *_commands(case, tool_line),
        *([_firewall(case)] if case.firewall else []),
        f"Record it again, as root: `make pcaps ARGS={case.name}`. Read it:\n\n"
        f"    ghostport read pcaps/{case.name}/{case.capture_name}{_ports(case)}",
        "## What to see",
        _table(case, plan, records),
    ]
    for address, (state, reason) in case.believed.items():
        parts.append(_filled(f"{case.tool} takes {address} for {state} ({reason})."))
    if case.forged:
        parts.append(_filled(f"{case.forged} replies are counted as forged."))
    if case.unfinished:
        parts.append(_filled(f"{case.unfinished} targets have no verdict: the sweep was cut short."))
    return "\n\n".join(parts) + "\n"


def index(cases: Sequence[Case]) -> str:
    """The README above all cases."""
    rows = "\n".join(f"| [{case.name}]({case.name}/) | {_cell(case.shows)} |" for case in cases)
    intro = _filled(
        "Captures of real probes and replies, and the records that reading them must give. They were "
        "recorded in network namespaces without a way out, between hosts of the lab (`ghostport lab`)."
    )
    source = _filled(
        "`expected.jsonl` does not come from the reader that it tests. States, reasons and responders are "
        "what the lab's hosts, or scripted ones, were built to do; times, time to live and tries are "
        "tshark's; and the tool that probed had to agree before a case was kept. `tests/replay/` has the "
        "cases and the recorder: `make pcaps`, as root, records all of them again."
    )
    return f"# Recorded cases\n\n{intro}\n\n{source}\n\n| case | shows |\n|---|---|\n{rows}\n"


def _commands(case: Case, tool_line: str) -> list[str]:
    if case.is_captured_at_the_targets:
        parts = [f"At the targets' end of the cable was typed:\n\n    {case.capture}"]
    else:
        parts = []
        tool_line = "\n    ".join([*([case.capture] if case.capture else []), tool_line])
    return [*parts, f"In the prober's place was typed:\n\n    {tool_line}"]


def _between(case: Case) -> str:
    if case.listening:
        return "on the loopback of one host"
    if all(IPv4Address(address) in topology.ON_LINK for address in case.targets):
        return f"between the prober {topology.PROBER} and hosts of its own link, {topology.ON_LINK}"
    hosts = f"hosts of the lab's `{case.profile}` profile behind the router {topology.ROUTER}"
    return f"between the prober {topology.PROBER} and {hosts}"


def _firewall(case: Case) -> str:
    rules = "\n".join(f"    {statement}" for statement in case.firewall)
    return f"Meanwhile probes met these nftables rules:\n\n{rules}"


def _ports(case: Case) -> str:
    return "" if case.has_plan or case.ports == (401,) else f" -p {','.join(map(str, case.ports))}"


def _table(case: Case, plan: Plan, records: Sequence[Record]) -> str:
    found = {(record["ip"], record["proto"], record["port"]): record for record in records}
    rows = []
    for target in targets(case):
        address, protocol, port = target
        record = found.get((address, protocol.value, port))
        rows.append(
            f"| {address} | {protocol} {port} | {_there(case, plan, target)} | "
            f"{'no verdict' if record is None else _verdict(record)} |"
        )
    return "\n".join(["| address | port | what is there | verdict |", "|---|---|---|---|", *rows])


def _verdict(record: Record) -> str:
    said = _cell(f"{record['state']} ({record['reason']})")
    if record["responder"] not in {None, record["ip"]}:
        said += f" from {record['responder']}"
    return said if record["tries"] in {0, 1} else f"{said}, {record['tries']} tries"


def _there(case: Case, plan: Plan, target: Target) -> str:
    """What the address does, in words."""
    address = target[0]
    if address in case.played:
        return f"scripted: {case.played[address].does}"
    if address in case.elsewhere:
        return "no route leads there"
    outcome, _ = truth(case, plan, target)
    if outcome.state is State.OPEN:
        return "a listener"
    if outcome.state is State.DOWN:
        return "no host"
    for place in plan.profile.places:
        if IPv4Address(address) in IPv4Network(place.prefix):
            return f"`{place.behaviour.name}`"
    return "nobody listens"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _filled(text: str) -> str:
    return textwrap.fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False)
