"""What is said of a plugin that does not fit, or misbehaves: one line, its own words escaped."""

from __future__ import annotations

import re

from scanner.plugins.isolation import PluginHangs
from scanner.reporters.text import escape

MOST = 300
"""Characters."""


def mismatch(error: Exception) -> str:
    """In one line, what pluggy says in several."""
    lines = [" ".join(line.split()) for line in str(error).splitlines()]
    hook = re.search(r"for hook '(\w+)'", lines[0]) if lines else None
    if hook is None:
        return reason(error)
    return f"{hook[1]} does not fit: {printable('; '.join(lines[1:]))}"


def reason(error: BaseException | str) -> str:
    """What happened, to stand behind the name of what was done."""
    if isinstance(error, str):
        return printable(error)
    if isinstance(error, PluginHangs):
        return str(error)
    return printable(f"raised {type(error).__name__}: {error}")


def printable(text: str) -> str:
    """Text of a plugin's, as part of a line."""
    return escape(text[:MOST])
