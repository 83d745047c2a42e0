"""What a tool said, held against what is true of the lab."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from scanner.lab import Truth
from tests.bench.outputs import Found


@dataclass(frozen=True, slots=True)
class Fact:
    """What is true of one target. certain: False where the lab loses or limits replies."""

    who: str
    state: str
    certain: bool = True


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


def facts_of(truth: Truth, targets: str) -> list[Fact]:
    """What is true of the addresses of a network."""
    network = IPv4Network(targets)
    first, last = int(network[0]), int(network[-1])
    return [
        Fact(record["ip"], record["state"], record["certain"])
        for record in truth.records()
        if first <= int(IPv4Address(record["ip"])) <= last
    ]


def score(found: Found, facts: Iterable[Fact]) -> Score:
    """Hold states against the truth."""
    strangers = set(found.states)
    open_found = open_there = wrong = lost = 0
    for fact in facts:
        strangers.discard(fact.who)
        said = found.states.get(fact.who)
        if fact.state == "open":
            open_there += 1
            open_found += said == "open"
        if said == fact.state or (said is None and not found.whole):
            continue
        if fact.certain:
            wrong += 1
        else:
            lost += 1
    return Score(open_found, open_there, wrong + len(strangers), lost)
