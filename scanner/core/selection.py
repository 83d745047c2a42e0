"""What is asked of captures: ports, probers, targets, and a time."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from scanner.core.addresses import AddressSet, looks_like_ipv6, shown
from scanner.core.targets import parse_targets
from scanner.model import UsageError

_SECOND = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS = re.compile(r"([0-9]{1,10})(?:\.([0-9]{1,9}))?")
_MOMENT = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[T ](?P<time>[0-9]{2}:[0-9]{2}(?::[0-9]{2})?)(?:[.,](?P<fraction>[0-9]{1,9}))?"
    r"(?P<zone>Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)


@dataclass(frozen=True, slots=True)
class Networks:
    """A set of IPv4 and IPv6 addresses.

    plain: those of IPv4. first, last: `(R, 2)` uint64, halves of the ends of IPv6 ranges.
    """

    plain: AddressSet
    first: NDArray[np.uint64]
    last: NDArray[np.uint64]

    def ipv4(self, addresses: NDArray[np.uint32]) -> NDArray[np.bool_]:
        """Which addresses `(N,)` are in it."""
        return self.plain.contains(addresses)

    def ipv6(self, high: NDArray[np.uint64], low: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which addresses are in it, given as their halves `(N,)`."""
        within = np.zeros(len(high), dtype=np.bool_)
        # As many as somebody wrote.
        for first, last in zip(self.first, self.last, strict=True):
            above = (high > first[0]) | ((high == first[0]) & (low >= first[1]))
            below = (high < last[0]) | ((high == last[0]) & (low <= last[1]))
            within |= above & below
        return within


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What to speak of.

    ports: `(65536,)` bool; None: those of a sweep's plan, else 401. probers, targets: None for all.
    since, until: ns since the epoch, both included.
    """

    ports: NDArray[np.bool_] | None = None
    probers: Networks | None = None
    targets: Networks | None = None
    since: int | None = None
    until: int | None = None


def parse_networks(texts: Iterable[str]) -> Networks:
    """Networks written as targets are, or as IPv6 addresses and prefixes.

    Raises UsageError that names the text.
    """
    plain: list[str] = []
    ranges: list[tuple[int, int]] = []
    for text in texts:
        if looks_like_ipv6(text):
            ranges.append(_ipv6_range(text))
        else:
            plain.append(text)
    ends = np.array([[_halves(first), _halves(last)] for first, last in ranges], dtype=np.uint64)
    ends = ends.reshape(-1, 2, 2)
    addresses = parse_targets(plain) if plain else AddressSet.empty()
    return Networks(addresses, ends[:, 0], ends[:, 1])


def parse_time(text: str) -> int:
    """A moment in ns since the epoch: ISO 8601, in UTC where no zone is given, or seconds since the epoch.

    Raises UsageError that names the text.
    """
    seconds = _SECONDS.fullmatch(text)
    if seconds is not None:
        return int(seconds[1]) * _SECOND + _nanoseconds(seconds[2])
    moment = _MOMENT.fullmatch(text)
    whole = None if moment is None else _whole_seconds(moment)
    if moment is None or whole is None:
        msg = f"{shown(text)} is not a time; write it like 2026-11-23T14:16:13Z, or as seconds since 1970"
        raise UsageError(msg)
    return whole * _SECOND + _nanoseconds(moment["fraction"])


def _whole_seconds(moment: re.Match[str]) -> int | None:
    """None for what no calendar or clock shows."""
    zone = (moment["zone"] or "Z").replace("Z", "+0000").replace(":", "")
    clock = moment["time"] or "00:00"
    clock = clock if clock.count(":") == 2 else f"{clock}:00"
    try:
        whole = datetime.strptime(f"{moment['day']} {clock} {zone}", "%Y-%m-%d %H:%M:%S %z")
    except ValueError:
        return None
    return (whole - _EPOCH) // timedelta(seconds=1)


def _nanoseconds(fraction: str | None) -> int:
    return int((fraction or "0").ljust(9, "0"))


def _halves(address: int) -> tuple[int, int]:
    return address >> 64, address & (1 << 64) - 1


def _ipv6_range(text: str) -> tuple[int, int]:
    import netaddr  # noqa: PLC0415 - a fiftieth of a second, for those who need it

    if "%" in text:
        msg = f"{shown(text)} has a zone; a capture does not tell of zones: leave out what is behind the %"
        raise UsageError(msg)
    try:
        network = netaddr.IPNetwork(text.strip("[]"), version=6)
    except (ValueError, netaddr.AddrFormatError):
        msg = f"{shown(text)} is not an IPv6 address or prefix; write it like 2001:db8::/32"
        raise UsageError(msg) from None
    if network.value != network.first:
        msg = f"{shown(text)} has host bits set; the network is {network.cidr}"
        raise UsageError(msg)
    return int(network.first), int(network.last)
