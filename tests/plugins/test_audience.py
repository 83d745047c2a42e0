"""Who is told of a sweep: everything once, in order, and only of what was begun."""

from __future__ import annotations

from typing import Any

import pytest

from scanner import sweep
from scanner.plugins import Plugins
from scanner.plugins.audience import Audience
from scanner.wire.behaviours import closed_port, open_port
from scanner.wire.memory import SimulatedNetwork

LISTENER = """
heard = []
def ghostport_sweep_started(targets, ports, protocols): heard.append(("started", targets, ports, protocols))
def ghostport_batch_sent(probes): heard.append(("sent", probes))
def ghostport_verdict_final(verdict): heard.append(("final", verdict.ip, verdict.state.value))
def ghostport_sweep_ended(complete, probes, seconds): heard.append(("ended", complete, probes, seconds > 0))
"""


def network() -> SimulatedNetwork:
    built = SimulatedNetwork(gateway="10.9.0.1")
    built.place("10.0.0.0/30", closed_port())
    built.place("10.0.0.2", open_port())
    return built


@pytest.fixture
def plugins(plugin):
    return Plugins([plugin("listener", LISTENER)], load_installed=False)


def heard(plugins):
    return plugins._manager.get_plugin("listener").heard


@pytest.mark.parametrize("way", [list, lambda planned: planned.result()])
def test_a_whole_sweep_is_told(plugins, way):
    way(sweep("10.0.0.0/30", protocols=["tcp"], network=network(), plugins=plugins))
    told = heard(plugins)
    assert told[0] == ("started", 4, (401,), ("tcp",))
    assert told[-1] == ("ended", True, 5, True)  # one of them asked for the gateway
    assert sum(each[1] for each in told if each[0] == "sent") == 5
    finals = [each[1:] for each in told if each[0] == "final"]
    assert sorted(finals) == [(f"10.0.0.{n}", "open" if n == 2 else "closed") for n in range(4)]


def test_one_that_nobody_iterates_to_the_end_has_ended_too(plugins):
    running: Any = iter(sweep("10.0.0.0/30", protocols=["tcp"], network=network(), plugins=plugins))
    next(running)
    running.close()
    assert heard(plugins)[-1][0] == "ended"
    assert [each[0] for each in heard(plugins)].count("ended") == 1


def test_one_that_is_only_planned_is_not_told(plugins):
    sweep("10.0.0.0/30", network=network(), plugins=plugins)
    plugins.settle()
    assert heard(plugins) == []


def test_without_plugins_nothing_is_told():
    audience = Audience(None)
    audience.started(1, (1,), ())
    audience.sent(1)
    audience.final([])
    audience.ended(complete=True, probes=1, seconds=1)
    assert not audience.wants_verdicts
