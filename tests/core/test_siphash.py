"""SipHash-2-4 against the paper's vector, its authors' list, and a plain reading of section 2 in integers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from scanner.core.siphash import KEY_BYTES, siphash

KEY = bytes(range(16))
MASK = (1 << 64) - 1


def rotated(value: int, bits: int) -> int:
    return (value << bits | value >> (64 - bits)) & MASK


def reference(key: bytes, message: bytes) -> int:
    """Section 2 of the paper, one message at a time."""
    k0, k1 = (int.from_bytes(key[at : at + 8], "little") for at in (0, 8))
    v0, v1 = k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D
    v2, v3 = k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573

    def rounds(count: int) -> None:
        nonlocal v0, v1, v2, v3
        for _ in range(count):
            v0, v2 = (v0 + v1) & MASK, (v2 + v3) & MASK
            v1, v3 = rotated(v1, 13) ^ v0, rotated(v3, 16) ^ v2
            v0 = rotated(v0, 32)
            v2, v0 = (v2 + v1) & MASK, (v0 + v3) & MASK
            v1, v3 = rotated(v1, 17) ^ v2, rotated(v3, 21) ^ v0
            v2 = rotated(v2, 32)

    padded = message + bytes(7 - len(message) % 8) + bytes([len(message) & 0xFF])
    for at in range(0, len(padded), 8):
        block = int.from_bytes(padded[at : at + 8], "little")
        v3 ^= block
        rounds(2)
        v0 ^= block
    v2 ^= 0xFF
    rounds(4)
    return v0 ^ v1 ^ v2 ^ v3


def hashed(key: bytes, messages: list[bytes]) -> list[int]:
    """The module's hash of messages of one length."""
    length = len(messages[0])
    whole = length // 8 * 8

    def column(start: int, stop: int) -> NDArray[np.uint64]:
        return np.array([int.from_bytes(text[start:stop], "little") for text in messages], dtype=np.uint64)

    words = [column(at, at + 8) for at in range(0, whole, 8)]
    found: list[int] = siphash(key, words, column(whole, length), length).tolist()
    return found


# The paper, appendix A, and its authors' vectors.h: key 00..0f, message 00, 01, .. of so many bytes.
VECTORS = {
    0: 0x726FDB47DD0E0E31,
    1: 0x74F839C593DC67FD,
    8: 0x93F5F5799A932462,
    15: 0xA129CA6149BE45E5,
    63: 0x958A324CEB064572,
}


@pytest.mark.parametrize(("length", "expected"), VECTORS.items())
def test_published_vectors(length: int, expected: int) -> None:
    message = bytes(range(length))
    assert hashed(KEY, [message]) == [expected]
    assert reference(KEY, message) == expected


@pytest.mark.parametrize("length", range(64))
def test_every_length(length: int) -> None:
    message = bytes(range(length))
    assert hashed(KEY, [message]) == [reference(KEY, message)]


@given(
    st.binary(min_size=16, max_size=16),
    st.lists(st.binary(min_size=11, max_size=11), min_size=1, max_size=20),
)
def test_rows_do_not_mix(key: bytes, messages: list[bytes]) -> None:
    assert hashed(key, messages) == [reference(key, message) for message in messages]


def test_one_tail_for_all_rows() -> None:
    words = np.array([1, 2, 1 << 63], dtype=np.uint64)
    found = siphash(KEY, [words], 0x010203, 11)
    assert found.tolist() == [
        reference(KEY, word.to_bytes(8, "little") + b"\x03\x02\x01") for word in words.tolist()
    ]


@pytest.mark.parametrize("tail", [0, np.empty(0, dtype=np.uint64)])
def test_no_rows(tail: int | NDArray[np.uint64]) -> None:
    found = siphash(KEY, [np.empty(0, dtype=np.uint64)], tail, 11)
    assert found.shape == (0,)
    assert found.dtype == np.uint64


def test_arguments_are_left_alone() -> None:
    words, tail = np.arange(5, dtype=np.uint64), np.arange(5, dtype=np.uint64)
    siphash(KEY, [words], tail, 11)
    assert words.tolist() == tail.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("length", [0, 15, 17])
def test_key_of_a_wrong_length(length: int) -> None:
    with pytest.raises(ValueError, match=f"a SipHash key has {KEY_BYTES} bytes, not {length}"):
        siphash(bytes(length), [], 0, 0)
