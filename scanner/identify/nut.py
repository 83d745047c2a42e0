"""Network UPS Tools: `upsd` says which version it is without a login (RFC 9271, 4.2.10 and 4.2.6).

It is asked VER and told LOGOUT, and nothing else ever: no other command that is open to all is without a
trace in its log, and some that are not switch the power off.
"""

from __future__ import annotations

import re

from scanner.contracts import Conversation, Identifier
from scanner.identify import text_of
from scanner.model import Service

_VERSION = re.compile(rb"Network UPS Tools upsd (\S{1,64})(?: - \S+)?\r?\n")
"""`Network UPS Tools upsd 2.8.0 - http://www.networkupstools.org/`; a Synology's is like `DSM6-2-1`."""

_REFUSALS = re.compile(
    rb"ERR (ACCESS-DENIED|UNKNOWN-COMMAND|INVALID-ARGUMENT|FEATURE-NOT-SUPPORTED)\b[^\n]*\n"
)
_FAREWELLS = (b"OK Goodbye", b"Goodbye...")


def _identify(talk: Conversation) -> Service | None:
    talk.say(b"VER\n")
    answer = talk.line()
    version = _VERSION.fullmatch(answer)
    if version is None and _REFUSALS.fullmatch(answer) is None:
        return None
    talk.say(b"LOGOUT\n")
    farewell = talk.line()
    parted = farewell.rstrip() in _FAREWELLS
    if version is None and not parted:
        return None
    return Service(
        name="nut",
        product="Network UPS Tools upsd",
        version=None if version is None else text_of(version[1]),
        confidence=0.6 if version is None else 1.0 if parted else 0.9,
        evidence=text_of(answer + farewell),
    )


NUT = Identifier(
    name="nut",
    summary="Network UPS Tools' upsd, by VER",
    identify=_identify,
    ports=(401, 3493),
)


def ghostport_identifiers() -> tuple[Identifier, ...]:
    """As `scanner.plugins.hooks` asks."""
    return (NUT,)
