"""Identifiers: one file a service, each one declared value. They hold a conversation, and know no sockets.

What they share is here: what a service sent, as text that fits into a record.
"""

from __future__ import annotations

import msgspec

from scanner.model import Service

MOST_EVIDENCE = 4096
"""Characters of evidence that a record holds."""

_MOST_NAME = 64
_MOST_WORDS = 200


def text_of(data: bytes) -> str:
    r"""What was sent, as text: UTF-8, other bytes as `\x80`; line ends at its end are left out."""
    return data.decode("utf-8", "backslashreplace").rstrip("\r\n")[:MOST_EVIDENCE]


def bounded(service: Service) -> Service:
    """The same service, no text of which is longer than a record holds."""
    return msgspec.structs.replace(
        service,
        name=service.name[:_MOST_NAME],
        product=service.product and service.product[:_MOST_WORDS],
        version=service.version and service.version[:_MOST_WORDS],
        evidence=service.evidence[:MOST_EVIDENCE],
    )
