"""What the attempts of a contest come to: medians, and from where to where they spread. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from tests.bench.contest import Attempt, Contest


@dataclass(frozen=True, slots=True)
class Spread:
    """A median, and the least and the most."""

    median: float
    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Standing:
    """How one contender did.

    runs: how many count. ratio: its time in our time, round by round; None for ours.
    ended: False where it had to be killed; its times and ratios are lower bounds.
    rss: KiB. sent: packets, by the interface's counter. rate: packets a second, by the same while they leave.
     failed: what it said where it never succeeded.
    """

    name: str
    runs: int
    ended: bool
    failed: str | None
    seconds: Spread | None = None
    ratio: Spread | None = None
    cpu: float | None = None
    rss: float | None = None
    sent: float | None = None
    rate: float | None = None
    open_there: int | None = None
    open_found: Spread | None = None
    wrong: Spread | None = None
    lost: Spread | None = None


def standings(contest: Contest) -> list[Standing]:
    """All contenders of a contest, in order."""
    ours = contest.attempts[contest.case.contenders[0].name]
    return [
        _standing(name, attempts, None if attempts is ours else ours, contest.packets)
        for name, attempts in contest.attempts.items()
    ]


def _standing(
    name: str, attempts: list[Attempt], ours: list[Attempt] | None, packets: int | None
) -> Standing:
    good = [attempt for attempt in attempts if attempt.failed is None]
    if not good:
        return Standing(name, runs=0, ended=True, failed=attempts[-1].failed if attempts else "not run")
    seconds = _spread(attempt.seconds for attempt in good)
    scores = [attempt.score for attempt in good if attempt.score is not None]
    return Standing(
        name,
        runs=len(good),
        ended=all(attempt.run.ended for attempt in good),
        failed=None,
        seconds=seconds,
        ratio=None if ours is None else _ratio(attempts, ours),
        cpu=statistics.median(attempt.run.cpu for attempt in good),
        rss=statistics.median(attempt.run.rss for attempt in good),
        sent=_median([attempt.sent for attempt in good]),
        rate=_median([attempt.rate for attempt in good])
        or (None if packets is None else packets / seconds.median),
        open_there=scores[0].open_there if scores else None,
        open_found=_spread(score.open_found for score in scores) if scores else None,
        wrong=_spread(score.wrong for score in scores) if scores else None,
        lost=_spread(score.lost for score in scores) if scores else None,
    )


def _ratio(theirs: list[Attempt], ours: list[Attempt]) -> Spread | None:
    # One may have run less often than the other.
    pairs = [
        their.seconds / our.seconds
        for their, our in zip(theirs, ours, strict=False)
        if their.failed is None and our.failed is None
    ]
    return _spread(pairs) if pairs else None


def _median(values: list[float | None] | list[int | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _spread(values: Iterable[float]) -> Spread:
    listed = list(values)
    return Spread(statistics.median(listed), min(listed), max(listed))
