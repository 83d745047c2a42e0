"""What is asked of captures: ports, probers, targets, and a time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from scanner.core.addresses import shown
from scanner.core.hosts import Hosts
from scanner.model import UsageError

_SECOND = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS = re.compile(r"([0-9]{1,10})(?:\.([0-9]{1,9}))?")
_MOMENT = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[T ](?P<time>[0-9]{2}:[0-9]{2}(?::[0-9]{2})?)(?:[.,](?P<fraction>[0-9]{1,9}))?"
    r"(?P<zone>Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What to speak of.

    ports: `(65536,)` bool; None: those of a sweep's plan, else 401. probers, targets: None for all.
    since, until: ns since the epoch, both included.
    """

    ports: NDArray[np.bool_] | None = None
    probers: Hosts | None = None
    targets: Hosts | None = None
    since: int | None = None
    until: int | None = None


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
