"""What a recorded case is: a declared value, from which it is recorded, explained and tested.

The law: a case says beforehand what must come of it. Verdicts of real hosts are the lab's to
say; those of scripted hosts, which no kernel would play, stand here beside their script.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from scanner.lab.behaviours import Outcome
from scanner.lab.topology import ROUTER, TARGET_INTERFACE
from scanner.model import Protocol, Reason, State, Verdict
from tests.replay.answers import Answer, Pause
from tests.replay.scenes import TWO_PROBERS, Scene

PCAPS = Path(__file__).parents[2] / "pcaps"
EXPECTED = "expected.jsonl"
EXPECTED_PER_PROBER = "expected-per-prober.jsonl"


class Tool(enum.StrEnum):
    """Who probed."""

    SWEEP = "ghostport"
    NMAP = "nmap"
    MASSCAN = "masscan"
    ZMAP = "zmap"
    SCAPY = "scapy"


@dataclass(frozen=True, slots=True)
class Played:
    """An address at which a script answers, its kernel being silent.

    does: what it does, in words. answers: to every probe, in this order. outcome: what must be said of it.
    """

    does: str
    answers: tuple[Answer | Pause, ...]
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One capture.

    shows: what it is there to show.
    tool: who probes, by `command`; `{targets}` stands for the targets, `{gateway}` for the router's
        hardware address. Files are in the case's own folder.
    capture: the command that captures meanwhile; None where the tool itself writes the capture. A sweep's
        plan, of its evidence `sweep.pcap`, is then put beside it.
    targets, protocols, ports: what is asked; each of them gets a record.
    profile: of the lab.
    firewall: nftables statements that packets to the lab meet on the way, for this case alone.
    played: by address, what a script answers.
    listening: where somebody listens on the prober's own loopback, for TCP and UDP.
    elsewhere: outcomes for targets that the lab knows nothing of.
    believed: what the tool says where it is known to be fooled, by address.
    contested: addresses that two hosts answer for, when they are asked for their hardware.
    ignored: addresses whose replies the tool is known not to understand; it is not asked about them.
    forged: replies that name a probe, and not its sequence number; beside a plan, all that name a target and
        answer none of its probes.
    unfinished: targets without a verdict, where the sweep was cut short.
    exit_codes: with which the tool may end.
    scene: what is added to the lab.
    service: arguments of `tests.replay.services`, which then runs beside the lab's own listeners.
    listens_late: addresses at which a service listens at last, and nobody did at first.
    finish: commands that make of what was recorded the capture that is kept.
    partial: the capture shows less than happened: targets may be missing from it, or their replies.
    one_way: it shows only what the prober sent.
    inferred: addresses that the prober's own packets betray to be open.
    """

    name: str
    shows: str
    tool: Tool
    command: str
    targets: tuple[str, ...]
    protocols: tuple[Protocol, ...]
    ports: tuple[int, ...] = (401,)
    capture: str | None = None
    profile: str = "small"
    firewall: tuple[str, ...] = ()
    played: Mapping[str, Played] = field(default_factory=dict)
    listening: tuple[str, ...] = ()
    elsewhere: Mapping[str, Outcome] = field(default_factory=dict)
    believed: Mapping[str, tuple[State, Reason]] = field(default_factory=dict)
    forged: int = 0
    unfinished: int = 0
    exit_codes: tuple[int, ...] = (0,)
    scene: Scene | None = None
    service: str | None = None
    listens_late: tuple[str, ...] = ()
    finish: tuple[str, ...] = ()
    partial: bool = False
    one_way: bool = False
    inferred: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    contested: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Where it is kept."""
        return PCAPS / self.name

    @property
    def is_captured_at_the_targets(self) -> bool:
        """Whether the capture is made at the targets' end of the cable."""
        return self.capture is not None and TARGET_INTERFACE in self.capture.split()

    @property
    def capture_name(self) -> str:
        """`capture.pcap`, `capture.pcapng`, perhaps compressed: the last that a command names."""
        commands = (self.command, self.capture or "", *self.finish)
        found = re.findall(r"\bcapture\.pcap(?:ng)?(?:\.gz|\.zst)?", " ".join(commands))
        return str(found[-1])

    @property
    def recorded_name(self) -> str:
        """The file that the tool or the capturing program writes."""
        found = re.findall(
            r"-(?:w|-write|-evidence) (\S+\.pcap(?:ng)?)", f"{self.command} {self.capture or ''}"
        )
        return str(found[-1])

    @property
    def router(self) -> str:
        """Who refuses on the way."""
        return str(ROUTER) if self.scene is None else self.scene.router

    @property
    def capture_path(self) -> Path:
        """The capture as it is kept."""
        return self.folder / self.capture_name

    def expected(self, *, with_zones: bool = True) -> list[Verdict]:
        """The records that reading it must give.

        with_zones: whether link-local addresses have their interface in their name, which only a plan knows.
        """
        lines = (self.folder / EXPECTED).read_text().splitlines()
        return [
            msgspec.json.decode(line if with_zones else re.sub(r"%\w+", "", line), type=Verdict)
            for line in lines
        ]

    @property
    def is_cut(self) -> bool:
        """Whether the file's end is missing."""
        return any(line.startswith("truncate") for line in self.finish)

    @property
    def per_prober(self) -> bool:
        """Whether it is also known what each of several probers found."""
        return self.scene is TWO_PROBERS

    @property
    def per_prober_path(self) -> Path:
        """The records by prober, where there are any."""
        return self.folder / EXPECTED_PER_PROBER

    @property
    def files(self) -> tuple[str, ...]:
        """What its folder has, but for the README."""
        plan = (self.plan_name,) if self.has_plan else ()
        probers = (EXPECTED_PER_PROBER,) if self.per_prober else ()
        return (self.capture_name, EXPECTED, *plan, *probers)

    @property
    def plan_name(self) -> str:
        """The sweep's plan, beside the capture."""
        return f"{self.capture_name}.json"

    @property
    def has_plan(self) -> bool:
        """Whether a sweep of ours left its plan beside the capture."""
        return self.tool is Tool.SWEEP
