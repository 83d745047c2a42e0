"""The chart: whole, in its order, and safe against what names may hold."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

from tests.bench.figures import Bar, Group, groups, svg

README = Path(__file__).parents[2] / "README.md"
PICTURE = Path(__file__).with_name("figures.svg")
SVG = "{http://www.w3.org/2000/svg}"


def standing(name: str, seconds: float | None, times: float | None = None, ended: bool = True):
    return {
        "name": name,
        "seconds": None if seconds is None else {"median": seconds},
        "ratio": None if times is None else {"median": times},
        "ended": ended,
    }


def test_cases_are_drawn_in_order_and_what_failed_is_not():
    kept = {
        "cases": {
            "udp": {"title": "two", "standings": [standing("a", 1.0), standing("b", None)]},
            "tcp": {"title": "one", "standings": [standing("a", 1.0), standing("b", 2.5, 2.5)]},
            "start": {"title": "never", "standings": [standing("a", 1.0)]},
        }
    }
    assert list(groups(kept)) == [
        Group("one", (Bar("a", 1.0, None, True), Bar("b", 2.5, 2.5, True))),
        Group("two", (Bar("a", 1.0, None, True),)),
    ]


def test_bars_are_as_long_as_they_should_be_and_text_is_text():
    group = Group("a < b & c", (Bar("ours", 1.0, None, True), Bar("<b>", 4.0, 4.0, False)))
    picture = ElementTree.fromstring(svg([group]))  # noqa: S314 - our own
    ours, theirs = (float(bar.attrib["width"]) for bar in picture.iter(f"{SVG}rect"))
    assert theirs == 4 * ours
    assert [text.text for text in picture.iter(f"{SVG}text")] == [
        "a < b & c", "ours", "1.00 s", "<b>", "over 4.00 s · 4.0 ×",
    ]  # fmt: skip


def test_the_readme_shows_the_picture_that_is_here():
    assert re.search(r"\(tests/bench/figures\.svg\)", README.read_text())
    texts = [text.text for text in ElementTree.parse(PICTURE).iter(f"{SVG}text")]  # noqa: S314 - our own
    assert texts.count("ghostport") >= 5
