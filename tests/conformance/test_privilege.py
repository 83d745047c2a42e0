"""An unprivileged user with CAP_NET_RAW and nothing else can use the wires, and is told how without it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP

import scanner
from scanner.lab import namespaces

from .conftest import scratch

pytestmark = pytest.mark.lab

NOBODY = ["--reuid", "65534", "--regid", "65534", "--clear-groups", "--no-new-privs"]
NET_RAW = ["--inh-caps", "+net_raw", "--ambient-caps", "+net_raw"]

ONE_PROBE = """
import sys
package, interface, mac, wire, packet = sys.argv[1:]
sys.path.insert(0, package)
import numpy as np
from scanner.contracts import Batch, Hop
from scanner.model import UsageError, WireKind
from scanner.wire.open import open_wire
hop = Hop(interface=interface, source=0x7F000001, gateway=None, on_link=False, loopback=interface == "lo",
          mac=bytes.fromhex(mac) or None, mtu=1500, wire=WireKind(wire))
try:
    wire = open_wire(hop)
except UsageError as error:
    print("refused:", error)
    raise SystemExit(2)
packets = np.frombuffer(bytes.fromhex(packet), dtype=np.uint8)[None]
sent = wire.send(Batch(packets, next_hops=np.full(6, 2, dtype=np.uint8)))
frames = wire.receive(0.5)
print("sent", len(sent.times), "received", len(frames))
wire.close()
"""
MAC = "02" * 6
SYN = bytes(IP(src="127.0.0.1", dst="127.0.0.1", id=1) / TCP(sport=40000, dport=401))


@pytest.fixture
def namespace() -> Iterator[str]:
    with scratch("privilege") as (name,):
        namespaces.ip_batch(
            name, ["link add name v0 type veth peer name v1", "link set v0 up", "link set v1 up"]
        )
        yield name


def run_as_nobody(
    namespace: str, capabilities: list[str], interface: str, mac: str, wire: str
) -> subprocess.CompletedProcess[str]:
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("no setpriv")
    as_nobody = [setpriv, *NOBODY, *capabilities, sys.executable]
    package = str(Path(scanner.__path__[0]).parent)
    reachable = f"import sys; sys.path.insert(0, {package!r}); import numpy, scanner.model"
    if subprocess.run([*as_nobody, "-c", reachable], capture_output=True, check=False).returncode != 0:
        pytest.skip("the interpreter, or this checkout, is out of an unprivileged user's reach")
    arguments = [package, interface, mac, wire, SYN.hex()]
    command = namespaces.exec_command(namespace, [*as_nobody, "-c", ONE_PROBE, *arguments])
    return subprocess.run(command, capture_output=True, text=True, check=False)


WAYS = [("lo", "", "auto"), ("lo", "", "scapy"), ("v0", MAC, "auto"), ("v0", "", "raw"), ("v0", MAC, "scapy")]


@pytest.mark.parametrize(("interface", "mac", "wire"), WAYS)
def test_cap_net_raw_is_enough(namespace: str, interface: str, mac: str, wire: str) -> None:
    ended = run_as_nobody(namespace, NET_RAW, interface, mac, wire)
    came = 1 if interface == "lo" else 0
    assert (ended.stdout, ended.stderr) == (f"sent 1 received {came}\n", "")


@pytest.mark.parametrize(("interface", "mac", "wire"), WAYS)
def test_without_it_one_line_says_how_to_mend_it(namespace: str, interface: str, mac: str, wire: str) -> None:
    ended = run_as_nobody(namespace, [], interface, mac, wire)
    assert ended.returncode == 2
    assert ended.stdout.startswith("refused: raw packets need CAP_NET_RAW: run with sudo")
    assert ended.stdout.count("\n") == 1
    assert ended.stderr == ""
