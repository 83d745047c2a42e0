"""The chart of the README: what `make bench` kept, as bars in an SVG that reads well by day and by night.

    python -m tests.bench.figures out/bench.json tests/bench/figures.svg

A group is a case, its bars are seconds; each group has a scale of its own, in which the longest bar is whole.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

CASES = ("tcp", "udp", "million", "scapy", "ports", "records", "mixed")
"""What is drawn, in this order, as far as it was measured."""

_WIDTH, _LEFT, _RIGHT = 760, 190, 150
_BAR, _STEP, _TITLE, _GAP = 14, 20, 22, 14
_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600 }
.figure { font-variant-numeric: tabular-nums }
.ours { fill: #1a7f37 }
.theirs { fill: #afb8c1 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .ours { fill: #3fb950 }
  .theirs { fill: #57606a }
}
"""


@dataclass(frozen=True, slots=True)
class Bar:
    """One contender. seconds: its median. times: in ours; None for ours. ended: False where it was killed."""

    name: str
    seconds: float
    times: float | None
    ended: bool

    @property
    def figure(self) -> str:
        """What stands behind the bar."""
        digits = 2 if self.seconds >= 1 else 3
        bound = "" if self.ended else "over "
        times = "" if self.times is None else f" · {self.times:.{1 if self.times < 10 else 0}f} ×"
        return f"{bound}{self.seconds:.{digits}f} s{times}"


@dataclass(frozen=True, slots=True)
class Group:
    """One case."""

    title: str
    bars: tuple[Bar, ...]


def groups(kept: dict[str, Any]) -> Iterator[Group]:
    """The cases to draw, of what was kept."""
    for name in CASES:
        if case := kept["cases"].get(name):
            bars = tuple(
                Bar(
                    standing["name"],
                    standing["seconds"]["median"],
                    None if standing["ratio"] is None else standing["ratio"]["median"],
                    standing["ended"],
                )
                for standing in case["standings"]
                if standing["seconds"] is not None
            )
            if bars:
                yield Group(case["title"], bars)


def svg(drawn: list[Group]) -> str:
    """The picture."""
    lines: list[str] = []
    y = _GAP
    for group in drawn:
        y += _TITLE
        lines.append(f'<text class="title" x="8" y="{y - 8}">{escape(group.title)}</text>')
        longest = max(bar.seconds for bar in group.bars)
        for number, bar in enumerate(group.bars):
            length = max(1.0, bar.seconds / longest * (_WIDTH - _LEFT - _RIGHT))
            kind = "theirs" if number else "ours"
            middle = y + _BAR - 3
            lines += [
                f'<text x="{_LEFT - 8}" y="{middle}" text-anchor="end">{escape(bar.name)}</text>',
                f'<rect class="{kind}" x="{_LEFT}" y="{y}" width="{length:.1f}" height="{_BAR}" rx="2"/>',
                f'<text class="figure" x="{_LEFT + length + 6:.1f}" y="{middle}">{escape(bar.figure)}</text>',
            ]
            y += _STEP
        y += _GAP
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y}" width="{_WIDTH}" height="{y}" '
        'role="img" aria-label="Seconds that ghostport and its peers take for the same work">'
    )
    return "\n".join([head, f"<style>{_STYLE}</style>", *lines, "</svg>", ""])


def main(source: str, target: str) -> None:
    Path(target).write_text(svg(list(groups(json.loads(Path(source).read_text())))))


if __name__ == "__main__":
    main(*sys.argv[1:])
