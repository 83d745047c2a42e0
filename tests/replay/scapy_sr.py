"""A plain Scapy probe, as anybody would write it; `--write FILE` saves it with Scapy's `wrpcap`.

`--data` puts bytes behind the SYN, `--fast-open` the option that asks for a cookie (RFC 7413),
`--extensions` an IPv6 extension header before it.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scapy.packet import Packet


def main() -> None:
    """Send a SYN to port 401 of every target, print what came back, and save it where asked to."""
    parser = argparse.ArgumentParser()
    parser.add_argument("targets", nargs="+")
    parser.add_argument("--write", metavar="FILE")
    parser.add_argument("--data", default="")
    parser.add_argument("--fast-open", action="store_true")
    parser.add_argument("--extensions", action="store_true")
    arguments = parser.parse_args()

    from scapy.layers.inet import IP, TCP
    from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, PadN
    from scapy.sendrecv import sr
    from scapy.utils import wrpcap

    segment = TCP(dport=401, flags="S", options=[("TFO", b"")] if arguments.fast_open else [])
    probes: Packet = (IPv6 if ":" in arguments.targets[0] else IP)(dst=arguments.targets)
    if arguments.extensions:
        probes /= IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(4))])
    probes /= segment
    if arguments.data:
        probes /= arguments.data
    answered, unanswered = sr(probes, timeout=0.5, retry=1, verbose=False)
    for probe, answer in answered:
        print(probe.dst, _said(answer))  # noqa: T201
    if arguments.write:
        wrpcap(arguments.write, [packet for pair in answered for packet in pair] + list(unanswered))


def _said(answer: Packet) -> str:
    """Flags, or that it is an ICMP error: that quotes a segment too."""
    if any("ICMP" in layer.__name__ for layer in answer.layers()):
        return "icmp"
    return str(answer.sprintf("%TCP.flags%"))


if __name__ == "__main__":
    main()
