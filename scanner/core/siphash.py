"""SipHash-2-4 over whole arrays: one keyed 64-bit hash a row, no Python per row.

Aumasson and Bernstein, "SipHash: a fast short-input PRF" (2012), section 2.
This file knows words, not what they mean.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

KEY_BYTES = 16
_INITIAL = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)
_COMPRESSION_ROUNDS = 2
_FINALISATION_ROUNDS = 4

Words = NDArray[np.uint64]


def siphash(key: bytes, words: Sequence[Words], tail: Words | int, length: int) -> Words:
    """Hash messages of one length, given as little-endian 64-bit words.

    Args:
        key: 16 bytes.
        words: the whole words of each message, one `(N,)` uint64 array for each word.
        tail: what is left of each message (under 8 bytes), as a number; scalar or `(N,)`.
        length: bytes in each message, the tail included.

    Returns:
        `(N,)` uint64.

    Raises:
        ValueError: the key is not 16 bytes long.
    """
    if len(key) != KEY_BYTES:
        msg = f"a SipHash key has {KEY_BYTES} bytes, not {len(key)}"
        raise ValueError(msg)
    last = np.uint64((length & 0xFF) << 56) | np.asarray(tail, dtype=np.uint64)
    count = len(words[0]) if words else np.size(last)
    halves = (int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little"))
    v0, v1, v2, v3 = (
        np.full(count, initial ^ halves[lane & 1], dtype=np.uint64) for lane, initial in enumerate(_INITIAL)
    )
    spare = np.empty(count, dtype=np.uint64)
    for block in (*words, last):
        v3 ^= block
        _rounds(v0, v1, v2, v3, spare, _COMPRESSION_ROUNDS)
        v0 ^= block
    v2 ^= np.uint64(0xFF)
    _rounds(v0, v1, v2, v3, spare, _FINALISATION_ROUNDS)
    v0 ^= v1
    v2 ^= v3
    v0 ^= v2
    return v0


def _rounds(v0: Words, v1: Words, v2: Words, v3: Words, spare: Words, count: int) -> None:
    for _ in range(count):
        v0 += v1
        _rotate(v1, 13, spare)
        v1 ^= v0
        _rotate(v0, 32, spare)
        v2 += v3
        _rotate(v3, 16, spare)
        v3 ^= v2
        v0 += v3
        _rotate(v3, 21, spare)
        v3 ^= v0
        v2 += v1
        _rotate(v1, 17, spare)
        v1 ^= v2
        _rotate(v2, 32, spare)


def _rotate(value: Words, bits: int, spare: Words) -> None:
    np.right_shift(value, np.uint64(64 - bits), out=spare)
    np.left_shift(value, np.uint64(bits), out=value)
    np.bitwise_or(value, spare, out=value)
