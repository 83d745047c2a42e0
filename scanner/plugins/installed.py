"""Plugins that are installed, or named: where they are found, and what it takes to import them."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from scanner.model import UsageError

GROUP = "ghostport"
"""The group of entry points."""

_INFO = (".dist-info", ".egg-info")


@dataclass(frozen=True, slots=True)
class Found:
    """A plugin that is not imported yet.

    name: of the entry point, the module or the file. load: imports it; may raise anything.
    distribution, version: where it is from; None where no distribution brought it. place: its file or module.
    """

    name: str
    load: Callable[[], object]
    place: str
    distribution: str | None = None
    version: str | None = None


def any_installed(places: Iterable[str] | None = None) -> bool:
    """Whether a distribution on the path (`sys.path`) may have an entry point in our group.

    Half a thousandth of a second; importlib.metadata, which knows for sure, takes twenty times as long.
    """
    return any(_mentions(place or ".") for place in (sys.path if places is None else places))


def _mentions(place: str) -> bool:
    try:
        entries = os.scandir(place)
    except NotADirectoryError:
        return True  # an archive: whoever wants to know has to look inside
    except OSError:
        return False
    with entries:
        return any(entry.name.endswith(_INFO) and _names_the_group(entry.path) for entry in entries)


def _names_the_group(info: str) -> bool:
    try:
        return f"[{GROUP}]".encode() in Path(info, "entry_points.txt").read_bytes()
    except OSError:
        return False


def installed() -> Iterator[Found]:
    """All that installed distributions have in our group."""
    from importlib import metadata  # noqa: PLC0415 - a hundredth of a second, for those who have plugins

    for entry in metadata.entry_points(group=GROUP):
        distribution = entry.dist
        yield Found(
            entry.name,
            entry.load,
            entry.value,
            None if distribution is None else distribution.name,
            None if distribution is None else distribution.version,
        )


def named(name: str, known: Iterable[Found]) -> Found:
    """The plugin that somebody means: an installed one, a file (`./mine.py`), or a module.

    Raises UsageError where there is none of these.
    """
    listed = list(known)
    for found in listed:
        if found.name == name:
            return found
    if name.endswith(".py") or os.sep in name:
        path = Path(name)
        if not path.is_file():
            raise UsageError(f"--plugin {name}: there is no such file")
        return Found(path.stem, lambda: _import_file(path), str(path))
    if not _is_module(name):
        names = ", ".join(found.name for found in listed) or "none"
        raise UsageError(
            f"--plugin {name}: neither an installed plugin ({names}) nor a module; of a file, give the path"
        )
    return Found(name, lambda: importlib.import_module(name), name)


def _is_module(name: str) -> bool:
    from importlib.util import find_spec  # noqa: PLC0415 - as above

    if not all(part.isidentifier() for part in name.split(".")):
        return False
    # Parents would be imported to look for a child: whatever they raise is told when it is loaded.
    return "." in name or find_spec(name) is not None


def _import_file(path: Path) -> object:
    from importlib.util import module_from_spec, spec_from_file_location  # noqa: PLC0415 - as above

    name = f"ghostport_plugin_{path.stem}"
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
