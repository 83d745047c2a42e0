"""Lots: probes and claims of whole flows, as many together as memory holds.

Rows are divided by a key that tells flows apart by chance only, and somebody may see to it that it does not,
or send all in one flow. So what one key has too many of is divided by another one: the ends of the flow, its
tunnel, and at last the time. Then a flow goes on from one lot to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from scanner.core.flowtable import HASH_BITS, Joined, Probes, openings
from scanner.core.packets import MIRRORED, TCP
from scanner.core.rules import Claims, Rank
from scanner.core.runs import Runs, Scratch, cuts, heavy

T = TypeVar("T", Probes, Claims)

Keys = NDArray[np.uint64]
Asked = NDArray[np.bool_]

_SIGN = np.uint64(1 << 63)
_NEVER = (np.iinfo(np.int64).max, 0)


@dataclass(frozen=True, slots=True)
class Lot:
    """Probes and claims, each in the order of the capture.

    led: who spoke first in these flows is known, and the probes are true. goes_on: with the flow of the lot
    before, of which `carried` tells what must be known.
    """

    probes: Probes
    claims: Claims
    led: bool = False
    goes_on: bool = False


class Lots:
    """Divides probes and claims, given by `flow_keys`."""

    def __init__(self, scratch: Scratch, most: int, asked: Asked | None) -> None:
        """`most`: rows of a lot, about. `asked`: as `ports` of `flowtable.join`."""
        self._scratch = scratch
        self._most = most
        self._asked = asked

    def of(self, probes: Runs[Probes], claims: Runs[Claims]) -> Iterator[Callable[[], Lot]]:
        """What reads each lot, in order of target."""
        return self._divided(probes, claims, HASH_BITS, (_ends, _tunnels))

    def _divided(
        self,
        probes: Runs[Probes],
        claims: Runs[Claims],
        together: int,
        finer: tuple[Callable[[Probes | Claims], Keys], ...],
    ) -> Iterator[Callable[[], Lot]]:
        for first, last, is_heavy in self._cut(probes, claims, together):
            if not is_heavy:
                yield partial(_lot, probes, claims, first, last)
                continue
            if finer:
                ours, theirs = self._by(finer[0], probes, first), self._by(finer[0], claims, first)
                yield from self._divided(ours, theirs, 0, finer[1:])
            else:
                yield from self._of_one_flow(probes, claims, first)
            if first < last:
                yield partial(_lot, probes, claims, first + 1, last)

    def _cut(
        self, probes: Runs[Probes], claims: Runs[Claims], together: int
    ) -> Iterator[tuple[int, int, bool]]:
        """Ranges of keys, and whether the first key of each has too many rows."""
        samples = np.concatenate([probes.samples(), claims.samples()])
        samples.sort()
        for first, last in cuts(samples, self._most, together):
            yield first, last, heavy(samples, first, self._most)

    def _by(self, key: Callable[[T], Keys], rows: Runs[T], at: int) -> Runs[T]:
        """All rows of one key, by another."""
        found = rows.like()
        for part in rows.parts(at):
            found.add(key(part), part)
        return found

    def _of_one_flow(
        self, probes: Runs[Probes], claims: Runs[Claims], at: int
    ) -> Iterator[Callable[[], Lot]]:
        """Lots of the flow that has a key, in order of time; of one time, probes come first."""
        if self._is_answer(probes, claims, at):
            return
        ours, theirs = self._by(_times, probes, at), self._by(_times, claims, at)
        goes_on = False
        for first, last, is_heavy in self._cut(ours, theirs, 0):
            if is_heavy:
                for mine in ours.parts(first):
                    yield partial(Lot, mine, Claims.none(), led=True, goes_on=goes_on)
                    goes_on = True
                for said in theirs.parts(first):
                    yield partial(Lot, Probes.none(), said, led=True, goes_on=goes_on)
                    goes_on = True
            behind = first + 1 if is_heavy else first
            if behind <= last:
                yield partial(_lot, ours, theirs, behind, last, led=True, goes_on=goes_on)
                goes_on = True

    def _is_answer(self, probes: Runs[Probes], claims: Runs[Claims], at: int) -> bool:
        """Whether who spoke first in a flow was the other end, as in `flowtable.join`."""
        asked = self._asked
        if asked is None:
            return False
        ours = min((_first(part) for part in probes.parts(at)), default=_NEVER)
        opening = (part.where(openings(part, asked)) for part in claims.parts(at))
        theirs = min((_first(part) for part in opening if len(part)), default=_NEVER)
        return ours > theirs


def carried(lot: Lot, joined: Joined, most: int, *, talks: bool) -> Lot:
    """Of a lot that the next one goes on with, what must be known there: none of it counts once more.

    That are the last probe; those that mirrored ones may be copies of, `most` at most; and, if `talks`,
    whether the target ever spoke.
    """
    probes, claims = lot.probes, lot.claims
    if not len(probes):
        return Lot(probes, claims.take(slice(0, 0)))
    order = np.argsort(probes.times, kind="stable")
    last = probes.times[order[-1]]
    begin = int(np.searchsorted(probes.times[order], last - MIRRORED))
    kept = probes.take(np.sort(order[max(begin, len(order) - most) :]))
    spoken = joined.row[(claims.protocol[joined.row] == TCP) & talks]
    spoken = spoken[claims.responder[spoken] == claims.target[spoken]][:1]
    said = claims.take(spoken)
    return Lot(
        probes=replace(kept, count=np.zeros_like(kept.count)),
        claims=replace(
            said, rank=np.full_like(said.rank, Rank.UNANSWERED), times=np.full_like(said.times, last)
        ),
    )


def _lot(
    probes: Runs[Probes],
    claims: Runs[Claims],
    first: int,
    last: int,
    *,
    led: bool = False,
    goes_on: bool = False,
) -> Lot:
    return Lot(probes.between(first, last), claims.between(first, last), led, goes_on)


def _ends(packets: Probes | Claims) -> Keys:
    """Of the flows to one target."""
    ports = packets.prober_port.astype(np.uint64) << np.uint64(16) | packets.target_port
    ends: Keys = packets.prober.astype(np.uint64) << np.uint64(32) | ports
    return ends


def _tunnels(packets: Probes | Claims) -> Keys:
    """Of the flows between two ends."""
    tunnels: Keys = packets.tunnel.astype(np.uint64) << np.uint64(8) | packets.protocol
    return tunnels


def _times(packets: Probes | Claims) -> Keys:
    times: Keys = packets.times.view(np.uint64) ^ _SIGN
    return times


def _first(packets: Probes | Claims) -> tuple[int, int]:
    """Time and place of the first of some packets, at least one."""
    time = packets.times.min()
    return int(time), int(packets.frame[packets.times == time].min())
