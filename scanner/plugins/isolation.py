"""A thread for each plugin: so that whatever its code does, nobody has to wait for it.

A thread that does not come back is abandoned. It is a daemon: the end of the program does not wait for it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from scanner.model import GhostportError

T = TypeVar("T")

_ROOM = 1024
"""Things to do that may wait in line."""

_here = threading.local()


class PluginHangs(GhostportError):
    """A plugin took longer than it may."""


def speaker() -> str | None:
    """The plugin whose code this thread is running; None for our own."""
    name: str | None = getattr(_here, "plugin", None)
    return name


@contextmanager
def speaking(plugin: str) -> Iterator[None]:
    """Whatever this thread prints meanwhile, that plugin says."""
    _here.plugin = plugin
    try:
        yield
    finally:
        _here.plugin = None


class Worker:
    """The thread of one plugin: does one thing after another."""

    def __init__(self, plugin: str) -> None:
        """The thread begins with its first work."""
        self._plugin = plugin
        self._jobs: queue.Queue[Callable[[], None]] = queue.Queue(_ROOM)
        self._begun = False

    @property
    def backlog(self) -> int:
        """Things that wait in line."""
        return self._jobs.qsize()

    def call(self, work: Callable[[], T], seconds: float, progress: Callable[[], int] = lambda: 0) -> T:
        """Have it do something, and wait for what comes of it.

        Args:
            work: what to do.
            seconds: how long it may take without making progress.
            progress: a number that differs when progress has been made.

        Raises:
            PluginHangs: it took longer. Exception: as the work does; BaseException as RuntimeError.
        """
        results: list[T] = []
        errors: list[Exception] = []
        done = threading.Event()

        def job() -> None:
            try:
                results.append(work())
            except Exception as error:
                errors.append(error)
            except BaseException as error:
                errors.append(RuntimeError(f"{type(error).__name__}: {error}"))
            finally:
                done.set()

        self.post(job, seconds)
        before = progress()
        while not done.wait(seconds):
            if progress() == before:
                raise PluginHangs(f"took longer than {seconds:g} s")
            before = progress()
        if errors:
            raise errors[0]
        return results[0]

    def post(self, work: Callable[[], None], seconds: float) -> None:
        """Have it do something later, which must not raise. Raises PluginHangs: the line does not move."""
        if not self._begun:
            self._begun = True
            threading.Thread(target=self._run, name=f"ghostport plugin {self._plugin}", daemon=True).start()
        try:
            self._jobs.put(work, timeout=seconds)
        except queue.Full:
            raise PluginHangs(f"took longer than {seconds:g} s") from None

    def settle(self, seconds: float) -> None:
        """Wait until all is done. Raises PluginHangs where nothing gets done for so long."""
        while self._begun:
            left = self._jobs.qsize()
            try:
                self.call(lambda: None, seconds)
            except PluginHangs:
                if self._jobs.qsize() >= left:
                    raise
            else:
                return

    def _run(self) -> None:
        with speaking(self._plugin):
            while True:
                self._jobs.get()()
