"""Plugins in files: `plugin("name", "code")` writes one, and gives its path."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

PREAMBLE = """
import sys, time
from scanner.contracts import *
from scanner.model import *
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Callable[[str, str], str]:
    def write(name: str, code: str) -> str:
        path = tmp_path / f"{name}.py"
        path.write_text(PREAMBLE + textwrap.dedent(code))
        return str(path)

    return write
