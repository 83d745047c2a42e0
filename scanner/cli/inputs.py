"""From the words of the command line to values. Every fault is one line that names the word."""

from __future__ import annotations

import argparse
import itertools
import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scanner.core.hosts import Hosts
from scanner.core.ipv6 import ZoneOf
from scanner.core.ports import parse_ports
from scanner.core.selection import Selection, parse_time
from scanner.core.targets import MAX_LINE_LENGTH, parse_target_lines, parse_targets
from scanner.model import TRANSPORTS, Protocol, UsageError, WireKind

if TYPE_CHECKING:
    from scanner.contracts import Probe
    from scanner.planning import Request

_DOTS = {3, 6}
"""Of a whole target: of one address, or of a range of two."""


def request_of(
    arguments: argparse.Namespace, zone_of: ZoneOf, probes: Mapping[Protocol, Probe] | None = None
) -> Request:
    """The request that `ghostport sweep` was given, on a machine that numbers its interfaces so.

    `probes`: those that it names.

    Raises UsageError for what it cannot be.
    """
    from scanner.planning import Request  # noqa: PLC0415 - not for those who read captures
    from scanner.sweeping import sources_of  # noqa: PLC0415

    protocols = tuple(protocol for protocol in TRANSPORTS if getattr(arguments, protocol.value))
    twice = next((protocol for protocol in protocols if protocol in (probes or {})), None)
    if twice is not None:
        raise UsageError(
            f"--{twice} and --probe {(probes or {})[twice].name} ask for the same: leave one out"
        )
    return Request(
        targets=parse_targets(arguments.targets, zone_of) | _from_files(arguments.targets_file, zone_of),
        ports=parse_ports(arguments.ports),
        protocols=protocols or (() if probes else TRANSPORTS),
        probes=probes or {},
        excluded=_excluded(arguments, zone_of),
        rate=_rate(arguments.rate),
        max_rate=math.inf if arguments.max_rate is None else _number("--max-rate", arguments.max_rate),
        max_per_host=None
        if arguments.max_per_host is None
        else _number("--max-per-host", arguments.max_per_host),
        retries=whole_number("--retries", arguments.retries),
        wait=_number("--wait", arguments.wait),
        interface=arguments.interface,
        sources=sources_of(arguments.source_ip),
        wire=WireKind(arguments.wire),
        no_arp=arguments.no_arp,
        ping=arguments.ping,
    )


def selection_of(arguments: argparse.Namespace) -> Selection:
    """What `ghostport read` was asked about. Raises UsageError for what it cannot be."""
    since = None if arguments.since is None else parse_time(arguments.since)
    until = None if arguments.until is None else parse_time(arguments.until)
    if since is not None and until is not None and since > until:
        msg = f"--from {arguments.since} is later than --to {arguments.until}: no packet lies between"
        raise UsageError(msg)
    return Selection(
        ports=None if arguments.ports is None else _port_mask(arguments.ports),
        probers=_networks(arguments.prober),
        targets=_networks(arguments.target),
        since=since,
        until=until,
    )


def _port_mask(text: str) -> NDArray[np.bool_]:
    mask = np.zeros(1 << 16, dtype=np.bool_)
    if text == "all":
        mask[:] = True
    else:
        mask[list(parse_ports(text))] = True
    return mask


def _networks(texts: Iterable[str]) -> Hosts | None:
    words = [word for text in texts for word in _parted(text)]
    return parse_targets(words) if words else None


def whole_number(option: str, text: str) -> int:
    """A number of digits only."""
    if not (text.isascii() and text.isdigit()) or len(text) > 19:
        msg = f"{option} {text!r}: a whole number from 0 is wanted"
        raise UsageError(msg)
    return int(text)


def _rate(text: str) -> float | None:
    if text == "auto":
        return None
    return math.inf if text == "max" else _number("--rate", text)


def _number(option: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isnan(value):
        msg = f"{option} {text!r}: a number is wanted" + (", or auto or max" if option == "--rate" else "")
        raise UsageError(msg)
    return value


def _excluded(arguments: argparse.Namespace, zone_of: ZoneOf) -> Hosts:
    # nmap lets commas part targets here, where a comma inside an octet means something else.
    words = itertools.chain.from_iterable(_parted(text) for text in arguments.exclude)
    return parse_targets(words, zone_of) | _from_files(arguments.exclude_file, zone_of)


def _parted(text: str) -> list[str]:
    parts = text.split(",")
    return parts if all(part.count(".") in _DOTS or ":" in part for part in parts) else [text]


def _from_files(names: Iterable[str], zone_of: ZoneOf) -> Hosts:
    found = Hosts()
    for name in names:
        found |= _from_file(name, zone_of)
    return found


def _from_file(name: str, zone_of: ZoneOf) -> Hosts:
    called = "standard input" if name == "-" else name
    try:
        with _opened(name) as stream:
            return parse_target_lines(_lines(stream), called, zone_of)
    except OSError as error:
        msg = f"{called}: cannot be read: {error.strerror}"
        raise UsageError(msg) from None
    except ValueError:
        msg = f"{called}: is not a text file of targets"
        raise UsageError(msg) from None


def _opened(name: str) -> IO[str]:
    # A byte-order mark, as some editors leave, is not part of the first target.
    if name != "-":
        return Path(name).open(encoding="utf-8-sig")
    if getattr(sys, "stdin", None) is None:
        msg = "standard input: is closed"
        raise UsageError(msg)
    return open(sys.stdin.fileno(), encoding="utf-8-sig", closefd=False)


def _lines(stream: IO[str]) -> Iterator[str]:
    """Lines of bounded length: one more than is allowed tells the parser of an endless one."""
    while line := stream.readline(MAX_LINE_LENGTH + 1):
        yield line
