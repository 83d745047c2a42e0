"""The registry: who is registered, what they bring, and who is told of what.

A plugin that does not fit is refused when it is loaded, one that misbehaves later is left alone for the rest
of the run; either is one line in `faults`, and harms nobody else.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from itertools import islice
from typing import TYPE_CHECKING, TypeVar, cast

from scanner.contracts import Format
from scanner.model import UsageError, Verdict
from scanner.plugins import builtin
from scanner.plugins.declared import KINDS, NAME, Declared, fault_of
from scanner.plugins.faults import mismatch, printable, reason
from scanner.plugins.hooks import ASKING, PREFIX, TELLING
from scanner.plugins.installed import Found, any_installed, installed, named
from scanner.plugins.isolation import PluginHangs, Worker
from scanner.plugins.manager import new_manager

if TYPE_CHECKING:
    import pluggy

LIMIT = 5.0
"""Seconds that a plugin may take for one thing."""

OURS = "ghostport"
"""The distribution of the built-in plugins."""

T = TypeVar("T", bound=Declared)

_MOST_DECLARED = 1000
_MOST_WAITING = 64


@dataclass(slots=True)
class Plugin:
    """One that is registered.

    name, place, distribution, version: as `installed.Found` has them. hooks: the hooks it has functions for.
    brings: kind and name of what it declares. disabled: it misbehaved, and is left alone.
    """

    name: str
    place: str
    distribution: str | None = None
    version: str | None = None
    hooks: tuple[str, ...] = ()
    brings: list[tuple[str, str]] = field(default_factory=list)
    disabled: bool = False
    worker: Worker | None = None
    """Where its code runs; None for the built-in ones, which are our own code."""
    unsaid: int = 0
    """Probes that it has not been told of."""


class _Misfit(Exception):
    """What about a plugin does not fit."""


class Plugins:
    """The built-in plugins, the installed ones, and those that are named.

    faults: a line for each that was refused, or misbehaved. limit: seconds that one may take for one thing.
    """

    def __init__(
        self,
        named_plugins: Sequence[str] = (),
        *,
        load_installed: bool = True,
        fault: Callable[[str], None] | None = None,
        limit: float = LIMIT,
    ) -> None:
        """Find and register them.

        Args:
            named_plugins: names of installed plugins, modules or files.
            load_installed: whether installed ones are loaded without being named.
            fault: called with each fault as it happens.
            limit: seconds that a plugin may take for one thing.

        Raises:
            UsageError: a plugin that was named does not exist, or does not fit.
        """
        self.faults: list[str] = []
        self._fault = fault
        self.limit = limit
        self._lock = threading.Lock()
        self._plugins: dict[str, Plugin] = {}
        self._owners: dict[int, Plugin] = {}
        self._declared: dict[type, dict[str, Declared]] = {kind: {} for kind in KINDS}
        ready = list(installed()) if (load_installed or named_plugins) and any_installed() else []
        meant = {name: named(name, ready) for name in named_plugins if name not in _BUILT_IN_NAMES}
        self._others = ready if load_installed else []
        self._others += [found for found in meant.values() if found not in self._others]
        self._meant = [found.name for found in meant.values()]
        self._manager = self._registered()

    # --- what there is ------------------------------------------------------------------------

    def listed(self) -> list[Plugin]:
        """All that are registered, the built-in ones first."""
        return list(self._plugins.values())

    def all(self, kind: type[T]) -> list[T]:
        """All declared values of a kind, of those that have not misbehaved."""
        values = cast("dict[str, T]", self._declared[kind])
        return [value for value in values.values() if not self.owner(value).disabled]

    def get(self, kind: type[T], name: str, option: str) -> T:
        """The declared value of that name. Raises UsageError, speaking of an option, where there is none."""
        for value in self.all(kind):
            if value.name == name:
                return value
        names = ", ".join(value.name for value in self.all(kind)) or "nothing; plugins may bring some"
        raise UsageError(f"{option} {name}: there is no such {KINDS[kind]}; there is: {names}")

    def format_of(self, file: str) -> str:
        """The name of the format that a file of that name has; jsonl where no suffix tells."""
        for each in self.all(Format):
            if each.suffix and file.lower().endswith(each.suffix):
                return each.name
        return builtin.format_of(file)

    def owner(self, value: Declared) -> Plugin:
        """Whose a declared value is."""
        return self._owners.get(id(value)) or Plugin("built-in", "", OURS)

    # --- what misbehaves ----------------------------------------------------------------------

    def disable(self, plugin: Plugin, what: str, error: BaseException | str) -> None:
        """Leave a plugin alone from now on, and say why, once."""
        with self._lock:
            if plugin.disabled:
                return
            plugin.disabled = True
            self._say(f"plugin {plugin.name}: {what} {reason(error)}; disabled for this run")

    def ask(self, plugin: Plugin, what: str, work: Callable[[], T_]) -> T_:
        """Have a plugin answer something that cannot be done without. Raises UsageError where it does not."""
        try:
            if plugin.worker is None:
                return work()
            return plugin.worker.call(work, self.limit)
        except UsageError as error:
            raise UsageError(f"{what} {printable(str(error))}") from None
        except Exception as error:
            raise UsageError(f"{what} plugin {plugin.name} {reason(error)}") from None

    def run(self, plugin: Plugin, what: str, work: Callable[[], None], progress: Callable[[], int]) -> bool:
        """Have a plugin do something that may take long, as long as it gets on. False where that failed."""
        if plugin.worker is None or plugin.disabled:
            return False
        try:
            plugin.worker.call(work, self.limit, progress)
        except Exception as error:
            self.disable(plugin, what, error)
            return False
        return True

    # --- who is told --------------------------------------------------------------------------

    def listens(self, hook: str) -> bool:
        """Whether anybody wants to be told of that."""
        return bool(self._listeners(hook))

    def tell(self, hook: str, **facts: object) -> None:
        """Tell of something; comes back before they have heard it."""
        for plugin, function, wanted in self._listeners(hook):
            self.post(plugin, hook, partial(function, **{name: facts[name] for name in wanted}))

    def tell_sent(self, probes: int, *, last: bool = False) -> None:
        """Tell of probes that have left: those who are slow, of several batches as of one.

        last: whatever they have not been told of yet, they are told of now.
        """
        for plugin, function, wanted in self._listeners(_SENT):
            plugin.unsaid += probes
            if plugin.unsaid and (last or (plugin.worker and plugin.worker.backlog < _MOST_WAITING)):
                facts = {"probes": plugin.unsaid} if wanted else {}
                plugin.unsaid = 0
                self.post(plugin, _SENT, partial(function, **facts))

    def tell_verdicts(self, verdicts: Sequence[Verdict]) -> None:
        """Tell of verdicts that are final."""
        for plugin, function, wanted in self._listeners(_FINAL):

            def say(
                plugin: Plugin = plugin,
                function: Callable[..., object] = function,
                wanted: bool = bool(wanted),
            ) -> None:
                for verdict in verdicts:
                    if plugin.disabled:
                        return
                    function(**({"verdict": verdict} if wanted else {}))

            self.post(plugin, _FINAL, say)

    def settle(self) -> None:
        """Wait until all have heard what they were told, unless one takes too long for one thing."""
        for plugin in self._plugins.values():
            if plugin.worker is not None and not plugin.disabled:
                try:
                    plugin.worker.settle(self.limit)
                except PluginHangs as error:
                    self.disable(plugin, "a hook", error)

    def post(self, plugin: Plugin, hook: str, work: Callable[[], object]) -> None:
        """Have a plugin do something later; waits only where a lot is in line already."""
        if plugin.worker is None:
            return

        def job() -> None:
            try:
                if not plugin.disabled:
                    work()
            except BaseException as error:
                self.disable(plugin, hook, error)

        try:
            plugin.worker.post(job, self.limit)
        except PluginHangs as error:
            self.disable(plugin, hook, error)

    def _listeners(self, hook: str) -> list[tuple[Plugin, Callable[..., object], Sequence[str]]]:
        return [
            (self._plugins[each.plugin_name], each.function, each.argnames)
            for each in getattr(self._manager.hook, hook).get_hookimpls()
            if not self._plugins[each.plugin_name].disabled
        ]

    # --- registration -------------------------------------------------------------------------

    def _registered(self) -> pluggy.PluginManager:
        """The manager, with everybody who fits."""
        manager = new_manager()
        for place in builtin.MODULES:
            self._register(manager, _found(place), trusted=True)
        for found in self._others:
            try:
                self._register(manager, found, trusted=False)
            except _Misfit as misfit:
                line = f"plugin {printable(found.name)}: {misfit}; it is not used"
                if found.name in self._meant:
                    raise UsageError(line) from None
                self._say(line)
        return manager

    def _register(self, manager: pluggy.PluginManager, found: Found, *, trusted: bool) -> None:
        if not NAME.fullmatch(found.name):
            raise _Misfit(
                f"{printable(found.name)!r} is no name: small letters, digits and hyphens are wanted"
            )
        if found.name in self._plugins:
            raise _Misfit(f"there is a plugin of that name, from {self._plugins[found.name].place}")
        plugin = Plugin(found.name, found.place, found.distribution, found.version)
        if not trusted:
            plugin.worker = Worker(found.name)
        subject = self._patiently(plugin, f"importing {printable(found.place)}", found.load)
        plugin.hooks = _hooks_of(subject)
        try:
            manager.register(subject, found.name)
        except Exception as error:
            raise _Misfit(mismatch(error)) from None
        try:
            declared = {
                kind: self._collected(plugin, subject, hook, kind)
                for hook, kind in ASKING.items()
                if hook in plugin.hooks
            }
        except _Misfit:
            manager.unregister(name=found.name)
            raise
        self._plugins[found.name] = plugin
        for kind, values in declared.items():
            for value in values:
                self._declared[kind][value.name] = value
                self._owners[id(value)] = plugin
                plugin.brings.append((KINDS[kind], value.name))

    def _collected(self, plugin: Plugin, subject: object, hook: str, kind: type) -> list[Declared]:
        function = getattr(subject, hook)
        values: list[Declared] = self._patiently(
            plugin, hook, lambda: list(islice(function(), _MOST_DECLARED))
        )
        names = set(self._declared[kind])
        for value in values:
            fault = fault_of(value, kind)
            if fault is None and value.name in names:
                fault = f"gives a {KINDS[kind]} {value.name!r}, and there is one of that name"
            if fault is not None:
                raise _Misfit(f"{hook} {fault}")
            names.add(value.name)
        return values

    def _patiently(self, plugin: Plugin, what: str, work: Callable[[], T_]) -> T_:
        if plugin.worker is None:
            return work()
        try:
            return plugin.worker.call(work, self.limit)
        except Exception as error:
            raise _Misfit(f"{what} {reason(error)}") from None

    def _say(self, line: str) -> None:
        self.faults.append(line)
        if self._fault is not None:
            self._fault(line)


T_ = TypeVar("T_")

_BUILT_IN_NAMES = frozenset(place.rpartition(".")[2].replace("_", "-") for place in builtin.MODULES)
_SENT = "ghostport_batch_sent"
_FINAL = "ghostport_verdict_final"


def _found(place: str) -> Found:
    name = place.rpartition(".")[2].replace("_", "-")
    return Found(name, lambda: import_module(place), place, OURS)


def _hooks_of(subject: object) -> tuple[str, ...]:
    there_are = (*ASKING, *TELLING)
    found = tuple(name for name in dir(subject) if name.startswith(PREFIX))
    for name in found:
        if name not in there_are:
            raise _Misfit(f"{printable(name)} is no hook; there are: {', '.join(there_are)}")
        if not inspect.isroutine(getattr(subject, name, None)):
            raise _Misfit(f"{name} is no function")
    if not found:
        raise _Misfit(f"it has no function that is named after a hook: {', '.join(there_are)}")
    return found
