"""Probes by name: built-in ones, a plugin's, and what may stand behind the colon."""

from __future__ import annotations

import pytest

from scanner import read_capture, sweep
from scanner.model import UsageError
from scanner.plugins import Plugins
from scanner.plugins.builtin import PROBES
from scanner.plugins.probes import probe_named
from scanner.probes.tcp_syn import TCP_SYN
from scanner.wire.behaviours import open_port
from scanner.wire.memory import SimulatedNetwork

CODE = """
from scanner.core.rules import *
def packet(payload):
    from scapy.layers.inet import IP, TCP
    return IP(id=0x4750) / TCP(flags="S", options=[("WScale", 7), ("SAckOK", b"")]) / PAYLOAD
PROBE = Probe(
    name="wide-syn", protocol=Protocol.TCP, summary="", packet=packet, payload=lambda port: b"",
    configure=lambda words: WORDS,
)
def ghostport_probes(): return [PROBE]
"""


def plugins_of(plugin, payload: str = "b''", words: str = "PROBE") -> Plugins:
    code = CODE.replace("PAYLOAD", payload).replace("WORDS", words)
    return Plugins([plugin("mine", code)], load_installed=False, limit=0.5)


@pytest.mark.parametrize("name", PROBES)
def test_built_in_ones_need_no_plugins(name):
    assert probe_named(name, None).name == name


def test_one_that_there_is_none_of(plugin):
    with pytest.raises(UsageError, match=r"--probe x: there is no such probe; there are: tcp-syn, udp, ack"):
        probe_named("x", None)
    with pytest.raises(UsageError, match=r"there is: tcp-syn, .*, wide-syn"):
        probe_named("x", plugins_of(plugin))


def test_words_behind_the_colon(plugin):
    with pytest.raises(UsageError, match="--probe ack:x: nothing may stand behind ack"):
        probe_named("ack:x", None)
    assert probe_named("wide-syn:x", plugins_of(plugin)).name == "wide-syn"
    for words, why in (("1/0", "raised ZeroDivisionError"), ("7", "something else than a probe")):
        with pytest.raises(UsageError, match=why):
            probe_named("wide-syn:x", plugins_of(plugin, words=words))


def test_a_plugin_s_probe_asks(plugin, tmp_path):
    network = SimulatedNetwork(gateway="10.9.0.1")
    network.place("10.0.0.0/30", open_port())
    found = list(
        sweep("10.0.0.0/30", probes=["wide-syn"], plugins=plugins_of(plugin), network=network,
              evidence=tmp_path / "x.pcap")
    )  # fmt: skip
    assert {(v.proto, v.state) for v in found} == {("tcp", "open")}
    assert len(list(read_capture(tmp_path / "x.pcap"))) == 4


def test_two_that_ask_for_the_same(plugin):
    with pytest.raises(UsageError, match="both ask over tcp: sweep once for each"):
        sweep("10.0.0.1", probes=["ack", TCP_SYN], network=SimulatedNetwork())


def test_protocols_beside_probes():
    planned = sweep("10.0.0.1", probes=["icmp-echo"], protocols=["tcp"], network=SimulatedNetwork())
    assert list(planned.plan.request.kinds.items()) == [("tcp", (401,)), ("icmp", (0,))]
    assert list(sweep("10.0.0.1", probes=["ack"], network=SimulatedNetwork()).plan.request.kinds) == ["tcp"]
