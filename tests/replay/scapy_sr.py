"""A plain Scapy probe, as anybody would write it; `--write FILE` saves it with Scapy's `wrpcap`."""

from __future__ import annotations

import argparse


def main() -> None:
    """Send a SYN to port 401 of every target, print what came back, and save it where asked to."""
    parser = argparse.ArgumentParser()
    parser.add_argument("targets", nargs="+")
    parser.add_argument("--write", metavar="FILE")
    arguments = parser.parse_args()

    from scapy.layers.inet import IP, TCP
    from scapy.sendrecv import sr
    from scapy.utils import wrpcap

    probes = IP(dst=arguments.targets) / TCP(dport=401, flags="S")
    answered, unanswered = sr(probes, timeout=0.5, retry=1, verbose=False)
    for probe, answer in answered:
        print(probe.dst, answer.sprintf("{TCP:%TCP.flags%}{ICMP:icmp}"))  # noqa: T201
    if arguments.write:
        wrpcap(arguments.write, [packet for pair in answered for packet in pair] + list(unanswered))


if __name__ == "__main__":
    main()
