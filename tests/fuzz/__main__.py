"""`make fuzz`: captures made up by a fuzzer that watches which code they reach.

    python -m tests.fuzz [SECONDS] [FILE ...]

Without files the fuzzer runs, on what is in `pcaps/` and on what it found in earlier runs (out/fuzz); with
files, these are tried once each. Ends with another code than 0 where there is one that reading cannot take.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from tests.fuzz.target import AS_FILE, TALKS, USUAL_PORT

ROOT = Path(__file__).parents[2]
FOUND = ROOT / "out" / "fuzz"
CORPUS = FOUND / "corpus"
MOST_BYTES = 4096
LONGEST = 10
"""Seconds that one input may take."""

MOST_MEMORY = 2048
"""MiB; most of it is the fuzzer's own, which grows: hence rounds."""

ROUND = 60


def main(words: list[str]) -> int:
    CORPUS.mkdir(parents=True, exist_ok=True)
    plant()
    ends = time.monotonic() + float(words[0] if words else 600)
    while (left := ends - time.monotonic()) > 1:
        code = fuzz(f"-max_total_time={int(min(left, ROUND))}", *(words[1:] or [str(CORPUS)]))
        if code or words[1:]:
            return code
    return 0


def plant() -> None:
    """Begin with what was recorded: as files, asked about the usual port or about all."""
    for number, path in enumerate(sorted((ROOT / "pcaps").glob("*/capture*"))):
        data = path.read_bytes()
        if len(data) < MOST_BYTES and path.suffix != ".json":
            kind = AS_FILE | (USUAL_PORT if number % 2 else 0)
            for also in (0, TALKS):
                (CORPUS / f"recorded-{number}-{also}").write_bytes(bytes([kind | also]) + data)


def fuzz(*words: str) -> int:
    """One round, in a process of its own."""
    options = [
        f"-max_len={MOST_BYTES}",
        f"-timeout={LONGEST}",
        f"-rss_limit_mb={MOST_MEMORY}",
        f"-artifact_prefix={FOUND}/",
        "-print_final_stats=1",
    ]
    command = [sys.executable, "-m", "tests.fuzz.round", *options, *words]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
