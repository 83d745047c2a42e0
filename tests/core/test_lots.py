"""However many packets a flow has, or flows a hash, no more are looked at together than memory holds."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from scanner.core import flowtable, recorded, runs
from scanner.core.flowtable import Joined, Probes, Words
from scanner.core.rules import Claims, Rank
from tests.core.test_recorded import MS, Found, Timed, error, found, judged, own, reply, syn

HELD = 16
MOST = 6 * HELD
"""As many rows as a lot has at worst: twice as many of one key do not yet count as too many, others may lie
around it, and of the flow that goes on there are as many once more."""


@pytest.fixture
def lots(monkeypatch) -> list[int]:
    """How many rows were looked at together, each time."""
    sizes: list[int] = []
    join = flowtable.join

    def counted(probes: Probes, claims: Claims, ports: NDArray[np.bool_] | None) -> Joined:
        sizes.append(len(probes) + len(claims))
        return join(probes, claims, ports)

    monkeypatch.setattr(recorded, "join", counted)
    return sizes


def the_same_in_lots(packets: list[Timed], lots: list[int], *ports: int) -> list[Found]:
    """What is found of packets, also where memory holds few."""
    whole = judged(packets, *ports)
    assert len(lots) == 1
    lots.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recorded, "_HELD", HELD)
        patch.setattr(runs, "_SAMPLED", 2)
        few = judged(packets, *ports, chunk=7)
        assert found(few) == found(whole)
    assert few.forged == whole.forged
    return found(few)


SAID = {
    "the same SYN": [syn()],
    "SYNs with other numbers": [syn(seq=number) for number in range(5, 9)],
    "a SYN, and answers that are none": [syn(), reply(ack=7)],
    "a SYN, and its answer": [syn(), reply()],
    "answers alone": [reply()],
    "refusals on the way": [error(syn()), syn(), error(syn(), code=13)],
    "what the prober says next": [own("A", seq=number) for number in range(99, 499)],
}


@pytest.mark.parametrize("step", [0, 1, 100 * MS, -100 * MS])
@pytest.mark.parametrize("kind", SAID)
def test_one_flow_of_many_packets(kind: str, step: int, lots: list[int]) -> None:
    begin = 10**12
    said = [SAID[kind][at % len(SAID[kind])] for at in range(400)]
    packets: list[Timed] = [(begin, syn()), *((begin + step * at, packet) for at, packet in enumerate(said))]
    [row] = the_same_in_lots(packets, lots)
    assert (row.rank == Rank.OPEN) == (kind in {"a SYN, and its answer", "answers alone"})
    assert max(lots) <= MOST


def test_a_flow_that_began_at_the_other_end(lots: list[int]) -> None:
    """A SYN from the port that is asked about, and then many to it: an answer, and no probe."""
    first = reply("S")
    packets: list[Timed] = [(10, first), *((20 + at, syn()) for at in range(400))]
    assert the_same_in_lots(packets, lots) == []
    assert max(lots, default=0) <= MOST


def test_flows_whose_hashes_somebody_made_alike(lots: list[int], monkeypatch) -> None:
    def one_for_all(words: Words) -> NDArray[np.uint64]:
        return np.zeros(len(words[0]), dtype=np.uint64)

    packets: list[Timed] = []
    for number in range(200):
        sport = 51000 + number
        packets += [
            (number * MS, syn(sport)),
            (number * MS + 5, reply("RA" if number % 2 else "SA", 101, sport)),
        ]
    plain = found(judged(packets))
    lots.clear()
    monkeypatch.setattr(flowtable, "mix", one_for_all)
    assert the_same_in_lots(packets, lots) == plain
    assert len(lots) > len(packets) / MOST
    assert max(lots) <= MOST


def test_whoever_has_such_a_flow_hides_no_other(lots: list[int]) -> None:
    packets: list[Timed] = [(at, syn()) for at in range(400)]
    packets += [(10, syn(51001)), (20, reply(sport=51001)), (30, syn(dst="10.0.0.7")), (500, reply("RA"))]
    rows = the_same_in_lots(packets, lots)
    assert [(row.rank, row.tries) for row in rows] == [(Rank.UNANSWERED, 1), (Rank.OPEN, 2)]
