"""The one error of the recorder."""

from __future__ import annotations


class Refused(Exception):
    """What was recorded contradicts what should have been: nothing is kept of it."""
