"""A peer: `sr`, as one writes it in a Scapy shell. Writes the addresses with an open port, one a line.

Arguments: TARGETS FILE.
"""

from __future__ import annotations

import sys
from pathlib import Path

from scapy.all import IP, TCP, sr  # type: ignore[attr-defined]


def main(targets: str, name: str) -> None:
    answered, _ = sr(IP(dst=targets) / TCP(dport=401, flags="S"), timeout=1, verbose=False)
    found = [reply.src for _, reply in answered if TCP in reply and reply[TCP].flags == "SA"]
    Path(name).write_text("".join(f"{address}\n" for address in found))


if __name__ == "__main__":
    main(*sys.argv[1:])
