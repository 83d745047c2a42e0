"""Who is registered, who is refused and why, and who is left alone."""

from __future__ import annotations

import inspect
import threading
import time
import types

import pytest

from scanner.contracts import EvidenceSink, Format, Identifier, Probe, ScopeProvider
from scanner.model import Protocol, Reason, State, UsageError, Verdict
from scanner.plugins import Plugins, builtin, hooks, registry
from scanner.plugins.installed import Found

VERDICT = Verdict(ip="10.0.0.1", proto=Protocol.TCP, port=401, state=State.OPEN, reason=Reason.SYN_ACK)


def brought(plugins: Plugins) -> dict[str, list[tuple[str, str]]]:
    return {each.name: each.brings for each in plugins.listed()}


def refusal(path: str) -> str:
    """Why a plugin that was named is refused: one line."""
    with pytest.raises(UsageError) as error:
        Plugins([path], load_installed=False, limit=0.5)
    assert "\n" not in str(error.value)
    assert str(error.value).isprintable()
    return str(error.value)


def test_the_built_in_ones_are_registered_like_any_other():
    plugins = Plugins(load_installed=False)
    assert brought(plugins) == {
        "tcp-syn": [("probe", "tcp-syn")],
        "udp": [("probe", "udp")],
        "ack": [("probe", "ack")],
        "sctp-init": [("probe", "sctp-init")],
        "icmp-echo": [("probe", "icmp-echo")],
        "udp-payload": [("probe", "udp-payload")],
        "nut": [("identifier", "nut")],
        "banner": [("identifier", "banner")],
        "text": [("format", "text")],
        "terminal": [("format", "terminal")],
        "jsonl": [("format", "jsonl")],
        "csv": [("format", "csv")],
    }
    assert plugins.faults == []


@pytest.mark.parametrize(
    ("table", "kind"),
    [(builtin.PROBES, Probe), (builtin.IDENTIFIERS, Identifier), (builtin.FORMATS, Format)],
)
def test_a_built_in_one_is_where_its_name_says(table, kind):
    plugins = Plugins(load_installed=False)
    assert [each.name for each in plugins.all(kind)] == list(table)
    for name, place in table.items():
        assert plugins.owner(plugins.get(kind, name, "--x")).place == place
    if kind is Format:
        assert [builtin.format_named(name) for name in table] == plugins.all(kind)


WHOLE = """
class Nothing:
    def write(self, *_, **__): pass
    def close(self): pass

def ghostport_probes():
    yield Probe(name="mine", protocol=Protocol.TCP, summary="", packet=lambda p: None, payload=lambda p: b"")
def ghostport_identifiers():
    yield Identifier(name="mine", summary="", identify=lambda talk: None, ports=(1, 65535))
def ghostport_reporters():
    return (Format(name="mine", summary="", reporter=lambda stream: Nothing(), suffix=".mine"),)
def ghostport_evidence_sinks():
    return [EvidenceSink(name="mine", summary="", open=lambda where: Nothing())]
def ghostport_scope_providers():
    return [ScopeProvider(name="mine", summary="", networks=lambda which: ["10.0.0.0/8"])]
def ghostport_sweep_ended(): pass
"""


def test_a_plugin_brings_what_it_declares(plugin):
    plugins = Plugins([plugin("whole", WHOLE)], load_installed=False)
    mine = plugins.listed()[-1]
    kinds = ["probe", "identifier", "format", "evidence sink", "scope provider"]
    assert mine.brings == [(kind, "mine") for kind in kinds]
    assert set(mine.hooks) == {*hooks.ASKING, "ghostport_sweep_ended"}
    for kind in (Probe, Identifier, Format, EvidenceSink, ScopeProvider):
        assert plugins.owner(plugins.get(kind, "mine", "--x")) is mine
    assert [plugins.format_of(name) for name in ("a.MINE", "a.csv", "a")] == ["mine", "csv", "jsonl"]


def test_a_name_that_nobody_has_is_answered_with_those_that_there_are():
    plugins = Plugins(load_installed=False)
    with pytest.raises(
        UsageError, match=r"--format xml: there is no such format; .*text, terminal, jsonl, csv"
    ):
        plugins.get(Format, "xml", "--format")
    with pytest.raises(UsageError, match="nothing; plugins may bring some"):
        plugins.get(EvidenceSink, "x", "--evidence-sink")


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("", "it has no function that is named after a hook: ghostport_probes, "),
        ("def ghostport_probe(): pass", "ghostport_probe is no hook; there are: ghostport_probes, "),
        ("ghostport_probes = []", "ghostport_probes is no function"),
        ("def ghostport_batch_sent(colour): pass", "ghostport_batch_sent does not fit: .*colour"),
        ("1/0", "importing .* raised ZeroDivisionError: division by zero"),
        ("sys.exit(3)", "importing .* raised RuntimeError: SystemExit: 3"),
        ("time.sleep(60)", "importing .* took longer than 0.5 s"),
        ("def ghostport_probes(): 1/0", "ghostport_probes raised ZeroDivisionError"),
        ("def ghostport_probes(): time.sleep(60)", "ghostport_probes took longer than 0.5 s"),
        ("def ghostport_probes(): pass", "ghostport_probes raised TypeError"),
        ("def ghostport_probes(): return ['\\x1b[2J']", r"gives '\\\\x1b\[2J', where a Probe is wanted"),
        ("def ghostport_identifiers(): return [Identifier('a b', '', print)]", "named 'a b': small letters"),
        ("def ghostport_identifiers(): return [Identifier(7, '', print)]", "named 7: small letters"),
        (
            "def ghostport_identifiers(): return [Identifier('a', 7, print)]",
            "'a' whose summary is not a text",
        ),
        ("def ghostport_identifiers(): return [Identifier('a', '', 7)]", "whose identify is not a function"),
        (
            "def ghostport_identifiers(): return [Identifier('a', '', print, [1])]",
            "whose ports is not a tuple of numbers",
        ),
        (
            "def ghostport_identifiers(): return [Identifier('a', '', print, (65536,))]",
            "whose ports is not a tuple of numbers",
        ),
        (
            "def ghostport_reporters(): return [Format('a', '', print, 'txt')]",
            r"whose suffix is not like '\.txt'",
        ),
        (
            "def ghostport_reporters(): return [Format('csv', '', print)]",
            "gives a format 'csv', and there is one of that name",
        ),
        (
            "def ghostport_reporters(): return [Format('a', '', print)] * 2",
            "gives a format 'a', and there is one of that name",
        ),
        ("raise ValueError('\\x1b[31m\\n\\u202e')", r"raised ValueError: \\x1b\[31m\\x0a\\u202e"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(plugin, code, why):
    path = plugin("odd", code)
    line = refusal(path)
    assert line.startswith("plugin odd: ")
    assert line.endswith("; it is not used")
    import re

    assert re.search(why, line), line


def test_an_installed_one_that_does_not_fit_harms_nobody_else(monkeypatch):
    fits = types.ModuleType("fits")
    fits.ghostport_sweep_ended = lambda: None  # type: ignore[attr-defined]
    found = [
        Found("odd", lambda: types.ModuleType("odd"), "odd", "odd-dist", "1"),
        Found("Not A Name\x1b", lambda: fits, "odd"),
        Found("csv", lambda: fits, "odd"),
        Found("fits", lambda: fits, "fits"),
    ]
    monkeypatch.setattr(registry, "any_installed", lambda: True)
    monkeypatch.setattr(registry, "installed", lambda: iter(found))
    told: list[str] = []
    plugins = Plugins(fault=told.append)
    assert "fits" in brought(plugins)
    assert told == plugins.faults
    assert [line.split(":")[0] for line in told] == ["plugin odd", "plugin Not A Name\\x1b", "plugin csv"]
    assert Plugins(load_installed=False).faults == []
    assert "fits" in brought(Plugins(["fits"], load_installed=False))


def test_one_that_there_is_none_of():
    with pytest.raises(
        UsageError, match=r"--plugin nobody: neither an installed plugin \(none\) nor a module"
    ):
        Plugins(["nobody"], load_installed=False)
    with pytest.raises(UsageError, match=r"--plugin \./nobody\.py: there is no such file"):
        Plugins(["./nobody.py"], load_installed=False)


def test_a_built_in_one_may_be_named():
    assert brought(Plugins(["nut"], load_installed=False)) == brought(Plugins(load_installed=False))


# --- telling ------------------------------------------------------------------------------------


def heard_by(plugins: Plugins, name: str) -> types.ModuleType:
    """The plugin's module."""
    module = plugins._manager.get_plugin(name)
    assert isinstance(module, types.ModuleType)
    return module


LISTENER = """
import threading
heard = []
gate = threading.Event()
def ghostport_sweep_started(targets, ports): heard.append((targets, ports))
def ghostport_batch_sent(probes): gate.wait(5); heard.append(probes)
def ghostport_verdict_final(verdict): heard.append(verdict.ip)
def ghostport_sweep_ended(): heard.append(threading.current_thread().name)
"""


def tell_everything(plugins: Plugins) -> None:
    plugins.tell("ghostport_sweep_started", targets=2, ports=(401,), protocols=("tcp",))
    for _ in range(200):
        plugins.tell_sent(10)
    plugins.tell_verdicts([VERDICT])
    plugins.tell_sent(0, last=True)


def test_it_is_told_of_everything_in_order_from_a_thread_of_its_own(plugin):
    plugins = Plugins([plugin("listener", LISTENER)], load_installed=False)
    module = heard_by(plugins, "listener")
    tell_everything(plugins)
    module.gate.set()
    plugins.settle()
    plugins.tell("ghostport_sweep_ended", complete=True, probes=2000, seconds=1.0)
    plugins.settle()
    counts = [each for each in module.heard if isinstance(each, int)]
    assert sum(counts) == 2000
    assert len(counts) < 100, "batches are told of together while it is slow"
    assert module.heard[0] == (2, (401,))
    assert "10.0.0.1" in module.heard
    assert module.heard[-1] == "ghostport plugin listener"
    assert plugins.faults == []


@pytest.mark.parametrize(
    ("does", "why"),
    [
        ("raise ValueError('\\x1b[2J')", r"raised ValueError: \x1b[2J"),
        ("sys.exit()", "raised SystemExit: "),
        ("time.sleep(60)", "took longer than 0.3 s"),
    ],
)
@pytest.mark.parametrize(
    "hook", ["ghostport_sweep_started", "ghostport_batch_sent", "ghostport_verdict_final"]
)
def test_one_that_misbehaves_is_reported_once_and_left_alone(plugin, hook, does, why):
    bad = plugin("bad", f"calls = []\ndef {hook}():\n    calls.append(1)\n    {does}\n")
    good = plugin("good", LISTENER + "\ngate.set()\n")
    plugins = Plugins([bad, good], load_installed=False, limit=0.3)
    began = time.monotonic()
    for _ in range(3):
        tell_everything(plugins)
        plugins.settle()
    assert time.monotonic() - began < 3
    assert len(plugins.faults) == 1
    assert plugins.faults[0].startswith("plugin bad: ")
    assert plugins.faults[0].endswith(f"{why}; disabled for this run")
    assert len(heard_by(plugins, "bad").calls) == 1
    assert not plugins.listens(hook) or [each[0].name for each in plugins._listeners(hook)] == ["good"]
    heard = heard_by(plugins, "good").heard
    assert [each for each in heard if isinstance(each, str)] == ["10.0.0.1"] * 3
    assert sum(each for each in heard if isinstance(each, int)) == 6000


def test_a_line_that_does_not_move_holds_nobody_up_twice(plugin):
    plugins = Plugins(
        [plugin("stuck", "def ghostport_verdict_final(): time.sleep(60)")], load_installed=False, limit=0.2
    )
    began = time.monotonic()
    for _ in range(3000):
        plugins.tell_verdicts([VERDICT])
    assert time.monotonic() - began < 2
    assert plugins.faults == [
        "plugin stuck: ghostport_verdict_final took longer than 0.2 s; disabled for this run"
    ]


def test_what_a_plugin_has_is_not_used_any_more(plugin):
    plugins = Plugins([plugin("whole", WHOLE)], load_installed=False)
    plugins.disable(plugins.listed()[-1], "its format", "was bad")
    assert "mine" not in [each.name for each in plugins.all(Format)]
    with pytest.raises(UsageError, match="there is no such format"):
        plugins.get(Format, "mine", "--format")


def test_nobody_waits_for_abandoned_threads_at_the_end():
    assert all(thread.daemon for thread in threading.enumerate() if thread.name.startswith("ghostport"))


@pytest.mark.parametrize("name", [*hooks.ASKING, *hooks.TELLING])
def test_a_hook_s_docstring_is_its_contract(name):
    assert inspect.getdoc(getattr(hooks, name))


def test_every_hook_asks_or_tells():
    specified = {name for name in vars(hooks) if name.startswith(hooks.PREFIX)}
    assert specified == {*hooks.ASKING, *hooks.TELLING}
