"""Forged replies, counted target by target.

Without a key, those with a number that the probe had not: all but what a connection to an open port says
later, and that it is open, another flow may tell. Beside a key, all that came to a target's prober and are no
answer. An address of many flows is judged in several lots, one behind the other; what is counted does not
depend on where they are divided.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scanner.core.addresses import AddressSet
from scanner.core.flowtable import Joined, Probes, target_keys
from scanner.core.ordering import distinct, merged_order
from scanner.core.rules import Claims, Rank, reason_code
from scanner.model import Reason

_ADDRESS = np.uint64(24)
"""Bits of a target's key behind its address."""


class Forgeries:
    """Counts the suspect replies of targets that are marked, or of those that are not."""

    def __init__(self, *, of_marked: bool) -> None:
        """`of_marked`: those of targets that are marked are forged; else those of the others."""
        self._of_marked = of_marked
        self._settled = 0
        self._targets: NDArray[np.uint64] = np.empty(0, dtype=np.uint64)
        self._suspects: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._marked: NDArray[np.bool_] = np.empty(0, dtype=np.bool_)

    def add_replies(
        self,
        claims: Claims,
        joined: Joined,
        targets: NDArray[np.uint64],
        task: NDArray[np.int64],
        is_open: NDArray[np.bool_],
    ) -> None:
        """Take in replies to probes; the open targets are marked.

        Args:
            claims: some, of which `joined` says what they answer.
            joined: them and the probes.
            targets: `(T,)`, the key of each task.
            task: `(P,)`, of each probe.
            is_open: `(T,)`.
        """
        suspect = (claims.rank[joined.row] != Rank.UNANSWERED) & ~joined.genuine
        # No connection answers a SYN twice.
        certain = suspect & (claims.reason[joined.row] == reason_code(Reason.SYN_ACK))
        self._settled += int(np.count_nonzero(certain))
        doubtful = task[joined.probe[suspect & ~certain]]
        self.add(targets, np.bincount(doubtful, minlength=len(targets)), is_open)

    def add_strangers(self, claims: Claims, probes: Probes, joined: Joined, sources: AddressSet) -> None:
        """Take in what came to a sweep's sources and is no answer; the targets that were asked are marked."""
        to_us = target_keys(claims)[sources.contains(claims.prober)]
        genuine = target_keys(probes)[joined.probe[joined.genuine]]
        asked = distinct(target_keys(probes))
        suspects = np.repeat(np.array([1, -1, 0]), [len(to_us), len(genuine), len(asked)])
        marked = np.arange(len(suspects)) >= len(to_us) + len(genuine)
        self.add(np.concatenate([to_us, genuine, asked]), suspects, marked)

    def add(
        self, targets: NDArray[np.uint64], suspects: NDArray[np.int64], marked: NDArray[np.bool_]
    ) -> None:
        """Take in one lot.

        Args:
            targets: `(N,)`, keys as `target_keys` makes them, in any order; no address is lower than any of
                the lot before.
            suspects: `(N,)`, how many replies of each; what several rows say is added up.
            marked: `(N,)`, a target is if one of its rows is.
        """
        telling = marked | (suspects != 0)
        targets = np.concatenate([self._targets, targets[telling]])
        if not len(targets):
            return
        order = merged_order(targets)
        targets = targets[order]
        begins = np.flatnonzero(np.append(True, targets[1:] != targets[:-1]))
        targets = targets[begins]
        suspects = np.add.reduceat(np.concatenate([self._suspects, suspects[telling]])[order], begins)
        marked = np.logical_or.reduceat(np.concatenate([self._marked, marked[telling]])[order], begins)
        goes_on = targets >> _ADDRESS == targets[-1] >> _ADDRESS
        self._settled += self._forged(suspects[~goes_on], marked[~goes_on])
        self._targets, self._suspects, self._marked = targets[goes_on], suspects[goes_on], marked[goes_on]

    @property
    def count(self) -> int:
        """How many replies were forged."""
        return self._settled + self._forged(self._suspects, self._marked)

    def _forged(self, suspects: NDArray[np.int64], marked: NDArray[np.bool_]) -> int:
        return int(suspects[marked == self._of_marked].sum())
