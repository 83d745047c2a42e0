"""What the README shows is run, and has to come out as written, times and counts of packets excepted."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from scanner.lab import Lab
from scanner.model import Reason, Verdict

README = Path(__file__).parents[1] / "README.md"
LAB = "readme"

MASKS = ((r"\d+(\.\d+)? ms", "RTT"), (r"in \d+\.\d+ s; \d+ packets", "in S s; N packets"), (r"\s+", " "))


def blocks(language: str) -> list[str]:
    found = re.findall(r"^```(\w+)\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    return [text for kind, text in found if kind == language]


def commands() -> list[tuple[str, str]]:
    """Each command of the console blocks, with the output shown under it."""
    return [
        (command, output)
        for block in blocks("console")
        for command, output in re.findall(r"^# (.*)\n((?:(?!# ).*\n)*)", block, re.MULTILINE)
    ]


def files() -> dict[str, str]:
    """Each file that is shown, by its name, which the words before it end with."""
    return dict(
        re.findall(r"`(\w+\.py)`:\n\n```python\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    )


def scripts() -> list[str]:
    """The other blocks of Python: each runs as it stands."""
    return [code for code in blocks("python") if code not in files().values()]


def masked(output: str) -> list[str]:
    for pattern, replacement in MASKS:
        output = "\n".join(re.sub(pattern, replacement, line).strip() for line in output.splitlines())
    return output.splitlines()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("readme")
    recorded = README.parent / "pcaps" / "refused-then-open" / "capture.pcap"
    (folder / "refused-then-open.pcap").symlink_to(recorded)
    for name, code in files().items():
        (folder / name).write_text(code)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def call(command: str) -> str:
        words = shlex.split(re.sub(r"^ghostport lab (\w+)", rf"ghostport lab \1 --name {LAB}", command))
        done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return done.stdout.replace(f"lab {LAB}:", "lab demo:")

    yield call
    Lab(name=LAB).down()


@pytest.mark.lab
def test_examples_come_out_as_shown(run):
    shown = commands()
    assert [command.split()[1] for command, _ in shown] == ["lab", "lab", "read", "lab", "read", "lab", "lab"]
    for command, output in shown:
        assert masked(run(command)) == masked(output), command
    for code in scripts():
        printed = run(f"ghostport lab exec -- python -c {shlex.quote(code)}")
        assert printed.splitlines()[0] == "10.50.4.1 open syn-ack"


def test_the_record_shown_is_one():
    (record,) = blocks("json")
    verdict = msgspec.json.decode(record, type=Verdict)
    assert list(msgspec.json.decode(record)) == list(msgspec.structs.asdict(verdict))


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_is_explained(reason):
    verdicts = README.read_text().partition("\n## Verdicts\n")[2].partition("\n## ")[0]
    assert f"`{reason}`" in verdicts
