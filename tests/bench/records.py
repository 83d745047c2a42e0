"""A sweep's outcomes as JSON lines. Prints the seconds from the columns to the file's last byte.

    python records.py columns|objects|json COUNT FILE

`columns` is what the command line does; `objects` makes a `Verdict` of each and gives them to msgspec;
`json` gives each to the standard library, as one would without thinking.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import numpy as np

from scanner.core.addresses import format_addresses
from scanner.core.outcomes import Outcomes
from scanner.core.records import verdicts
from scanner.core.rules import Rank, reason_code
from scanner.model import Reason
from scanner.reporters.jsonl import JsonlReporter

_PIECE = 1 << 17


def outcomes(count: int) -> Outcomes:
    """Nine in ten closed, the others silent, times and round trips of microseconds."""
    random = np.random.default_rng(1)
    made = Outcomes.silent(
        np.arange(count, dtype=np.uint32) + 0x0A320000,
        np.full(count, 6, dtype=np.uint8),
        np.full(count, 401, dtype=np.uint16),
        Rank.UNANSWERED,
        reason_code(Reason.NO_RESPONSE),
    )
    made.tries[:] = 1
    made.time[:] = 1_795_000_000 * 10**9 + random.permutation(count) * 2000
    told = random.random(count) < 0.9
    made.rank[told], made.reason[told], made.ttl[told] = Rank.CLOSED, reason_code(Reason.RESET), 64
    made.rtt[told] = random.integers(30_000, 2_000_000, int(told.sum()))
    made.responder[told] = made.address[told]
    return made


def pieces(whole: Outcomes) -> Iterator[Outcomes]:
    return (whole.take(slice(begin, begin + _PIECE)) for begin in range(0, len(whole), _PIECE))


def by_json(whole: Iterable[Outcomes]) -> Iterator[bytes]:
    for piece in whole:
        for verdict in verdicts(piece):
            yield json.dumps(msgspec.structs.asdict(verdict), separators=(",", ":")).encode() + b"\n"


def main(how: str, count: str, name: str) -> None:
    whole = outcomes(int(count))
    with Path(name).open("wb") as stream:
        reporter = JsonlReporter(stream)
        began = time.perf_counter()
        if how == "columns":
            reporter.write_outcomes(pieces(whole), format_addresses)
        elif how == "objects":
            for piece in pieces(whole):
                reporter.write(verdicts(piece))
        else:
            stream.writelines(by_json(pieces(whole)))
        reporter.close()
    print(time.perf_counter() - began)


if __name__ == "__main__":
    main(*sys.argv[1:])
