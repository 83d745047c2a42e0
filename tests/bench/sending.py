"""How fast packets leave, by the interface's own counter and nobody's word.

A thread reads the counter of the prober's namespace while a command runs there.
"""

from __future__ import annotations

import os
import threading
import time
from types import TracebackType
from typing import Self

from scanner.lab import Lab

_EVERY = 0.005
"""Seconds between two looks."""

_TRANSMITTED = 10
"""The column of transmitted packets in /proc/net/dev: net/core/net-procfs.c, `dev_seq_printf_stats`."""


class TransmitCounter:
    """The packets that an interface in a lab's prober namespace sends while the context lasts."""

    def __init__(self, lab: Lab, interface: str) -> None:
        self._lab = lab
        self._line = f"{interface}:"
        self._over = threading.Event()
        self._looks: list[tuple[float, int]] = []
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        with self._lab.enter():
            # This thread's own: /proc/net is that of the process's first one.
            self._counters = os.open("/proc/thread-self/net/dev", os.O_RDONLY | os.O_CLOEXEC)
        self._look()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._look()
        os.close(self._counters)

    @property
    def sent(self) -> int:
        """Packets that left."""
        return self._looks[-1][1] - self._looks[0][1]

    def seconds_for(self, packets: int) -> float:
        """Seconds it took to send so many, reckoned between the first hundredth of them and the last.

        Raises:
            ValueError: fewer were sent.
        """
        return packets / self.rate(packets)

    def rate(self, packets: int) -> float:
        """Packets a second while the first so many left, but for a hundredth at each end.

        Raises:
            ValueError: fewer were sent.
        """
        start = self._looks[0][1]
        first = self._reached(start + packets // 100)
        last = self._reached(start + packets - packets // 100)
        return (last[1] - first[1]) / max(last[0] - first[0], _EVERY)

    def _reached(self, count: int) -> tuple[float, int]:
        for look in self._looks:
            if look[1] >= count:
                return look
        msg = f"only {self.sent} packets left"
        raise ValueError(msg)

    def _watch(self) -> None:
        while not self._over.wait(_EVERY):
            self._look()

    def _look(self) -> None:
        for line in os.pread(self._counters, 1 << 16, 0).decode().splitlines():
            fields = line.split()
            if fields[0] == self._line:
                self._looks.append((time.perf_counter(), int(fields[_TRANSMITTED])))
