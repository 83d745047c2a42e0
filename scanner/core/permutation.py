"""A keyed order in which to visit 0 .. n-1, computed and never stored.

The law: for a given n and seed the order is a bijection, the same on every machine and in
every release, for a saved sweep goes on by it. It spreads probes over the networks and
hides where a sweep stands; it is not a cipher.

The order is a generalised Feistel network (Black and Rogaway, "Ciphers with Arbitrary
Finite Domains", 2002, section 5): a position is written as (left, right) in Z_a x Z_b with
a = ceil(sqrt(n)) and b = ceil(n / a), and rounds add a keyed function of one half to the
other. a * b exceeds n by less than a, so at most one position in about sqrt(n) lands beyond
n and is sent through again until it does not (cycle walking, ibid. section 4).
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from scanner.model import UsageError

MAX_SIZE = 1 << 48

# With pseudo-random round functions, four rounds make a pseudo-random permutation (Luby and Rackoff, 1988)
# and six withstand whoever has seen far more than sqrt(n) of it (Patarin, 2004). Ours are quick mixes, so
# eight: each half is changed four times, and the eight keys are just what one BLAKE2b digest holds.
_ROUNDS = 8
# The multipliers of David Stafford's "Mix13" variant of the MurmurHash3 finaliser, as in SplitMix64.
_MULTIPLIER_1 = np.uint64(0xBF58476D1CE4E5B9)
_MULTIPLIER_2 = np.uint64(0x94D049BB133111EB)
_HALF_WORD = np.uint64(32)
# Positions worked on at a time: five arrays of this many words stay in a core's second-level cache.
_BLOCK = 16384


@dataclass(frozen=True, slots=True)
class Permutation:
    """A bijection of 0 .. n-1 onto itself.

    n: how many, 0 .. MAX_SIZE.
    seed: bytes or an integer, of any size; the integer 0 and one zero byte are different seeds.

    Raises UsageError for an n out of bounds.
    """

    n: int
    seed: bytes | int = field(repr=False)
    _moduli: tuple[np.uint64, np.uint64] = field(init=False, repr=False, compare=False)
    """a and b."""
    _keys: tuple[np.uint64, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Derive the moduli and the round keys."""
        if not 0 <= self.n <= MAX_SIZE:
            raise UsageError(f"cannot order {self.n} probes: the most is 2**48; split the sweep")
        a = math.isqrt(self.n - 1) + 1 if self.n else 1
        b = -(-self.n // a) if self.n else 1
        object.__setattr__(self, "_moduli", (np.uint64(a), np.uint64(b)))
        object.__setattr__(self, "_keys", _round_keys(self.seed))

    def forward(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The indexes visited at these positions of the order.

        Args:
            positions: `(N,)` int64, each in 0 .. n-1.

        Returns:
            `(N,)` int64, each in 0 .. n-1.

        Raises:
            IndexError: a position is outside.
        """
        return self._map(positions, inverse=False)

    def inverse(self, indexes: NDArray[np.int64]) -> NDArray[np.int64]:
        """The positions at which these indexes are visited; as `forward`, the other way round."""
        return self._map(indexes, inverse=True)

    def _map(self, values: NDArray[np.int64], *, inverse: bool) -> NDArray[np.int64]:
        # Seen as unsigned, a negative value is a huge one: one comparison finds both kinds of stray.
        given = np.ascontiguousarray(values, dtype=np.int64).view(np.uint64)
        if given.size and int(given.max()) >= self.n:
            raise IndexError(f"a position outside 0 .. {self.n - 1}")
        result = np.empty_like(given)
        self._network(given, result, inverse=inverse)
        beyond = np.flatnonzero(result >= self.n)
        while beyond.size:
            walked = result[beyond]
            self._network(walked, walked, inverse=inverse)
            result[beyond] = walked
            beyond = beyond[walked >= self.n]
        return result.view(np.int64)

    def _network(self, given: NDArray[np.uint64], result: NDArray[np.uint64], *, inverse: bool) -> None:
        """Send `(N,)` values below a * b through all rounds into `result`, which may be `given` itself."""
        run = _unwind if inverse else _wind
        scratch = np.empty((4, min(_BLOCK, len(given))), dtype=np.uint64)
        b = self._moduli[1]
        for start in range(0, len(given), _BLOCK):
            block, into = given[start : start + _BLOCK], result[start : start + _BLOCK]
            lanes = scratch[:, : len(block)]
            left, right = lanes[0], lanes[1]
            np.floor_divide(block, b, out=left)
            np.multiply(left, b, out=right)
            np.subtract(block, right, out=right)
            run(lanes, self._keys, self._moduli)
            np.multiply(left, b, out=into)
            np.add(into, right, out=into)


def shard_size(n: int, shard: int, shards: int) -> int:
    """How many of the positions 0 .. n-1 shard `shard` (counted from 0) of `shards` has.

    Raises UsageError where there is no such shard.
    """
    _check_shard(shard, shards)
    return len(range(shard, n, shards))


def shard_positions(first: int, count: int, shard: int, shards: int) -> NDArray[np.int64]:
    """Positions number `first` .. `first + count - 1` of a shard, as `(count,)` int64.

    Shard i of m has the positions i, i + m, i + 2m, …; keep below `shard_size` to stay below n.
    Raises UsageError where there is no such shard.
    """
    _check_shard(shard, shards)
    return np.arange(shard + first * shards, shard + (first + count) * shards, shards, dtype=np.int64)


def _check_shard(shard: int, shards: int) -> None:
    if not 0 <= shard < shards:
        raise UsageError(f"there is no shard {shard} of {shards}; shards are counted from 0")


def _round_keys(seed: bytes | int) -> tuple[np.uint64, ...]:
    if isinstance(seed, int):
        kind, material = b"int", seed.to_bytes(seed.bit_length() // 8 + 1, "little", signed=True)
    else:
        kind, material = b"bytes", bytes(seed)
    digest = hashlib.blake2b(material, digest_size=8 * _ROUNDS, person=b"ghostport " + kind).digest()
    return tuple(np.frombuffer(digest, dtype="<u8").astype(np.uint64))


def _wind(
    lanes: NDArray[np.uint64], keys: tuple[np.uint64, ...], moduli: tuple[np.uint64, np.uint64]
) -> None:
    """All rounds, in place: left += F(right) mod a, then right += F(left) mod b, and again.

    lanes: `(4, N)`, the left halves, the right halves, and two rows to work in.
    """
    changed, other, mixed, spare = lanes
    for number, key in enumerate(keys):
        modulus = moduli[number % 2]
        _round_function(other, key, modulus, mixed, spare)
        np.add(changed, mixed, out=changed)
        # Subtracting too much wraps round to a huge number, so the lesser one is the residue.
        np.subtract(changed, modulus, out=spare)
        np.minimum(changed, spare, out=changed)
        changed, other = other, changed


def _unwind(
    lanes: NDArray[np.uint64], keys: tuple[np.uint64, ...], moduli: tuple[np.uint64, np.uint64]
) -> None:
    """All rounds of `_wind` backwards, in place."""
    other, changed, mixed, spare = lanes
    for number in reversed(range(len(keys))):
        modulus = moduli[number % 2]
        _round_function(other, keys[number], modulus, mixed, spare)
        np.subtract(changed, mixed, out=changed)
        # Below zero wraps round to a huge number, and adding the modulus brings it back.
        np.add(changed, modulus, out=spare)
        np.minimum(changed, spare, out=changed)
        changed, other = other, changed


def _round_function(
    half: NDArray[np.uint64],
    key: np.uint64,
    modulus: np.uint64,
    mixed: NDArray[np.uint64],
    spare: NDArray[np.uint64],
) -> None:
    """A keyed mix of `half`, uniform on 0 .. modulus-1, into `mixed`.

    Multiply, xor-shift, multiply; the upper 32 bits h then give `h * modulus >> 32` (Lemire,
    "Fast Random Integer Generation in an Interval", 2019) without a division. The modulus is
    at most 2**24, so the product fits.
    """
    np.add(half, key, out=mixed)
    np.multiply(mixed, _MULTIPLIER_1, out=mixed)
    np.right_shift(mixed, _HALF_WORD, out=spare)
    np.bitwise_xor(mixed, spare, out=mixed)
    np.multiply(mixed, _MULTIPLIER_2, out=mixed)
    np.right_shift(mixed, _HALF_WORD, out=mixed)
    np.multiply(mixed, modulus, out=mixed)
    np.right_shift(mixed, _HALF_WORD, out=mixed)
