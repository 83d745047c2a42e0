"""Identification: bounded whatever services and identifiers do, and nothing that was learnt is lost."""

from __future__ import annotations

import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from scanner import sweep
from scanner.contracts import Conversation
from scanner.identifying import identify
from scanner.model import Service
from scanner.plugins import Plugins
from scanner.wire.behaviours import closed_port, open_port
from scanner.wire.memory import SimulatedNetwork
from scanner.wire.memory_service import MemoryConversation

TARGETS = [(f"10.0.0.{last}", 401) for last in range(8)]
SSH = b"SSH-2.0-OpenSSH_9.2\r\n"


@pytest.fixture
def plugins(tmp_path: Path) -> Callable[..., Plugins]:
    """`plugins(code, …)`: the built-in ones, and one more for each body of an `identify(talk)`."""

    def make(*bodies: str, ports: tuple[int, ...] = ()) -> Plugins:
        paths = []
        for number, body in enumerate(bodies):
            path = tmp_path / f"mine{number}.py"
            path.write_text(
                "import time, sys\n"
                "from scanner.contracts import Identifier\n"
                "from scanner.model import Service\n"
                f"def identify(talk):\n{textwrap.indent(textwrap.dedent(body), '    ')}\n"
                "def ghostport_identifiers():\n"
                f"    return [Identifier('mine{number}', '', identify, {ports!r})]\n"
            )
            paths.append(str(path))
        return Plugins(paths, load_installed=False)

    return make


def over(service: Callable[[bytes], bytes | None]) -> Callable[[str, int, float], Conversation]:
    return lambda address, port, _seconds: MemoryConversation(service, address, port)


def silent(_heard: bytes) -> bytes:
    return b""


def greeting(heard: bytes) -> bytes:
    return b"" if heard else SSH


def test_each_target_gets_the_best_that_is_known(plugins):
    found = identify(TARGETS, over(greeting), plugins())
    assert {target: service.name for target, service in found.services.items()} == dict.fromkeys(
        TARGETS, "ssh"
    )
    assert (found.asked, found.left) == (8, 0)


def test_whoever_says_nothing_is_nobody(plugins):
    found = identify(TARGETS, over(silent), plugins())
    assert (found.services, found.asked, found.left) == ({}, 8, 0)


def test_nobody_to_ask_about(plugins):
    assert identify([], over(silent), plugins()).asked == 0


def test_a_port_that_has_closed_meanwhile_is_nobody(plugins):
    def refuse(*_: object) -> Conversation:
        raise ConnectionRefusedError

    assert identify(TARGETS, refuse, plugins()).left == 0


def test_those_who_know_the_port_come_first_and_others_not_at_all(plugins):
    heard: list[bytes] = []

    def service(said: bytes) -> bytes:
        heard.append(said)
        return b""

    identify([("10.0.0.1", 3493)], over(service), plugins())
    assert heard == [b"", b"VER\n", b""], "nut asks, then banner listens"
    heard.clear()
    identify([("10.0.0.1", 22)], over(service), plugins())
    assert heard == [b""]


def test_the_surest_stands(plugins):
    many = plugins(
        "return Service(name='low', confidence=0.2)",
        "return Service(name='high', confidence=0.7)",
        "return Service(name='late', confidence=0.7)",
    )
    assert identify(TARGETS[:1], over(silent), many).services[TARGETS[0]].name == "high"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("raise ValueError('\\x1b[2J')", r"raised ValueError: \x1b[2J"),
        ("sys.exit(1)", "raised SystemExit: 1"),
        ("return 'ssh'", "raised TypeError: gave 'ssh', where a Service or None is wanted"),
        (
            "return Service(name=7, confidence=1)",
            "raised ValidationError: Expected `str`, got `int` - at `$.name`",
        ),
        ("return Service(name='x', confidence=2)", "raised ValueError: gave a confidence of 2.0, where one"),
        ("return Service(name='x', confidence=float('nan'))", "raised ValueError: gave a confidence of nan"),
        ("time.sleep(60)", "took longer than 0.2 s"),
    ],
)
def test_one_that_misbehaves_is_left_alone_and_no_result_is_lost(plugins, body, why):
    bad = plugins(body, ports=(401,))
    began = time.monotonic()
    found = identify(TARGETS, over(greeting), bad, conversation=0.2, at_once=2)
    assert time.monotonic() - began < 4
    assert {service.name for service in found.services.values()} == {"ssh"}
    assert (len(found.services), found.left) == (8, 0)
    assert len(bad.faults) == 1
    assert bad.faults[0].startswith(f"plugin mine0: identifier mine0 {why}")


def test_what_it_gives_is_cut_to_a_bounded_length(plugins):
    long = plugins("return Service(name='n' * 9999, product='p' * 9999, confidence=1, evidence='e' * 9999)")
    service = identify(TARGETS[:1], over(silent), long).services[TARGETS[0]]
    assert [len(text or "") for text in (service.name, service.product, service.evidence)] == [64, 200, 4096]


def test_so_many_at_once_and_no_more(plugins):
    now, most, lock = 0, 0, threading.Lock()

    class Slow(MemoryConversation):
        def hear(self, limit: int = 4096, quiet: float = 0.2) -> bytes:
            nonlocal now, most
            with lock:
                now += 1
                most = max(most, now)
            time.sleep(0.02)
            with lock:
                now -= 1
            return super().hear(limit, quiet)

    many = [(f"10.0.0.{last}", 9) for last in range(40)]
    began = time.monotonic()
    identify(many, lambda address, port, _: Slow(greeting, address, port), plugins(), at_once=10)
    assert most == 10
    assert time.monotonic() - began < 0.8


def test_when_it_is_stopped_or_the_time_is_up_what_is_known_stays(plugins):
    def connect(address: str, port: int, _seconds: float) -> Conversation:
        if address > "10.0.0.3":
            time.sleep(1)
        return MemoryConversation(greeting, address, port)

    for options in ({"total": 0.3}, {"stopped": Stopped(0.3)}):
        began = time.monotonic()
        found = identify(TARGETS, connect, plugins(), at_once=8, **options)
        assert 0.2 < time.monotonic() - began < 0.9
        assert sorted(found.services) == TARGETS[:4]
        assert (found.asked, found.left) == (4, 4)


class Stopped:
    """True when some seconds have gone by since it was first asked."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._began: float | None = None

    def __call__(self) -> bool:
        self._began = self._began or time.monotonic()
        return time.monotonic() > self._began + self._seconds


# --- in a sweep ---------------------------------------------------------------------------------


def nut(heard: bytes) -> bytes | None:
    answers = {b"VER\n": b"Network UPS Tools upsd 2.8.0 - http://x/\n", b"LOGOUT\n": b"OK Goodbye\n"}
    return answers.get(heard, b"")


def network() -> SimulatedNetwork:
    built = SimulatedNetwork()
    built.place("10.0.0.0/29", closed_port())
    built.place("10.0.0.2/31", open_port())
    built.serve("10.0.0.2", 401, nut)
    return built


@pytest.mark.parametrize("way", [list, lambda planned: list(planned.result())])
def test_a_sweep_says_who_is_there(way):
    verdicts = way(sweep("10.0.0.0/29", network=network(), identify=True))
    services = {(v.ip, v.proto.value): v.service.name for v in verdicts if v.service is not None}
    assert services == {("10.0.0.2", "tcp"): "nut"}
    assert len(verdicts) == 16


def test_it_does_not_ask_unless_it_is_wanted():
    assert all(verdict.service is None for verdict in sweep("10.0.0.0/29", network=network()))


def test_one_that_is_stopped_meanwhile_keeps_its_verdicts():
    built = network()
    planned = sweep("10.0.0.0/29", protocols=["tcp"], network=built, identify=True)

    def stop(_heard: bytes) -> bytes:
        planned.stop()
        time.sleep(0.5)
        return b""

    built.serve("10.0.0.3", 401, stop)
    result = planned.result()
    assert result.complete
    assert len(list(result)) == 8
    assert planned.unidentified >= 1


def test_service_is_part_of_what_is_exported_to_plugins():
    assert Service(name="x", confidence=1).evidence == ""
