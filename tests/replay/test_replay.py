"""Recorded captures, read again: every record, field by field."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Container, Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner import CaptureError, State, read_capture, reading
from scanner.capture import apart, open_capture
from scanner.contracts import Frames
from scanner.core import sieve
from scanner.core.selection import Selection
from scanner.model import Reason
from scanner.reading import asked_ports, read_captures
from scanner.result import Result
from tests.replay.case import PCAPS, Case
from tests.replay.cases import CASES
from tests.replay.expectation import targets

SWEPT = [case for case in CASES if case.has_plan]
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def ignore(_line: str) -> None:
    """Hear no warning."""


def replay(case: Case) -> Result:
    warnings: list[str] = []
    ports = None if case.has_plan else case.ports
    result = read_capture(case.capture_path, ports=ports, warn=warnings.append)
    assert len(warnings) == case.is_cut
    return result


@each_case
def test_a_capture_gives_what_is_expected(case):
    result = replay(case)

    assert list(result) == case.expected()
    assert result.forged == case.forged
    assert result.unfinished == case.unfinished
    assert result.complete == (case.unfinished == 0)


@each_case
def test_a_case_is_whole(case):
    assert {path.name for path in case.folder.iterdir()} == {*case.files, "README.md"}
    assert case.capture_path.stat().st_size < 100_000
    assert f"make pcaps ARGS={case.name}" in (case.folder / "README.md").read_text()


def test_no_case_is_left_from_before():
    assert {path.name for path in PCAPS.iterdir()} == {case.name for case in CASES} | {"README.md"}


def test_each_prober_has_a_verdict_of_its_own():
    for case in [case for case in CASES if case.per_prober]:
        read = read_captures([case.capture_path], selection=Selection(), per_prober=True)

        lines = msgspec.json.Encoder().encode_lines(list(read.result))
        assert lines == case.per_prober_path.read_bytes()


@pytest.mark.parametrize("case", SWEPT, ids=lambda case: case.name)
def test_without_its_plan_a_sweep_says_the_same_of_all_that_was_probed(case, tmp_path):
    alone = tmp_path / case.capture_name
    shutil.copyfile(case.capture_path, alone)

    probed = [v for v in case.expected(with_zones=False) if v.state is not State.DOWN]
    result = read_capture(alone, ports=case.ports)

    # Without the plan nobody knows that it was cut short, so the silent get a verdict too.
    assert [v for v in result if not case.unfinished or v.reason is not Reason.NO_RESPONSE] == probed
    assert len(list(result)) == len(probed) + case.unfinished


@each_case
def test_the_records_of_other_ports_are_left_out(case):
    assert list(read_capture(case.capture_path, ports=[1], warn=ignore)) == []


@each_case
def test_asked_about_all_ports_it_says_the_same_of_those_that_were_probed(case):
    verdicts = read_capture(case.capture_path, ports="1-65535", warn=ignore)

    assert [verdict for verdict in verdicts if verdict.port in case.ports] == case.expected()


@each_case
@pytest.mark.parametrize("others", [False, True], ids=["its ports", "others"])
def test_frames_left_out_at_one_look_change_nothing(case, others, monkeypatch):
    def read():
        selection = Selection(ports=asked_ports([9] if others else case.ports))
        found = read_captures([case.capture_path], selection=selection, warn=ignore)
        return list(found.result), found.result.forged, found.frames, found.unread

    monkeypatch.setattr(sieve, "_WORTHWHILE", 1 << 40)
    quickly = read()
    monkeypatch.setattr(sieve, "_WORTHWHILE", 0)
    assert read() == quickly


def everything(case: Case) -> list[object]:
    """What can be said of a capture."""
    said: list[object] = []
    for conversations in (False, True):
        selection = Selection(ports=asked_ports(case.ports))
        read = read_captures(
            [case.capture_path], selection=selection, conversations=conversations, warn=ignore
        )
        said += [list(read.result), list(read.talks()), read.result.forged, read.unread]
    return said


@each_case
def test_nothing_is_kept_of_frames_that_are_done_with(case, monkeypatch):
    """Their memory may be used again."""

    def overwritten(path: Path, warn: Callable[[str], None], interfaces: Container[str]) -> Iterator[Frames]:
        for frames in open_capture(path, chunk=1000, warn=warn, interfaces=interfaces):
            lent = frames.only(slice(None))
            object.__setattr__(lent, "buffer", frames.buffer.copy())
            yield lent
            lent.buffer[:] = 0xA5

    expected = everything(case)
    monkeypatch.setattr(reading, "open_apart", overwritten)
    assert everything(case) == expected


@each_case
def test_read_by_a_process_apart_a_capture_says_the_same(case, monkeypatch):
    expected = everything(case)
    monkeypatch.setattr(apart, "_is_large", lambda _: True)
    monkeypatch.setattr(apart, "_possible", lambda: True)
    assert everything(case) == expected


cut = st.tuples(st.sampled_from(CASES), st.floats(0, 1, exclude_max=True))


@given(cut)
def test_a_capture_that_is_cut_off_gives_fewer_records_or_a_capture_error(tmp_path_factory, cut):
    case, share = cut
    copy = copied(case, tmp_path_factory.mktemp("cut"))
    whole = copy.read_bytes()
    copy.write_bytes(whole[: int(share * len(whole))])

    warnings: list[str] = []
    try:
        verdicts = list(read_capture(copy, ports=case.ports, warn=warnings.append))
    except CaptureError:
        return
    assert {(verdict.ip, verdict.proto, verdict.port) for verdict in verdicts} <= set(targets(case))
    assert len(warnings) <= 1


changed = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8)


@given(st.sampled_from(CASES), changed)
def test_a_capture_with_wrong_bytes_never_raises_another_error(tmp_path_factory, case, changed):
    copy = copied(case, tmp_path_factory.mktemp("changed"))
    data = bytearray(copy.read_bytes())
    for share, value in changed:
        data[int(share * len(data))] = value
    copy.write_bytes(data)

    with contextlib.suppress(CaptureError):
        for verdict in read_capture(copy, ports=case.ports, warn=ignore):
            assert verdict.port in case.ports


@given(st.sampled_from(SWEPT), changed)
def test_a_plan_with_wrong_bytes_never_raises_another_error(tmp_path_factory, case, changed):
    copy = copied(case, tmp_path_factory.mktemp("plan"))
    plan = copy.with_name(case.plan_name)
    data = bytearray(plan.read_bytes())
    for share, value in changed:
        data[int(share * len(data))] = value
    plan.write_bytes(data)

    with contextlib.suppress(CaptureError):
        list(read_capture(copy, ports=case.ports))


def copied(case: Case, folder: Path) -> Path:
    for name in (case.capture_name, *([case.plan_name] if case.has_plan else [])):
        shutil.copyfile(case.folder / name, folder / name)
    return folder / case.capture_name
