"""A case, run: every contender once, then every one again, so that what drifts hits all alike."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from scanner.capture import open_capture
from scanner.lab import Lab, Truth
from tests.bench.cases import Case, Contender, Figure
from tests.bench.measure import Run, measure
from tests.bench.place import command_of
from tests.bench.score import Score, score
from tests.bench.sending import TransmitCounter


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of one contender.

    seconds: what the case compares. failed: the last line it wrote, where its exit code is not 0.
    """

    run: Run
    seconds: float
    score: Score | None
    failed: str | None


@dataclass(frozen=True, slots=True)
class Contest:
    """A case and its attempts: by contender, in the order of the rounds. packets: what the case is about."""

    case: Case
    packets: int | None
    attempts: dict[str, list[Attempt]]


Teller = Callable[[str], None]


class Ring:
    """Runs cases on a lab."""

    def __init__(self, lab: Lab, truth: Callable[[Case], Truth], words: Mapping[str, str]) -> None:
        self._lab = lab
        self._truth = truth
        self._words = words

    def run(self, case: Case, *, rounds: int, tell: Teller) -> Contest:
        """All rounds of a case."""
        self._lab.assert_isolated()
        if case.prepare is not None:
            tell(f"{case.name}: preparing")
            self._prepare(case.prepare)
        attempts: dict[str, list[Attempt]] = {contender.name: [] for contender in case.contenders}
        for turn in range(rounds * case.repeat):
            for contender in case.contenders:
                if contender.most_runs is not None and turn >= contender.most_runs:
                    continue
                attempt = self._attempt(case, contender)
                attempts[contender.name].append(attempt)
                tell(f"{case.name} {turn + 1}/{rounds * case.repeat}: {contender.name} {_outcome(attempt)}")
        return Contest(case, self._packets(case), attempts)

    def _prepare(self, command: str) -> None:
        with tempfile.TemporaryDirectory() as name:
            measure(command_of(command, self._words, Path(name), self._lab), folder=Path(name), deadline=60)

    def _attempt(self, case: Case, contender: Contender) -> Attempt:
        with tempfile.TemporaryDirectory() as name, ExitStack() as watching:
            folder = Path(name)
            lab = self._lab if case.isolated else None
            command = command_of(contender.command, self._words, folder, lab)
            counter = None
            if case.figure is Figure.SENDING:
                counter = watching.enter_context(TransmitCounter(self._lab, self._words["interface"]))
            run = measure(command, folder=folder, deadline=contender.deadline)
            watching.close()
            if run.ended and run.exit_code != 0:
                return Attempt(run, run.seconds, None, _last_line(folder / "stderr"))
            seconds = run.seconds
            if counter is not None and isinstance(case.packets, int):
                try:
                    seconds = counter.seconds_for(case.packets)
                except ValueError as error:
                    return Attempt(run, run.seconds, None, str(error))
            return Attempt(run, seconds, self._score(case, contender, folder), None)

    def _score(self, case: Case, contender: Contender, folder: Path) -> Score | None:
        if contender.reads is None:
            return None
        return score(contender.reads(folder), self._truth(case), case.targets.format(**self._words))

    def _packets(self, case: Case) -> int | None:
        if isinstance(case.packets, str):
            return sum(len(frames.starts) for frames in open_capture(self._words[case.packets]))
        return case.packets


def _outcome(attempt: Attempt) -> str:
    if attempt.failed is not None:
        return f"failed: {attempt.failed}"
    return f"{attempt.seconds:.2f} s" if attempt.run.ended else f"did not end in {attempt.seconds:.0f} s"


def _last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
