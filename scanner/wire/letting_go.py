"""Letting go of packet sockets without waiting for it.

The kernel closes one only when every processor has been through with it (synchronize_net), some 30 ms, in
which there is better to do.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from threading import Thread


def let_go(*closings: Callable[[], object]) -> None:
    """Have things closed in the background, one after the other; what still uses their memory keeps it.

    The interpreter does not end before they are.
    """
    Thread(target=_close, args=closings, name="letting go").start()


def _close(*closings: Callable[[], object]) -> None:
    for close in closings:
        with contextlib.suppress(BufferError):
            close()
