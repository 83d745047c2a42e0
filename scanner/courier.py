"""The courier: takes batches through the gate, and large ones on a thread of its own.

A thread is enough for two processors: a send is all but wholly a system call, in which Python lets go of its
lock, and so are the large steps of NumPy with which the engine hears replies, writes evidence and stamps the
next batch meanwhile. A process beside it would win little more, and would have to share what was sent, and
when, and how it failed.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread

from scanner.contracts import Batch, Sent, Wire
from scanner.gate import Gate

WORTH_A_THREAD = 512
"""Packets; fewer have left before a thread has woken up."""

Arrival = Callable[[], Sent]
"""Waits for a batch to have left, and gives what `Gate.send` gives or raises."""


class Courier:
    """Sends one batch at a time; the thread is there once a batch has been worth it."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._thread: Thread | None = None
        self._batches: SimpleQueue[tuple[Wire, Batch] | None] = SimpleQueue()
        self._gone: SimpleQueue[Sent | BaseException] = SimpleQueue()

    def take(self, wire: Wire, batch: Batch) -> Arrival:
        """Send a batch, and come back before it has left where the wire belongs to the kernel.

        Until it has, the batch's packets must stay as they are, and the wire may be asked for frames, but
        for nothing else; and what comes in may be replies to packets of whose sending nobody knows yet.
        """
        if len(batch) < WORTH_A_THREAD or wire.fileno() < 0:
            sent = self._gate.send(wire, batch)
            return lambda: sent
        if self._thread is None:
            self._thread = Thread(target=self._run, name="courier", daemon=True)
            self._thread.start()
        self._batches.put((wire, batch))
        return self._arrived

    def close(self) -> None:
        """End the thread, when it has sent what it has."""
        if self._thread is not None:
            self._batches.put(None)
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while (order := self._batches.get()) is not None:
            try:
                self._gone.put(self._gate.send(*order))
            except BaseException as error:
                self._gone.put(error)

    def _arrived(self) -> Sent:
        outcome = self._gone.get()
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome
