"""The README of a case, generated: what was recorded, with what, between whom, and what to see in it."""

from __future__ import annotations

import platform
import re
import subprocess
import textwrap
from collections.abc import Sequence
from ipaddress import ip_address

from scanner.lab import Plan, topology
from scanner.lab.behaviours import CLOSED, DUPLICATE, ITSELF, PROXIED, UNROUTED, Hardware
from scanner.lab.links import LINKS
from scanner.model import State, UsageError
from tests.replay.case import Case
from tests.replay.expectation import targets, truth
from tests.replay.helper import environment
from tests.replay.oracle import OPEN_INFERRED, Record, Target

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
_SERVICES = {
    "late": "At {address} nobody listened on port {port} at first, and then somebody did.",
    "large": "At {address} a service answers datagrams to port {port} with 3 000 bytes.",
}
_ON_LINK = (PROXIED, DUPLICATE)
_ALSO = {Hardware.ROUTER: "; the router answers ARP for it", Hardware.TWO: "; two hosts answer for it"}
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
        _filled(f"Recorded with {', '.join(tools)}, on Linux {kernel}, {_between(case, plan)}."),
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
    if case.service is not None:
        kind, address, port, *_ = case.service.split()
        parts.append(f"{_SERVICES[kind].format(address=address, port=port)}")
    if case.one_way:
        parts.append("Of every silent target the record has the hint that nothing inbound was captured.")
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
        "`expected.jsonl` does not come from the reader that it tests. An oracle of its own rules makes it "
        "of what tshark dissects; states, reasons and responders must be what the lab's hosts, or scripted "
        "ones, were built to do; and the tool that probed had to agree before a case was kept. "
        "`tests/replay/` has the cases and the recorder: `make pcaps`, as root, records all of them again."
    )
    written = _filled(
        "Linux as it is here has no VLAN, bond, GRE, IPIP, MPLS or PPP devices: there, a program at each end "
        "of the cable wraps what real hosts say to each other. Link types and byte orders that cannot be "
        "recorded here were written of recorded frames. A case that is so says it."
    )
    return f"# Recorded cases\n\n{intro}\n\n{source}\n\n{written}\n\n| case | shows |\n|---|---|\n{rows}\n"


def _commands(case: Case, tool_line: str) -> list[str]:
    if case.is_captured_at_the_targets:
        parts = [f"At the targets' end of the cable was typed:\n\n    {case.capture}"]
    else:
        parts = []
        tool_line = "\n    ".join([*([case.capture] if case.capture else []), tool_line])
    parts.append(f"In the prober's place was typed:\n\n    {tool_line}")
    if case.finish:
        lines = "\n    ".join(case.finish)
        parts.append(f"The capture that is kept was made of what that recorded:\n\n    {lines}")
    return parts


def _between(case: Case, plan: Plan) -> str:
    if case.listening:
        return "on the loopback of one host"
    if case.scene is not None:
        prober = " and ".join(case.scene.prober_addresses)
        return f"from {prober} to hosts behind the router {case.router}, {case.scene.words}"
    if case.profile == LINKS.name:
        devices = sorted({plan.way(address).device for address in case.targets} - {""})
        return f"from the lab's host with many ways out (`{case.profile}`), by {', '.join(devices)}"
    if all(ip_address(address) in topology.ON_LINK for address in case.targets):
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
    if record["note"] == OPEN_INFERRED:
        said += ", but open to infer"
    earlier = record["superseded"]
    for reply in earlier if isinstance(earlier, list) else ():
        said += f", after {reply['state']} ({reply['reason']})"
    return said if record["tries"] in {0, 1} else f"{said}, {record['tries']} tries"


def _there(case: Case, plan: Plan, target: Target) -> str:
    """What the address does, in words."""
    address = target[0]
    if address in case.played:
        return f"scripted: {case.played[address].does}"
    if address in case.elsewhere:
        return "no route leads there"
    if done := [host.does for host in (case.scene.hosts if case.scene else ()) if host.address == address]:
        return done[0]
    outcome, _ = truth(case, plan, target)
    try:
        behaviour = plan.behaviour(address)
    except UsageError:
        behaviour = CLOSED
    also = _ALSO.get(behaviour.hardware, "")
    if outcome.state is State.OPEN:
        return f"a listener{also}"
    if outcome.state is State.DOWN:
        return "no host" if behaviour != UNROUTED else "the prober's own routing table refuses"
    return f"nobody listens{also}" if behaviour in {CLOSED, ITSELF, *_ON_LINK} else f"`{behaviour.name}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _filled(text: str) -> str:
    return textwrap.fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False)
