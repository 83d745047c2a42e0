"""The labs that cases take place in, each built when a case first needs it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import ExitStack

from scanner.lab import Lab, Place
from scanner.lab.behaviours import SILENT
from scanner.lab.lan import LAN
from scanner.lab.profiles import FULL

SILENT_NET = "10.51.0.0/16"
WIDE_NET = "10.64.0.0/12"
LINK_NET = LAN.network

_WIDE_SILENCE = Place("10.72.0.0/18", SILENT)

PROFILES = {
    "full": FULL,
    "silent": FULL.with_network(
        prefix=SILENT_NET, places=(Place(SILENT_NET, SILENT),), open_tcp=0, open_udp=0
    ),
    "wide": FULL.with_network(prefix=WIDE_NET, places=(_WIDE_SILENCE,), open_tcp=1000, open_udp=0),
    "link": LAN,
}


class Labs:
    """Labs by name; closing removes those that were built."""

    def __init__(self, prefix: str) -> None:
        """`prefix`: of the names that they have on this machine."""
        self._prefix = prefix
        self._built: dict[str, Lab] = {}
        self._closing = ExitStack()

    def get(self, name: str, tell: Callable[[str], None]) -> Lab:
        """One of them."""
        if name not in self._built:
            profile = dataclasses.replace(PROFILES[name], name=name)
            self._built[name] = self._closing.enter_context(Lab(profile, f"{self._prefix}-{name}"))
            tell(f"lab {self._prefix}-{name} is up: {profile.network}")
        return self._built[name]

    def close(self) -> None:
        """Take them down."""
        self._closing.close()
