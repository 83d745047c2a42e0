"""Probes by their names, as `--probe NAME:WORDS` has them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from scanner.contracts import Probe
from scanner.model import UsageError
from scanner.plugins.builtin import PROBES

if TYPE_CHECKING:
    from scanner.plugins.registry import Plugins

OPTION = "--probe"


def probe_named(text: str, plugins: Plugins | None) -> Probe:
    """The probe that is meant. `plugins`: who may have it, besides the built-in ones.

    Raises UsageError where there is none of that name, or what stands behind the colon says nothing to it.
    """
    name, colon, words = text.partition(":")
    if name in PROBES:
        declared: tuple[Probe, ...] = import_module(PROBES[name]).ghostport_probes()
        probe = next(each for each in declared if each.name == name)
    elif plugins is None:
        raise UsageError(f"{OPTION} {name}: there is no such probe; there are: {', '.join(PROBES)}")
    else:
        probe = plugins.get(Probe, name, OPTION)
    if not colon:
        return probe
    configure = probe.configure
    if configure is None:
        raise UsageError(f"{OPTION} {text}: nothing may stand behind {name}")
    if plugins is None or name in PROBES:
        return configure(words)
    made: object = plugins.ask(plugins.owner(probe), f"{OPTION} {name}:", lambda: configure(words))
    if not isinstance(made, Probe):
        raise UsageError(f"{OPTION} {text}: the plugin made something else than a probe of it")
    return made
