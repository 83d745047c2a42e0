"""What plugins declare, and what that takes: names that can be typed, functions that can be called."""

from __future__ import annotations

import re
from collections.abc import Callable

from scanner.contracts import EvidenceSink, Format, Identifier, Probe, ScopeProvider
from scanner.core.rules import ReplyRules
from scanner.model import Protocol
from scanner.plugins.faults import printable

Declared = Probe | Identifier | Format | EvidenceSink | ScopeProvider

KINDS: dict[type, str] = {
    Probe: "probe",
    Identifier: "identifier",
    Format: "format",
    EvidenceSink: "evidence sink",
    ScopeProvider: "scope provider",
}
"""Their kinds, in words."""

NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
"""A name of a plugin, or of what it declares."""


def fault_of(value: object, kind: type) -> str | None:
    """What is wrong with a declared value; None where nothing is."""
    if not isinstance(value, kind):
        return f"gives {printable(repr(value))}, where a {kind.__name__} is wanted"
    name: object = getattr(value, "name", None)
    if not (isinstance(name, str) and NAME.fullmatch(name)):
        return f"gives a {KINDS[kind]} named {printable(repr(name))}: {A_NAME}"
    for field, (fits, wanted) in _FIELDS.items():
        if not fits(getattr(value, field, _ABSENT)):
            return f"gives a {KINDS[kind]} {name!r} whose {field} is not {wanted}"
    return None


A_NAME = "small letters, digits and hyphens are wanted"
_FUNCTIONS = ("packet", "payload", "identify", "reporter", "open", "networks")
_ABSENT = object()
"""In the place of a field that such a value does not have."""


def _is_function(value: object) -> bool:
    return callable(value) or value is _ABSENT


def _are_ports(value: object) -> bool:
    listed = value if isinstance(value, tuple) else (None,)
    return value is _ABSENT or all(type(port) is int and 0 <= port <= 0xFFFF for port in listed)


def _is_suffix(value: object) -> bool:
    plain = isinstance(value, str) and value.startswith(".") and value == value.lower()
    return value is None or value is _ABSENT or plain


_FIELDS: dict[str, tuple[Callable[[object], bool], str]] = {
    "summary": (lambda value: isinstance(value, str), "a text"),
    "ports": (_are_ports, "a tuple of numbers up to 65535"),
    "suffix": (_is_suffix, "like '.txt'"),
    "protocol": (lambda value: value is _ABSENT or isinstance(value, Protocol), "a Protocol"),
    "rules": (lambda value: value is None or value is _ABSENT or isinstance(value, ReplyRules), "ReplyRules"),
    "configure": (lambda value: value is None or _is_function(value), "a function"),
    **dict.fromkeys(_FUNCTIONS, (_is_function, "a function")),
}
"""For each field what it has to be, whatever the kind."""
