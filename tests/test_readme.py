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
LAB = f"test-{os.getpid()}-readme"  # of this run alone; tests of the lab remove what a killed one left

MASKS = ((r"\d+(\.\d+)? ms", "RTT"), (r"in \d+\.\d+ s; \d+ packets", "in S s; N packets"), (r"\s+", " "))


def blocks(language: str, section: str = "") -> list[str]:
    """Of the whole README, or of one section."""
    text = README.read_text()
    if section:
        text = text.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    found = re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
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


def masked(output: str) -> list[str]:
    for pattern, replacement in MASKS:
        output = "\n".join(re.sub(pattern, replacement, line).strip() for line in output.splitlines())
    return output.splitlines()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where everything is run."""
    made: Path = tmp_path_factory.mktemp("readme")
    return made


@pytest.fixture(scope="module")
def run(folder):
    recorded = README.parent / "pcaps" / "refused-then-open" / "capture.pcap"
    (folder / "refused-then-open.pcap").symlink_to(recorded)
    for name, code in files().items():
        (folder / name).write_text(code)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def call(command: str, returncode: int = 0) -> str:
        words = shlex.split(re.sub(r"^ghostport lab (\w+)", rf"ghostport lab \1 --name {LAB}", command))
        done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == returncode, done.stdout + done.stderr
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


@pytest.fixture
def printed(run):
    """What the lines for Python print; they leave audit.pcap behind, which later sections read."""
    if LAB not in Lab.names():
        run(commands()[0][0])
    (code,) = blocks("python", "In Python")
    return run(f"ghostport lab exec -- python -c {shlex.quote(code)}")


@pytest.mark.lab
def test_the_lines_for_python_print_what_is_said(printed):
    assert printed.splitlines()[0] == "10.50.4.1 open syn-ack"


SHELL = """
import doctest, sys
from pathlib import Path
import scapy.all
session, parser = Path(sys.argv[1]).read_text(), doctest.DocTestParser()
examples = parser.get_doctest(session, vars(scapy.all), "README", None, 0)
failed, tried = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(examples)
print(failed, "of", tried, "failed")
"""


@pytest.mark.lab
@pytest.mark.usefixtures("printed")
def test_the_lines_for_scapys_shell_give_what_is_shown(run, tmp_path):
    (session,) = blocks("pycon", "In the Scapy shell")
    (tmp_path / "session.txt").write_text(session)

    said = run(f"ghostport lab exec -- python -c {shlex.quote(SHELL)} {tmp_path / 'session.txt'}")

    assert said == f"0 of {session.count('>>> ')} failed\n", said


@pytest.mark.lab
@pytest.mark.usefixtures("printed")
def test_the_tests_shown_pass_and_fail_as_shown(run, folder):
    (tests,) = blocks("python", "In pytest")
    (shown,) = blocks("text", "In pytest")
    (folder / "test_exposure.py").write_text(tests)

    said = run("ghostport lab exec -- python -m pytest test_exposure.py", returncode=1)

    assert "1 failed, 1 passed" in said
    lines = masked(said)
    assert [line for line in masked(shown) if line not in lines] == [], said


def test_the_record_shown_is_one():
    (record,) = blocks("json")
    verdict = msgspec.json.decode(record, type=Verdict)
    assert list(msgspec.json.decode(record)) == list(msgspec.structs.asdict(verdict))


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_is_explained(reason):
    verdicts = README.read_text().partition("\n## Verdicts\n")[2].partition("\n## ")[0]
    assert f"`{reason}`" in verdicts
