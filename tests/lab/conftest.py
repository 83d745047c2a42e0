"""Labs for tests. They are named after this process, so that runs side by side do not meet."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scanner.lab import Lab, Profile

PREFIX = "test-"


def name(suffix: str) -> str:
    return f"{PREFIX}{os.getpid()}{suffix}"


def remove_labs_of_killed_runs() -> None:
    for left in Lab.names():
        pid = left.removeprefix(PREFIX).split("-")[0]
        if left.startswith(PREFIX) and pid.isdigit() and not Path("/proc", pid).exists():
            Lab(name=left).down()


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """A small lab, shared by all: who changes it puts it back."""
    remove_labs_of_killed_runs()
    with Lab("small", name("")) as built:
        yield built


@pytest.fixture(scope="session")
def links() -> Iterator[Lab]:
    """A host with many ways out, shared by all."""
    with Lab("links", name("-links")) as built:
        yield built


@pytest.fixture(scope="session")
def lan() -> Iterator[Lab]:
    """A large segment, shared by all."""
    with Lab("lan", name("-lan")) as built:
        yield built


@pytest.fixture
def make_lab() -> Iterator[Callable[..., Lab]]:
    """Labs of one's own: `make_lab(profile="small")` gives one that is not up yet; removed in the end."""
    made: list[Lab] = []

    def make(profile: Profile | str = "small") -> Lab:
        made.append(Lab(profile, name(f"-{len(made)}")))
        return made[-1]

    yield make
    for lab in made:
        lab.down()


@pytest.fixture(scope="session")
def nmap() -> str:
    path = shutil.which("nmap")
    if path is None:
        pytest.skip("nmap is not installed (make lab-packages)")
    return path
