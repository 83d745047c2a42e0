"""The banner: what a service says unasked. Nothing is sent."""

from __future__ import annotations

import re

from scanner.contracts import Conversation, Identifier
from scanner.identify import text_of
from scanner.model import Service

MOST_BYTES = 4096
"""Of what is said, at most so many are taken; whoever says more is cut off."""

_GREETINGS: tuple[tuple[str, float, re.Pattern[bytes]], ...] = (
    # RFC 4253, 4.2
    ("ssh", 1.0, re.compile(rb"SSH-[\d.]+-(?P<product>[^\s_]+)(?:_(?P<version>\S+))?")),
    # RFC 6143, 7.1.1
    ("vnc", 1.0, re.compile(rb"RFB (?P<version>\d{3}\.\d{3})\n")),
    # RFC 3501, 7.1.1; RFC 1939, 4
    ("imap", 0.9, re.compile(rb"\* (?:OK|PREAUTH)\b[^\n]*IMAP", re.IGNORECASE)),
    ("pop3", 0.8, re.compile(rb"\+OK\b")),
    # RFC 5321, 4.2; RFC 959, 4.2. Both say 220: only their words tell them apart.
    ("smtp", 0.9, re.compile(rb"220[ -][^\n]*\bE?SMTP\b", re.IGNORECASE)),
    ("ftp", 0.9, re.compile(rb"220[ -][^\n]*FTP", re.IGNORECASE)),
)
"""What greetings of well-known protocols look like, and how sure that makes."""


def _identify(talk: Conversation) -> Service | None:
    said = talk.hear(MOST_BYTES)
    if not said:
        return None
    return _recognise(b"", said) or Service(name="unknown", confidence=0.1, evidence=text_of(said))


def _recognise(_asked: bytes, said: bytes) -> Service | None:
    """Whose greeting it is."""
    for name, confidence, greeting in _GREETINGS:
        if found := greeting.match(said):
            known = {key: text_of(value) for key, value in found.groupdict().items() if value}
            return Service(name=name, confidence=confidence, evidence=text_of(said), **known)
    return None


BANNER = Identifier(
    name="banner",
    summary="what a service says unasked",
    identify=_identify,
    recognise=_recognise,
)


def ghostport_identifiers() -> tuple[Identifier, ...]:
    """As `scanner.plugins.hooks` asks."""
    return (BANNER,)
