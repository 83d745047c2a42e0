"""A peer: every packet of a capture dissected, as one writes it with Scapy. Prints how many there were.

Arguments: FILE.
"""

from __future__ import annotations

import sys

from scapy.utils import PcapReader


def main(name: str) -> None:
    import scapy.layers.all  # noqa: F401 - else packets stay raw

    with PcapReader(name) as packets:
        print(sum(1 for _ in packets))


if __name__ == "__main__":
    main(*sys.argv[1:])
