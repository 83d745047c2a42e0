"""What the plugin brings: functions named after hooks, and nothing else that ghostport looks at."""

from __future__ import annotations

from scanner.contracts import Format, Identifier, Probe

from .echo import ECHO
from .tally import TALLY
from .wide_syn import WIDE_SYN


def ghostport_probes() -> list[Probe]:
    """One with more options than the built-in SYN."""
    return [WIDE_SYN]


def ghostport_identifiers() -> list[Identifier]:
    """One for a protocol of our own."""
    return [ECHO]


def ghostport_reporters() -> list[Format]:
    """One that counts."""
    return [TALLY]
