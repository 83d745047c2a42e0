"""Identifiers: one file a service, each one declared value. They hold a conversation, and know no sockets.

What they share is here: what a service sent, as text that fits into a record.
"""

from __future__ import annotations

MOST_EVIDENCE = 4096
"""Characters of evidence that a record holds."""


def text_of(data: bytes) -> str:
    r"""What was sent, as text: UTF-8, other bytes as `\x80`; line ends at its end are left out."""
    return data.decode("utf-8", "backslashreplace").rstrip("\r\n")[:MOST_EVIDENCE]
