"""Plugins: what the built-in probes, identifiers and formats are, and how others come beside them.

A plugin is a module, or any object, with functions that are named after hooks (`scanner.plugins.hooks`):
there is nothing to import for it and nothing to decorate. The built-in ones are no different. Others are
found by the entry points that installed distributions have in the group `ghostport`, or named.

pluggy, which registers them and holds them against the hooks, is imported when there is somebody to register.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scanner.plugins.registry import Plugin, Plugins

__all__ = ["Plugin", "Plugins"]


def __getattr__(name: str) -> object:
    # A sweep without plugins does not wait for what registers them.
    if name not in __all__:
        raise AttributeError(f"module 'scanner.plugins' has no attribute {name!r}")
    from scanner.plugins import registry  # noqa: PLC0415

    return getattr(registry, name)
