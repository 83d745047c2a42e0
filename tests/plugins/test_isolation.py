"""A thread for a plugin: whatever its code does, nobody waits for it longer than said."""

from __future__ import annotations

import threading
import time

import pytest

from scanner.plugins.isolation import PluginHangs, Worker, speaker


def test_what_comes_of_it_and_what_it_raises():
    worker = Worker("mine")
    assert worker.call(lambda: 7, 1) == 7
    assert worker.call(speaker, 1) == "mine"
    assert speaker() is None
    with pytest.raises(ZeroDivisionError):
        worker.call(lambda: 1 / 0, 1)


def raise_exit():
    raise SystemExit(3)


def test_an_exit_is_an_error_like_any_other():
    worker = Worker("mine")
    with pytest.raises(RuntimeError, match="SystemExit: 3"):
        worker.call(raise_exit, 1)
    assert worker.call(lambda: 7, 1) == 7, "its thread goes on"


def test_one_that_takes_too_long():
    worker = Worker("mine")
    free = threading.Event()
    began = time.monotonic()
    with pytest.raises(PluginHangs, match=r"took longer than 0.1 s"):
        worker.call(free.wait, 0.1)
    with pytest.raises(PluginHangs):
        worker.settle(0.1)
    assert time.monotonic() - began < 1
    free.set()
    worker.settle(5)


def test_one_that_gets_on_may_take_longer():
    worker = Worker("mine")
    done: list[int] = []

    def slowly() -> int:
        for number in range(6):
            time.sleep(0.05)
            done.append(number)
        return 7

    assert worker.call(slowly, 0.15, lambda: len(done)) == 7


def test_a_long_line_that_moves_is_waited_for():
    worker = Worker("mine")
    for _ in range(20):
        worker.post(lambda: time.sleep(0.02), 1)
    worker.settle(0.2)
    assert worker.backlog == 0


def test_no_thread_before_there_is_work():
    before = threading.active_count()
    Worker("idle").settle(1)
    assert threading.active_count() == before
