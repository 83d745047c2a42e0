"""Sinks: they take what the capture takes, byte for byte, and the sweep does not wait."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from scanner import sweep
from scanner.capture import open_capture
from scanner.model import UsageError
from scanner.plugins import Plugins
from scanner.plugins.sinks import Sinks
from scanner.wire.behaviours import closed_port
from scanner.wire.memory import SimulatedNetwork

KEEPER = """
kept, closed = [], []
class Keeper:
    def __init__(self, where): self.where = where
    def write(self, frames, *, sent):
        ACT
        for start, length, moment in zip(frames.starts, frames.lengths, frames.times):
            kept.append((int(moment), bytes(frames.buffer[start:start + length]), sent))
    def close(self): closed.append(self.where)
def make(where):
    if where == "bad": raise UsageError("bad is no place")
    return None if where == "none" else Keeper(where)
def ghostport_evidence_sinks(): return [EvidenceSink(name="keeper", summary="", open=make)]
"""


def network() -> SimulatedNetwork:
    built = SimulatedNetwork(gateway="10.9.0.1")
    built.place("10.0.0.0/28", closed_port())
    return built


def plugins_of(plugin, act: str = "pass") -> Plugins:
    return Plugins([plugin("keeper", KEEPER.replace("ACT", act))], load_installed=False, limit=0.5)


def test_it_takes_what_the_capture_takes(plugin, tmp_path):
    plugins = plugins_of(plugin)
    planned = sweep("10.0.0.0/28", network=network(), evidence=tmp_path / "x.pcap", plugins=plugins)
    planned.sinks = Sinks(plugins, ["keeper:here:there"])
    planned.result()

    module: Any = plugins._manager.get_plugin("keeper")
    captured = [
        (int(moment), bytes(frames.buffer[start : start + length]))
        for frames in open_capture(tmp_path / "x.pcap")
        for start, length, moment in zip(frames.starts, frames.lengths, frames.times, strict=True)
    ]
    assert sorted(each[:2] for each in module.kept) == sorted(captured)
    assert {sent for *_, sent in module.kept} == {True, False}
    assert module.closed == ["here:there"]
    assert planned.sinks.failed == []


@pytest.mark.parametrize("act", ["raise ValueError", "time.sleep(60)"])
def test_one_that_fails_is_named_and_the_sweep_is_whole(plugin, act):
    plugins = plugins_of(plugin, act)
    planned = sweep("10.0.0.0/28", network=network(), plugins=plugins)
    planned.sinks = Sinks(plugins, ["keeper"])
    began = time.monotonic()
    assert len(list(planned.result())) == 32
    assert time.monotonic() - began < 5
    assert planned.sinks.failed == ["keeper"]
    assert len(plugins.faults) == 1


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("nobody", "--evidence-sink nobody: there is no such evidence sink; there is: keeper"),
        ("keeper:bad", "--evidence-sink keeper: bad is no place"),
        ("keeper:none", "--evidence-sink keeper: the plugin opened nothing that could be written to"),
    ],
)
def test_words_that_say_nothing(plugin, word, why):
    with pytest.raises(UsageError) as error:
        Sinks(plugins_of(plugin), [word])
    assert str(error.value) == why


def test_the_arrays_are_its_own(plugin):
    """What the wire reports may be kernel memory, and is written over."""
    plugins = plugins_of(plugin, "self.frames = frames")
    planned = sweep("10.0.0.0/28", network=network(), plugins=plugins)
    planned.sinks = sinks = Sinks(plugins, ["keeper"])
    planned.result()
    [(_, _, sink)] = sinks._open
    assert sink.frames.buffer.flags.owndata or sink.frames.buffer.base.flags.owndata  # type: ignore[attr-defined]
    assert isinstance(sink.frames.buffer, np.ndarray)  # type: ignore[attr-defined]
