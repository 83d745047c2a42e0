"""Identification: which service is behind each open TCP port. It comes when the sweep itself is through.

The law: it takes a bounded time, whatever the services and the identifiers do. A service has a few seconds an
identifier; an identifier that does not come back is left where it is, and its target goes to the next.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from scanner.contracts import Conversation, Identifier
from scanner.identify import bounded
from scanner.model import Service
from scanner.plugins.isolation import speaking
from scanner.plugins.registry import Plugins

CONVERSATION = 3.0
"""Seconds that a connection and all that is said over it may take."""

AT_ONCE = 64
"""Connections at a time."""

TOTAL = 300.0
"""Seconds that identifying may take, however many open ports there are."""

SURE = 0.8
"""A confidence from which on no other identifier is asked."""

_GRACE = 1.0
_LOOK = 0.02

Target = tuple[str, int]
"""Address and port."""

Converse = Callable[[str, int, float], Conversation]
"""Makes a conversation with an address and port, of so many seconds at most. Raises OSError."""


@dataclass(frozen=True, slots=True)
class Identified:
    """What came of it.

    services: by address and port; who said nothing that anybody knows has none. asked: targets that are
    through. left: those that are not, for lack of time or because it was stopped.
    """

    services: dict[Target, Service]
    asked: int
    left: int


@dataclass(slots=True)
class _Job:
    """A target, who is still to be asked about it, and the best that is known."""

    target: Target
    identifiers: list[Identifier]
    best: Service | None = None


@dataclass(slots=True)
class _Hand:
    """A thread at work. job: what on; since: when its present identifier began. gone: nobody waits for it."""

    job: _Job | None = None
    identifier: Identifier | None = None
    since: float = 0.0
    gone: threading.Event = field(default_factory=threading.Event)


@dataclass(slots=True)
class _Work:
    """What all hands share."""

    jobs: queue.SimpleQueue[_Job | None] = field(default_factory=queue.SimpleQueue)
    done: queue.SimpleQueue[_Job] = field(default_factory=queue.SimpleQueue)
    lock: threading.Lock = field(default_factory=threading.Lock)
    hands: list[_Hand] = field(default_factory=list)


def identify(
    targets: Sequence[Target],
    converse: Converse,
    plugins: Plugins,
    *,
    stopped: Callable[[], bool] = lambda: False,
    conversation: float = CONVERSATION,
    total: float = TOTAL,
    at_once: int = AT_ONCE,
) -> Identified:
    """Ask the identifiers about every target.

    Args:
        targets: open TCP ports.
        converse: makes the connections; it asks the scope.
        plugins: who has the identifiers; those that misbehave are disabled there.
        stopped: asked every moment; True ends it.
        conversation: seconds that each connection may take.
        total: seconds that all of it may take.
        at_once: connections at a time.
    """
    work = _Work()
    by_port = {port: _in_order(plugins, port) for port in {port for _, port in targets}}
    for target in targets:
        work.jobs.put(_Job(target, list(by_port[target[1]])))
    for _ in range(min(at_once, len(targets))):
        _hire(work, converse, plugins, conversation)
    services: dict[Target, Service] = {}
    asked = 0
    ends = time.monotonic() + total
    while asked < len(targets) and not stopped() and time.monotonic() < ends:
        try:
            job = work.done.get(timeout=_LOOK)
        except queue.Empty:
            for hand in _stuck(work, conversation + _GRACE):
                _give_up(hand, work, plugins, conversation)
                _hire(work, converse, plugins, conversation)
            continue
        asked += 1
        if job.best is not None:
            services[job.target] = job.best
    for hand in work.hands:
        hand.gone.set()
        work.jobs.put(None)
    return Identified(services, asked, len(targets) - asked)


def _in_order(plugins: Plugins, port: int) -> list[Identifier]:
    """Those who know the port first, others' before the built-in ones; who knows other ports, not at all."""
    listed = [each for each in plugins.all(Identifier) if not each.ports or port in each.ports]
    return sorted(listed, key=lambda each: (not each.ports, plugins.owner(each).worker is None))


def _hire(work: _Work, converse: Converse, plugins: Plugins, conversation: float) -> None:
    hand = _Hand()
    work.hands.append(hand)
    threading.Thread(
        target=_toil,
        args=(hand, work, converse, plugins, conversation),
        name="ghostport identify",
        daemon=True,
    ).start()


def _toil(hand: _Hand, work: _Work, converse: Converse, plugins: Plugins, conversation: float) -> None:
    while (job := work.jobs.get()) is not None and not hand.gone.is_set():
        with work.lock:
            hand.job = job
        while job.identifiers and not (job.best is not None and job.best.confidence >= SURE):
            identifier = job.identifiers.pop(0)
            if plugins.owner(identifier).disabled:
                continue
            with work.lock:
                hand.identifier, hand.since = identifier, time.monotonic()
            service = _ask(identifier, job.target, converse, plugins, conversation)
            with work.lock:
                if hand.gone.is_set():  # given up meanwhile
                    return
                hand.identifier = None
            if service is not None and (job.best is None or service.confidence > job.best.confidence):
                job.best = service
        work.done.put(job)


def _ask(
    identifier: Identifier, target: Target, converse: Converse, plugins: Plugins, conversation: float
) -> Service | None:
    owner = plugins.owner(identifier)
    try:
        talk = converse(*target, conversation)
    except OSError:
        return None  # it was open, and is not any more; or it is busy
    try:
        with speaking(owner.name):
            found: object = identifier.identify(talk)
        return _checked(found)
    except BaseException as error:
        plugins.disable(owner, f"identifier {identifier.name}", error)
        return None
    finally:
        talk.close()


def _checked(found: object) -> Service | None:
    """What an identifier gave, of the right types and of bounded length. Raises ValueError, TypeError."""
    if found is None:
        return None
    if not isinstance(found, Service):
        raise TypeError(f"gave {found!r:.80}, where a Service or None is wanted")
    service = msgspec.convert(msgspec.to_builtins(found), Service)
    if not 0 <= service.confidence <= 1:
        raise ValueError(f"gave a confidence of {service.confidence}, where one from 0 to 1 is wanted")
    return bounded(service)


def _stuck(work: _Work, seconds: float) -> list[_Hand]:
    """Hands whose identifier has not come back, though its connection is long over."""
    late = time.monotonic() - seconds
    with work.lock:
        return [
            hand for hand in work.hands if not hand.gone.is_set() and hand.identifier and hand.since < late
        ]


def _give_up(hand: _Hand, work: _Work, plugins: Plugins, conversation: float) -> None:
    with work.lock:
        identifier, job = hand.identifier, hand.job
        if identifier is None or job is None:
            return
        hand.gone.set()
        work.hands.remove(hand)
    plugins.disable(
        plugins.owner(identifier), f"identifier {identifier.name}", f"took longer than {conversation:g} s"
    )
    # A copy: whatever that thread may yet do, it does to its own.
    work.jobs.put(_Job(job.target, list(job.identifiers), job.best))
