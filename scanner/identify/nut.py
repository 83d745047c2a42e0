"""Network UPS Tools: `upsd` says which version it is without a login (RFC 9271, 4.2.10 and 4.2.6).

It is asked VER and told LOGOUT, and nothing else ever: no other command that is open to all is without a
trace in its log, and some that are not switch the power off.
"""

from __future__ import annotations

import re

from msgspec import structs

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
    if _VERSION.fullmatch(answer) is None and _REFUSALS.fullmatch(answer) is None:
        return None
    talk.say(b"LOGOUT\n")
    return _service(answer, talk.line())


def _recognise(asked: bytes, said: bytes) -> Service | None:
    """What was answered to a recorded client that began as this one does; the answer may be cut off."""
    if not asked.startswith((b"VER\n", b"VER\r\n")):
        return None
    answer, end, farewell = said.partition(b"\n")
    found = _service(answer + b"\n", farewell)
    if found is not None and not end and b" - " not in answer:
        # Of the version there may be more.
        return structs.replace(found, version=None)
    return found


def _service(answer: bytes, farewell: bytes) -> Service | None:
    """What the answers to VER and LOGOUT tell."""
    version = _VERSION.fullmatch(answer)
    parted = farewell.rstrip() in _FAREWELLS
    if version is None and not (parted and _REFUSALS.fullmatch(answer)):
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
    recognise=_recognise,
)


def ghostport_identifiers() -> tuple[Identifier, ...]:
    """As `scanner.plugins.hooks` asks."""
    return (NUT,)
