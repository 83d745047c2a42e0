"""A lab comes up, goes down without a trace, and heals what a killed builder left behind."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scanner.lab import Lab, namespaces
from scanner.lab.profiles import SMALL
from scanner.model import Protocol, UsageError

pytestmark = pytest.mark.lab

BUILDER = """
import sys, time
from scanner.lab import Lab
print("building", flush=True)
Lab("small", sys.argv[1]).up()
print("up", flush=True)
time.sleep(60)
"""


def traces(lab: Lab) -> set[str]:
    """All that a lab of this name has left in the system."""
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    found = {line.split()[0] for line in listed.splitlines() if f"gp-{lab.name}-" in line}
    found |= {str(path) for path in Path("/run").glob(f"*{lab.name}") if path.name.startswith("ghostport")}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            runs_in_it = lab.name.encode() in command or inode_of(process) in inodes(lab)
        except OSError:
            continue
        if runs_in_it and int(process.name) != os.getpid():
            found.add(command.decode(errors="replace"))
    return found


def inode_of(process: Path) -> int:
    return (process / "ns/net").stat().st_ino


def inodes(lab: Lab) -> set[int]:
    mounts = [Path("/var/run/netns") / name for name in (lab.prober, lab.target)]
    return {mount.stat().st_ino for mount in mounts if mount.exists()}


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    except OSError:
        return True


def is_answering(lab: Lab) -> bool:
    address, port = lab.plan.listening(Protocol.TCP)[0]
    with lab.enter():
        prober = socket.socket()
    with prober:
        prober.settimeout(5)
        return prober.connect_ex((address, port)) == 0


def test_down_leaves_nothing(make_lab):
    lab = make_lab()
    assert traces(lab) == set()

    lab.up()
    running = [*namespaces.pids(lab.target)]
    assert is_answering(lab)
    assert len(traces(lab)) == 4  # two namespaces, the folder, the listeners
    sleeper = lab.popen(["sleep", "60"])

    lab.down()
    sleeper.wait(timeout=5)
    assert traces(lab) == set()
    assert all(is_gone(pid) for pid in running)
    lab.down()


def test_down_ends_what_is_just_about_to_run_in_it(make_lab):
    lab = make_lab()
    for _ in range(5):
        lab.up()
        sleeper = lab.popen(["sleep", "60"])
        lab.down()
        assert sleeper.wait(timeout=5) is not None
        assert traces(lab) == set()


def test_the_default_namespace_never_sees_it(make_lab):
    def links() -> str:
        return subprocess.run(["ip", "-brief", "link"], capture_output=True, text=True, check=True).stdout

    before = links()
    make_lab().up()
    assert links() == before


def test_a_context_is_up_inside_and_gone_after_an_error(make_lab):
    lab = make_lab()
    with lab:
        assert lab.status().up
    assert traces(lab) == set()
    with pytest.raises(KeyError), lab:
        raise KeyError
    assert traces(lab) == set()


def test_a_second_up_replaces_the_first(make_lab):
    lab = make_lab()
    lab.up()
    lab.set_loss(10)
    first = namespaces.pids(lab.target)

    lab.up()

    assert namespaces.pids(lab.target) != first
    assert lab.status().loss_percent == 0
    assert is_answering(lab)


@pytest.mark.parametrize("delay", [0.0, 0.01, 0.02, 0.04, 0.08, None], ids=lambda d: f"after {d} s")
def test_up_and_down_heal_what_a_killed_builder_left(make_lab, delay):
    lab = make_lab()
    with subprocess.Popen([sys.executable, "-c", BUILDER, lab.name], stdout=subprocess.PIPE) as builder:
        assert builder.stdout is not None
        assert builder.stdout.readline() == b"building\n"
        if delay is None:
            assert builder.stdout.readline() == b"up\n"
        else:
            time.sleep(delay)
        builder.send_signal(signal.SIGKILL)

    lab.up()
    assert is_answering(lab)
    lab.down()
    assert traces(lab) == set()


def test_another_process_may_take_it_over(make_lab):
    lab = make_lab(dataclasses.replace(SMALL.with_network(open_tcp=3, open_udp=2), ports=(401, 3493)))
    lab.up()

    other = Lab.running(lab.name)

    assert other.profile == lab.profile
    assert lab.name in Lab.names()
    other.down()
    assert not lab.status().up
    with pytest.raises(UsageError, match=f"{lab.name}' is not up; run: ghostport lab up"):
        lab.run(["true"])
    with pytest.raises(UsageError, match="is not up"):
        Lab.running(lab.name)


def test_a_build_that_fails_leaves_nothing_and_says_why(make_lab, monkeypatch):
    lab = make_lab()
    monkeypatch.setattr("scanner.lab.ruleset.behaviour_rules", lambda plan, side: "table ip nonsense {")
    with pytest.raises(UsageError, match=r"cannot be built here: .*nft.*syntax error") as error:
        lab.up()
    assert "\n" not in str(error.value)
    assert traces(lab) == set()


def test_listeners_that_do_not_start_say_why(make_lab, monkeypatch):
    lab = make_lab()
    monkeypatch.setattr(lab.plan, "listening", lambda *_: (("192.0.2.1", 401),))
    with pytest.raises(UsageError, match=r"listeners-prober ended at once: .*Cannot assign"):
        lab.up()
    assert traces(lab) == set()


def test_down_inside_the_lab_spares_the_caller(make_lab):
    lab = make_lab()
    lab.up()
    with lab.enter():
        lab.down()
    assert traces(lab) == set()


def test_enter_comes_back_also_after_an_error(make_lab):
    lab = make_lab()
    lab.up()
    here = Path("/proc/thread-self/ns/net")
    outside = here.readlink()
    with lab.enter():
        assert here.readlink() != outside
    assert here.readlink() == outside
    with pytest.raises(KeyError), lab.enter():
        raise KeyError
    assert here.readlink() == outside


def test_where_the_kernel_has_no_ipv6_the_lab_has_none(make_lab, monkeypatch):
    monkeypatch.setattr(namespaces, "has_ipv6", lambda: False)
    lab = make_lab("links")

    lab.up()

    assert not [network for network in Lab.running(lab.name).status().networks if ":" in network]
    assert is_answering(lab)
    shown = namespaces.ip_json(lab.target, "address", "show")
    families = {address["family"] for link in shown for address in link["addr_info"]}
    assert families <= {"inet", "inet6"}
    assert not [link for link in shown if link["ifname"] != "lo"
                for address in link["addr_info"] if address["family"] == "inet6"]  # fmt: skip


def test_without_root_it_says_so(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(UsageError, match="needs root"):
        Lab("small", "unbuilt").up()


@pytest.mark.parametrize(
    ("inside", "complaint"),
    [
        (["route add default via 10.49.0.2"], "a route to default by gpv0"),
        (["route add 192.0.2.0/24 via 10.49.0.2 table 7"], "a route to 192.0.2.0/24 by gpv0"),
        (["route add 2001:db8::/32 dev gpv0"], "a route to 2001:db8::/32 by gpv0"),
        (["link add other type veth peer name outside", "link set other up"], "the interface other is up"),
    ],
)
@pytest.mark.parametrize("side", ["prober", "target"])
def test_a_lab_with_a_way_out_is_refused(make_lab, inside, complaint, side):
    lab = make_lab(SMALL.with_network(open_tcp=1, open_udp=1))
    lab.up()
    via = ["10.49.0.2", "gpv0"] if side == "prober" else ["10.49.0.1", "gpv1"]
    lab.assert_isolated()

    lines = [line.replace("10.49.0.2", via[0]).replace("gpv0", via[1]) for line in inside]
    namespaces.ip_batch(getattr(lab, side), lines)

    for use in (lab.assert_isolated, lambda: lab.run(["true"]), lambda: lab.popen(["true"])):
        with pytest.raises(UsageError, match="is not isolated") as error:
            use()
        assert complaint.replace("gpv0", via[1]) in str(error.value)
    with pytest.raises(UsageError, match="is not isolated"), lab.enter():
        pytest.fail("entered a lab with a way out")
