"""`ghostport plugins`, and what the other commands need to have plugins: which are wanted, what they say."""

from __future__ import annotations

import argparse
import io
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import IO, TYPE_CHECKING, TextIO

from scanner.contracts import ScopeProvider
from scanner.core.scope import Scope
from scanner.core.targets import parse_targets
from scanner.model import UsageError
from scanner.plugins.builtin import FORMATS, PROBES
from scanner.plugins.installed import any_installed
from scanner.reporters.text import escape

if TYPE_CHECKING:
    from scanner.plugins import Plugin, Plugins

DONE = 0
HEADINGS = ("PLUGIN", "VERSION", "FROM", "BRINGS")

_MOST_NETWORKS = 1_000_000
_MOST_LINES = 100
"""That are shown of what one plugin prints."""


def run_plugins(arguments: argparse.Namespace) -> int:
    """List what is registered, and where it is from. Returns the exit code."""
    from scanner.plugins.registry import Plugins  # noqa: PLC0415 - pluggy

    with _kept_from_speaking():
        plugins = Plugins(arguments.plugin, load_installed=not arguments.no_plugins)
        for fault in plugins.faults:
            print(f"ghostport: {fault}", file=sys.stderr)
        rows = [HEADINGS, *map(_row, plugins.listed())]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            print("  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip())
    return DONE


@contextmanager
def plugins_of(arguments: argparse.Namespace) -> Iterator[Plugins | None]:
    """The plugins that a command line asks for; None where it makes no difference that there are any.

    Those that do not fit are told of at once. What plugins print is kept from standard output.
    Raises UsageError for a named one that does not fit, or does not exist.
    """
    if not _wanted(arguments):
        yield None
        return
    from scanner.plugins.registry import Plugins  # noqa: PLC0415 - pluggy, for those who have plugins

    wanted = not arguments.no_plugins
    with _kept_from_speaking():
        plugins = Plugins(arguments.plugin, load_installed=wanted)
        for fault in plugins.faults:
            print(f"ghostport: {fault}", file=sys.stderr)
        told = len(plugins.faults)
        try:
            yield plugins
        finally:
            for fault in plugins.faults[told:]:
                print(f"ghostport: {fault}", file=sys.stderr)


def _wanted(arguments: argparse.Namespace) -> bool:
    """Whether there is anything that more is needed for than a built-in format."""
    asked = (arguments.format not in {None, *FORMATS}, arguments.plugin)
    probes = {word.partition(":")[0] for word in getattr(arguments, "probe", ())}
    swept = (getattr(arguments, name, None) for name in ("identify", "evidence_sink", "scope_from"))
    return (
        any(asked)
        or any(swept)
        or bool(probes - PROBES.keys())
        or (not arguments.no_plugins and any_installed())
    )


def scope_of(arguments: argparse.Namespace, plugins: Plugins | None) -> Scope:
    """What may be probed: what may be anyway, and all providers that were named know of.

    Raises UsageError where one of them fails: then nothing may be.
    """
    scope = Scope.private()
    if plugins is None:
        return scope
    allowed = scope.allowed
    for word in arguments.scope_from:
        name, _, which = word.partition(":")
        provider = plugins.get(ScopeProvider, name, "--scope-from")
        option = f"--scope-from {name}:"
        networks = plugins.ask(plugins.owner(provider), option, partial(_networks, provider, which))
        if not all(isinstance(text, str) for text in networks):
            raise UsageError(f"{option} gave something else than texts of networks")
        try:
            allowed = allowed & parse_targets(networks)
        except UsageError as error:
            raise UsageError(f"{option} {error}") from None
    return Scope(allowed)


def _networks(provider: ScopeProvider, which: str) -> list[str]:
    return list(islice(provider.networks(which), _MOST_NETWORKS))


def _row(plugin: Plugin) -> tuple[str, ...]:
    told = [hook.removeprefix("ghostport_") for hook in plugin.hooks if hook in _telling()]
    brings = [f"{kind} {name}" for kind, name in plugin.brings] + [f"hook {hook}" for hook in told]
    where = plugin.place if plugin.distribution is None else f"{plugin.distribution} ({plugin.place})"
    version = plugin.version or (_version() if plugin.distribution == "ghostport" else "-")
    return escape(plugin.name), escape(version), escape(where), escape(", ".join(brings))


def _telling() -> tuple[str, ...]:
    from scanner.plugins.hooks import TELLING  # noqa: PLC0415 - pluggy

    return TELLING


def _version() -> str:
    from importlib import metadata  # noqa: PLC0415 - a hundredth of a second

    return metadata.version("ghostport")


@contextmanager
def _kept_from_speaking() -> Iterator[None]:
    """What a plugin prints comes out on standard error, escaped and with its name: records stay whole."""
    from scanner.plugins.isolation import speaker  # noqa: PLC0415 - for those who have plugins

    before = sys.stdout, sys.stderr
    lines: Counter[str] = Counter()
    guarded = [_Guarded(stream, before[1], lines, speaker) for stream in before]
    sys.stdout, sys.stderr = guarded
    try:
        yield
    finally:
        for stream in guarded:
            stream.settle()
        sys.stdout, sys.stderr = before


class _Guarded(io.TextIOBase):
    """A standard stream that knows plugins' voices from ours."""

    def __init__(
        self, stream: TextIO, errors: TextIO, lines: Counter[str], speaker: Callable[[], str | None]
    ) -> None:
        """`stream`: ours. `errors`: where plugins are quoted. `lines`: how many each has said.

        `speaker`: which plugin is speaking, None for us.
        """
        self._speaker = speaker
        self._stream = stream
        self._errors = errors
        self._lines = lines
        self._begun: dict[str, str] = {}

    def write(self, text: str, /) -> int:
        """Pass on what we say; quote, line by line, what a plugin says."""
        plugin = self._speaker()
        if plugin is None:
            return self._stream.write(text)
        *whole, rest = (self._begun.get(plugin, "") + text).split("\n")
        self._begun[plugin] = rest[-4096:]
        for line in whole:
            self._quote(plugin, line)
        return len(text)

    def settle(self) -> None:
        """Quote what plugins began to say, and flush."""
        for plugin, rest in self._begun.items():
            self._quote(plugin, rest)
        self._stream.flush()

    def _quote(self, plugin: str, line: str) -> None:
        self._lines[plugin] += 1
        if line and self._lines[plugin] <= _MOST_LINES:
            self._errors.write(f"plugin {plugin} says: {escape(line)}\n")

    @property
    def buffer(self) -> IO[bytes]:
        """Ours; for a plugin, one that leads nowhere."""
        return self._stream.buffer if self._speaker() is None else io.BytesIO()

    def flush(self) -> None:
        """Flush ours."""
        self._stream.flush()

    def isatty(self) -> bool:
        """As ours."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """As ours."""
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """As ours."""
        return self._stream.encoding
