"""Room on disk: what is put there comes back, and nothing stays behind."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest

from scanner.capture.scratch import ScratchFile
from scanner.model import CaptureError


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return tmp_path


def test_what_is_put_there_comes_back(folder):
    scratch = ScratchFile()
    parts = [np.arange(length, dtype=np.int64).astype(np.uint8) for length in (5, 0, 100_000, 1)]

    offsets = [scratch.append(part) for part in parts]

    assert offsets == [0, 5, 5, 100_005]
    for offset, part in zip(reversed(offsets), reversed(parts), strict=True):
        assert scratch.read(offset, len(part)).tolist() == part.tolist()
    assert scratch.read(3, 4).tolist() == [3, 4, 0, 1]
    assert os.listdir(folder) == [], "it has no name"  # noqa: PTH208


def test_what_nobody_wants_makes_room_for_others():
    scratch = ScratchFile()
    first, second, third = (scratch.append(np.full(100, fill, dtype=np.uint8)) for fill in (1, 2, 3))
    scratch.free(second, 100)
    assert scratch.append(np.full(101, 4, dtype=np.uint8)) == 300
    assert scratch.append(np.full(90, 5, dtype=np.uint8)) == second
    assert scratch.append(np.full(1, 6, dtype=np.uint8)) == 401
    for offset, count, fill in ((first, 100, 1), (second, 90, 5), (third, 100, 3), (300, 101, 4)):
        assert scratch.read(offset, count).tolist() == [fill] * count


def test_it_is_gone_with_the_object():
    before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208
    scratch = ScratchFile()
    scratch.append(np.zeros(1, dtype=np.uint8))
    assert len(os.listdir("/proc/self/fd")) == len(before) + 1  # noqa: PTH208
    del scratch
    assert set(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_nothing_is_made_before_it_is_needed(monkeypatch):
    monkeypatch.setattr("tempfile.mkstemp", None)
    assert len(ScratchFile().read(0, 0)) == 0


def test_a_full_disk_is_one_line_that_names_the_folder(folder, monkeypatch):
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(CaptureError, match=rf"^{folder}: no room .* No space left .* TMPDIR"):
        ScratchFile().append(np.zeros(1, dtype=np.uint8))


def test_a_folder_that_may_not_be_written(monkeypatch):
    def refused(**_: object) -> None:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("tempfile.mkstemp", refused)
    with pytest.raises(CaptureError, match="Permission denied"):
        ScratchFile().append(np.zeros(1, dtype=np.uint8))
