"""Targets as text, against a brute-force reading of nmap's octet ranges."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from scanner.core import targets
from scanner.core.addresses import AddressSet, parse_address
from scanner.core.hosts import Hosts
from scanner.core.ipv6 import Ipv6Set
from scanner.core.targets import parse_target_lines, parse_targets
from scanner.model import UsageError


def of(*ranges: str) -> AddressSet:
    pairs = [text.partition("-") for text in ranges]
    return AddressSet.of((parse_address(first), parse_address(last or first)) for first, _, last in pairs)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.1", of("10.0.0.1")),
        ("0.0.0.3", of("0.0.0.3")),
        ("255.255.255.255", of("255.255.255.255")),
        ("10.0.0.0/24", of("10.0.0.0-10.0.0.255")),
        ("10.0.0.7/24", of("10.0.0.0-10.0.0.255")),
        ("10.0.0.7/32", of("10.0.0.7")),
        ("1.2.3.4/0", of("0.0.0.0-255.255.255.255")),
        ("10.0.0.1-10.0.0.20", of("10.0.0.1-10.0.0.20")),
        ("10.0.0.250-10.0.1.5", of("10.0.0.250-10.0.1.5")),
        ("10.0.0.1-10.0.0.1", of("10.0.0.1")),
        ("10.0.0.1-20", of("10.0.0.1-10.0.0.20")),
        ("10.0.0-1.1-254", of("10.0.0.1-10.0.0.254", "10.0.1.1-10.0.1.254")),
        ("10.0.0.1,5,9-12", of("10.0.0.1", "10.0.0.5", "10.0.0.9-10.0.0.12")),
        ("10.0.254-.1", of("10.0.254.1", "10.0.255.1")),
        ("10.0.0.-", of("10.0.0.0-10.0.0.255")),
        ("10.0.0.5-", of("10.0.0.5-10.0.0.255")),
        ("10.0.0.-7", of("10.0.0.0-10.0.0.7")),
        ("10.0.0.9,1-3,2-4,9", of("10.0.0.1-10.0.0.4", "10.0.0.9")),
        ("10.0.*.*", of("10.0.0.0-10.0.255.255")),
        ("*.*.*.*", of("0.0.0.0-255.255.255.255")),
        ("-.-.-.-", of("0.0.0.0-255.255.255.255")),
        ("10,12.-.0-255.*", of("10.0.0.0-10.255.255.255", "12.0.0.0-12.255.255.255")),
        ("255.255.255.254-", of("255.255.255.254-255.255.255.255")),
    ],
)
def test_accepted_forms(text: str, expected: AddressSet) -> None:
    assert parse_targets([text]) == Hosts(expected)


def test_star_in_the_middle() -> None:
    assert parse_targets(["10.0.*.1"]).ipv4 == AddressSet.of((10 << 24 | i << 8 | 1,) * 2 for i in range(256))


@st.composite
def octets(draw: st.DrawFn) -> tuple[str, set[int]]:
    """The text of one octet, and its values read one by one."""
    items, values = [], set()
    for _ in range(draw(st.integers(1, 3))):
        low, high = sorted((draw(st.integers(0, 255)), draw(st.integers(0, 255))))
        form = draw(st.sampled_from(["{low}"] * 4 + ["{low}-{high}", "-{high}", "{low}-", "-", "*"]))
        items.append(form.format(low=low, high=high))
        last = high if "high" in form else 255 if "-" in form or "*" in form else low
        values |= set(range(low if "low" in form else 0, last + 1))
    return ",".join(items), values


@given(st.lists(octets(), min_size=4, max_size=4))
@example([("10", {10}), ("0-1", {0, 1}), ("*", set(range(256))), ("*", set(range(256)))])
def test_octet_ranges_against_brute_force(parts: list[tuple[str, set[int]]]) -> None:
    choices = [values for _, values in parts]
    assume(math.prod(map(len, choices)) <= 1 << 13 or choices[-1] == set(range(256)))
    assume(math.prod(map(len, choices[:-1])) <= 1 << 10)
    expected = {a << 24 | b << 16 | c << 8 | d for a, b, c, d in itertools.product(*choices)}
    assert (
        set(parse_targets([".".join(text for text, _ in parts)]).ipv4.chunk(0, 1 << 20).tolist()) == expected
    )


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "it is empty"),
        ("ups.example", "host names are not looked up"),
        ("localhost", "host names are not looked up"),
        ("a.b.c.d", "host names are not looked up"),
        ("10.0.0.0/33", "from 0 to 32"),
        ("10.0.0.0/", "from 0 to 32"),
        ("10.0.0.0/24/8", "from 0 to 32"),
        ("ups.example/24", "four decimal octets"),
        ("10.0.0-3.0/24", "four decimal octets"),
        ("010.0.0.1", "leading zeros"),
        ("10.0.0.01-5", "leading zeros"),
        ("010.0.0.0/8", "leading zeros"),
        ("10.0.0.1-10.0.0.020", "leading zeros"),
        ("10.0.0.20-10.0.0.1", "ends before it starts"),
        ("10.0.0.9-1", "range 9-1 ends before it starts"),
        ("10.0.0.256", "octets go up to 255"),
        ("10.0.0.1-256", "octets go up to 255"),
        ("10.0.0.1-10.0.0.300", "octets go up to 255"),
        ("10.0.0." + "9" * 4000, "octets go up to 255"),
        ("10", "four octets"),
        ("10.0.0", "four octets"),
        ("10.0.0.1.2", "four octets"),
        ("-", "four octets"),
        ("10.0.0.1,", "an octet must be"),
        ("10.0.0.1,,2", "an octet must be"),
        ("10.0..1", "an octet must be"),
        ("10.0.0.1-2-3", "an octet must be"),
        ("10.0.0.--", "an octet must be"),
        ("10.0.0.+1", "an octet must be"),
        ("10.0.0.1 ", "an octet must be"),
        (" 10.0.0.1", "an octet must be"),
        ("10.0.0.1\n", "an octet must be"),
        ("\uff11\uff10.0.0.1", "an octet must be"),
        ("10.0.0.1:401", "a target has no port"),
        ("*.*.*.1", "16777216 ranges, more than 1048576; use a CIDR"),
        ("1" * 5000, "longer than 4096 characters"),
    ],
)
def test_refused_in_one_line_that_shows_a_way(text: str, fault: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_targets(["10.0.0.1", text])
    message = str(caught.value)
    assert fault in message
    assert repr(text)[1:50].removesuffix("'") in message
    assert "10.0.0.0/" in message.removeprefix(repr(text)), "shows an accepted form"
    assert "\n" not in message
    assert len(message) < 250


@given(st.text(max_size=30) | st.text("0123456789.,-*/:ab# \n", max_size=30))
def test_any_text_is_a_target_or_a_usage_error(text: str) -> None:
    try:
        held = parse_targets([text])
    except UsageError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017
    else:
        assert held


def test_no_texts_no_addresses() -> None:
    assert parse_targets([]) == Hosts()


def test_union_of_texts() -> None:
    texts = ["10.0.0.128-255", "10.0.0.0/25", "10.0.1.*", "192.168.0.1", "10.0.0.3"]
    assert parse_targets(texts) == Hosts(of("10.0.0.0-10.0.1.255", "192.168.0.1"))


def test_largest_list_of_octets_fits() -> None:
    listed = ",".join(map(str, range(256)))
    assert parse_targets([".".join([listed] * 4)]).size == 1 << 32


def test_bounded_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "MAX_RANGES", 1000)
    assert parse_targets(["10.0.0-99.1"] * 10).size == 100
    with pytest.raises(UsageError, match="beyond 1000 ranges"):
        parse_targets(["10.0.0-99.1"] * 11)


def test_lines_as_nmap_reads_them() -> None:
    lines = [
        "# the plant\n",
        "10.0.0.1 10.0.0.2\t10.0.0.3,5\r\n",
        "\n",
        "   10.0.1.0/24#comment 1.2.3.4",
        "10.0.2.1",
    ]
    assert parse_target_lines(lines, "hosts") == Hosts(
        of("10.0.0.1-10.0.0.3", "10.0.0.5", "10.0.1.0-10.0.1.255", "10.0.2.1")
    )
    assert parse_target_lines([], "hosts") == Hosts()


def test_a_bad_line_is_named() -> None:
    with pytest.raises(
        UsageError, match=r"^plant\.txt:3: '10\.0\.0\.300' is not a target: octets go up to 255"
    ):
        parse_target_lines(["10.0.0.1\n", "# 10.0.0.300\n", "10.0.0.2 10.0.0.300\n"], "plant.txt")


def test_an_endless_line_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^plant\.txt:2: the line is longer than 65536 characters"):
        parse_target_lines(["10.0.0.1", "10.0.0.1 " * 10_000], "plant.txt")


def test_both_versions_of_ip() -> None:
    found = parse_targets(["fd00::/126", "10.0.0.1", "[fd00::3]", "fd00::5-fd00::6"])
    first = 0xFD << 120
    assert found == Hosts(of("10.0.0.1"), Ipv6Set.of([(first, first + 3), (first + 5, first + 6)]))
    lines = parse_target_lines(["10.0.0.1 fd00::/126 # fd00::9\n", "fd00::5-fd00::6"], "hosts")
    assert lines == found
