"""The command line: the only place that prints. argv becomes a request, errors one line and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from scanner.cli.parser import lab_parser, make_parser
from scanner.model import GhostportError

INCOMPLETE = 4
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Returns the exit code: 0 done, 2 bad input, 3 refused by scope, 4 incomplete."""
    words = list(sys.argv[1:] if argv is None else argv)
    # NumPy's BLAS would start a thread a core, which nothing here uses.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        return _run(words)
    except GhostportError as error:
        print(f"ghostport: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # Whoever read our output has gone; the interpreter's own flush at the end must not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return INCOMPLETE
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(words: list[str]) -> int:
    """Each command is imported when it is known to be the one, so that `--help` waits for none."""
    if words[:1] == ["lab"]:
        from scanner.lab.command import add_actions  # noqa: PLC0415

        lab = lab_parser()
        add_actions(lab)
        arguments = lab.parse_args(words[1:])
        code: int = arguments.run(arguments)
        return code
    arguments = make_parser().parse_args(words)
    if arguments.command == "sweep":
        from scanner.cli.sweep import run_sweep  # noqa: PLC0415

        return run_sweep(arguments)
    from scanner.cli.read import run_read  # noqa: PLC0415

    return run_read(arguments)
