"""What a target may be written as: an address, a CIDR, a range, or nmap's octet ranges; IPv4 or IPv6.

The law: a text is read in one way only, or refused. What two tools would read differently
(leading zeros, short forms, host names) is refused, and the error shows an accepted form.
Texts may come from a file that nobody has looked at: the length of a line, the length of a
target and what a target expands to are bounded.

Octet ranges, and a CIDR with host bits meaning its whole network, are nmap's
(nmap(1), "Target specification").
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from scanner.core.addresses import (
    AddressSet,
    address_fault,
    match_address,
    parse_cidr,
    shown,
)
from scanner.core.hosts import Hosts
from scanner.core.ipv6 import Ipv6Set, ZoneOf, looks_like_ipv6, parse_ipv6_range
from scanner.model import UsageError

MAX_RANGES_PER_TARGET = 1 << 20
"""Ranges that one target may expand to; 10.*.*.1 is 65 536 of them."""
MAX_RANGES = 1 << 23
"""Ranges that all targets together may expand to, before they are merged."""
MAX_TARGET_LENGTH = 4096
"""Characters of one target; every value of an octet, listed, takes 913."""
MAX_LINE_LENGTH = 1 << 16
"""Characters of one line of a targets file."""

_FORMS = "write 10.0.0.1, 10.0.0.0/24, 10.0.0.1-10.0.0.20 or 10.0.0-3.1-254, or IPv6 likewise"
_OCTET_SPAN = re.compile(r"(0|[1-9][0-9]*)?(?:(-)(0|[1-9][0-9]*)?)?")
_OCTETS = 4


def parse_targets(texts: Iterable[str], zone_of: ZoneOf | None = None) -> Hosts:
    """The union of what the texts name; without texts the empty set.

    Args:
        texts: they.
        zone_of: numbers the interfaces that link-local addresses name; None: there are none to name.

    Raises:
        UsageError: one line that names the first text which is not a target.
    """
    gathered = _Gathered(zone_of)
    for text in texts:
        gathered.add(text)
    return gathered.union()


def parse_target_lines(lines: Iterable[str], name: str, zone_of: ZoneOf | None = None) -> Hosts:
    """The union of the targets in a file, as `nmap -iL` reads one.

    Targets stand apart by white space, on one line or many; `#` starts a comment that ends
    with its line.

    Args:
        lines: the lines of the file, with or without line ends.
        name: what to call the file in an error.
        zone_of: as for `parse_targets`.

    Raises:
        UsageError: one line that starts with the file's name and the line's number.
    """
    gathered = _Gathered(zone_of)
    for number, line in enumerate(lines, start=1):
        if len(line) > MAX_LINE_LENGTH:
            raise UsageError(
                f"{name}:{number}: the line is longer than {MAX_LINE_LENGTH} characters; break it up"
            )
        for text in line.partition("#")[0].split():
            try:
                gathered.add(text)
            except UsageError as error:
                raise UsageError(f"{name}:{number}: {error}") from None
    return gathered.union()


class _Gathered:
    """Ranges of the targets read so far, eight bytes a bound, not yet merged."""

    __slots__ = ("_ends", "_ipv6", "_starts", "_zone_of")

    def __init__(self, zone_of: ZoneOf | None) -> None:
        self._starts = array("q")
        self._ends = array("q")
        self._ipv6: list[tuple[int, int]] = []
        self._zone_of = zone_of

    def add(self, text: str) -> None:
        if len(text) <= MAX_TARGET_LENGTH and looks_like_ipv6(text):
            self._ipv6.append(parse_ipv6_range(text, self._zone_of))
            return
        span = _single_range(text)
        if span is not None:
            self._starts.append(span[0])
            self._ends.append(span[1])
        else:
            starts, ends = _octet_ranges(text)
            self._starts.frombytes(starts.tobytes())
            self._ends.frombytes(ends.tobytes())
        if len(self._starts) + len(self._ipv6) > MAX_RANGES:
            raise UsageError(
                f"{shown(text)} takes the targets beyond {MAX_RANGES} ranges; write them as CIDRs"
            )

    def union(self) -> Hosts:
        starts, ends = (np.frombuffer(bounds, dtype=np.int64) for bounds in (self._starts, self._ends))
        return Hosts(AddressSet.from_ranges(starts, ends), Ipv6Set.of(self._ipv6))


def _single_range(text: str) -> tuple[int, int] | None:
    """First and last address of an address, a CIDR or a range; None where it can only be octet ranges."""
    address = match_address(text)
    if address is not None:
        return address, address
    if len(text) > MAX_TARGET_LENGTH:
        raise _refused(text, f"it is longer than {MAX_TARGET_LENGTH} characters")
    if "/" in text:
        return parse_cidr(text, host_bits=True)
    lower, _, upper = text.partition("-")
    if lower.count(".") < _OCTETS - 1 or upper.count(".") < _OCTETS - 1:
        return None
    first, last = match_address(lower), match_address(upper)
    if first is None or last is None:
        raise _refused(text, address_fault(lower if first is None else upper))
    if first > last:
        raise _refused(text, "the range ends before it starts")
    return first, last


def _octet_ranges(text: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The ranges, starts and ends as `(N,)` int64, that four octets with lists and ranges multiply to."""
    parts = text.split(".")
    if len(parts) != _OCTETS:
        raise _refused(text, _not_octets_fault(text))
    octets = [_octet_values(part, text) for part in parts]
    # Octets at the end that take every value only widen a range; what stands before them multiplies.
    split = _OCTETS - 1
    while split > 0 and len(octets[split]) == 256:
        split -= 1
    width = 8 * (_OCTETS - 1 - split)
    firsts, lasts = _runs(octets[split])
    count = math.prod(len(values) for values in octets[:split]) * len(firsts)
    if count > MAX_RANGES_PER_TARGET:
        raise UsageError(
            f"{shown(text)} expands to {count} ranges, more than {MAX_RANGES_PER_TARGET}; "
            "use a CIDR such as 10.0.0.0/8, or several targets"
        )
    prefixes = np.zeros(1, dtype=np.int64)
    for values in octets[:split]:
        prefixes = (prefixes[:, None] << 8 | values).ravel()
    starts = (prefixes[:, None] << 8 | firsts).ravel() << width
    ends = ((prefixes[:, None] << 8 | lasts).ravel() + 1 << width) - 1
    return starts, ends


def _octet_values(part: str, text: str) -> NDArray[np.int64]:
    """The values, ascending, of one octet of `text`: `7`, `1-5`, `-5`, `5-`, `-`, `*` or a list of them."""
    chosen = np.zeros(256, dtype=np.bool_)
    for item in part.split(","):
        match = _OCTET_SPAN.fullmatch("-" if item == "*" else item)
        if match is None or not item:
            raise _refused(text, _not_octets_fault(text))
        lower, dash, upper = match.groups()
        first = _octet_bound(lower or "0", text)
        last = _octet_bound(upper or ("255" if dash else lower), text)
        if first > last:
            raise _refused(text, f"the octet range {item} ends before it starts")
        chosen[first : last + 1] = True
    return np.flatnonzero(chosen)


def _octet_bound(digits: str, text: str) -> int:
    # The length first: int() is slow, and at last refuses, on digits without end.
    if len(digits) > 3 or int(digits) > 255:
        raise _refused(text, "octets go up to 255")
    return int(digits)


def _runs(values: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last value of each run of consecutive values."""
    breaks = np.flatnonzero(np.diff(values) > 1)
    firsts = values[np.concatenate(([0], breaks + 1))]
    lasts = values[np.concatenate((breaks, [len(values) - 1]))]
    return firsts, lasts


def _not_octets_fault(text: str) -> str:
    if not text:
        return "it is empty"
    if any(character.isalpha() for character in text):
        return "host names are not looked up"
    if re.search(r"(?<![0-9])0[0-9]", text):
        return "octets must not have leading zeros"
    if ":" in text:
        return "a target has no port"
    if text.count(".") == _OCTETS - 1:
        return "an octet must be a number, a range or a list of them, such as 7, 1-9 or 1,3,5-9"
    return "it must be four octets"


def _refused(text: str, fault: str) -> UsageError:
    return UsageError(f"{shown(text)} is not a target: {fault}; {_FORMS}")
