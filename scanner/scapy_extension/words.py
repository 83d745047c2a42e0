"""Words of a line of NUT's protocol, as its parser takes them: apart by blanks, quoted where they hold any.

Within quotes and without, a backslash takes the next byte as it is (RFC 9271; NUT's parseconf). A line ends
at a line feed, whatever the quotes say.
"""

from __future__ import annotations

import re

_WORD = re.compile(
    rb'[ \t]*(?:"((?:[^"\\\r\n]|\\[^\r\n])*)("|(?=[\r\n\\]|\Z))|((?:[^ \t"\\\r\n]|\\[^\r\n])+))', re.DOTALL
)
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_SPECIAL = re.compile(rb'(["\\])')
_NEEDS_QUOTES = re.compile(rb'[\s"\\#=]|\A\Z')


def next_word(line: bytes) -> tuple[bytes | None, bytes]:
    """The first word without its quotes, and the rest; None where none is left. Any bytes will do."""
    match = _WORD.match(line)
    if match is None:
        return None, line
    quoted, _, plain = match.groups()
    return _ESCAPED.sub(rb"\1", plain if quoted is None else quoted), line[match.end() :]


def written(word: bytes, *, quoted: bool = False) -> bytes:
    """A word as it stands in a line; within quotes where it has to be, or where that is asked for."""
    if not quoted and not _NEEDS_QUOTES.search(word):
        return word
    return b'"' + _SPECIAL.sub(rb"\\\1", word) + b'"'


def line_end(line: bytes) -> tuple[bytes, bytes]:
    """What is left of a line, its line feed included, and the lines that follow."""
    at = line.find(b"\n") + 1
    return (line[:at], line[at:]) if at else (line, b"")
