"""The ARP probe as it is declared (RFC 826); what the engine fills in is tested with the compiler."""

from __future__ import annotations

from scapy.layers.l2 import ARP

from scanner.probes.arp import arp_request


def test_who_has() -> None:
    packet = arp_request()
    packet.psrc, packet.hwsrc, packet.pdst = "10.0.0.254", "02:aa:bb:cc:dd:ee", "10.0.0.1"
    body = bytes(packet)
    assert body.hex(" ", 2) == "0001 0800 0604 0001 02aa bbcc ddee 0a00 00fe 0000 0000 0000 0a00 0001"
    assert ARP(body).op == 1
