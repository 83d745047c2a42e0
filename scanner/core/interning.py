"""Numbers for keys of any kind, given in the order in which the keys are met.

Keys lie in sorted runs, each more than twice as long as the next: a lookup goes through few of them, and
a key is moved few times, however many calls brought them in.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from scanner.model import RoomError

Key = TypeVar("Key", bound=np.generic)
Run = tuple[NDArray[Key], NDArray[np.uint32]]


class Interning(Generic[Key]):
    """Numbers from 0 on.

    Whatever gives numbers raises RoomError where there are too many.
    """

    def __init__(self, dtype: DTypeLike, most: int, refusal: str) -> None:
        """At most `most` keys, fewer than 2^32, of a type that sorts; `refusal` is what the error says."""
        self._most = most
        self._refusal = refusal
        self._keys: NDArray[Key] = np.empty(0, dtype=dtype)
        self._count = 0
        self._runs: list[Run[Key]] = []

    def __len__(self) -> int:
        return self._count

    def numbers(self, keys: NDArray[Key]) -> NDArray[np.int64]:
        """The numbers of keys `(N,)`; new ones get theirs."""
        distinct, first, which = np.unique(keys, return_index=True, return_inverse=True)
        number = self.find(distinct)
        fresh = np.flatnonzero(number < 0)
        if len(fresh):
            # Numbered as they are met, so that what is read in other pieces is numbered alike.
            number[fresh[np.argsort(first[fresh])]] = self._count + np.arange(len(fresh))
            self._remember(distinct[fresh], number[fresh].astype(np.uint32))
        return number[which]

    def find(self, keys: NDArray[Key]) -> NDArray[np.int64]:
        """The numbers of keys `(N,)` that have one; -1 for the others."""
        number = np.full(len(keys), -1, dtype=np.int64)
        for run, of_run in self._runs:
            place = np.minimum(np.searchsorted(run, keys), len(run) - 1)
            number = np.where(run[place] == keys, of_run[place], number)
        return number

    def keys(self, numbers: NDArray[np.int64]) -> NDArray[Key]:
        """The keys that have these numbers."""
        return self._keys[numbers]

    def in_order(self) -> NDArray[np.int64]:
        """All numbers, by key."""
        order: NDArray[np.int64] = np.argsort(self._keys[: self._count])
        return order

    def _remember(self, keys: NDArray[Key], numbers: NDArray[np.uint32]) -> None:
        count = self._count + len(keys)
        if count > self._most:
            raise RoomError(self._refusal)
        if count > len(self._keys):
            room = np.empty(max(count, len(self._keys) * 3 // 2), dtype=self._keys.dtype)
            room[: self._count] = self._keys[: self._count]
            self._keys = room
        self._keys[numbers] = keys
        self._count = count
        while self._runs and len(self._runs[-1][0]) <= 2 * len(keys):
            others, of_others = self._runs.pop()
            place = np.searchsorted(others, keys)
            keys, numbers = np.insert(others, place, keys), np.insert(of_others, place, numbers)
        self._runs.append((keys, numbers))
