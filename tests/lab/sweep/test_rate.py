"""Limits and losses of real hosts: the rate that adapts, and ICMP errors that come one a second."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

import pytest

from scanner.lab import Lab, namespaces
from scanner.model import TRANSPORTS, Protocol, State
from tests.lab.sweep.conftest import Prober, Record

pytestmark = pytest.mark.lab

# What Linux does where nobody has changed it: net/ipv4/icmp.c, icmp_sk_init.
KERNEL_DEFAULTS = {"net.ipv4.icmp_ratemask": "6168", "net.ipv4.icmp_ratelimit": "1000"}

# One error a second from each address, none before: a thousand hosts in one kernel would else share a limit.
A_LIMIT_EACH = """
table ip limits {
  set said { type ipv4_addr; size 65536; flags dynamic; }
  chain out {
    type filter hook output priority -10;
    icmp type destination-unreachable update @said { ip saddr limit rate over 1/second burst 1 packets } drop
  }
}
"""


@pytest.fixture
def limited(make_lab: Callable[..., Lab], tmp_path) -> Prober:
    """At the shell of a lab whose hosts may be changed."""
    lab = make_lab()
    lab.up()
    return Prober(lab, tmp_path)


def states(records: list[Record]) -> Counter[str]:
    return Counter(record["state"] for record in records)


def test_no_closed_port_of_a_host_with_default_icmp_limits_is_called_open(limited):
    namespaces.set_sysctls(limited.lab.target, KERNEL_DEFAULTS)

    evidence = limited.sweep_and_read("10.50.0.9", "--udp", "-p", "1000-1011")

    assert states(evidence.records) == {State.CLOSED: 12}
    assert evidence.again == evidence.swept
    found = re.search(r"12 targets in (\d+\.\d+) s", evidence.sweep.out)
    assert found is not None
    assert 3 < float(found[1]) < 15


def test_hosts_with_a_limit_each_are_waited_for_side_by_side(limited):
    namespaces.nft(limited.lab.target, A_LIMIT_EACH)

    ran = limited.ghostport(
        "sweep", "10.50.0.0/23", "10.50.2.0/28", "--udp", "-p", "1000-1002", "--format", "jsonl", "-o", "-",
    )  # fmt: skip

    assert ran.code == 0
    silent = [record for record in ran.records if record["ip"].startswith("10.50.2.")]
    assert states(silent) == {State.OPEN_FILTERED: 48}
    assert states(ran.records) == {State.CLOSED: 3 * 512, State.OPEN_FILTERED: 48}
    found = re.search(r"1 584 targets in (\d+\.\d+) s", ran.err)
    assert found is not None
    assert float(found[1]) < 15


def test_on_a_lossy_path_every_open_port_is_found(lab, prober):
    """20 % each way: all nine tries are lost for one target in ten thousand, and then it goes on asking."""
    lab.set_loss(20)
    try:
        ran = prober.ghostport(
            "sweep", "10.50.0.0/23", "--retries", "8", "--show", "open", "-v", "--format", "jsonl", "-o", "-",
        )  # fmt: skip
    finally:
        lab.set_loss(0)

    found = {(record["ip"], record["proto"]) for record in ran.records}
    assert found == {
        (address, protocol.value)
        for protocol in TRANSPORTS
        for address in (f"10.50.{number // 256}.{number % 256}" for number in range(512))
        if lab.expected(address, protocol, 401).state is State.OPEN
    }
    said = re.search(r"rate: up to ([\d ]+) packets/s, ([\d.]+) % of tries lost", ran.err)
    assert said is not None
    assert 30 < float(said[2]) < 42


def test_the_default_rate_grows_where_replies_keep_up(prober):
    ran = prober.ghostport("sweep", "10.50.0.0/23", "-p", "401-410", "--tcp", "-v")

    assert ran.out.startswith("sweeping 10.50.0.0/23 (512 addresses): tcp 401-410; auto rate, 2 retries\n")
    said = re.search(r"rate: up to ([\d ]+) packets/s, no loss seen", ran.out)
    assert said is not None
    assert int(said[1].replace(" ", "")) > 10_000


A_NARROW_PATH = """
table ip narrow {
  chain arriving {
    type filter hook prerouting priority -310; policy accept;
    iifname gpv1 limit rate over 3000/second burst 100 packets drop
  }
}
"""


def test_a_narrow_path_is_not_flooded(limited):
    """A third of the rate at the start gets through: the sweep slows down, and misses nobody."""
    namespaces.nft(limited.lab.target, A_NARROW_PATH)

    ran = limited.ghostport(
        "sweep", "10.50.0.0/23", "--tcp", "-p", "401-416", "-v", "--format", "jsonl", "-o", "-",
    )  # fmt: skip

    assert ran.code == 0
    truth = Counter(
        limited.lab.expected(record["ip"], Protocol.TCP, record["port"]).state for record in ran.records
    )
    assert states(ran.records) == truth
    assert truth[State.OPEN] > 0
    assert re.search(r"% of tries lost, halved \d+ times?\n", ran.err)
