"""The table of the built-in plugins. That it agrees with what they declare is in test_registry.py."""

from __future__ import annotations

import pytest

from scanner.plugins.builtin import FORMATS, format_named, format_of


def test_a_format_by_its_name():
    assert {name: format_named(name).name for name in FORMATS} == {name: name for name in FORMATS}  # type: ignore[union-attr]
    assert format_named("xml") is None


@pytest.mark.parametrize(
    ("file", "name"),
    [("a.csv", "csv"), ("A.CSV", "csv"), ("a.jsonl", "jsonl"), ("a", "jsonl"), ("csv", "jsonl")],
)
def test_a_format_by_the_name_of_a_file(file, name):
    assert format_of(file) == name
