"""What the fixtures do: sweep, or read a capture, and keep what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Literal, TypedDict, Unpack

import pytest

from scanner.contracts import Network, Probe
from scanner.core.ports import format_ports
from scanner.core.scope import Scope
from scanner.model import GhostportError, Protocol, UsageError
from scanner.planning import Request
from scanner.plugins import Plugins
from scanner.pytest_plugin.exposure import Exposure
from scanner.reading import read_capture
from scanner.sweeping import sweep
from scanner.wire.packet_socket import open_packet_socket

Keep = Callable[[Exposure], None]

_NO_TARGETS = (
    'ghostport: no targets: write sweep("10.0.0.0/24"), or mark the test '
    'with @pytest.mark.subnet("10.0.0.0/24", ports=[401])'
)


class Options(TypedDict, total=False):
    """Keywords of `scanner.sweep` that a test may give."""

    ports: str | Iterable[int]
    protocols: Iterable[str] | None
    probes: Iterable[str | Probe]
    exclude: str | Iterable[str]
    rate: float | Literal["auto"]
    max_rate: float
    max_per_host: float | None
    retries: int
    wait: float
    interface: str | None
    source_ip: str | None
    wire: str
    no_arp: bool
    ping: bool
    seed: int | None
    identify: bool
    plugins: Plugins | None
    network: Network | None


class Sweeper:
    """The fixture `sweep`."""

    def __init__(self, folder: Path, scope: Scope | None, marker: pytest.Mark | None, keep: Keep) -> None:
        """`folder`: where evidence goes. `marker`: what to ask where a test does not say."""
        self._folder = folder
        self._scope = scope
        self._marked: tuple[str, ...] = () if marker is None else marker.args
        self._defaults = {} if marker is None else marker.kwargs
        self._keep = keep
        self._count = 0

    def __call__(self, *targets: str, **options: Unpack[Options]) -> Exposure:
        """Sweep; on a network of its own (`network=`) that takes no privilege.

        The test is skipped where raw packets cannot be sent, and fails where the sweep cannot be.
        """
        __tracebackhide__ = True
        asked = targets or self._marked
        if not asked:
            pytest.fail(_NO_TARGETS, pytrace=False)
        wanted: Options = {**self._defaults, **options}  # type: ignore[typeddict-item]
        if wanted.get("network") is None:
            _skip_without_privilege()
        self._count += 1
        evidence = self._folder / f"sweep-{self._count}.pcapng"
        with _telling():
            planned = sweep(asked, scope=self._scope, evidence=evidence, **wanted)
            result = planned.result()
            if planned.evidence_error is not None:
                raise planned.evidence_error
        exposure = Exposure(_title(asked, planned.plan.request), result, evidence)
        self._keep(exposure)
        return exposure


class Classifier:
    """The fixture `classify_capture`."""

    def __init__(self, keep: Keep) -> None:
        self._keep = keep

    def __call__(self, path: str | PathLike[str], *, ports: str | Iterable[int] | None = None) -> Exposure:
        """Read a capture; `ports` as for `scanner.read_capture`. The test fails where that cannot be."""
        __tracebackhide__ = True
        with _telling():
            result = read_capture(path, ports=ports)
        exposure = Exposure(str(path), result, Path(path))
        self._keep(exposure)
        return exposure


def _title(targets: Iterable[str], request: Request) -> str:
    asked = [protocol.value for protocol in request.kinds if protocol is not Protocol.ICMP]
    what = [f"{' and '.join(asked)} {format_ports(request.ports)}"] if asked else []
    what += ["icmp"] if Protocol.ICMP in request.kinds else []
    return f"{', '.join(targets)} ({', '.join(what)})"


def _skip_without_privilege() -> None:
    __tracebackhide__ = True
    try:
        open_packet_socket().close()
    except UsageError as error:
        pytest.skip(f"ghostport cannot sweep here: {error}")


@contextmanager
def _telling() -> Iterator[None]:
    """What goes wrong fails the test in one line."""
    __tracebackhide__ = True
    try:
        yield
    except GhostportError as error:
        raise pytest.fail.Exception(f"ghostport: {error}", pytrace=False) from None
