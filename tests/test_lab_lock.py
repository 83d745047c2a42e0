"""Who builds or removes a lab does so alone."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from scanner.lab import lock
from scanner.model import UsageError

HOLDER = """
import subprocess, sys
from scanner.lab import lock
with lock.held(sys.argv[1]):
    print("held", flush=True)
    subprocess.run(["sleep", sys.argv[2]], close_fds=False)
"""


@pytest.fixture
def name():
    return f"ghostport-test-{os.getpid()}"


def test_it_is_free_again_afterwards_also_after_an_error(name):
    with lock.held(name):
        pass
    with pytest.raises(KeyError), lock.held(name, seconds=0):
        raise KeyError
    with lock.held(name, seconds=0):
        pass


def test_a_second_one_waits_and_then_gives_up(name):
    began = time.monotonic()
    with (
        lock.held(name),
        pytest.raises(UsageError, match="by another process"),
        lock.held(name, seconds=0.05),
    ):
        pytest.fail("both hold it")
    assert time.monotonic() - began >= 0.05


def test_labs_of_other_names_are_not_kept_waiting(name):
    with lock.held(name), lock.held(f"{name}-other", seconds=0):
        pass


def test_a_killed_holder_s_command_still_holds_it_until_it_ends(name):
    with subprocess.Popen([sys.executable, "-c", HOLDER, name, "0.3"], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        time.sleep(0.1)  # for the command to start
        holder.kill()
    with pytest.raises(UsageError), lock.held(name, seconds=0):
        pytest.fail("the command is still at work")
    with lock.held(name, seconds=5):
        pass
