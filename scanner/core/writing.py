"""Numbers, addresses and times as columns of texts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scanner.core.texts import Few, Piece, Texts

_THOUSAND = 1000
_DECIMALS = 10_000
_SHORTEST = 10**15
"""Below it a number of thousandths has 15 digits at most, and a double's shortest text is just those
(IEEE 754: 15 digits survive)."""
_SECOND = 1_000_000_000
_MICROSECOND = 1000

_ALIKE = 16
"""Rows to one text, on average, from which on their column is one of few."""


class Writing:
    """What is looked up for them, made once."""

    def __init__(self) -> None:
        """Make the tables."""
        self._decimals = _table(np.arange(_DECIMALS).astype("S4"))
        self._octets = Texts.of([b"%d." % octet for octet in range(256)])
        self._last_octet = Texts.of([b"%d" % octet for octet in range(256)])
        self._padded = Texts.of([b"%03d" % number for number in range(_THOUSAND)])
        self._fractions = Texts.of(
            [b"." + (b"%03d" % number).rstrip(b"0") if number else b".0" for number in range(_THOUSAND)]
        )

    def quads(self, addresses: NDArray[np.uint32]) -> list[Piece]:
        """IPv4 addresses `(N,)`, dotted."""
        network = addresses >> 8
        begins = np.ones(len(network), dtype=np.bool_)
        begins[1:] = network[1:] != network[:-1]
        last = self._last_octet.at(addresses & 0xFF)
        runs = network[begins].tolist()
        if len(runs) * _ALIKE > len(network):
            return [*(self._octets.at(addresses >> shift & 0xFF) for shift in (24, 16, 8)), last]
        texts = tuple(b"%d.%d.%d." % (run >> 16, run >> 8 & 0xFF, run & 0xFF) for run in runs)
        return [Few(texts, np.cumsum(begins) - 1), last]

    def decimals(self, numbers: NDArray[np.integer]) -> Texts:
        """Integers `(N,)`."""
        if not len(numbers) or (int(numbers.max()) < _DECIMALS and int(numbers.min()) >= 0):
            return self._decimals.at(numbers)
        return _table(numbers.astype("S20"))

    def thousandths(self, numbers: NDArray[np.int64]) -> list[Piece]:
        """Numbers `(N,)` of thousandths, none below zero, as JSON and Python write the float of one."""
        if int(numbers.max(initial=0)) >= _SHORTEST:
            return [Texts.of([repr(number / _THOUSAND).encode() for number in numbers.tolist()])]
        whole, rest = _divided(numbers, _THOUSAND)
        return [self.decimals(whole), self._fractions.at(rest)]

    def moments(self, times: NDArray[np.int64]) -> list[Piece]:
        """Times `(N,)`, ns since the epoch, as `2024-01-01T00:00:00.000001Z`; what is finer is cut off."""
        seconds, rest = _divided(times, _SECOND)
        distinct, which = _distinct(seconds)
        texts = np.datetime_as_string(distinct.view("M8[s]")).astype("S")
        few = len(texts) * _ALIKE <= len(times)
        parts = _divided(rest // _MICROSECOND, _THOUSAND)
        return [
            Few(tuple(texts.tolist()), which) if few else _table(texts).at(which),
            b".",
            *map(self._padded.at, parts),
            b"Z",
        ]


def _divided(numbers: NDArray[np.int64], by: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """As `np.divmod`, in a third of the time."""
    whole = numbers // by
    return whole, numbers - whole * by


def _table(texts: NDArray[np.bytes_]) -> Texts:
    return Texts(texts.view(f"V{texts.itemsize}"), np.char.str_len(texts).astype(np.int64))


def _distinct(values: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Values `(N,)`, each once and ascending, and where among them each is."""
    least, most = (int(values.min()), int(values.max())) if len(values) else (0, 0)
    span = most - least + 1
    if span > len(values):
        distinct, which = np.unique(values, return_inverse=True)
        return distinct, which
    there = np.bincount(values - least, minlength=span) > 0
    return np.flatnonzero(there) + least, (np.cumsum(there) - 1)[values - least]
