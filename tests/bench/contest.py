"""A case, run: every contender once, then every one again, so that what drifts hits all alike."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from scanner.capture import open_capture
from scanner.lab import Lab
from tests.bench.cases import PORTS, About, Case, Contender, Figure
from tests.bench.labs import Labs
from tests.bench.measure import Run, measure
from tests.bench.outputs import PORT
from tests.bench.place import command_of, words_of
from tests.bench.score import Fact, Score, facts_of, score
from tests.bench.sending import TransmitCounter

_MANY = 20_000
"""Packets, from which on it is worth saying how fast they left."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of one contender.

    seconds: what the case compares. failed: the last line it wrote, where its exit code is not 0.
    sent: packets that left by the interface's counter. rate: of them a second, while the first half left.
    """

    run: Run
    seconds: float
    score: Score | None
    failed: str | None
    sent: int | None = None
    rate: float | None = None


@dataclass(frozen=True, slots=True)
class Contest:
    """A case and its attempts: by contender, in the order of the rounds. packets: what the case is about."""

    case: Case
    packets: int | None
    attempts: dict[str, list[Attempt]]


Teller = Callable[[str], None]


class Ring:
    """Runs cases, each in its lab.

    known: what is told of a case's targets, worked out once.
    """

    def __init__(self, labs: Labs, scratch: Path) -> None:
        self._labs = labs
        self._scratch = scratch
        self._known: dict[str, list[Fact]] = {}

    def run(self, case: Case, *, rounds: int, tell: Teller) -> Contest:
        """All rounds of a case."""
        lab = self._labs.get(case.place, tell)
        lab.assert_isolated()
        words = words_of(lab, self._scratch)
        if case.prepare is not None:
            tell(f"{case.name}: preparing")
            with tempfile.TemporaryDirectory() as name:
                command = command_of(case.prepare, words, Path(name), lab)
                measure(command, folder=Path(name), deadline=60)
        attempts: dict[str, list[Attempt]] = {contender.name: [] for contender in case.contenders}
        for turn in range(rounds * case.repeat):
            for contender in case.contenders:
                if contender.most_runs is not None and turn >= contender.most_runs:
                    continue
                attempt = self._attempt(case, contender, lab, words)
                attempts[contender.name].append(attempt)
                tell(f"{case.name} {turn + 1}/{rounds * case.repeat}: {contender.name} {_outcome(attempt)}")
        return Contest(case, _packets(case, words), attempts)

    def _attempt(self, case: Case, contender: Contender, lab: Lab, words: Mapping[str, str]) -> Attempt:
        with tempfile.TemporaryDirectory() as name, ExitStack() as watching:
            folder = Path(name)
            command = command_of(contender.command, words, folder, lab if case.isolated else None)
            counter = None
            if case.isolated:
                counter = watching.enter_context(TransmitCounter(lab, words["interface"]))
            run = measure(command, folder=folder, deadline=contender.deadline)
            watching.close()
            if run.ended and run.exit_code != 0:
                return Attempt(run, run.seconds, None, _last_line(folder / "stderr"))
            seconds = run.seconds
            try:
                if case.figure is Figure.SENDING and counter is not None and isinstance(case.packets, int):
                    seconds = counter.seconds_for(case.packets)
                elif case.figure is Figure.TOLD:
                    seconds = float((folder / "stdout").read_text())
            except ValueError as error:
                return Attempt(run, run.seconds, None, str(error))
            return Attempt(
                run,
                seconds,
                self._score(case, contender, folder, lab, words),
                None,
                sent=None if counter is None else counter.sent,
                rate=None if counter is None or counter.sent < _MANY else counter.rate(counter.sent // 2),
            )

    def _score(
        self, case: Case, contender: Contender, folder: Path, lab: Lab, words: Mapping[str, str]
    ) -> Score | None:
        if contender.reads is None:
            return None
        if case.name not in self._known:
            self._known[case.name] = _facts(case, lab, case.targets.format(**words))
        return score(contender.reads(folder), self._known[case.name])


def _facts(case: Case, lab: Lab, targets: str) -> list[Fact]:
    """What is true of a case's targets."""
    if case.about is About.PORTS:
        return [
            Fact(f"{targets} {port}", "open" if port == PORT else "closed") for port in range(1, PORTS + 1)
        ]
    return facts_of(lab.truth(case.protocol), targets)


def _packets(case: Case, words: Mapping[str, str]) -> int | None:
    if isinstance(case.packets, str):
        return sum(len(frames.starts) for frames in open_capture(words[case.packets]))
    return case.packets


def _outcome(attempt: Attempt) -> str:
    if attempt.failed is not None:
        return f"failed: {attempt.failed}"
    return f"{attempt.seconds:.2f} s" if attempt.run.ended else f"did not end in {attempt.seconds:.0f} s"


def _last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
