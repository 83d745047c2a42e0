"""From words to a request; every fault is one line that names the word."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.cli.inputs import request_of, whole_number
from scanner.cli.parser import parse
from scanner.contracts import Sources
from scanner.core.addresses import parse_address
from scanner.core.targets import parse_targets
from scanner.model import Protocol, UsageError, WireKind
from scanner.planning import Request


def request(*words: object) -> Request:
    return request_of(parse(["sweep", *map(str, words)]), {"eth0": 2}.__getitem__)


def test_defaults():
    made = request("10.0.0.0/30")

    assert made.targets == parse_targets(["10.0.0.0/30"])
    assert not made.excluded
    assert (made.ports, made.protocols) == ((401,), (Protocol.TCP, Protocol.UDP))
    assert (made.rate, made.max_rate, made.max_per_host) == (None, math.inf, None)
    assert (made.retries, made.wait) == (2, 1)
    assert (made.interface, made.sources) == (None, Sources())
    assert (made.wire, made.no_arp) == (WireKind.AUTO, False)


def test_all_that_can_be_said():
    made = request(
        *("10.0.0.1", "-p", "3493,401", "--udp", "--rate", "2.5e3", "--retries", "0", "--wait", "0.25"),
        *("--interface", "eth0", "--source-ip", "10.0.0.9", "--exclude", "10.0.0.7"),
        *("--wire", "raw", "--no-arp"),
    )

    assert (made.ports, made.protocols) == ((401, 3493), (Protocol.UDP,))
    assert (made.rate, made.retries, made.wait) == (2500, 0, 0.25)
    assert (made.interface, made.sources) == ("eth0", Sources(parse_address("10.0.0.9")))
    assert made.excluded == parse_targets(["10.0.0.7"])
    assert (made.wire, made.no_arp) == (WireKind.RAW, True)


@pytest.mark.parametrize(
    ("words", "protocols"),
    [(["--tcp"], "tcp"), (["--udp"], "udp"), (["--udp", "--tcp"], "tcp udp"), ([], "tcp udp")],
)
def test_protocols(words, protocols):
    assert " ".join(request("10.0.0.1", *words).protocols) == protocols


@pytest.mark.parametrize(
    ("word", "rate"), [("auto", None), ("max", math.inf), ("inf", math.inf), ("1", 1.0), ("0.5", 0.5)]
)
def test_rates(word, rate):
    assert request("10.0.0.1", "--rate", word).rate == rate


def test_limits_of_the_rate():
    made = request("10.0.0.1", "--max-rate", "5e4", "--max-per-host", "0.5")

    assert (made.max_rate, made.max_per_host) == (50_000, 0.5)


@pytest.mark.parametrize(
    ("word", "excluded"),
    [
        ("10.0.0.7", ["10.0.0.7"]),
        ("10.0.0.7,10.0.0.9", ["10.0.0.7", "10.0.0.9"]),
        ("10.0.0.0/30,10.0.0.9-10.0.0.11", ["10.0.0.0/30", "10.0.0.9-10.0.0.11"]),
        ("10.0.0.1,3,5-9", ["10.0.0.1,3,5-9"]),
        ("10.0.0,1.7", ["10.0.0,1.7"]),
    ],
)
def test_commas_part_what_is_excluded_but_not_an_octet(word, excluded):
    assert request("10.0.0.0/16", "--exclude", word).excluded == parse_targets(excluded)


def test_targets_from_files(tmp_path):
    one, other, left_out = tmp_path / "one", tmp_path / "other", tmp_path / "left out"
    one.write_text("10.0.0.1 10.0.0.2 # the first\n\n# nothing\n10.0.0.3")
    other.write_bytes(b"\xef\xbb\xbf10.0.1.0/30\r\n")
    left_out.write_text("10.0.1.1\n")

    made = request("10.0.2.1", "--targets-file", one, "--targets-file", other, "--exclude-file", left_out)

    assert made.targets == parse_targets(["10.0.0.1-10.0.0.3", "10.0.1.0/30", "10.0.2.1"])
    assert made.excluded == parse_targets(["10.0.1.1"])


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--rate", "fast"], "--rate 'fast': a number is wanted, or auto or max"),
        (["--rate", "nan"], "--rate 'nan'"),
        (["--rate", "0"], "--rate 0"),
        (["--max-rate", "fast"], "--max-rate 'fast': a number is wanted"),
        (["--max-rate", "0"], "--max-rate 0: packets a second must be more than 0"),
        (["--max-per-host", "-1"], "--max-per-host -1: packets a second must be more than 0"),
        (["--wait", "x"], "--wait 'x': a number is wanted"),
        (["--wait", ""], "--wait ''"),
        (["--wait", "-1"], "--wait -1"),
        (["--retries", "1.5"], "--retries '1.5': a whole number from 0 is wanted"),
        (["--retries", "-1"], "--retries '-1'"),
        (["--retries", "٣"], "--retries '٣'"),
        (["--retries", "9" * 30], "whole number"),
        (["--source-ip", "10.0.0.256"], "'10.0.0.256'"),
        (["-p", ""], "port"),
        (["-p", "401,"], "port"),
        (["--exclude", "10.0.0.1,"], "10.0.0.1"),
    ],
)
def test_a_word_that_cannot_be_is_named(words, complaint):
    with pytest.raises(UsageError) as error:
        request("10.0.0.1", *words)
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)


@given(st.text(max_size=30))
def test_numbers_are_numbers_or_refused(text):
    try:
        number = whole_number("--seed", text)
    except UsageError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert 0 <= number < 10**19


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"10.0.0.1\nups.example\n", ":2: 'ups.example' is not a target"),
        (b"\xff\xfe1\x000\x00", "is not a text file of targets"),
        (b"\0" * 100, ":1:"),
        (b"1" * 70_000, ":1: the line is longer than"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, content, complaint):
    path = tmp_path / "targets"
    if content is not None:
        path.write_bytes(content)
    for option in ("--targets-file", "--exclude-file"):
        with pytest.raises(UsageError) as error:
            request("10.0.0.1", option, path)
        assert str(error.value).startswith(str(path))
        assert complaint in str(error.value)


def test_a_name_that_no_file_can_have():
    with pytest.raises(UsageError, match="is not a text file"):
        request("--targets-file", "a\0b")


SHOW_TARGETS = """
from scanner.cli.inputs import request_of
from scanner.cli.parser import parse
from scanner.model import UsageError
try:
    print(request_of(parse(["sweep", "--targets-file", "-"]), {}.get).targets.ipv4.ranges())
except UsageError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("given_in", "shown"),
    [
        (b"10.0.0.1\n", "[(167772161, 167772161)]\n"),
        (b"\xef\xbb\xbf10.0.0.1", "[(167772161, 167772161)]\n"),
        (b"\xff\n", "standard input: is not a text file of targets\n"),
        (b"ups\n", "standard input:1: 'ups' is not a target"),
    ],
)
@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_targets_from_standard_input(given_in, shown, locale):
    environment = {**os.environ, "LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ran = subprocess.run(
        [sys.executable, "-c", SHOW_TARGETS], input=given_in, capture_output=True, check=True, env=environment
    )
    assert ran.stdout.decode().startswith(shown)


def test_standard_input_that_is_closed(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UsageError, match="standard input: is closed"):
        request("--targets-file", "-")
