"""Frames of which some columns are worked out when somebody asks for them."""

from __future__ import annotations

from scanner.contracts import Frames


class LateFrames(Frames):
    """Frames that are made without columns which are properties of theirs."""

    __slots__ = ()

    def __init__(self, **fields: object) -> None:
        """`fields`: what is known at once, by name."""
        for name, value in fields.items():
            # Frames do not change; this is how they are made.
            object.__setattr__(self, name, value)
