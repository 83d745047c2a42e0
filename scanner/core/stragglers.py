"""Ports whose silence may be a limit on ICMP errors: asked once more, one of a host at a time.

A closed UDP port says so by an ICMP error, and hosts limit those: Linux sends six to a peer at once and then
one a second (`net.ipv4.icmp_ratelimit`; IPv6: `net.ipv6.icmp.ratelimit`), so that of twenty closed ports,
asked quickly, fourteen look silent. A host that has called one of its ports closed, and is silent on others,
is therefore asked those again when the rounds of all lanes are over: one a second, so that every
error that is due can be sent. All such hosts are asked side by side. nmap slows down likewise.

What it takes is bounded. Each host is asked all its silent ports once; again only if answers came of that,
and then until it was asked all of them `QUIET_PASSES` times for nothing, for errors get lost, too, and some
limits are slower. It is left alone as soon as `MOST_SILENT` in a row stayed silent, as they do behind a
firewall that drops. So a host costs about a second for each port that turns out closed, and some 20 seconds
more at most.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from scanner.core.ledger import Ledger
from scanner.core.permutation import Permutation
from scanner.core.rules import Rank
from scanner.core.schedule import Selection
from scanner.core.sendlog import LateLog
from scanner.core.witness import Timed

PACE = 1.02
"""Seconds between two probes to a host: Linux's limit, and a hair, for its clock ticks in hundredths."""

_APART = 0.001
"""Seconds between two hosts at first: those in one kernel share a limit (`net.ipv4.icmp_msgs_per_sec`)."""

MOST_SILENT = 20
"""Probes in a row that stay silent, before a host is taken to have nothing more to say."""

QUIET_PASSES = 3
"""Times that a host which has answered is asked for nothing."""

MOST_PASSES = 8
"""Times that a port is asked in this way."""


class Stragglers:
    """The silent ports of hosts that have called others closed, over all UDP lanes of a path.

    Args:
        ledgers: of the lanes; all have the same addresses. ports: how many ports each of them asks.
        seed: of the order in which the ports of a host are asked.
        wait: seconds between two probes to a host, asked anew whenever it matters; `PACE` at least.
    """

    def __init__(
        self, ledgers: Sequence[Ledger], ports: Sequence[int], seed: int, wait: Callable[[], float]
    ) -> None:
        """Find them; nothing has been asked."""
        self._ledgers = ledgers
        self._wait = wait
        lane, task, host = _silent_ports(ledgers, ports)
        order = Permutation(len(task), seed).forward(np.arange(len(task)))
        order = order[np.argsort(host[order], kind="stable")]
        self._lane, self._task = lane[order], task[order]
        _, begin, count = np.unique(host[order], return_index=True, return_counts=True)
        # Host h asks its ports from `begin[h]` up to `end[h]`, and stands at `at[h]`. When `due` is infinite,
        # it is over. `told` says whether anything was answered in this pass, `limited` in any; `passes` are
        # over, the last `quiet` of them without an answer.
        self._begin: NDArray[np.int64] = begin.astype(np.int64)
        self._end: NDArray[np.int64] = self._begin + count
        self._at: NDArray[np.int64] = self._begin.copy()
        self._due: NDArray[np.float64] = np.full(len(begin), -np.inf)
        self._begun = False
        self._asked: NDArray[np.bool_] = np.zeros(len(begin), dtype=np.bool_)
        self._told: NDArray[np.bool_] = np.zeros(len(begin), dtype=np.bool_)
        self._limited: NDArray[np.bool_] = np.zeros(len(begin), dtype=np.bool_)
        self._silent: NDArray[np.int64] = np.zeros(len(begin), dtype=np.int64)
        self._quiet: NDArray[np.int64] = np.zeros(len(begin), dtype=np.int64)
        self._passes: NDArray[np.int64] = np.zeros(len(begin), dtype=np.int64)

    def __len__(self) -> int:
        return len(self._task)

    @property
    def progress(self) -> float:
        """How much of the lanes' work is done, from 0 to 1."""
        left = int((self._end - self._at)[self._due < np.inf].sum())
        return 1.0 - left / sum(len(ledger.state) for ledger in self._ledgers)

    def take(self, lane: int, limit: int, now: float) -> Selection | None:
        """Up to `limit` ports of one lane that may be asked now; positions are hosts. None for none."""
        self._go_on(now)
        hosts = np.flatnonzero(self._due <= now)
        hosts = hosts[self._lane[self._at[hosts]] == lane][: max(0, limit)]
        if not len(hosts):
            return None
        tasks = self._task[self._at[hosts]]
        tries = self._ledgers[lane].tries[tasks]
        alike = tries == tries[0]
        return Selection(int(tries[0]), hosts[alike], tasks[alike])

    def sent(self, selection: Selection, count: int, now: float) -> None:
        """The first `count` packets of what `take` gave have left."""
        hosts = selection.positions[:count]
        self._asked[hosts] = True
        self._due[hosts] = now + max(PACE, self._wait())

    def due(self, now: float) -> float:
        """When to look again; infinity where nothing is left."""
        self._go_on(now)
        return max(now, float(self._due.min(initial=np.inf)))

    def _go_on(self, now: float) -> None:
        """Hosts whose last probe has had its time move on to their next silent port."""
        if not self._begun:
            self._begun = True
            count = len(self._due)
            self._due[:] = now + np.arange(count) * min(_APART, PACE / max(1, count))
        hosts = np.flatnonzero(self._due <= now)
        asked = hosts[self._asked[hosts]]
        silent = self._is_silent(asked)
        self._told[asked] |= ~silent
        self._silent[asked] = np.where(silent, self._silent[asked] + 1, 0)
        self._at[asked] += 1
        self._asked[asked] = False
        self._skip_answered(hosts)
        ended = hosts[self._at[hosts] >= self._end[hosts]]
        self._passes[ended] += 1
        self._limited[ended] |= self._told[ended]
        self._quiet[ended] = np.where(self._told[ended], 0, self._quiet[ended] + 1)
        worth = self._limited[ended] & (self._quiet[ended] < QUIET_PASSES)
        again = ended[worth & (self._passes[ended] < MOST_PASSES)]
        self._at[again] = self._begin[again]
        self._told[again] = False
        self._skip_answered(again)
        over = (self._at[hosts] >= self._end[hosts]) | (self._silent[hosts] >= MOST_SILENT)
        self._due[hosts[over]] = np.inf

    def _skip_answered(self, hosts: NDArray[np.int64]) -> None:
        while len(hosts):
            hosts = hosts[self._at[hosts] < self._end[hosts]]
            hosts = hosts[~self._is_silent(hosts)]
            self._at[hosts] += 1

    def _is_silent(self, hosts: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether the port at which each of some hosts stands is unanswered."""
        silent = np.zeros(len(hosts), dtype=np.bool_)
        at = self._at[hosts]
        for number, ledger in enumerate(self._ledgers):
            rows = np.flatnonzero(self._lane[at] == number)
            silent[rows] = ledger.state[self._task[at[rows]]] == Rank.UNANSWERED
        return silent


class StragglerSchedule:
    """What a lane has to ask when its rounds are over: its part of the stragglers. As `Schedule`."""

    def __init__(self, rounds: Timed, ledger: Ledger, stragglers: Stragglers, lane: int) -> None:
        """`lane`: the number of this one among those of the stragglers."""
        self._rounds = rounds
        self._ledger = ledger
        self._stragglers = stragglers
        self._lane = lane
        self._log = LateLog()

    @property
    def ways(self) -> tuple[StragglerSchedule, ...]:
        """As `Ways.ways`: this one."""
        return (self,)

    @property
    def attempts(self) -> int:
        """As `Schedule.attempts`: of the rounds."""
        return self._rounds.attempts

    @property
    def progress(self) -> float:
        """How much of the work is done, from 0 to 1."""
        return self._stragglers.progress

    def take(self, limit: int, now: float, *, first: bool = False) -> Selection | None:
        """As `Schedule.take`."""
        return self._stragglers.take(self._lane, limit, now)

    def upcoming(self, _limit: int, _gone: Selection | None) -> None:
        """As `Schedule.upcoming`: they are asked one at a time."""
        return

    def sent(self, selection: Selection, wall: NDArray[np.int64], now: float) -> None:
        """As `Schedule.sent`."""
        tasks = selection.tasks[: len(wall)]
        self._log.append(selection.attempt, tasks, wall)
        self._ledger.count_try(tasks)
        self._stragglers.sent(selection, len(wall), now)

    def due(self, now: float) -> float:
        """As `Schedule.due`."""
        return self._stragglers.due(now)

    def finished(self, now: float) -> bool:
        """As `Schedule.finished`."""
        return self.due(now) == float("inf")

    def asked_again(self, _attempt: int) -> float:
        """As `Schedule.asked_again`; what is silent here tells nothing of the path."""
        return float("inf")

    def sent_at(self, tasks: NDArray[np.int64], attempt: NDArray[np.int64]) -> NDArray[np.int64]:
        """As `Schedule.sent_at`."""
        times = np.empty(len(tasks), dtype=np.int64)
        late = self._log.holds(tasks, attempt)
        times[~late] = self._rounds.sent_at(tasks[~late], attempt[~late])
        times[late] = self._log.wall(tasks[late], attempt[late])
        return times


def _silent_ports(
    ledgers: Sequence[Ledger], ports: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Lane, task and address index of every silent port of a host that has called one closed."""
    closed: NDArray[np.int64] = np.unique(
        np.concatenate(
            [
                np.flatnonzero(ledger.state == Rank.CLOSED) // count
                for ledger, count in zip(ledgers, ports, strict=True)
            ]
        )
    )
    found = []
    for number, (ledger, count) in enumerate(zip(ledgers, ports, strict=True)):
        task = np.flatnonzero((ledger.state == Rank.UNANSWERED) & (ledger.tries > 0))
        task = task[np.isin(task // count, closed)]
        found.append((np.full(len(task), number), task, task // count))
    lane, task, host = (np.concatenate(column) for column in zip(*found, strict=True))
    return lane, task, host
