"""Work that is done aside, by a thread of its own, while what asked for it goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


def aside(work: Callable[[], T]) -> Callable[[], T]:
    """Begin some work. Returns what waits for it, and gives what it gave or raises what it raised."""
    return _Aside(work).result


def settle() -> None:
    """Wait until all that was begun is done; what it gave, or raised, is still to be asked for."""
    for thread in threading.enumerate():
        if isinstance(thread, _Aside):
            thread.join()


class _Aside(threading.Thread, Generic[T]):
    def __init__(self, work: Callable[[], T]) -> None:
        super().__init__(name="aside", daemon=True)
        self._work: Callable[[], T] | None = work
        self._given: list[T] = []
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        """Do it."""
        work, self._work = self._work, None
        try:
            if work is not None:
                self._given.append(work())
        except BaseException as error:
            # Raised where the result is asked for.
            self._error = error

    def result(self) -> T:
        """Wait for it, once."""
        self.join()
        if self._error is not None:
            raise self._error
        return self._given.pop()
