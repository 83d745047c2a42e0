"""The command line in this process, over a network in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from scanner.cli import main
from scanner.wire.behaviours import closed_port, icmp_error, open_port, silent
from scanner.wire.memory import Conditions, SimulatedNetwork


@dataclass(frozen=True)
class Ran:
    """A command that has ended."""

    code: int
    out: str
    err: str


def place() -> SimulatedNetwork:
    """Eight closed hosts, four open, four silent, sixteen behind a router that refuses."""
    network = SimulatedNetwork(gateway="10.9.0.1", conditions=Conditions(delay=0.002))
    network.place("10.0.0.0/29", closed_port())
    network.place("10.0.0.8/30", open_port())
    network.place("10.0.0.12/30", silent())
    network.place("10.0.0.16/28", icmp_error(3, 13, responder=0x0A090001))
    return network


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> SimulatedNetwork:
    """What `ghostport sweep` takes for the machine's own network."""
    simulated = place()
    monkeypatch.setattr("scanner.cli.sweep.this_machine", lambda: simulated)
    return simulated


@pytest.fixture
def ghostport(network: SimulatedNetwork, capfd: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """`ghostport("sweep", …)`: run the command."""

    def run(*words: object) -> Ran:
        code = main([str(word) for word in words])
        return Ran(code, *capfd.readouterr())

    return run
