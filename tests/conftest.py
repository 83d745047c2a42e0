"""What all tests share: the `lab` marker, and hypothesis' profiles.

A test marked `lab` builds hosts in network namespaces. Where that is impossible it is
skipped, with the reason; with GHOSTPORT_REQUIRE_LAB=1 it fails instead, and so does one
that skips itself, so that a green run has really seen the lab.
"""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import subprocess
from collections.abc import Generator

import pytest
from hypothesis import settings

pytest_plugins = ["pytester"]

LAB_COMMANDS = ("ip", "nft")

settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, database=None, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


_CLONE_NEWNET = 0x40000000  # include/uapi/linux/sched.h


def pytest_configure(config: pytest.Config) -> None:
    if os.geteuid() == 0:
        leave_the_network()
    config.addinivalue_line("markers", "lab: builds hosts in network namespaces; needs root, ip and nft.")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("lab") is None:
        return
    if obstacle := lab_obstacle():
        pytest.skip(f"no lab: {obstacle}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if lab_required() and item.get_closest_marker("lab") is not None and report.skipped:
        fail_for_skipping(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if lab_required() and report.skipped and "lab" in collector.path.parts:
        fail_for_skipping(report)
    return report


def leave_the_network() -> None:
    """Go into a network namespace with nothing but loopback: whatever a test sends stays on this machine."""
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET) != 0:
        pytest.exit(f"no network namespace to test in: {os.strerror(ctypes.get_errno())}", returncode=1)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def lab_required() -> bool:
    return os.environ.get("GHOSTPORT_REQUIRE_LAB", "0") not in {"", "0"}


@functools.cache
def lab_obstacle() -> str | None:
    """Why this machine cannot have a lab, in one line; None where it can."""
    if os.geteuid() != 0:
        return "not root"
    if missing := [command for command in LAB_COMMANDS if shutil.which(command) is None]:
        return f"not installed: {', '.join(missing)} (make lab-packages)"
    namespace = f"ghostport-check-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", namespace], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        return f"no network namespaces: {made.stderr.strip()}"
    subprocess.run(["ip", "netns", "delete", namespace], check=True)
    return None


def fail_for_skipping(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure that repeats the skip's reason; an xfail stays one."""
    if hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
    report.outcome = "failed"
    report.longrepr = f"GHOSTPORT_REQUIRE_LAB is set, but: {reason}"
