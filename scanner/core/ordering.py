"""Sorting numbers, each way where it is fast.

NumPy's stable sort of 64-bit keys merges runs that are in order already in no time, and takes four times as
long as its vectorised one for the rest.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Number = TypeVar("Number", bound=np.generic)

_FEW = 8
"""One in so many keys may have an equal for it to be worth while to put those in order afterwards."""


def stable_order(keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Rows by key, those of one key in their order; for keys that come in no order."""
    order = np.argsort(keys)
    ordered = keys[order]
    equal = ordered[1:] == ordered[:-1]
    if not equal.any():
        return order
    tied = np.zeros(len(order), dtype=np.bool_)
    tied[1:] |= equal
    tied[:-1] |= equal
    rows = np.flatnonzero(tied)
    if len(rows) * _FEW > len(order):
        return np.argsort(keys, kind="stable")
    order[rows] = order[rows][np.lexsort((order[rows], ordered[rows]))]
    return order


def merged_order(keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Rows by key, those of one key in their order; for keys that are a few ordered runs."""
    return np.argsort(keys, kind="stable")


def consecutive(numbers: NDArray[np.int64]) -> bool:
    """Whether strictly growing numbers, at least one, follow each other without a gap."""
    return int(numbers[-1]) - int(numbers[0]) == len(numbers) - 1


def places(numbers: NDArray[np.int64], among: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where numbers stand among strictly growing ones that hold them all; without a search if it can be."""
    if not len(numbers):
        return numbers
    return numbers - among[0] if consecutive(among) else np.searchsorted(among, numbers)


def distinct(numbers: NDArray[Number]) -> NDArray[Number]:
    """All different numbers, ascending: what `np.unique` does when it has imported `numpy.ma`."""
    return counted(numbers)[0]


def counted(numbers: NDArray[Number]) -> tuple[NDArray[Number], NDArray[np.int64]]:
    """All different numbers, ascending, and how often each is there."""
    ordered = np.sort(numbers)
    begins = np.ones(len(ordered), dtype=np.bool_)
    begins[1:] = ordered[1:] != ordered[:-1]
    first = np.flatnonzero(begins)
    return ordered[first], np.diff(first, append=len(ordered))
