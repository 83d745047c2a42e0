from __future__ import annotations

from pathlib import Path

import pytest

from scanner.model import UsageError
from scanner.wire.ip_command import parse_json_lines, parse_json_list, run_ip


@pytest.fixture
def ip_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Puts a shell script in the place of `ip`."""

    def put(script: str) -> None:
        program = tmp_path / "ip"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    return put


def test_arguments_and_text_reach_it(ip_that) -> None:
    ip_that('echo "$@"; cat')
    assert run_ip(["-j", "link", "show"], "hello\n") == "-j link show\nhello\n"


def test_a_batch_may_fail_in_part(ip_that) -> None:
    ip_that('echo "[]"; exit 1')
    assert run_ip(["-j", "-force", "-batch", "-"]) == "[]\n"
    ip_that("exit 1")
    assert run_ip(["-j", "-force", "-batch", "-"]) == ""


def test_a_failure_is_one_line(ip_that) -> None:
    ip_that('echo "Object \\"lonk\\" is unknown" >&2; echo "try help" >&2; exit 1')
    with pytest.raises(UsageError) as caught:
        run_ip(["lonk"])
    assert str(caught.value) == '`ip lonk` failed: Object "lonk" is unknown'


def test_a_missing_ip_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(UsageError, match="install iproute2"):
        run_ip(["link"])


def test_json_lists_are_read_without_their_empty_objects() -> None:
    assert parse_json_list('[{"a":1},{},{"b":2}]') == [{"a": 1}, {"b": 2}]
    assert parse_json_list("\n") == []
    assert parse_json_lines('[{"a":1}]\n\n[]\n[{"b":2},{"c":3}]\n') == [{"a": 1}, {"b": 2}, {"c": 3}]


@pytest.mark.parametrize("text", ["2: eth0: <UP>", '{"a":1}', "[1"])
def test_what_is_no_json_list_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="JSON"):
        parse_json_list(text)


@pytest.mark.parametrize("text", ["2: eth0: <UP>", '[{"a":1}]\n{"a":1}', "[1"])
def test_lines_that_are_no_json_lists_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="JSON"):
        parse_json_lines(text)
