"""The echo service (RFC 862): says back whatever it is told."""

from __future__ import annotations

from scanner.contracts import Conversation, Identifier
from scanner.model import Service

_WORD = b"ghostport example\n"


def _identify(talk: Conversation) -> Service | None:
    talk.say(_WORD)
    said = talk.line()
    return Service(name="echo", confidence=0.9, evidence=said.decode()) if said == _WORD else None


ECHO = Identifier(name="echo", summary="the echo service, by an echo", identify=_identify, ports=(7, 401))
