"""`ghostport lab …`, as a user types it."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

pytestmark = pytest.mark.lab


def lab_command(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "scanner.lab", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_from_up_to_down(make_lab):
    name = make_lab().name  # removed in the end, whatever happens here

    up = lab_command("up", "--profile", "small", "-p", "401,500-501", "--name", name)
    assert up.stdout == (
        f"lab {name}: up, profile small, 10.50.0.0/22, 10.49.0.0/24, fd00:50::/116, fd00:49::/120 and "
        "fe80::/124, open hosts on port 401,500-501, processes: 1\n"
    )
    assert up.stderr == ""
    assert lab_command("status").stdout.count(up.stdout) == 1
    assert lab_command("loss", "2.5", "--name", name).stdout == up.stdout.replace(
        "\n", ", losing 2.5 % each way\n"
    )

    for words in (
        ["--", "ip", "-brief", "address", "show", "gpv0"],
        ["ip", "-brief", "address", "show", "gpv0"],
    ):
        inside = lab_command("exec", "--name", name, *words)
        assert "10.49.0.1/24" in inside.stdout
    assert lab_command("exec", "--name", name, "--", "sh", "-c", "exit 7").returncode == 7
    assert lab_command("exec", "--name", name, "--", "sh", "-c", "kill -TERM $$").returncode == 128 + 15

    truth = lab_command("truth", "--name", name, "--proto", "udp").stdout.splitlines()
    assert len(truth) == 3 * (1024 + 254 + 4096 + 256 + 16)
    assert json.loads(truth[0])["ip"] == "10.50.0.0"
    of_two = lab_command("truth", "--name", name, "-p", "401", "fd00:49::/120", "10.49.0.0/24").stdout
    assert [json.loads(line)["ip"] for line in of_two.splitlines()][255:257] == ["fd00:49::ff", "10.49.0.1"]

    networks = lab_command("networks", "--name", name).stdout
    assert networks.splitlines()[:2] == [
        "10.50.0.0/22     1024 addresses by gpv0 through 10.49.0.2",
        "10.49.0.0/24      256 addresses by gpv0 on-link",
    ]
    assert networks == lab_command("networks", "--profile", "small").stdout

    assert lab_command("down", "--name", name).returncode == 0
    assert lab_command("status", "--name", name).stdout == f"lab {name}: down\n"
    assert lab_command("down", "--name", name).returncode == 0


def test_networks_are_listed_with_the_ways_to_them():
    lines = lab_command("networks", "--profile", "links").stdout.splitlines()
    assert [re.sub(" +", " ", line) for line in lines if line.startswith(("10.", "127", "fd00:62"))] == [
        "10.50.0.0/26 64 addresses by gpv0 through 10.49.0.2",
        "10.49.0.0/24 256 addresses by gpv0 on-link",
        "10.62.0.0/26 64 addresses by gpv0 through 10.49.0.2 or by gpw0 through 10.48.0.2",
        "fd00:62::/122 64 addresses by gpv0 through fd00:49::2 or by gpw0 through fd00:48::2",
        "10.48.0.0/28 16 addresses by gpw0 on-link",
        "10.60.0.0/26 64 addresses by gpw0 through 10.48.0.2",
        "10.61.0.0/26 64 addresses by gpw0 through 10.48.0.2, table 401",
        "10.53.0.0/28 16 addresses by gpv0.401 on-link",
        "10.54.0.0/28 16 addresses by gpb0 on-link",
        "10.55.0.0/28 16 addresses by gpo0 on-link",
        "10.56.0.0/30 4 addresses by gpt0 on-link",
        "10.57.0.0/26 64 addresses by gpt0",
        "127.4.1.0/28 16 addresses at the prober itself",
        "10.59.0.0/29 8 addresses at the prober itself",
        "10.58.0.0/29 8 addresses not at all: blackhole",
        "10.58.1.0/29 8 addresses not at all: unreachable",
        "10.58.2.0/29 8 addresses not at all: prohibit",
        "10.58.3.0/29 8 addresses not at all: throw",
    ]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["exec", "--name", "never-built", "--", "true"], "lab: the lab 'never-built' is not up; run:"),
        (["exec"], "lab: there is no command to run"),
        (["loss", "100", "--name", "never-built"], "lab: the lab 'never-built' is not up"),
        (["up", "--name", "No/Name"], "lab: 'No/Name' cannot name a lab"),
        (["truth", "--profile", "small", "10.9.0.0/24"], "lab: 10.9.0.0/24 is no network of the lab"),
    ],
)
def test_an_error_is_one_line(words, complaint):
    ended = lab_command(*words)
    assert ended.returncode == 2
    assert ended.stderr.startswith(complaint)
    assert ended.stderr.count("\n") == 1
