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
from scanner.probes.arp import ARP_REQUEST, arp_request
from scanner.probes.compiler import compile_arp, compile_probe
from scanner.probes.tcp_syn import TCP_SYN
from scanner.probes.udp import PAYLOADS, UDP

STOCK = Path(__file__).with_name("stock.json")
_PLAIN_PORT = 401
_BUILT_IN = (TCP_SYN, UDP)


class StockTemplate(msgspec.Struct, frozen=True):
    """A template, and the probe and payload that it was compiled from."""

    probe: str
    payload: bytes
    template: Template


def template_of(probe: Probe, port: int) -> Template:
    """The template of a probe for a port: from stock, else compiled now.

    Raises:
        UsageError: the probe's packet cannot be made a template.
    """
    if probe in _BUILT_IN:
        return _stock()[probe.name, probe.payload(port)]
    return compile_probe(probe, port)


def arp_template() -> Template:
    """The template of an ARP request."""
    return _stock()[ARP_REQUEST, b""]


def compile_stock() -> Iterator[StockTemplate]:
    """All of them, compiled anew."""
    for probe, port in ((TCP_SYN, _PLAIN_PORT), *((UDP, port) for port in (_PLAIN_PORT, *PAYLOADS))):
        yield StockTemplate(probe.name, probe.payload(port), compile_probe(probe, port))
    yield StockTemplate(ARP_REQUEST, b"", compile_arp(arp_request()))


def _stock() -> dict[tuple[str, bytes], Template]:
    listed = msgspec.json.decode(STOCK.read_bytes(), type=list[StockTemplate])
    return {(stock.probe, stock.payload): stock.template for stock in listed}


if __name__ == "__main__":
    STOCK.write_bytes(msgspec.json.format(msgspec.json.encode(list(compile_stock()))) + b"\n")
