"""Whose answers are passed on as evidence of loss, and whose are not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scanner.core.rate import RateController
from scanner.core.rules import Rank
from scanner.core.witness import Witness, Words


class Heard(RateController):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[int, int, int]] = []
        self.waits: list[float] = []

    def heard(self, sent: NDArray[np.int64], before: NDArray[np.int64], attempt: NDArray[np.int64]) -> None:
        self.told += zip(sent.tolist(), before.tolist(), attempt.tolist(), strict=True)

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)


class Times:
    """Try k of task t left at 100 t + k."""

    attempts = 3

    def sent_at(self, tasks: NDArray[np.int64], attempt: NDArray[np.int64]) -> NDArray[np.int64]:
        return 100 * tasks + attempt


def tell(witness: Witness, *answers: tuple[int, int, Rank]) -> None:
    tasks, attempts, ranks = (np.array(column) for column in zip(*answers, strict=True))
    witness.tell(Times(), tasks, attempts, ranks.astype(np.uint8), 0.25)


def test_the_try_that_was_answered_and_the_one_before() -> None:
    heard = Heard()
    tell(Witness(heard), (7, 0, Rank.OPEN), (8, 2, Rank.CLOSED))
    assert heard.told == [(700, 700, 0), (802, 801, 2)]
    assert heard.waits == [0.25]


def test_routers_and_late_questions_tell_nothing() -> None:
    heard = Heard()
    tell(Witness(heard), (7, 1, Rank.FILTERED), (8, 3, Rank.CLOSED), (9, 1, Rank.OPEN))
    assert [task // 100 for task, _, _ in heard.told] == [9]
    tell(Witness(heard), (7, 1, Rank.FILTERED))
    assert len(heard.told) == len(heard.waits) == 1


def test_nobody_need_listen() -> None:
    tell(Witness(), (7, 1, Rank.OPEN))


def test_without_a_limit_every_answer_tells() -> None:
    assert Witness().telling(np.zeros(50, dtype=np.int64)).all()


def test_of_a_host_that_may_limit_its_errors_the_first_words_tell() -> None:
    words = Words(3)
    one, other = Witness(words=words), Witness(words=words)
    assert one.telling(np.array([0, 0, 1])).tolist() == [True] * 3
    assert other.telling(np.array([0, 0])).tolist() == [True] * 2
    assert one.telling(np.array([0, 1, 2])).tolist() == [True, True, True]
    assert other.telling(np.array([0, 1])).tolist() == [False, True]
    assert one.telling(np.array([0, 0, 2])).tolist() == [False, False, True]
