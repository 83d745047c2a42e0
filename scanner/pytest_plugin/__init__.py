"""pytest's plugin: what a network exposes, asserted in a test.

    @pytest.mark.subnet("10.50.4.0/30", ports=[401])
    def test_only_the_ups_answers(sweep):
        sweep().assert_only_open("10.50.4.1 401/tcp")

It is loaded in every run of pytest, wanted or not: what it needs is imported when a test asks for it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from scanner.core.scope import Scope
    from scanner.pytest_plugin.asking import Classifier, Sweeper
    from scanner.pytest_plugin.exposure import Exposure

SUBNET = "subnet"
_MARKER = (
    "subnet(*targets, ports=[401], protocols=['tcp', 'udp'], ...): what the fixture `sweep` asks where it is "
    "called without targets; keywords are those of scanner.sweep."
)

_scope: pytest.StashKey[Scope | None] = pytest.StashKey()
_exposures: pytest.StashKey[list[Exposure]] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare what the command line may say."""
    parser.getgroup("ghostport", "sweeps of networks").addoption(
        "--ghostport-scope",
        metavar="FILE",
        help="addresses, CIDRs and ranges that tests may probe, and no others; without it those that are "
        "private, loopback or link-local (RFC 1918, 1122, 3927)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and read the scope. Raises pytest.UsageError where it cannot be read."""
    config.addinivalue_line("markers", _MARKER)
    name = config.getoption("ghostport_scope")
    if name is None:
        config.stash[_scope] = None
        return
    from scanner.pytest_plugin.scopes import read_scope  # noqa: PLC0415 - only where there is one

    config.stash[_scope] = read_scope(Path(config.invocation_params.dir, name), name)


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say what may be probed, where that was said."""
    name = config.getoption("ghostport_scope")
    return None if name is None else f"ghostport scope: {name}"


@pytest.fixture
def sweep(request: pytest.FixtureRequest, tmp_path: Path) -> Sweeper:
    """Sweep a network: `sweep("10.0.0.0/24", ports=[401])` gives an `Exposure`.

    Without targets it asks those of the mark `subnet`; keywords are those of `scanner.sweep`, and stand above
    the mark's. Evidence is kept in `tmp_path`. Without the right to send raw packets the test is skipped.
    """
    from scanner.pytest_plugin.asking import Sweeper  # noqa: PLC0415 - NumPy, for those who sweep

    marker = request.node.get_closest_marker(SUBNET)
    return Sweeper(tmp_path, request.config.stash[_scope], marker, _keeper(request))


@pytest.fixture
def classify_capture(request: pytest.FixtureRequest) -> Classifier:
    """Read a capture by a sweep's rules: `classify_capture("audit.pcap", ports=[401])` is an `Exposure`."""
    from scanner.pytest_plugin.asking import Classifier  # noqa: PLC0415 - NumPy, for those who read

    return Classifier(_keeper(request))


def _keeper(request: pytest.FixtureRequest) -> Callable[[Exposure], None]:
    """Keeps what a test found out, for its report and for JUnit's."""
    node: pytest.Item = request.node

    def keep(exposure: Exposure) -> None:
        node.stash.setdefault(_exposures, []).append(exposure)
        node.user_properties += [
            ("ghostport_sweep", f"{exposure.title}: {exposure.summary()}"),
            ("ghostport_evidence", str(exposure.evidence)),
        ]

    return keep


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Lay what was found, and where the evidence is, beside a failure."""
    report = yield
    if report.failed:
        for exposure in item.stash.get(_exposures, []):
            report.sections.append(("ghostport", exposure.report()))
    return report


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Say which targets differ, in a table with their reasons."""
    # Who never swept has nothing to compare, and need not import what would tell.
    if "scanner.pytest_plugin.exposure" not in sys.modules:
        return None
    from scanner.pytest_plugin.exposure import difference  # noqa: PLC0415

    return difference(op, left, right)
