"""Writing behind: all of it in order, and what goes wrong is told, and stops nobody from ending."""

from __future__ import annotations

import errno
import io
import threading

import pytest

from scanner.cli.behind import WORTH_A_THREAD, WriteBehind

LARGE = b"x" * WORTH_A_THREAD


class Kept(io.BytesIO):
    """Remembers what it held when it was closed."""

    value = b""

    def close(self) -> None:
        if not self.closed:
            self.value = self.getvalue()
        super().close()


class Full(Kept):
    """Takes one large piece."""

    def write(self, data, /):
        if len(data) >= WORTH_A_THREAD and self.tell() >= WORTH_A_THREAD:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


class Held(Kept):
    """Takes nothing before it may."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.may = threading.Event(), threading.Event()

    def write(self, data, /):
        self.begun.set()
        assert self.may.wait(10)
        return super().write(data)


@pytest.mark.timeout(20)
def test_pieces_of_any_size_are_written_in_order():
    file = Kept()
    pieces = [b"first", LARGE, b"small", b"", LARGE[1:], LARGE * 3, b"last"]
    with WriteBehind(file) as behind:
        assert [behind.write(piece) for piece in pieces] == [len(piece) for piece in pieces]
    assert file.closed
    assert file.value == b"".join(pieces)


@pytest.mark.timeout(20)
def test_after_a_flush_it_is_in_the_file():
    file = Kept()
    with WriteBehind(file) as behind:
        for piece in (b"a", LARGE, b"b"):
            behind.write(piece)
            behind.flush()
            assert file.getvalue().endswith(piece)


@pytest.mark.timeout(20)
def test_what_is_changed_afterwards_was_taken_as_it_was():
    file, piece = Held(), bytearray(LARGE)
    with WriteBehind(file) as behind:
        behind.write(piece)
        piece[:] = b"y" * len(piece)
        file.may.set()
    assert file.value == LARGE


@pytest.mark.timeout(20)
def test_the_writer_goes_on_while_a_piece_is_written():
    file = Held()
    with WriteBehind(file) as behind:
        behind.write(LARGE)
        assert file.begun.wait(10)
        behind.write(b"next")
        file.may.set()
    assert file.value == LARGE + b"next"


@pytest.mark.timeout(20)
@pytest.mark.parametrize("how", ["write", "flush", "close"])
def test_a_full_disk_is_told(how):
    file = Full()
    behind = WriteBehind(file)
    behind.write(LARGE)
    behind.write(LARGE)
    with pytest.raises(OSError, match="No space left"):  # noqa: PT012 - any of them may be the first to know
        if how == "write":
            while True:
                behind.write(LARGE)
        getattr(behind, how)()
    with pytest.raises(OSError, match="No space left"):
        behind.close() if how != "close" else behind.flush()
    assert file.closed
    assert file.value == LARGE


@pytest.mark.timeout(20)
def test_its_thread_ends_with_it():
    before = threading.active_count()
    with WriteBehind(Kept()) as behind:
        behind.write(b"small")
        assert threading.active_count() == before
        behind.write(LARGE)
        thread = next(each for each in threading.enumerate() if each.name == "write-behind")
    thread.join(10)
    assert not thread.is_alive()
