"""The version, as it was installed."""

from __future__ import annotations

from importlib import metadata


def version() -> str:
    """Of the distribution."""
    return metadata.version("ghostport")
