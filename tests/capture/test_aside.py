"""Work aside: what it gives and what it raises, and that what asked for it goes on meanwhile."""

from __future__ import annotations

import threading
import time

import pytest

from scanner.capture.aside import aside, settle
from scanner.model import CaptureError


def test_what_asked_for_it_goes_on_meanwhile() -> None:
    may_end = threading.Event()

    def work() -> int:
        return 5 if may_end.wait(10) else 0

    given = aside(work)
    may_end.set()
    assert given() == 5


def test_what_it_raises_is_raised_where_it_is_asked_for() -> None:
    def work() -> None:
        raise CaptureError("no room")

    given = aside(work)
    with pytest.raises(CaptureError, match="no room"):
        given()


def test_all_that_was_begun_can_be_waited_for() -> None:
    before = threading.active_count()
    begun = [aside(lambda: time.sleep(0.05)), aside(lambda: 1 // 0)]
    settle()
    assert threading.active_count() == before
    begun[0]()
    with pytest.raises(ZeroDivisionError):
        begun[1]()
