"""The order over addresses and ports: complete, the same backwards, and as even as can be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.core.permutation import Permutation
from scanner.core.spread import SpreadOrder


@given(st.integers(0, 70), st.integers(1, 30), st.integers(0, 1 << 63))
def test_every_task_once_and_back_again(addresses: int, ports: int, seed: int) -> None:
    order = SpreadOrder(addresses, ports, seed)
    positions = np.arange(addresses * ports)
    tasks = order.forward(positions)
    assert sorted(tasks.tolist()) == positions.tolist()
    assert order.inverse(tasks).tolist() == positions.tolist()


@given(st.integers(1, 50), st.integers(1, 20))
def test_two_probes_to_an_address_are_a_whole_pass_apart(addresses: int, ports: int) -> None:
    hosts = SpreadOrder(addresses, ports, 5).forward(np.arange(addresses * ports)) // ports
    passes = hosts.reshape(ports, addresses)
    assert (passes == passes[0]).all()
    assert sorted(passes[0].tolist()) == list(range(addresses))


def test_neighbours_are_asked_different_ports_and_no_port_has_its_own_time() -> None:
    tasks = SpreadOrder(1000, 10, 5).forward(np.arange(10_000))
    ports = tasks % 10
    assert (np.diff(ports[:1000]) != 0).all()
    for begin in range(0, 10_000, 1000):
        assert np.bincount(ports[begin : begin + 1000]).tolist() == [100] * 10


def test_with_one_port_it_is_the_keyed_order_itself() -> None:
    positions = np.arange(500)
    assert (SpreadOrder(500, 1, 9).forward(positions) == Permutation(500, 9).forward(positions)).all()


def test_the_order_is_the_seeds() -> None:
    orders = [SpreadOrder(100, 7, seed).forward(np.arange(700)).tolist() for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.parametrize("ports", [1, 3])
def test_a_position_outside_is_an_error(ports: int) -> None:
    with pytest.raises(IndexError):
        SpreadOrder(10, ports, 1).inverse(np.array([10 * ports]))
