"""The templates in stock are what the compiler makes of the probes today."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from scanner.contracts import Probe
from scanner.probes import stock
from scanner.probes.arp import arp_request
from scanner.probes.compiler import compile_arp, compile_probe, compile_solicitation
from scanner.probes.neighbour_solicitation import neighbour_solicitation
from scanner.probes.tcp_syn import TCP_SYN
from scanner.probes.udp import UDP

MEND = "make it anew: python -m scanner.probes.stock"


@pytest.mark.parametrize(
    ("probe", "port"), [(TCP_SYN, 401), *((UDP, port) for port in (1, 53, 123, 161, 401))]
)
@pytest.mark.parametrize("version", [4, 6])
def test_a_probe_in_stock(probe: Probe, port: int, version: int) -> None:
    assert stock.template_of(probe, port, version) == compile_probe(probe, port, version), MEND


def test_who_is_there_in_stock() -> None:
    assert stock.neighbour_template(4) == compile_arp(arp_request()), MEND
    assert stock.neighbour_template(6) == compile_solicitation(neighbour_solicitation()), MEND


def test_what_is_not_in_stock_is_compiled() -> None:
    probe = replace(UDP, payload=lambda port: b"port %d" % port)
    assert stock.template_of(probe, 7).packet.endswith(b"port 7")


def test_stock_needs_no_scapy() -> None:
    """A quarter of a second, longer than most single hosts take to sweep."""
    check = """
import sys
from scanner.probes.stock import neighbour_template, template_of
from scanner.probes.tcp_syn import TCP_SYN
from scanner.probes.udp import UDP
for version in (4, 6):
    neighbour_template(version)
    template_of(TCP_SYN, 401, version), template_of(UDP, 401, version), template_of(UDP, 53, version)
assert not [name for name in sys.modules if name.startswith("scapy")]
"""
    subprocess.run([sys.executable, "-c", check], check=True)
