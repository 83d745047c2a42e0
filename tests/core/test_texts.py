"""Texts in columns, beside what Python makes of each."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.core import texts
from scanner.core.texts import Few, Piece, Texts, lines

SHARED = np.array([0, 1, 1, 0, 2, 0, 0, 2, 1, 0, 0, 1])


def few(count: int) -> st.SearchStrategy[Few]:
    """Columns of few texts, of which some share who has which."""
    texts = st.lists(st.binary(max_size=9), min_size=3, max_size=5).map(tuple)
    own = st.lists(st.integers(0, 2), min_size=count, max_size=count)
    which = own.map(lambda rows: np.array(rows, dtype=np.intp)) | st.just(SHARED[:count])
    return st.builds(Few, texts, which)


COLUMNS = st.integers(0, 12).flatmap(
    lambda count: st.tuples(
        st.just(count),
        st.lists(
            st.binary(max_size=9)
            | st.lists(st.binary(max_size=40), min_size=count, max_size=count).map(Texts.of)
            | few(count),
            max_size=6,
        ),
    )
)


def texts_of(pieces: list[Piece], count: int) -> list[str]:
    return bytes(lines([*pieces, b"\n"], count)).decode().splitlines()


def text_of(piece: Piece, row: int) -> bytes:
    if isinstance(piece, Few):
        return piece.texts[int(piece.which[row])]
    return piece if isinstance(piece, bytes) else piece.text(row)


@pytest.mark.parametrize("most", [1, 30, 512])
@given(drawn=COLUMNS)
def test_pieces_follow_each_other_in_every_line(most, drawn):
    count, pieces = drawn
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(texts, "_MOST_JOINED", most)
        written = lines(pieces, count)
    assert written == b"".join(text_of(piece, row) for row in range(count) for piece in pieces)
    assert written.readonly


def test_what_few_texts_make_together_is_laid_as_one(monkeypatch):
    laid: list[Texts] = []
    monkeypatch.setattr(texts, "_lay", lambda _room, _place, piece, _behind: laid.append(piece))
    two, three = np.array([0, 1] * 6), np.array([0, 1, 2] * 4)
    pieces: list[Piece] = [
        b"<",
        Few((b"a", b"b"), two),
        b"-",
        Few((b"c", b"d"), two),
        Few((b"x", b"y", b"z"), three),
        b">",
    ]
    lines([*pieces, Texts.of([b"end"] * 12)], 12)
    assert [len(set(column.cells.tolist())) for column in laid] == [6, 1]


def test_a_long_cell_before_a_short_line_end_spoils_no_neighbour():
    column = Texts.of([b"", b"x" * 30, b"", b"y"])
    assert lines([column, b"\n"], 4) == b"\n" + b"x" * 30 + b"\n\ny\n"


def test_where_something_is_not_there_nothing_is_written():
    for column in (Texts.of([b"one", b"two"]), Few((b"two", b"one"), np.array([1, 0]))):
        there = column.where(np.array([False, True]))
        assert texts_of([b"<", there, b">"], 2) == ["<>", "<two>"]
