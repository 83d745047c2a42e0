"""Recognition: which service a recorded conversation was with, by what was said first. Nothing is sent.

The built-in identifiers are asked, in the order in which they would ask a service themselves.
"""

from __future__ import annotations

from importlib import import_module

from scanner.contracts import Identifier
from scanner.identify import bounded
from scanner.model import Service
from scanner.plugins.builtin import IDENTIFIERS


class Recogniser:
    """Knows services by what they and their clients say."""

    def __init__(self) -> None:
        """Ask the built-in identifiers, those that know certain ports first."""
        declared: list[Identifier] = []
        for place in IDENTIFIERS.values():
            declared += import_module(place).ghostport_identifiers()
        self._identifiers = sorted(declared, key=lambda each: not each.ports)

    def service(self, port: int, asked: bytes, said: bytes) -> Service | None:
        """The service on a TCP port that said this to a client who said that; None where nobody knows it."""
        best: Service | None = None
        for each in self._identifiers:
            if each.recognise is None or (each.ports and port not in each.ports):
                continue
            found = each.recognise(asked, said)
            if found is not None and (best is None or found.confidence > best.confidence):
                best = found
        return best and bounded(best)
