"""A round of the fuzzer: `python -m tests.fuzz.round` with libFuzzer's own options and files."""

from __future__ import annotations

import sys

import atheris


def main() -> None:
    with atheris.instrument_imports(include=["scanner"]):
        from tests.fuzz.target import one_input
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
