"""Recording one case in a lab that is up: sets the scene, captures, runs the tool, clears the scene.

All that is run, runs in the lab's namespaces, which have no way out. Each case finds the lab as
it was built, and leaves it so.
"""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from scanner.lab import Lab, listeners, namespaces
from scanner.lab.topology import TARGET_INTERFACE
from tests.replay import services, stage
from tests.replay.case import Case
from tests.replay.helper import environment, helper
from tests.replay.refused import Refused
from tests.replay.setting import assert_isolated, scene_set

_TABLE = "replay"
_PATIENCE = 10.0
"""Seconds for a helper to be ready."""
_LAST_WORDS = 0.3
"""Seconds in which late packets are still captured."""


def record(case: Case, lab: Lab, folder: Path) -> str:
    """Record a case into a folder; returns what the tool wrote to standard output. Raises Refused."""
    with ExitStack() as scene:
        if case.scene is not None:
            scene.enter_context(scene_set(case.scene, lab))
        if case.firewall:
            scene.enter_context(_firewall(case, lab))
        for module, arguments in ((stage, case.name if case.played else ""), (services, case.service or "")):
            if arguments:
                command = [sys.executable, "-m", module.__name__, *arguments.split()]
                scene.enter_context(helper(namespaces.exec_command(lab.target, command), module.READY))
        if case.listening:
            scene.enter_context(helper(_listeners(lab), listeners.READY, wanted=_wanted(case)))
        if case.capture is not None:
            scene.enter_context(_capturing(case, lab, folder))
        printed = _run_tool(case, lab, folder)
    for line in case.finish:
        _run(shlex.split(line), folder)
    return printed


def tool_line(case: Case, lab: Lab) -> str:
    """The command line of the tool that probes."""
    return case.command.format(targets=" ".join(case.targets), gateway=_gateway(lab))


def _run_tool(case: Case, lab: Lab, folder: Path) -> str:
    assert_isolated(lab)
    words = shlex.split(tool_line(case, lab))
    return _run(namespaces.exec_command(lab.prober, words), folder, case.exit_codes)


def _run(words: Sequence[str], folder: Path, exit_codes: Collection[int] = (0,)) -> str:
    ended = subprocess.run(
        words,
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if ended.returncode not in exit_codes:
        said = (ended.stderr.strip() or "it said nothing").splitlines()[-1]
        raise Refused(f"{' '.join(words)} ended with exit code {ended.returncode}: {said}")
    return ended.stdout


@contextmanager
def _firewall(case: Case, lab: Lab) -> Iterator[None]:
    """The case's own rules, which probes meet before those of the lab."""
    rules = ["type filter hook prerouting priority raw;", *case.firewall]
    chain = "\n".join(["chain meet {", *rules, "}"])
    namespaces.nft(lab.target, f"table ip {_TABLE} {{\n{chain}\n}}\n")
    try:
        yield
    finally:
        namespaces.nft(lab.target, f"delete table ip {_TABLE}\n")


@contextmanager
def _capturing(case: Case, lab: Lab, folder: Path) -> Iterator[None]:
    assert case.capture is not None
    log = folder / "capture.log"
    place = lab.target if case.is_captured_at_the_targets else lab.prober
    command = namespaces.exec_command(place, shlex.split(case.capture))
    with log.open("wb") as stream:
        process = subprocess.Popen(command, cwd=folder, env=environment(), stdout=stream, stderr=stream)
    try:
        _wait_for_capture(process, folder / case.recorded_name, log)
        yield
        time.sleep(_LAST_WORDS)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=_PATIENCE)
    if lost := dropped(log.read_text()):
        raise Refused(f"the capture is not whole: {lost} packets were dropped")


def dropped(said: str) -> int:
    """How many packets tcpdump or dumpcap lost, by its last lines. Raises Refused where they do not say."""
    found = re.search(r"(\d+) packets? dropped by kernel|received/dropped on .*?: \d+/(\d+)", said)
    if found is None:
        raise Refused(f"the capture did not say whether it is whole: {said.strip()!r}")
    return int(found[1] or found[2])


def _wait_for_capture(process: subprocess.Popen[bytes], capture: Path, log: Path) -> None:
    """Until it has its file, which it opens after the interface."""
    deadline = time.monotonic() + _PATIENCE
    while not (capture.exists() and capture.stat().st_size):
        if process.poll() is not None or time.monotonic() > deadline:
            raise Refused(f"{process.args!r}: {log.read_text().strip()}")
        time.sleep(0.02)
    # dumpcap has its file before it has its socket; nothing tells when.
    time.sleep(_LAST_WORDS)


def _listeners(lab: Lab) -> list[str]:
    assert_isolated(lab)
    return namespaces.exec_command(lab.prober, [sys.executable, "-I", listeners.__file__])


def _wanted(case: Case) -> str:
    where = [(address, port) for address in case.listening for port in case.ports]
    return json.dumps({"tcp": where, "udp": where})


def _gateway(lab: Lab) -> str:
    (link,) = namespaces.ip_json(lab.target, "link", "show", "dev", TARGET_INTERFACE)
    return str(link["address"])
