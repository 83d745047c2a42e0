"""ghostport: sweep a network for a port that nobody uses; say of every address what it is, and why.

    from scanner import sweep

    for verdict in sweep("10.50.0.0/16"):
        print(verdict.ip, verdict.proto, verdict.state, verdict.reason)

Names are loaded when they are first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scanner.model import (
        CaptureError,
        GhostportError,
        Protocol,
        Reason,
        ScopeRefused,
        State,
        UsageError,
        Verdict,
        WireError,
    )
    from scanner.reading import read_capture
    from scanner.result import Result
    from scanner.sweeping import Progress, Sweep, sweep

__all__ = [
    "CaptureError",
    "GhostportError",
    "Progress",
    "Protocol",
    "Reason",
    "Result",
    "ScopeRefused",
    "State",
    "Sweep",
    "UsageError",
    "Verdict",
    "WireError",
    "read_capture",
    "sweep",
]

_HOMES = {
    "Progress": "sweeping",
    "Result": "result",
    "Sweep": "sweeping",
    "read_capture": "reading",
    "scapy_ext": "scapy_extension",
    "sweep": "sweeping",
}
"""Where names live that are not in `model`; `scapy_ext` is for Scapy's loader alone."""


def __getattr__(name: str) -> object:
    if name not in __all__ and name not in _HOMES:
        msg = f"module 'scanner' has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"scanner.{_HOMES.get(name, 'model')}"), name)
