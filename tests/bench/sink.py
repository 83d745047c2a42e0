"""A sweep into nothing: every probe is stamped and framed, nobody answers, and time only seems to pass.

Arguments: TARGETS. Prints how many verdicts there were.
"""

from __future__ import annotations

import sys

from scanner import sweep
from scanner.wire.memory import SimulatedNetwork


def main(targets: str) -> None:
    result = sweep(
        targets,
        protocols=["tcp"],
        rate=float("inf"),
        retries=0,
        network=SimulatedNetwork(gateway="192.0.2.254"),
    ).result()
    print(sum(result.tally().values()))


if __name__ == "__main__":
    main(*sys.argv[1:])
