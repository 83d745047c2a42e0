"""The progress bar: on a terminal, now and then, and nowhere else."""

from __future__ import annotations

import io
import subprocess
import sys
from contextlib import redirect_stderr

import pytest

from scanner.cli.progress import ProgressBar
from scanner.sweeping import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _wide(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")


def shown(*fractions: float, wanted: bool = True, on: io.StringIO | None = None) -> str:
    """What a bar shows of a sweep that comes so far."""
    stream = Terminal() if on is None else on
    with redirect_stderr(stream), ProgressBar(wanted=wanted) as bar:
        for fraction in fractions:
            bar.show(Progress(fraction=fraction, probes=10, answered=3, open=1, targets=20, elapsed=1.0))
    return stream.getvalue()


def test_on_a_terminal_it_is_drawn():
    drawn = shown(0.25, 1.0)

    assert "sweeping" in drawn
    assert "25 %" in drawn
    assert "100 %" in drawn
    assert "1 open · 3 of 20 answered · 10 probes" in drawn


def test_it_is_not_drawn_again_at_once():
    few, many = shown(0.25), shown(*(step / 2000 for step in range(1000)))

    assert many.count("sweeping") <= few.count("sweeping") + 3


def test_who_wants_none_gets_none():
    assert shown(0.5, 1.0, wanted=False) == ""


def test_where_there_is_no_terminal_there_is_none():
    assert shown(0.5, 1.0, on=io.StringIO()) == ""


def test_after_its_end_it_shows_nothing():
    stream = Terminal()
    with redirect_stderr(stream), ProgressBar(wanted=True) as bar:
        pass
    before = stream.getvalue()

    bar.show(Progress(fraction=0.5, probes=1, answered=1, open=1, targets=1, elapsed=1.0))

    assert stream.getvalue() == before


def test_rich_is_imported_only_to_draw():
    script = (
        "import sys; from scanner.cli.progress import ProgressBar\n"
        "with ProgressBar(wanted=True): pass\n"
        "print('rich' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert (ran.stdout, ran.stderr) == ("False\n", "")
