"""Which ports to probe, as text: numbers, ranges and lists of them, as in `nmap -p`.

The law: ports are the numbers 1 to 65535. Port 0 is reserved (RFC 6335 section 6) and
refused by name; no service names are looked up here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from scanner.model import UsageError

MAX_PORT = 65535

_SPAN = re.compile(r"([0-9]+)?(?:(-)([0-9]+)?)?")
_FORMS = "write 401, 1-1024, 60000- or - for all, with commas between"
_MOST_SHOWN = 60


def parse_ports(text: str) -> tuple[int, ...]:
    """The ports a text names, ascending, each once.

    An open range runs to the first or last port: `-100`, `60000-`, and `-` for all.
    Raises UsageError, one line that names the port or the part of the text that is wrong.
    """
    chosen = bytearray(MAX_PORT + 1)
    for item in text.split(","):
        match = _SPAN.fullmatch(item)
        if match is None or not item:
            raise UsageError(f"{_shown(item or text)} is not a port or a range of ports; {_FORMS}")
        lower, dash, upper = match.groups()
        first = _port(lower or "1")
        last = _port(upper or (str(MAX_PORT) if dash else lower))
        if first > last:
            raise UsageError(f"the port range {first}-{last} ends before it starts; write {last}-{first}")
        chosen[first : last + 1] = b"\x01" * (last + 1 - first)
    return tuple(port for port, named in enumerate(chosen) if named)


def ports_of(ports: str | Iterable[int]) -> tuple[int, ...]:
    """Ports as text or as numbers; as `parse_ports`."""
    return parse_ports(ports if isinstance(ports, str) else ",".join(map(str, ports)))


def format_ports(ports: tuple[int, ...]) -> str:
    """The shortest text that `parse_ports` reads as these ports, runs written as ranges; empty for none."""
    spans: list[list[int]] = []
    for port in sorted(set(ports)):
        if spans and port == spans[-1][1] + 1:
            spans[-1][1] = port
        else:
            spans.append([port, port])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)


def _port(digits: str) -> int:
    # The length first: int() is slow, and at last refuses, on digits without end.
    significant = digits.lstrip("0") or "0"
    if len(significant) > len(str(MAX_PORT)) or not 1 <= int(significant) <= MAX_PORT:
        raise UsageError(f"port {_shown(significant)[1:-1]} does not exist; ports are 1 to {MAX_PORT}")
    return int(significant)


def _shown(text: str) -> str:
    return repr(text if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + "…")
