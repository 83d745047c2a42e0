"""What a tool said, held against what is true of the lab."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from scanner.lab import Truth
from tests.bench.outputs import Found


@dataclass(frozen=True, slots=True)
class Score:
    """How right a tool was.

    open_found, open_there: of the open ports. wrong: other states than the true one, or none at all, where
    every probe meets its fate; for tools that name open ports only, those that are not. lost: the same where
    the lab loses or limits replies, and silence may be all that a tool saw.
    """

    open_found: int
    open_there: int
    wrong: int
    lost: int


def score(found: Found, truth: Truth, targets: str) -> Score:
    """Hold states against the truth, for the addresses of `targets`."""
    network = IPv4Network(targets)
    first, last = int(network[0]), int(network[-1])
    strangers = set(found.states)
    open_found = open_there = wrong = lost = 0
    for record in truth.records():
        address = record["ip"]
        if not first <= int(IPv4Address(address)) <= last:
            continue
        strangers.discard(address)
        said = found.states.get(address)
        if record["state"] == "open":
            open_there += 1
            open_found += said == "open"
        if said == record["state"] or (said is None and not found.whole):
            continue
        if record["certain"]:
            wrong += 1
        else:
            lost += 1
    return Score(open_found, open_there, wrong + len(strangers), lost)
