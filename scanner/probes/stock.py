"""Stock templates: what our own probes compile to, kept in a file beside this one.

Importing Scapy takes a quarter of a second, longer than most single hosts take to sweep. So the templates
of the built-in probes are compiled once, when they change, and shipped; a test holds that each is what the
compiler makes of its probe today. Make the file anew with:

    python -m scanner.probes.stock
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from scanner.contracts import Probe
from scanner.core.template import Template
from scanner.probes.ack import ACK
from scanner.probes.arp import ARP_REQUEST, arp_request
from scanner.probes.compiler import compile_arp, compile_probe, compile_solicitation
from scanner.probes.icmp_echo import ICMP_ECHO
from scanner.probes.neighbour_solicitation import NEIGHBOUR_SOLICITATION, neighbour_solicitation
from scanner.probes.sctp_init import SCTP_INIT
from scanner.probes.tcp_syn import TCP_SYN
from scanner.probes.udp import PAYLOADS, UDP

STOCK = Path(__file__).with_name("stock.json")
_PLAIN_PORT = 401
_BUILT_IN = (TCP_SYN, UDP, ACK, SCTP_INIT, ICMP_ECHO)


class StockTemplate(msgspec.Struct, frozen=True):
    """A template, and the probe, version of IP and payload that it was compiled from."""

    probe: str
    version: int
    payload: bytes
    template: Template


def template_of(probe: Probe, port: int, version: int = 4) -> Template:
    """The template of a probe for a port and a version of IP: from stock, else compiled now.

    Raises:
        UsageError: the probe's packet cannot be made a template.
    """
    if probe in _BUILT_IN:
        return _stock()[probe.name, version, probe.payload(port)]
    return compile_probe(probe, port, version)


def neighbour_template(version: int) -> Template:
    """The template that asks who is there: an ARP request, or a neighbour solicitation."""
    return _stock()[ARP_REQUEST if version == 4 else NEIGHBOUR_SOLICITATION, version, b""]


def compile_stock() -> Iterator[StockTemplate]:
    """All of them, compiled anew."""
    for version in (4, 6):
        plain = ((probe, _PLAIN_PORT) for probe in _BUILT_IN)
        for probe, port in (*plain, *((UDP, port) for port in PAYLOADS)):
            yield StockTemplate(probe.name, version, probe.payload(port), compile_probe(probe, port, version))
    yield StockTemplate(ARP_REQUEST, 4, b"", compile_arp(arp_request()))
    yield StockTemplate(NEIGHBOUR_SOLICITATION, 6, b"", compile_solicitation(neighbour_solicitation()))


def _stock() -> dict[tuple[str, int, bytes], Template]:
    listed = msgspec.json.decode(STOCK.read_bytes(), type=list[StockTemplate])
    return {(stock.probe, stock.version, stock.payload): stock.template for stock in listed}


if __name__ == "__main__":
    STOCK.write_bytes(msgspec.json.format(msgspec.json.encode(list(compile_stock()))) + b"\n")
