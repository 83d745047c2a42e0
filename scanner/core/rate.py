"""The rate of a sweep that adapts it: as fast as replies keep up, and no faster. Time is an argument.

As in TCP (RFC 5681), the rate doubles until something gets lost (slow start), falls to half of what was too
much, and then grows by small steps: additive increase, multiplicative decrease. What differs:

* An address that stays silent has lost nothing. A try is lost where another try of the same target was
  answered later; source ports tell tries apart, so that a late answer is no loss. Frames that the kernel
  dropped before we read them are lost as well. Nothing else is.
* Loss that does not depend on the rate (radio, a last hop that still asks who is there) must not slow a
  sweep to a crawl. So a cut is an experiment. If at half the rate as large a share gets lost, it is the
  path's own: the cut is taken back, and only what exceeds that share counts from then on. If less gets lost,
  it was ours, and where much still is, the rate is halved again.
* Growth wants evidence, too: so many answers to probes sent at a rate, before it is raised. Where nobody
  answers the rate stays where it began, for a path that carries nothing looks just the same.

Time is cut into epochs of one rate each. A try is counted to the epoch in which it was sent, once whoever did
not answer it has been asked again and had time to answer that. As the second try may be lost in its turn, a
loss that is seen stands for 1/s of them, s being the share that gets through in the epoch of the second try:
so the estimate is true even where most is lost.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

START_RATE = 10_000.0
"""Packets a second at first."""

LEAST_RATE = 100.0
"""Packets a second; no loss makes it slower."""

TOLERABLE = 0.05
"""Share of tries whose loss costs less than going slower: retries heal it."""

JUDGED_TRIES = 4
"""The first tries of each target are judged; by the time of later ones there is little left to judge by."""

LOOK_EVERY = 0.02
"""Seconds between two looks at the evidence."""

_EPOCH = 0.1
"""Seconds that an epoch takes at least, long enough to tell what was sent from what was meant to be."""

_EPOCH_ANSWERS = 16
"""Answers that an epoch takes at least, so that there is something to judge it by."""

_TRIAL_SAMPLE = 50
_MANY_ANSWERS = 300
_LONGEST_TRIAL = 30.0
_GAIN = 1.15
"""Times as large a share must get through at half the rate for the loss to be ours."""

_CERTAIN_GAIN = 1.6
"""What a gain must surely be below to be none: if the loss is ours alone, it is 2."""

_MOST_OWN_LOSS = 0.5
"""A path that loses more by itself is not told from one that is too narrow."""

_AHEAD = 4
"""Times as high as what is proven to get through the rate may double: proof comes a time-out late."""

_A_LITTLE = 1.5
"""Likewise, by steps."""

_CLEAN = 0.9

_STEPS = 16
"""So many steps lead back to a rate that was too high."""

_USED = 0.7
"""Share of the rate that must have been sent for it to be known that it can be."""

_REFUSED = 0.05
_DROPPED = 0.01
_SIGMAS = 3.0
_LEAST_SAMPLE = 10
_MOST_EPOCHS = 64
_LEAST_SHARE = 0.01
_PRIOR = 2.0
"""Tries that are taken to have gone as the path's own loss has it, before any were seen."""


@dataclass(slots=True)
class _Epoch:
    """What was sent at one rate.

    answered: for try 0, 1, …, how many were. lost: likewise, by the number of the epoch that proved it.
    """

    rate: float
    begun: float
    ended: float = math.inf
    sent: int = 0
    refused: int = 0
    answered: list[int] = field(default_factory=lambda: [0] * JUDGED_TRIES)
    lost: list[Counter[int]] = field(default_factory=lambda: [Counter() for _ in range(JUDGED_TRIES)])


@dataclass(frozen=True, slots=True)
class _Share:
    """Share of tries that got through, judged by `sample` of them; chance moves it by `deviation`."""

    through: float
    deviation: float
    sample: int

    def surely_below(self, bound: float) -> bool:
        """Whether chance alone would hardly have it so low."""
        return self.sample >= _LEAST_SAMPLE and self.through + _SIGMAS * self.deviation < bound


@dataclass(frozen=True, slots=True)
class Counters:
    """Frames that were received, and that the kernel dropped before they could be."""

    received: int = 0
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class _Trial:
    """A cut that is being judged: who is to blame for the loss in epoch number `lossy`?"""

    lossy: int
    first: int
    begun: float
    before: float
    doubling: bool


class RateController:
    """The rate of one sweep.

    rate: packets a second, now. peak: the most that were sent in a second, taken over an epoch.
    cuts: how often the rate was halved and stayed so. own_loss: share of tries that the path loses anyhow.
    """

    def __init__(self, start: float = START_RATE, most: float = math.inf, least: float = LEAST_RATE) -> None:
        """Begins with the first `look`. `most`: packets a second that are never exceeded."""
        self.rate = min(start, most)
        self.peak = 0.0
        self.cuts = 0
        self.own_loss = 0.0
        self._most = most
        self._least = min(least, self.rate)
        self._proven = 2 * self.rate / _AHEAD
        self._patience = 0.0
        self._doubling = True
        self._step = self.rate / _STEPS
        self._trial: _Trial | None = None
        self._watched = 0
        self._due = -math.inf
        self._first = 0
        self._epochs: list[_Epoch] = []
        self._walls: list[int] = []
        self._deaf_until = -math.inf
        self._counters = Counters()
        self._noted: deque[tuple[float, Sequence[float]]] = deque()
        self._settled: Sequence[float] = [-math.inf] * JUDGED_TRIES
        self._answers = 0
        self._losses = 0

    @property
    def loss(self) -> float:
        """Share of all tries that came to nothing, among targets that answered."""
        return self._losses / (self._losses + self._answers) if self._losses else 0.0

    def sent(self, count: int, refused: int) -> None:
        """Packets left; others were refused, because the kernel had no room for them just then."""
        if self._epochs:
            self._epochs[-1].sent += count
            self._epochs[-1].refused += refused

    def heard(self, sent: NDArray[np.int64], before: NDArray[np.int64], attempt: NDArray[np.int64]) -> None:
        """Targets answered for the first time.

        Args:
            sent: `(N,)` wall-clock ns, when the try left that each of them answered.
            before: `(N,)` likewise, the try before that, which came to nothing; what stands there for the
                first try is of no effect.
            attempt: `(N,)` which try it was.
        """
        again = attempt > 0
        self._answers += len(attempt)
        self._losses += int(attempt.sum())
        if not self._epochs:
            return
        walls = np.array(self._walls)
        place = np.searchsorted(walls, sent, side="right") - 1
        judged = (attempt < JUDGED_TRIES) & (place >= 0)
        for (at, number), count in _counted(place[judged], attempt[judged]):
            self._epochs[at].answered[number] += count
        place_before = np.searchsorted(walls, before, side="right") - 1
        judged = again & (attempt <= JUDGED_TRIES) & (place_before >= 0)
        proof = self._first + np.maximum(place, place_before)
        for (at, number, by), count in _counted(place_before[judged], attempt[judged] - 1, proof[judged]):
            self._epochs[at].lost[number][by] += count

    def wait(self, seconds: float) -> None:
        """A first try is waited for so long, at least."""
        self._patience = max(self._patience, seconds)

    def due(self, now: float) -> bool:
        """Whether it is time for another look."""
        return now >= self._due

    def look(self, now: float, wall: int, counters: Counters, asked_again: Sequence[float]) -> None:
        """Judge the evidence, and change the rate where that is called for.

        Args:
            now: seconds on the steady clock.
            wall: the same moment in ns on the wall clock.
            counters: of all wires, since the beginning.
            asked_again: for try 0, 1, …, the moment (steady) before which all who were asked have answered,
                or have been asked again; infinity where there is nobody left to ask, minus infinity for the
                last try. `JUDGED_TRIES` of them.
        """
        self._due = now + LOOK_EVERY
        dropped = counters.dropped - self._counters.dropped
        received = counters.received - self._counters.received
        self._counters = counters
        self._note_settled(now, asked_again)
        if not self._epochs:
            self._open(now, wall)
        elif dropped > _DROPPED * (received + dropped) and now >= self._deaf_until:
            # What is on its way was asked for at the old rate: a cut has to be given time.
            self._deaf_until = now + max(_EPOCH, self._patience)
            self._trial = None
            self._cut(self._number, now, wall)
        elif self._trial is not None:
            self._judge_trial(self._trial, now, wall)
        else:
            self._look_for_loss(now, wall)
        self._end_epoch(now, wall)

    # --- epochs -----------------------------------------------------------------------------------

    @property
    def _number(self) -> int:
        """Of the epoch under way."""
        return self._first + len(self._epochs) - 1

    def _open(self, now: float, wall: int) -> None:
        if self._epochs:
            self._epochs[-1].ended = now
        self._epochs.append(_Epoch(self.rate, now))
        self._walls.append(wall)
        if len(self._epochs) > _MOST_EPOCHS:
            del self._epochs[0], self._walls[0]
            self._first += 1
            self._watched = max(self._watched, self._first)

    def _end_epoch(self, now: float, wall: int) -> None:
        epoch = self._epochs[-1]
        seconds = now - epoch.begun
        if seconds < _EPOCH or sum(epoch.answered) < _EPOCH_ANSWERS:
            return
        carried = epoch.sent / seconds
        self.peak = max(self.peak, carried)
        if epoch.refused > _REFUSED * epoch.sent:
            # Nothing of it is lost, it is offered again; but the device takes no more.
            self.rate = max(self._least, min(self.rate, carried))
            self._doubling, self._step = False, self.rate / _STEPS
        elif self._trial is None and carried >= _USED * epoch.rate:
            raised, ahead = (2 * self.rate, _AHEAD) if self._doubling else (self.rate + self._step, _A_LITTLE)
            self.rate = min(self._most, max(self.rate, min(raised, ahead * self._proven)))
        self._open(now, wall)

    # --- judgement --------------------------------------------------------------------------------

    def _look_for_loss(self, now: float, wall: int) -> None:
        shares = self._shares()
        watched = range(self._watched, self._number + 1)
        for number in watched:
            if self._too_low(shares[number - self._first]):
                self._try_half(number, now, wall)
                return
        self._lower_own_loss(_pooled(shares[self._watched - self._first :]))
        epochs = [
            (self._epochs[number - self._first].rate, shares[number - self._first]) for number in watched
        ]
        for rate in sorted({rate for rate, _ in epochs if rate > self._proven}):
            if self._surely_fine(_pooled([share for other, share in epochs if other >= rate])):
                self._proven = rate

    def _judge_trial(self, trial: _Trial, now: float, wall: int) -> None:
        """Once what was sent since the cut has been answered, or asked again and that answered."""
        shares = self._shares()
        before = shares[max(0, trial.lossy - self._first)]
        after = _pooled(shares[max(0, trial.first - self._first) :])
        gain = after.through / before.through
        doubt = 2 * gain * math.hypot(after.deviation / after.through, before.deviation / before.through)
        known = after.sample >= _TRIAL_SAMPLE and (gain + doubt < _CERTAIN_GAIN or gain - doubt > 1.0)
        if self._surely_fine(after):
            self._trial = None
        elif not (known and self._too_low(after)):
            # Nothing is known yet; if that stays so, the cut stands.
            if now - trial.begun > _LONGEST_TRIAL:
                self._trial = None
        elif gain >= _GAIN and self.rate > self._least:
            self._try_half(self._number, now, wall)
        else:
            self._trial = None
            self.own_loss = min(_MOST_OWN_LOSS, 1.0 - after.through + after.deviation)
            self.rate, self._doubling = max(self.rate, trial.before), trial.doubling
            self._proven = 2 * self.rate / _AHEAD
            self.cuts -= 1
            self._open(now, wall)

    def _try_half(self, number: int, now: float, wall: int) -> None:
        self._trial = _Trial(number, self._number + 1, now, self.rate, self._doubling)
        self._cut(number, now, wall)

    def _cut(self, number: int, now: float, wall: int) -> None:
        """Go on at half the rate of an epoch; what was sent before counts no more."""
        lossy = min(self.rate, self._epochs[number - self._first].rate)
        self.rate = max(self._least, lossy / 2)
        self._proven = min(self._proven, self.rate / _A_LITTLE)
        self._doubling, self._step = False, lossy / _STEPS
        self.cuts += 1
        self._open(now, wall)
        self._watched = self._number

    def _too_low(self, share: _Share) -> bool:
        return share.surely_below(self._bound)

    def _surely_fine(self, share: _Share) -> bool:
        return share.sample >= _LEAST_SAMPLE and share.through - share.deviation > self._bound * _CLEAN

    @property
    def _bound(self) -> float:
        """Share of tries that must get through."""
        return (1.0 - self.own_loss) * (1.0 - TOLERABLE)

    def _note_settled(self, now: float, asked_again: Sequence[float]) -> None:
        """Up to when tries count: whoever did not answer was asked again, and had time to answer that."""
        self._noted.append((now, asked_again))
        while self._noted and self._noted[0][0] <= now - self._patience:
            self._settled = self._noted.popleft()[1]

    def _lower_own_loss(self, share: _Share) -> None:
        """A path that has become better is held to that."""
        if self.own_loss and share.sample >= _MANY_ANSWERS:
            least = 1.0 - share.through + _SIGMAS * share.deviation
            self.own_loss = max(0.0, min(self.own_loss, least))

    def _shares(self) -> list[_Share]:
        """For each epoch the share of its tries that got through, of those that are settled.

        Of tries that were lost, the share that is seen is the one that gets through where they were proven
        lost. While that is not known, it is taken to be the one that is sought, and the equation solved.
        """
        shares: list[_Share] = []
        usual = 1.0 - self.own_loss
        last = self._number
        # Backwards, for a loss is proven by a later try.
        for epoch in reversed(self._epochs):
            number = last - len(shares)
            answered, like, seen, weighed, spread = 0, 0, 0, 0.0, 0.0
            for attempt, until in enumerate(self._settled):
                if epoch.ended > until:
                    continue
                answered += epoch.answered[attempt]
                for proof, count in epoch.lost[attempt].items():
                    seen += count
                    known = shares[last - proof] if proof > number else None
                    if known is not None and known.sample >= _LEAST_SAMPLE:
                        weighed += count / known.through
                        spread += count / known.through**2
                    else:
                        like += count
            tries = answered + _PRIOR + weighed
            through = (answered + _PRIOR * usual - like) / tries
            lost = (weighed + like) / tries
            # Counts vary as their number does (Poisson), each with its weight in the quotient.
            variance = like + through**2 * spread + lost**2 * (answered + _PRIOR)
            shares.append(_Share(max(_LEAST_SHARE, through), math.sqrt(variance) / tries, answered + seen))
        return shares[::-1]


def _pooled(shares: Sequence[_Share]) -> _Share:
    """Several epochs of one rate taken together."""
    sample = sum(share.sample for share in shares)
    if not sample:
        return _Share(1.0, 1.0, 0)
    through = sum(share.through * share.sample for share in shares) / sample
    deviation = math.sqrt(sum((share.deviation * share.sample) ** 2 for share in shares)) / sample
    return _Share(through, deviation, sample)


def _counted(*columns: NDArray[np.int64]) -> Iterable[tuple[tuple[int, ...], int]]:
    """How often each combination stands in a row."""
    return Counter(zip(*(column.tolist() for column in columns), strict=True)).items()
