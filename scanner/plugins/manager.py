"""pluggy's manager, as ours: a plugin's functions are known by their names, as pytest's are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

from scanner.plugins import hooks

if TYPE_CHECKING:
    from pluggy import HookimplOpts


class _Manager(pluggy.PluginManager):
    def parse_hookimpl_opts(self, plugin: object, name: str) -> HookimplOpts | None:
        """What is named after a hook implements it; wrappers of others' functions are not among us."""
        if not name.startswith(hooks.PREFIX):
            return None
        return {
            "wrapper": False,
            "hookwrapper": False,
            "optionalhook": False,
            "tryfirst": False,
            "trylast": False,
            "specname": None,
        }


def new_manager() -> pluggy.PluginManager:
    """A manager that knows the hooks, and nobody yet."""
    manager = _Manager(hooks.PROJECT)
    manager.add_hookspecs(hooks)
    return manager
